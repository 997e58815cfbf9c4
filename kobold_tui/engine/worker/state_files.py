"""Evaluated conversations on disk: reading one back takes milliseconds, evaluating it again seconds.

A state is two files: llama.cpp's data, and beside it a header that names the model file, the settings and the
tokens it belongs to. The header goes first and comes back last, so that data without a header, which any
interruption leaves behind, is never read. A file that cannot be used or written costs a note, not the answer;
other answers pause while one is written.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from kobold_tui.engine.worker import bindings
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.model import Model
from kobold_tui.engine.worker.slots import SequenceMemory, Slot, common_prefix

_FORMAT = 1
_SETTINGS = (
    *("type_k", "type_v", "flash_attn", "swa_full", "kv_unified"),
    *("rope_freq_base", "rope_freq_scale", "override_kv"),
)


class StateHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a state belongs to; `settings` is a hash, sizes are bytes, the time is nanoseconds."""

    format: int
    model: str
    model_size: int
    model_mtime: int
    n_ctx: int
    settings: str
    data_size: int
    tokens: tuple[int, ...]


class StateFiles:
    """Reads and writes states of one loaded model's sequences."""

    def __init__(self, model: Model, memory: SequenceMemory, slots: Sequence[Slot]) -> None:
        self._model = model
        self._memory = memory
        self._slots = slots

    def restore(self, slot: Slot, prompt: Sequence[int], file: str) -> str:
        """Read a state into a slot where it serves more of the prompt than the slot does already.

        Returns a note for the reader where a state was there and could not be used.
        """
        path = Path(file)
        header = _read_header(path)
        if header is None:
            return ""
        if not self._belongs(header, path):
            return f"The saved state {path.name} belongs to another model or other settings and was not read."
        n_shared = common_prefix(list(header.tokens), list(prompt[:-1]))
        if self._model.weights.is_recurrent and n_shared < len(header.tokens):
            return ""
        if n_shared <= len(slot.cached):
            return ""
        if not self._load(slot, path, header):
            return f"The saved state {path.name} cannot be read and was not used."
        self._memory.keep(slot, n_shared)
        return ""

    def save(self, slot: Slot, file: str) -> str:
        """Write what other prompts can use of a slot; returns a note where that failed."""
        path = Path(file)
        self._memory.keep(slot, min(len(slot.cached), slot.n_exact))
        if not slot.cached:
            return ""
        try:
            self._write(slot, path)
        except OSError as error:
            return f"The conversation's state was not saved: {path.name}: {error.strerror or error}."
        return ""

    def _write(self, slot: Slot, path: Path) -> None:
        header_path = _header_path(path)
        header_path.unlink(missing_ok=True)
        part = path.with_name(path.name + ".part")
        with _private_file(part) as descriptor:
            tokens = (C.llama_token * len(slot.cached))(*slot.cached)
            size = C.llama_state_seq_save_file(
                self._model.context, os.fsencode(part), slot.sequence, tokens, len(tokens)
            )
            if not size:
                raise OSError("llama.cpp could not write it")
            os.fsync(descriptor)
            data_size = os.fstat(descriptor).st_size
        part.replace(path)
        header_part = path.with_name(header_path.name + ".part")
        with _private_file(header_part) as descriptor:
            data = msgspec.json.encode(self._header(slot.cached, data_size))
            os.write(descriptor, data)
            os.fsync(descriptor)
        header_part.replace(header_path)

    def _load(self, slot: Slot, path: Path, header: StateHeader) -> bool:
        """Read the data, forgetting idle sequences while there is no room for it."""
        self._memory.drop(slot)
        idle = [other for other in self._slots if other.generation is None and other.cached]
        idle.sort(key=lambda other: -other.used_at)
        while not self._read_data(slot, path, header):
            self._memory.drop(slot)
            if not idle:
                return False
            self._memory.drop(idle.pop())
        return True

    def _read_data(self, slot: Slot, path: Path, header: StateHeader) -> bool:
        tokens, count = (C.llama_token * len(header.tokens))(), ctypes.c_size_t()
        size = C.llama_state_seq_load_file(
            *(self._model.context, os.fsencode(path), slot.sequence),
            *(tokens, len(tokens), ctypes.byref(count)),
        )
        if not size or tuple(tokens[: count.value]) != header.tokens:
            return False
        slot.cached = list(header.tokens)
        return True

    def _header(self, tokens: Sequence[int], data_size: int) -> StateHeader:
        model = self._model
        facts = model.weights.path.stat()
        return StateHeader(
            format=_FORMAT,
            model=model.name,
            model_size=facts.st_size,
            model_mtime=facts.st_mtime_ns,
            n_ctx=model.n_ctx_seq,
            settings=_settings_hash(model),
            data_size=data_size,
            tokens=tuple(tokens),
        )

    def _belongs(self, header: StateHeader, path: Path) -> bool:
        with contextlib.suppress(OSError):
            return header == self._header(header.tokens, path.stat().st_size)
        return False


def _settings_hash(model: Model) -> str:
    """Hash all that decides what the same tokens leave in the cache."""
    options = model.spec.options
    adapters = [Path(adapter.path).expanduser().stat() for adapter in options.lora]
    values = {
        **{name: getattr(options, name) for name in _SETTINGS},
        "adapters": [(facts.st_size, facts.st_mtime_ns) for facts in adapters],
        "scales": model.adapter_scales,
        "llama_cpp": bindings.version(),
    }
    return hashlib.sha256(msgspec.json.encode(values, order="sorted")).hexdigest()


def _header_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _read_header(path: Path) -> StateHeader | None:
    try:
        return msgspec.json.decode(_header_path(path).read_bytes(), type=StateHeader)
    except (OSError, msgspec.MsgspecError):
        return None


@contextlib.contextmanager
def _private_file(path: Path) -> Iterator[int]:
    """Open a new file that only its owner can read; nothing is left of it after an error."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
