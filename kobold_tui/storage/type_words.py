"""Declared types in words, for error messages: `a whole number from 1 to 65536`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import inspect


def type_at(type_: Any, steps: Sequence[str | int]) -> inspect.Type:
    """Return the type that a value at this path must have; `AnyType` where the path leads nowhere."""
    current = _bare(inspect.type_info(type_))
    for step in steps:
        current = _bare(_below(current, step))
    return current


def field_names(declared: inspect.Type) -> list[str]:
    """Return the keys that a table of this type may have."""
    return [field.encode_name for field in _fields(declared)]


def in_words(declared: inspect.Type) -> str:
    """Return what a value of this type must be, to follow "it must be"."""
    match _bare(declared):
        case inspect.UnionType(types=types):
            return " or ".join(dict.fromkeys(in_words(option) for option in types))
        case inspect.LiteralType(values=values):
            return _one_of([f'"{value}"' if isinstance(value, str) else str(value) for value in values])
        case inspect.IntType() | inspect.FloatType() as number:
            kind = "a whole number" if isinstance(number, inspect.IntType) else "a number"
            return kind + _range(number)
        case inspect.StrType(min_length=length):
            return "a text that is not empty" if length else "a text in quotes"
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return f"a list, each of it {in_words(item)}"
        case other:
            return _OTHERS.get(type(other), "a value of another type")


_OTHERS: dict[type, str] = {
    inspect.BoolType: "true or false",
    inspect.NoneType: "left out",
    inspect.StructType: "a table",
    inspect.DictType: "a table",
}


def _bare(declared: inspect.Type) -> inspect.Type:
    """Return the type without title and description."""
    while isinstance(declared, inspect.Metadata):
        declared = declared.type
    return declared


def _below(declared: inspect.Type, step: str | int) -> inspect.Type:
    match declared:
        case inspect.StructType() | inspect.DataclassType():
            found = [field.type for field in _fields(declared) if field.encode_name == step]
            return found[0] if found else inspect.AnyType()
        case inspect.DictType(value_type=value):
            return value
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return item
        case inspect.TupleType(item_types=items) if isinstance(step, int) and step < len(items):
            return items[step]
        case _:
            return inspect.AnyType()


def _fields(declared: inspect.Type) -> tuple[inspect.Field, ...]:
    return declared.fields if isinstance(declared, inspect.StructType) else ()


def _one_of(values: list[str]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"


def _range(number: inspect.IntType | inspect.FloatType) -> str:
    low, high = number.ge, number.le
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}" if isinstance(low, float) else f" from {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    return f" of at most {high}" if high is not None else ""
