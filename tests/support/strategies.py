"""Arbitrary valid presets, made from the declaration of their fields."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.preset import ChatOptions, MemoryOptions, Preset
from kobold_tui.domain.sampling import SamplingOptions

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)


def values(declared: inspect.Type) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0911 - a branch a type
    """Return what a field of this type may hold; numbers stay in a size that any format can write."""
    match declared:
        case inspect.Metadata(type=inner):
            return values(inner)
        case inspect.UnionType(types=types):
            return st.one_of(*(values(option) for option in types))
        case inspect.LiteralType(values=options):
            return st.sampled_from(options)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.IntType(ge=low, le=high):
            return st.integers(-(2**31) if low is None else low, 2**31 if high is None else high)
        case inspect.FloatType(ge=low, le=high):
            return st.floats(-1e6 if low is None else low, 1e6 if high is None else high)
        case inspect.VarTupleType(item_type=item):
            return st.lists(values(item), max_size=3).map(tuple)
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(values(key), values(value), max_size=3)
        case inspect.StructType(cls=cls):
            return structs(cls)
        case _:
            return TEXT


def structs(cls: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Return values of a struct in which some fields are set and the others have their defaults."""
    declared = inspect.type_info(cls)
    assert isinstance(declared, inspect.StructType)
    required = {field.name: values(field.type) for field in declared.fields if field.required}
    optional = {field.name: values(field.type) for field in declared.fields if not field.required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda fields: cls(**fields))


PRESETS = st.builds(
    Preset,
    name=st.just("p"),
    description=TEXT,
    model=st.sampled_from(["m.gguf", "/models/a b.gguf", "", "~/x.gguf"]),
    kind=st.sampled_from(["chat", "base", "embedding"]),
    load=structs(LoadOptions),
    sampling=structs(SamplingOptions),
    chat=structs(ChatOptions),
    memory=structs(MemoryOptions),
)
"""Presets that KoboldCpp can run."""
