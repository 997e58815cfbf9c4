"""What a file without the GGUF magic really is, in words, with what to do about it."""

from __future__ import annotations

from kobold_tui.domain.errors import ModelFileError

MAGIC = b"GGUF"
PEEK_BYTES = 512

_DOWNLOAD_AGAIN = "Download the file again."
_CONVERT = "Get the model as a .gguf file, or convert it with llama.cpp's converter."

_BEGINNINGS: tuple[tuple[tuple[bytes, ...], str, str], ...] = (
    (
        (b"<!doctype html", b"<html", b"<?xml", b"<head"),
        "it looks like a web page, so its download failed",
        _DOWNLOAD_AGAIN,
    ),
    (
        (b"version https://git-lfs",),
        "it is a Git LFS pointer, not the file itself",
        "Run `git lfs pull` in that folder.",
    ),
    ((b"pk\x03\x04",), "it is a ZIP archive or a PyTorch checkpoint", _CONVERT),
    (
        (b"lmgg", b"ggml", b"tjgg", b"ggjt", b"algg", b"ggla", b"fmgg", b"ggmf"),
        "it is a model in the older GGML format",
        _CONVERT,
    ),
)


def not_gguf(path: str, start: bytes) -> ModelFileError:
    """Return the error for a file that begins with `start`, which is not the magic of GGUF."""
    reason, hint = _explain(start)
    return ModelFileError("Not a model file", f"{path} is not a GGUF file: {reason} (at byte 0).", hint)


def _explain(start: bytes) -> tuple[str, str]:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginnings, reason, hint in _BEGINNINGS:
        if text.startswith(beginnings):
            return reason, hint
    if not start.strip(b"\0"):
        return "it begins with nothing but zeros, so its download was not finished", _DOWNLOAD_AGAIN
    if start[8:9] == b"{" and start[7:8] == b"\0":
        return "it looks like a safetensors file", _CONVERT
    if all(byte >= 32 or byte in b"\t\r\n" for byte in start):
        return "it is text", "Choose a .gguf file."
    return f"it begins with the bytes {start[:4].hex(' ')}", "Choose a .gguf file, or download it again."
