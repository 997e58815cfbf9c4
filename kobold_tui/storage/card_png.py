"""The texts that a PNG carries beside its picture (W3C PNG, section 11.3.3), as character cards use them.

Lengths are checked before they are used, and what is compressed grows no further than a card may.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from kobold_tui.storage.story_files.document import unreadable

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_TEXT_BYTES = 16 * 1024 * 1024
_KEYWORDS = (b"ccv3", b"chara")
"""Specification V3 before V2, which writers add for older programs."""


def is_png(content: bytes) -> bool:
    """Whether a file begins as a PNG does."""
    return content.startswith(_SIGNATURE)


def card_texts(content: bytes, path: Path) -> list[bytes]:
    """Return the JSON of each card in a PNG, the newest specification first. Raises KoboldError."""
    found: dict[bytes, bytes] = {}
    for kind, data in _chunks(content, path):
        if kind in {b"tEXt", b"zTXt", b"iTXt"}:
            keyword, _, rest = data.partition(b"\0")
            if keyword in _KEYWORDS and keyword not in found:
                found[keyword] = _decoded(_text(kind, rest, path), path)
    return [found[keyword] for keyword in _KEYWORDS if keyword in found]


def _chunks(content: bytes, path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and data of each chunk up to the last."""
    place = len(_SIGNATURE)
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if place + 12 + length > len(content):
            raise unreadable(path, f"byte {place}: the picture ends inside a part of it")
        yield kind, content[place + 8 : place + 8 + length]
        if kind == b"IEND":
            return
        place += 12 + length


def _text(kind: bytes, rest: bytes, path: Path) -> bytes:
    """Return the text of a chunk behind its keyword."""
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return _inflated(rest[1:], path)
    is_compressed, tagged = rest[:1] == b"\1", rest[2:]
    text = tagged.partition(b"\0")[2].partition(b"\0")[2]
    return _inflated(text, path) if is_compressed else text


def _inflated(data: bytes, path: Path) -> bytes:
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, _MAX_TEXT_BYTES)
    except zlib.error:
        raise unreadable(path, "the character in the picture is damaged") from None
    if inflater.unconsumed_tail:
        raise unreadable(path, f"the character in it is larger than {_MAX_TEXT_BYTES >> 20} MiB")
    return text


def _decoded(text: bytes, path: Path) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except binascii.Error:
        raise unreadable(path, "the character in the picture is damaged") from None
