"""The fields of a form, made from the declarations that also validate files; pure functions, no widgets.

A value is shown and entered as text. What a field takes, its range, unit and help come from the struct's
`Meta`, so that form, files and documentation can never disagree.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from kobold_tui.domain.errors import KoboldError, UsageError
from kobold_tui.domain.units import GIB, MIB, parse_bytes
from kobold_tui.storage.toml_file import dump
from kobold_tui.storage.type_words import in_words

_TRUE = {"true", "yes", "on"}
_FALSE = {"false", "no", "off"}


class Field(NamedTuple):
    """One key of a struct: its dotted key, section, title, help, unit, and type as msgspec tells it."""

    key: str
    section: str
    title: str
    help: str
    unit: str
    declared: inspect.Type
    owner: type[msgspec.Struct]

    @property
    def name(self) -> str:
        """The key within its section."""
        return self.key.rpartition(".")[2]

    @property
    def takes(self) -> str:
        """What the field takes, in words."""
        words = in_words(self.declared)
        return words.replace("a text in quotes", "a text").replace("left out", "empty")


def fields_of(struct: type[msgspec.Struct], section: str = "", prefix: str = "") -> Iterator[Field]:
    """Yield the fields of a struct as they are declared, those of inner structs at their place."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - a struct has no other
    for field in info.fields:
        bare = _bare(field.type)
        if isinstance(bare, inspect.StructType):
            yield from fields_of(bare.cls, field.name, f"{prefix}{field.name}.")
        else:
            yield _field(field, section, prefix, struct)


def value_at(struct: msgspec.Struct, key: str) -> Any:
    """Return the value of a dotted key."""
    value: Any = struct
    for name in key.split("."):
        value = getattr(value, name)
    return value


def with_value(struct: msgspec.Struct, key: str, value: Any) -> Any:
    """Return the struct with another value at a dotted key."""
    name, _, rest = key.partition(".")
    inner = with_value(getattr(struct, name), rest, value) if rest else value
    return msgspec.structs.replace(struct, **{name: inner})


def text_of(field: Field, value: Any) -> str:
    """Return a value as it is entered; lists and tables are as in TOML, without the outer brackets."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if field.unit == "bytes" and isinstance(value, int) and value and value % MIB == 0:
        return f"{value // GIB}G" if value % GIB == 0 else f"{value // MIB}M"
    if isinstance(value, tuple | list | dict):
        return _table_text(value)
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def parse(field: Field, text: str) -> Any:
    """Return the value that a text stands for. Raises UsageError, which says what the field takes."""
    try:
        value = _candidate(field, text)
        table = {field.name: value} if value is not None else {}
        checked = msgspec.convert({**_needed(field), **table}, field.owner, str_keys=True)
    except (ValueError, KoboldError, RecursionError):  # ValidationError is a ValueError
        hint = f"It takes {field.takes}."
        raise UsageError(f"{field.title}", f"{text!r} is not right here.", hint) from None
    return getattr(checked, field.name) if table else None


def choices(field: Field) -> tuple[str, ...]:
    """Return all texts that the field takes, where these are few; else nothing."""
    found: list[str] = []
    for option in _options(field.declared):
        match option:
            case inspect.LiteralType(values=values):
                found = [*(str(value) for value in values), *found]
            case inspect.BoolType():
                found += ["true", "false"]
            case inspect.NoneType():
                found.append("")
            case _:
                return ()
    return tuple(found)


def next_choice(field: Field, text: str, step: int) -> str:
    """Return the choice before or after `text`, round and round; `text` itself where there is no choice."""
    offered = choices(field)
    if not offered:
        return text
    place = offered.index(text) if text in offered else -step if step > 0 else 0
    return offered[(place + step) % len(offered)]


def _field(field: inspect.Field, section: str, prefix: str, owner: type[msgspec.Struct]) -> Field:
    schema: dict[str, Any] = {}
    unit, current = "", field.type
    while isinstance(current, inspect.Metadata):
        schema = {**(current.extra_json_schema or {}), **schema}
        unit = unit or str((current.extra or {}).get("unit", ""))
        current = current.type
    title = str(schema.get("title", field.name))
    told = str(schema.get("description", ""))
    return Field(f"{prefix}{field.name}", section, title, told, unit, field.type, owner)


def _candidate(field: Field, text: str) -> Any:
    """Return what a text looks like, unchecked. Raises ValueError or KoboldError where it is nothing."""
    options, word = _options(field.declared), text.strip()
    kinds = tuple(type(option) for option in options)
    words = _words(options)
    if word in words:
        return words[word]
    if inspect.BoolType in kinds and word.lower() in _TRUE | _FALSE:
        return word.lower() in _TRUE
    if inspect.IntType in kinds:
        return parse_bytes(word) if field.unit == "bytes" else int(word)
    if inspect.FloatType in kinds:
        return float(word)
    return text if inspect.StrType in kinds else _nested(kinds[0], word)


def _words(options: tuple[inspect.Type, ...]) -> dict[str, Any]:
    """Return the words that stand for a value each."""
    words: dict[str, Any] = {}
    for option in options:
        if isinstance(option, inspect.LiteralType):
            words.update({str(value): value for value in option.values})
        elif isinstance(option, inspect.NoneType):
            words.update({"": None, "none": None})
    return words


def _nested(kind: type[inspect.Type], word: str) -> Any:
    opening, closing = ("{", "}") if kind is inspect.DictType else ("[", "]")
    if not word.startswith(opening):
        word = f"{opening}{word}{closing}"
    try:
        return tomllib.loads(f"v = {word}")["v"]
    except tomllib.TOMLDecodeError:
        if opening == "{" or '"' in word or "'" in word:
            raise
        return [part.strip() for part in word[1:-1].split(",") if part.strip()]


def _needed(field: Field) -> dict[str, Any]:
    """Return what a table must hold beside the field for the whole to be valid."""
    info = inspect.type_info(field.owner)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - fields belong to structs
    return {other.name: "x" for other in info.fields if other.required and other.name != field.name}


def _options(declared: inspect.Type) -> tuple[inspect.Type, ...]:
    bare = _bare(declared)
    return tuple(map(_bare, bare.types)) if isinstance(bare, inspect.UnionType) else (bare,)


def _bare(declared: inspect.Type) -> inspect.Type:
    while isinstance(declared, inspect.Metadata):
        declared = declared.type
    return declared


def _table_text(value: Any) -> str:
    """Return a list or table in one line of TOML, without its brackets."""
    plain = msgspec.to_builtins(value, str_keys=True)
    if isinstance(plain, dict):
        return ", ".join(f"{_key(key)} = {_inline(item)}" for key, item in plain.items())
    return ", ".join(_inline(item) for item in plain)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {_table_text(value)} }}"
    if isinstance(value, list | tuple):
        return f"[{_table_text(value)}]"
    text = msgspec.json.encode(value).decode() if isinstance(value, str) else dump({"a": value})
    return text.partition("= ")[2].strip() if not isinstance(value, str) else text


def _key(key: str) -> str:
    return key if key.replace("_", "a").replace("-", "a").isalnum() and key.isascii() else f'"{key}"'
