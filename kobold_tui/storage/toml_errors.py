"""Says in words what is wrong in a TOML file; imported only when something is.

msgspec reports the path of the value; what stands there is looked up in the file, and what would be right
comes from the declared type, so that both read the same for every kind of mistake.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from kobold_tui.domain.errors import KoboldError
from kobold_tui.storage.type_words import field_names, in_words, type_at

_WHERE = re.compile(r"(?P<what>.*?)(?: - at `\$?(?P<path>[^`]*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_PART = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_MAX_SHOWN = 60
_TITLE = "Wrong value"

Step = str | int


def explain(message: str, table: dict[str, Any], type_: Any, path: Path) -> KoboldError:
    """Return the error for a message of msgspec about `table`, which was read from `path`."""
    match = _WHERE.fullmatch(message)
    what, place = (match["what"], match["path"] or "") if match else (message, "")
    steps = _named_steps([_step(part) for part in _PART.finditer(place)], table, type_)
    if unknown := _UNKNOWN.fullmatch(what):
        return _unknown_key(unknown[1], steps, type_, path)
    if missing := _MISSING.fullmatch(what):
        return KoboldError(
            "Missing key", f"{path}: {_dotted([*steps, missing[1]])} is missing.", "Add it to the file."
        )
    right = in_words(type_at(type_, steps))
    found = _shown(_value_at(table, steps))
    reason = f"{path}: {_dotted(steps) or 'the file'} is {found}; it must be {right}."
    return KoboldError(_TITLE, reason, "Mend the value, or remove the line to get the default.")


def _unknown_key(key: str, steps: list[Step], type_: Any, path: Path) -> KoboldError:
    import difflib

    names = field_names(type_at(type_, steps))
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    hint = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(names)}."
    return KoboldError("Unknown key", f"{path}: there is no key {_dotted([*steps, key])}.", hint)


def _step(part: re.Match[str]) -> Step:
    if part[1] is not None:
        return part[1]
    return int(part[2]) if part[2].isdecimal() else "..."


def _named_steps(steps: list[Step], table: dict[str, Any], type_: Any) -> list[Step]:
    """Put the real key in place of `...`, which is all that msgspec tells about free tables."""
    named: list[Step] = []
    for step in steps:
        named.append(_offending_key(named, table, type_) if step == "..." else step)
    return named


def _offending_key(steps: list[Step], table: dict[str, Any], type_: Any) -> Step:
    """Return the first key of the table at `steps` that makes the whole invalid by itself."""
    inner = _value_at(table, steps)
    for key in inner if isinstance(inner, dict) else ():
        probe: Any = {key: inner[key]}
        for step in reversed(steps):
            probe = {step: probe}
        try:
            msgspec.convert(probe, type_, strict=True, str_keys=True)
        except msgspec.ValidationError as error:
            if "..." in str(error):
                return str(key)
    return "..."


def _value_at(table: Any, steps: list[Step]) -> Any:
    for step in steps:
        try:
            table = table[step]
        except (LookupError, TypeError):
            return None
    return table


def _dotted(steps: list[Step]) -> str:
    text = ""
    for step in steps:
        text += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
