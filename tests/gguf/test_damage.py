"""Damage of every sort gives a header or a sentence: random bytes, and fields that lie on purpose."""

from __future__ import annotations

import importlib.util
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kobold_tui.domain.errors import ModelFileError
from kobold_tui.gguf.header import read_header

Make = Callable[..., Any]
Write = Callable[..., Path]
ROOT = Path(__file__).resolve().parents[2]
WIDTHS = {0: 1, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8}
LIES = (0, 1, 2, 7, 8, 9, 31, 32, 255, 4097, 65_537, 2**31, 2**32 - 1, 2**32, 2**40, 2**62, 2**63, 2**64 - 1)


def fields(content: bytes, order: str) -> Iterator[tuple[int, int]]:
    """Yield offset and width of every count, length, type, dimension and offset in a whole header."""

    def number(at: int, width: int) -> int:
        return int(struct.unpack_from(order + {4: "I", 8: "Q"}[width], content, at)[0])

    def text(at: int) -> int:
        return at + 8 + number(at, 8)

    yield from ((4, 4), (8, 8), (16, 8))
    at = 24
    for _ in range(number(16, 8)):
        yield at, 8
        at = text(at)
        yield at, 4
        value_type, at = number(at, 4), at + 4
        if value_type == 9:
            yield from ((at, 4), (at + 4, 8))
            value_type, count, at = number(at, 4), number(at + 4, 8), at + 12
        else:
            count = 1
        for _ in range(count):
            if value_type == 8:
                yield at, 8
            at = text(at) if value_type == 8 else at + WIDTHS[value_type]
    for _ in range(number(8, 8)):
        yield at, 8
        at = text(at)
        n_dimensions = number(at, 4)
        yield at, 4
        yield from ((at + 4 + 8 * index, 8) for index in range(n_dimensions))
        at += 4 + 8 * n_dimensions
        yield from ((at, 4), (at + 4, 8))
        at += 12


def read_or_refuse(path: Path) -> None:
    refused: ModelFileError | None = None
    try:
        header = read_header(path)
    except ModelFileError as error:
        refused = error
    if refused is None:
        assert header.tensor_bytes <= header.file_bytes
        return
    assert str(path) in refused.message
    assert refused.hint
    assert "at byte" in refused.message or "one of" in refused.message or "0 bytes" in refused.message


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_damage_gives_a_header_or_a_sentence(
    small_model: Make, write: Write, data: st.DataObject
) -> None:
    content = bytearray(small_model(data.draw(st.sampled_from("<>"))).to_bytes())
    header_bytes = len(small_model().header())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, header_bytes - 1))
        patch = data.draw(
            st.one_of(st.binary(min_size=1, max_size=12), st.sampled_from([b"\xff" * 8, b"\0" * 8]))
        )
        content[at : at + len(patch)] = patch
    length = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    read_or_refuse(write(bytes(content[:length])))


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_fields_that_lie_give_a_header_or_a_sentence(
    small_model: Make, write: Write, data: st.DataObject
) -> None:
    order = data.draw(st.sampled_from("<>"))
    content = bytearray(small_model(order, data.draw(st.sampled_from((2, 3)))).to_bytes())
    places = list(fields(bytes(content), order))
    for at, width in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        lie = data.draw(st.one_of(st.sampled_from(LIES), st.integers(0, 2**64 - 1)))
        struct.pack_into(order + {4: "I", 8: "Q"}[width], content, at, lie % 2 ** (8 * width))
    read_or_refuse(write(bytes(content)))


def test_every_single_lie_about_a_count_or_length_is_survived(small_model: Make, write: Write) -> None:
    content = small_model().to_bytes()
    for at, width in fields(content, "<"):
        for lie in (0, 2**31, 2**64 - 1):
            lying = bytearray(content)
            struct.pack_into({4: "<I", 8: "<Q"}[width], lying, at, lie % 2 ** (8 * width))
            read_or_refuse(write(bytes(lying)))


FUZZER = """
import os, sys, atheris
with atheris.instrument_imports(include=["kobold_tui.gguf"]):
    from kobold_tui.gguf.header import read_header
from pathlib import Path
from kobold_tui.domain.errors import ModelFileError

PATH = Path(sys.argv.pop(1))

def one(data):
    PATH.write_bytes(data)
    try:
        read_header(PATH)
    except ModelFileError as error:
        assert str(PATH) in error.message and error.hint

atheris.Setup(sys.argv, one)
atheris.Fuzz()
"""


@pytest.mark.soak
def test_a_campaign_that_follows_the_code_finds_nothing(
    small_model: Make, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("needs atheris: pip install atheris")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, (order, version) in enumerate((("<", 3), (">", 3), ("<", 2))):
        (corpus / f"{number}").write_bytes(small_model(order, version).to_bytes()[:4096])
        (corpus / f"whole{number}").write_bytes(small_model(order, version).to_bytes())
    seconds = os.environ.get("KOBOLD_TUI_FUZZ_SECONDS", "120")
    limits = [f"-max_total_time={seconds}", "-rss_limit_mb=512", "-timeout=10", "-max_len=40000"]
    artifacts = f"-artifact_prefix={tmp_path}/"
    command = [sys.executable, "-c", FUZZER, str(tmp_path / "fuzzed.gguf"), *limits, artifacts, str(corpus)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "DONE" in done.stderr or "Done" in done.stderr
