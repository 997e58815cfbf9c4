"""A model's weights and metadata as llama.cpp holds them, without a context."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.engine.worker import bindings, failures, load_params
from kobold_tui.engine.worker.backend import IsCancelled
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.vocab import Vocab

ReportFraction = Callable[[float | None], None]

_REPORT_SECONDS = 0.05
_KEY_BYTES = 256
_TEMPLATE_KEY = "tokenizer.chat_template"
_ENCODERS = ("t5encoder", "gemma-embedding", "llama-embed")


class Weights:
    """An `llama_model`; freed by `close`, after every context on it."""

    def __init__(self, handle: int, path: Path) -> None:
        self.handle = handle
        self.path = path
        self.vocab = Vocab(handle)
        self.architecture = self.metadata("general.architecture") or "unknown"
        self.n_ctx_train: int = C.llama_model_n_ctx_train(handle)
        self.n_layer: int = C.llama_model_n_layer(handle)
        self.n_embd_out: int = C.llama_model_n_embd_out(handle)
        self.n_swa: int = C.llama_model_n_swa(handle)
        self.is_recurrent = bool(C.llama_model_is_recurrent(handle) or C.llama_model_is_hybrid(handle))

    def metadata(self, key: str) -> str | None:
        """Return the value of a GGUF key as text, None when the file does not have it."""
        length = C.llama_model_meta_val_str(self.handle, key.encode(), None, 0)
        if length < 0:
            return None
        buffer = ctypes.create_string_buffer(length + 1)
        C.llama_model_meta_val_str(self.handle, key.encode(), buffer, length + 1)
        return buffer.value.decode("utf-8", "replace")

    def metadata_int(self, key: str) -> int | None:
        """Return the value of a key of this architecture as a number, None when there is none."""
        text = self.metadata(f"{self.architecture}.{key}")
        return int(text) if text is not None and text.lstrip("-").isdigit() else None

    @property
    def encoder_only(self) -> bool:
        """Whether the model can only turn text into vectors."""
        causal = self.metadata(f"{self.architecture}.attention.causal")
        return causal == "false" or "bert" in self.architecture or self.architecture in _ENCODERS

    @property
    def cannot_generate(self) -> str:
        """Why this program does not generate text with the model; empty when it does."""
        if self.encoder_only:
            return "is an embedding model: it turns texts into vectors and writes none"
        if C.llama_model_has_encoder(self.handle):
            return "is an encoder-decoder model, which this program does not run"
        if C.llama_model_is_diffusion(self.handle):
            return "is a diffusion model, which this program does not run"
        return ""

    @property
    def pooling_in_file(self) -> int | None:
        """The pooling type that the file names, as llama.cpp numbers it."""
        return self.metadata_int("pooling_type")

    @property
    def chat_templates(self) -> dict[str, str]:
        """The Jinja templates in the file by name; the one without a name is the usual one.

        They are read as metadata: llama.cpp's own function gives the name of a built-in format for some.
        """
        found = {}
        buffer = ctypes.create_string_buffer(_KEY_BYTES)
        for index in range(C.llama_model_meta_count(self.handle)):
            C.llama_model_meta_key_by_index(self.handle, index, buffer, _KEY_BYTES)
            key = buffer.value.decode("utf-8", "replace")
            if key == _TEMPLATE_KEY or key.startswith(f"{_TEMPLATE_KEY}."):
                found[key[len(_TEMPLATE_KEY) + 1 :]] = self.metadata(key) or ""
        return {name: source for name, source in found.items() if source}

    def gpu_layers(self, requested: int) -> int:
        """How many layers `requested` comes to; the output counts as one more than the blocks."""
        return min(requested, self.n_layer + 1)

    def shape(self, spec: LoadSpec) -> load_params.ContextShape:
        """Decide the sizes of a context on this model."""
        return load_params.context_shape(
            spec,
            n_ctx_train=self.n_ctx_train,
            encoder_only=self.encoder_only,
            pooling_in_file=self.pooling_in_file,
            recurrent=self.is_recurrent,
        )

    def close(self) -> None:
        """Free the weights."""
        self.vocab.dry.close()
        C.llama_model_free(self.handle)


def load_weights(
    spec: LoadSpec,
    report: ReportFraction,
    cancelled: IsCancelled,
    *,
    dry_run: bool = False,
    file: Path | None = None,
) -> Weights:
    """Load the model's file, or `file` in its place.

    `report` gets a fraction where one means something: a mapped file on the CPU is not read while loading.
    Raises ModelFileError or EngineError with llama.cpp's error lines in `log_tail`.
    """
    path = Path(spec.path).expanduser()
    failures.check_file(path)
    params = load_params.model_params(spec, dry_run=dry_run)
    has_fraction = not spec.options.use_mmap or params.native.n_gpu_layers > 0
    watch = _ProgressWatch(report if has_fraction else None, cancelled)
    params.native.progress_callback = params.keep(C.llama_progress_callback(watch))
    with bindings.NATIVE_LOG.record_errors() as lines:
        handle = C.llama_model_load_from_file(str(file or path).encode(), params.native)
    if watch.stopped:
        if handle:
            C.llama_model_free(handle)
        raise cancelled_error(path)
    if not handle:
        raise failures.load_failure(path, lines)
    return Weights(handle, path)


def cancelled_error(path: Path) -> EngineError:
    """Return the error of a load that was asked to end."""
    return EngineError("Loading cancelled", f"Loading {path.name} was cancelled.")


class _ProgressWatch:
    """llama.cpp's progress callback: reports now and then, and returns false to end the load."""

    def __init__(self, report: ReportFraction | None, cancelled: IsCancelled) -> None:
        self._report = report
        self._cancelled = cancelled
        self._reported_at = 0.0
        self.stopped = False

    def __call__(self, fraction: float, _user_data: int | None) -> bool:
        self.stopped = self.stopped or self._cancelled()
        now = time.monotonic()
        if self._report is not None and (now - self._reported_at >= _REPORT_SECONDS or fraction >= 1):
            self._reported_at = now
            self._report(fraction)
        return not self.stopped
