"""A flag that stops a running `llama_decode` and costs nothing while it is down.

llama.cpp asks its abort callback hundreds of times per token; a Python function there costs speed. The
callback is libc's `strlen` on a two-byte buffer: an empty string means go on, one character means stop.
"""

from __future__ import annotations

import ctypes
from typing import Any

from kobold_tui.engine.worker.bindings import C


class AbortFlag:
    """Raised by the reader thread, lowered by the main thread once the decode has returned."""

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(2)
        self.callback: Any = ctypes.cast(ctypes.CDLL(None).strlen, C.ggml_abort_callback)
        self.data = ctypes.addressof(self._buffer)

    def attach(self, context: int) -> None:
        """Let the flag stop decodes of an `llama_context`."""
        C.llama_set_abort_callback(context, self.callback, self.data)

    def detach(self, context: int) -> None:
        """Let decodes of an `llama_context` run to their end."""
        C.llama_set_abort_callback(context, C.ggml_abort_callback(), None)

    def set(self) -> None:
        """Make a decode that runs now, or the next one, return at once."""
        self._buffer[0] = b"\x01"

    def clear(self) -> None:
        """Let decodes run again."""
        self._buffer[0] = b"\x00"
