"""Reads the metadata of a GGUF header: keys and values, long arrays and long texts by their place alone."""

from __future__ import annotations

from kobold_tui.domain.model import ArrayRef, MetadataValue
from kobold_tui.gguf.ggml_types import ARRAY, BOOL, STRING, UINT8, VALUE_BYTES, VALUE_FORMATS
from kobold_tui.gguf.window import Window

MAX_ENTRIES = 65_536
MAX_DECODED_NUMBERS = 4096
MAX_DECODED_STRINGS = 64
MAX_KEY_BYTES = 65_535
MAX_TEXT_BYTES = 1024 * 1024

_ENTRY_COST = 128


def read_metadata(window: Window, count: int) -> dict[str, MetadataValue | ArrayRef]:
    """Read `count` entries. Raises ModelFileError for a value that cannot be.

    An array of more than a few thousand numbers or a few dozen strings is walked over and kept as an
    ArrayRef; a text of more than a mebibyte likewise, as an array of bytes.
    """
    metadata: dict[str, MetadataValue | ArrayRef] = {}
    for _ in range(count):
        begin = window.position
        key = window.text(MAX_KEY_BYTES, "a metadata key")
        if key in metadata:
            window.fail(f"the metadata key {shown(key)} stands there twice", at=begin)
        window.keep(_ENTRY_COST)
        metadata[key] = _read_value(window, key)
    return metadata


def shown(value: object, most: int = 80) -> str:
    """Return a value of the file as it can stand in a sentence: printable and short."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"


def _read_value(window: Window, key: str) -> MetadataValue | ArrayRef:
    begin = window.position
    value_type = window.u32()
    if value_type == STRING:
        return _read_text(window, key)
    if value_type == ARRAY:
        return _read_array(window, key)
    if value_type not in VALUE_FORMATS:
        window.fail(f"{shown(key)} has the unknown value type {value_type}", at=begin)
    return _numbers(window, value_type, 1)[0]


def _read_text(window: Window, key: str) -> str | ArrayRef:
    begin = window.position
    length = window.u64()
    if length <= MAX_TEXT_BYTES:
        return window.characters(length)
    if length > window.size - window.position:
        window.fail(f"the text of {shown(key)} claims to be {length:,} bytes long", at=begin)
    place = ArrayRef(length=length, element_type=UINT8, offset=window.position)
    window.skip(length)
    return place


def _read_array(window: Window, key: str) -> MetadataValue | ArrayRef:
    begin = window.position
    element_type, length = window.u32(), window.u64()
    if element_type == STRING:
        return _read_strings(window, key, length)
    if element_type not in VALUE_FORMATS:
        kind = "arrays of arrays" if element_type == ARRAY else f"the unknown element type {element_type}"
        window.fail(f"the array {shown(key)} holds {kind}", at=begin)
    n_bytes = length * VALUE_BYTES[element_type]
    if n_bytes > window.size - window.position:
        window.fail(f"the array {shown(key)} claims to hold {length:,} numbers", at=begin)
    if length <= MAX_DECODED_NUMBERS and window.may_decode(length):
        return _numbers(window, element_type, length)
    place = ArrayRef(length=length, element_type=element_type, offset=window.position)
    window.skip(n_bytes)
    return place


def _read_strings(window: Window, key: str, length: int) -> MetadataValue | ArrayRef:
    begin = window.position
    if length > (window.size - begin) // 8:
        window.fail(f"the array {shown(key)} claims to hold {length:,} strings", at=begin)
    if length <= MAX_DECODED_STRINGS and window.may_decode(length):
        return tuple(window.text(MAX_TEXT_BYTES, f"a text of {shown(key)}") for _ in range(length))
    window.skip_strings(length)
    return ArrayRef(length=length, element_type=STRING, offset=begin)


def _numbers(window: Window, value_type: int, count: int) -> tuple[bool | int | float, ...]:
    values = window.numbers(VALUE_FORMATS[value_type], count)
    return tuple(value != 0 for value in values) if value_type == BOOL else values
