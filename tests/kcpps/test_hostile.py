"""Whatever a file holds: a preset with a report, or an error that names file and place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kcpps_talk import imported, key_rows

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.preset import Preset
from kobold_tui.storage.kcpps.document import MAX_BYTES, parse_document
from kobold_tui.storage.kcpps.importing import import_document, import_file
from kobold_tui.storage.toml_file import dump

KEYS = sorted(key_rows())
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 1, 2**31, 2**64, -(2**70), 10**300]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["auto", "q8_0", "-1", "https://h/m.gguf", "x.kcpps", "{", '{"a": [', "a=int:1", "\ud800"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["temperature", "sampler_order", "stop_sequence", "logit_bias", "seed", "grammar"])
TAGS = st.sampled_from(["user_start", "assistant_end", "assistant_gen", "system_start", "top_p"])
DOCUMENTS = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), VALUES, max_size=12)


def is_sound(preset: Preset) -> bool:
    """Whether a preset can be written and comes back the same."""
    return msgspec.convert(msgspec.to_builtins(preset, str_keys=True), Preset, str_keys=True) == preset


def check(values: dict[str, Any], requests: dict[str, Any], tags: dict[str, Any]) -> None:
    """Import a document and fail where it is no sound preset with a line for every key."""
    values = {"gendefaults": requests, **({"chatcompletionsadapter": tags} if tags else {}), **values}
    document = parse_document(json.dumps(values).encode(), Path("any.kcpps"))
    found = import_document(document, "any")
    assert is_sound(found.preset)
    assert all(is_sound(companion) for companion in found.companions)
    assert {key[:80] for key in document.values} <= {row.key for row in found.report}
    json.loads(msgspec.json.encode(found))
    dump(found.preset).encode()


ANYTHING = given(
    DOCUMENTS, st.dictionaries(NAMES, VALUES, max_size=3), st.dictionaries(TAGS, VALUES, max_size=3)
)
SLOW = [HealthCheck.too_slow]


@ANYTHING
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
def test_any_object_becomes_a_sound_preset_with_a_line_for_every_key(
    values: dict[str, Any], requests: dict[str, Any], tags: dict[str, Any]
) -> None:
    check(values, requests, tags)


@pytest.mark.soak
@ANYTHING
@settings(max_examples=5000, deadline=None, suppress_health_check=SLOW)
def test_five_thousand_objects_become_sound_presets(
    values: dict[str, Any], requests: dict[str, Any], tags: dict[str, Any]
) -> None:
    check(values, requests, tags)


@given(st.binary(max_size=200))
@settings(max_examples=80, deadline=None)
def test_any_bytes_are_an_object_or_an_error_that_names_the_file(content: bytes) -> None:
    told = ""
    try:
        imported(parse_document(content, Path("any.kcpps")).values)
    except KoboldError as error:
        told = error.message if error.hint else "no hint"
    assert "any.kcpps" in told or not told


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "line 1, column 1"),
        (b"[1, 2]", "holds a list"),
        (b"null", "holds null"),
        (b'{"a": 1', "line 1"),
        (b'{"gpulayers": ' + b"9" * 5000 + b"}", "a number is too long"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"model": "\xff"}', "not UTF-8"),
        (b'{"colour": "red"}', "none of KoboldCpp's keys"),
        (json.dumps({f"k{i}": 1 for i in range(3000)}).encode(), "3000 keys"),
    ],
    ids=["empty", "list", "null", "cut", "digits", "lists", "objects", "latin", "other", "many"],
)
def test_what_is_no_file_of_koboldcpp_is_told_from_one(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "odd.kcpps"
    path.write_bytes(content)
    with pytest.raises(KoboldError, match=r"odd\.kcpps") as caught:
        import_file(path)
    assert reason in caught.value.message
    assert caught.value.hint


def test_a_huge_file_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "huge.kcpps"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    assert path.stat().st_size > MAX_BYTES
    with pytest.raises(KoboldError, match="larger than 8 MiB"):
        import_file(path)


def test_a_folder_or_pipe_in_place_of_a_file_is_an_error(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.kcpps")
    for path in (tmp_path, tmp_path / "pipe.kcpps", tmp_path / "absent.kcpps"):
        with pytest.raises(KoboldError, match="Cannot read"):
            import_file(path)


@pytest.mark.parametrize("key", ["contextsize", "threads", "loramult", "maingpu", "autofitpadding", "moecpu"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400", "99999999999999999999"])
def test_no_number_that_is_none_gets_into_a_preset(key: str, value: str) -> None:
    document = parse_document(
        f'{{"{key}": {value}, "lora": ["a"], "autofit": true}}'.encode(), Path("n.kcpps")
    )
    found = import_document(document, "n")
    assert next(row for row in found.report if row.key == key).status in {"refused", "ignored"}
    assert is_sound(found.preset)


def test_an_adapter_file_is_read_beside_the_document_and_nothing_else_is(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"user_start": "<u>", "assistant_start": "<a>"}')
    path = tmp_path / "x.kcpps"
    path.write_text('{"model_param": "m.gguf", "chatcompletionsadapter": "mine.json"}')
    assert "<u>" in import_file(path).template
    path.write_text('{"model_param": "m.gguf", "chatcompletionsadapter": "/dev/zero"}')
    assert import_file(path).template == ""
