"""Settings from environment variables: KOBOLD_TUI_THEME, KOBOLD_TUI_LOAD__N_CTX (two underscores: a table).

A text is tried as it stands, then as a TOML value (8192, true, ["a", "b"]), then, for lists, as a list
separated like PATH; the first that the setting can be is taken.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from kobold_tui.domain.errors import Failure, KoboldError
from kobold_tui.storage.toml_file import Table, convert

PREFIX = "KOBOLD_TUI_"


def environment_tables(
    environ: Mapping[str, str], type_: type[msgspec.Struct], failed: list[Failure]
) -> Iterator[tuple[str, Table]]:
    """Yield a table for every variable that names a setting; wrong ones are added to `failed`.

    Variables with our prefix that name no setting belong to other parts of the program.
    """
    for name, text in sorted(environ.items()):
        parts = name.removeprefix(PREFIX).lower().split("__")
        if not name.startswith(PREFIX) or parts[0] not in type_.__struct_fields__:
            continue
        try:
            yield f"environment ({name})", _nested(parts, _fitting(parts, text, type_, name))
        except KoboldError as error:
            failed.append(error.failure)


def parse_value(key: str, text: str, type_: type[msgspec.Struct]) -> object:
    """Return `text` as the value of a dotted key. Raises KoboldError, which says what would be right."""
    return _fitting(key.split("."), text, type_, key)


def _fitting(parts: list[str], text: str, type_: type[msgspec.Struct], name: str) -> Any:
    errors: list[KoboldError] = []
    for candidate in _candidates(text):
        try:
            convert(_nested(parts, candidate), type_, Path(name))
        except KoboldError as error:
            errors.append(error)
        else:
            return candidate
    raise errors[-2] if len(errors) > 1 else errors[0]  # the last is the list, which nobody wrote


def _candidates(text: str) -> Iterator[Any]:
    import tomllib

    yield text
    try:
        table = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        pass
    else:
        if list(table) == ["value"]:
            yield table["value"]
    yield [part for part in text.split(os.pathsep) if part]


def _nested(parts: list[str], value: Any) -> Table:
    for part in reversed(parts):
        value = {part: value}
    table: Table = value
    return table
