"""Figures of dry runs outlive the program, and a file that is not what it should be counts as empty."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from kobold_tui.domain.memory import DeviceMemory, MemoryEstimate
from kobold_tui.storage.dry_runs import KEPT_RUNS, DryRunFile

RAM = DeviceMemory(name="RAM", is_host=True, weights_bytes=5)
FIGURES = MemoryEstimate(n_gpu_layers=3, n_layer=4, devices=(RAM,), exact=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "dry_runs.json"


def test_figures_are_there_again_after_a_restart(path: Path) -> None:
    DryRunFile(path).keep({"a": FIGURES})
    assert DryRunFile(path).find("a") == FIGURES
    assert DryRunFile(path).find("b") is None


def test_the_oldest_go_when_there_are_too_many(path: Path) -> None:
    file = DryRunFile(path)
    file.keep({str(n): FIGURES for n in range(KEPT_RUNS)})
    file.keep({"0": FIGURES, "new": FIGURES})
    assert file.find("1") is None
    assert file.find("0") == file.find("2") == DryRunFile(path).find("new") == FIGURES


DAMAGE = {
    "empty": b"",
    "cut off": b"{",
    "a list": b"[1]",
    "a number": b'{"a": 1}',
    "not text": b"\xff\xfe",
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_a_broken_file_counts_as_empty(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    file = DryRunFile(path)
    assert file.find("a") is None
    file.keep({"a": FIGURES})
    assert DryRunFile(path).find("a") == FIGURES


def test_what_cannot_be_a_dry_run_is_left_out(path: Path) -> None:
    guess = msgspec.structs.replace(FIGURES, exact=False)
    negative = msgspec.structs.replace(FIGURES, devices=(msgspec.structs.replace(RAM, kv_bytes=-1),))
    DryRunFile(path).keep({"guess": guess, "negative": negative, "good": FIGURES})
    file = DryRunFile(path)
    assert [file.find(key) for key in ("guess", "negative", "good")] == [None, None, FIGURES]


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    file = DryRunFile(tmp_path / "file" / "dry_runs.json")
    file.keep({"a": FIGURES})
    assert file.find("a") == FIGURES
