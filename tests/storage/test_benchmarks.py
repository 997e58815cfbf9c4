"""Measurements as files: by model, bounded, and no broken file costs more than itself."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import msgspec
import pytest

from kobold_tui.domain.benchmark import BenchRun, MachineIdentity, Measurement, ModelIdentity, Spread
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.storage import benchmarks
from kobold_tui.storage.benchmarks import BenchmarkFiles

MODEL = ModelIdentity(name="tiny.gguf", size_bytes=9, modified_at=1.5)
MACHINE = MachineIdentity(cpu="CPU", n_cpus=8, gpus=("Card",), driver="580")
SPEED = Spread(median=2.0, low=1.0, high=3.0)


def measurement(layers: int, at: float = 1.0, machine: MachineIdentity = MACHINE) -> Measurement:
    run = BenchRun(
        options=LoadOptions(n_gpu_layers=layers),
        n_gpu_layers=layers,
        n_prompt=512,
        n_gen=128,
        n_repeats=3,
        prompt_tokens_per_second=SPEED,
        tokens_per_second=SPEED,
    )
    return Measurement(machine=machine, taken_at=at, run=run)


@pytest.fixture
def files(tmp_path: Path) -> BenchmarkFiles:
    return BenchmarkFiles(tmp_path / "benchmarks")


def only_file(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "benchmarks").glob("*.json")
    return path


def test_measurements_come_back_the_oldest_first(files: BenchmarkFiles) -> None:
    assert files.load(MODEL) == ()
    kept = (measurement(3), measurement(1), measurement(2))
    for each in kept:
        files.add(MODEL, each)
    assert files.load(MODEL) == kept


def test_a_placement_has_one_measurement_on_each_machine(files: BenchmarkFiles) -> None:
    other = msgspec.structs.replace(MACHINE, driver="590")
    files.add(MODEL, measurement(1))
    files.add(MODEL, measurement(1, machine=other))
    files.add(MODEL, measurement(1, at=2.0))
    assert files.load(MODEL) == (measurement(1, machine=other), measurement(1, at=2.0))


@pytest.mark.parametrize("change", [{"size_bytes": 10}, {"modified_at": 2.0}, {"name": "other.gguf"}])
def test_another_file_has_measurements_of_its_own(files: BenchmarkFiles, change: dict[str, object]) -> None:
    files.add(MODEL, measurement(1))
    assert files.load(msgspec.structs.replace(MODEL, **change)) == ()


def test_a_file_that_speaks_of_another_model_counts_for_nothing(
    files: BenchmarkFiles, tmp_path: Path
) -> None:
    files.add(MODEL, measurement(1))
    path = only_file(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"size_bytes":9', b'"size_bytes":8'))
    assert files.load(MODEL) == ()


def test_files_are_their_owners_and_named_safely(files: BenchmarkFiles, tmp_path: Path) -> None:
    files.add(msgspec.structs.replace(MODEL, name="../../ü \n/x.gguf"), measurement(1))
    path = only_file(tmp_path)
    assert re.fullmatch(r"\w[\w.-]*-[0-9a-f]{16}\.json", path.name, re.ASCII)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"[" * 100_000, b"\xff", b'{"model": 3}', b" " * (benchmarks.MOST_BYTES + 1)],
    ids=["empty", "cut", "list", "nested", "not UTF-8", "wrong type", "too large"],
)
def test_a_broken_file_is_named_and_put_aside_by_the_next_measurement(
    files: BenchmarkFiles, tmp_path: Path, content: bytes
) -> None:
    files.add(MODEL, measurement(1))
    path = only_file(tmp_path)
    path.write_bytes(content)
    with pytest.raises(KoboldError, match=path.name):
        files.load(MODEL)
    files.add(MODEL, measurement(2))
    assert files.load(MODEL) == (measurement(2),)
    assert path.with_suffix(".broken").read_bytes() == content


def test_the_oldest_measurements_and_files_go_first(
    files: BenchmarkFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmarks, "MOST_MEASUREMENTS", 3)
    monkeypatch.setattr(benchmarks, "MOST_FILES", 2)
    for layers in range(5):
        files.add(MODEL, measurement(layers))
    assert [each.run.n_gpu_layers for each in files.load(MODEL)] == [2, 3, 4]
    os.utime(only_file(tmp_path), (1, 1))
    others = [msgspec.structs.replace(MODEL, size_bytes=size) for size in (1, 2)]
    for other in others:
        files.add(other, measurement(0))
    assert [bool(files.load(each)) for each in (MODEL, *others)] == [False, True, True]
    for path in (tmp_path / "benchmarks").iterdir():
        os.utime(path, (9e9, 9e9))  # a clock that was set back costs no new file
    files.add(MODEL, measurement(7))
    assert files.load(MODEL) == (measurement(7),)


def test_a_file_never_grows_beyond_what_a_reader_accepts(
    files: BenchmarkFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmarks, "MOST_BYTES", 2000)
    for layers in range(20):
        files.add(MODEL, measurement(layers))
    assert only_file(tmp_path).stat().st_size <= 2000
    assert files.load(MODEL)[-1] == measurement(19)


def test_a_folder_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "benchmarks").write_text("in the way")
    with pytest.raises(KoboldError, match="benchmarks"):
        BenchmarkFiles(tmp_path / "benchmarks").add(MODEL, measurement(1))
