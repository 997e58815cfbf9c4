"""A loaded model: weights, one context, adapters, and the facts about them.

Loading goes through the named phases weights, context, template and warmup, and ends between any two of
them when it is cancelled.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import LoadSpec, ModelInfo
from kobold_tui.engine.worker import bindings, failures, load_params, memory_check
from kobold_tui.engine.worker.abort_flag import AbortFlag
from kobold_tui.engine.worker.backend import IsCancelled, ReportProgress
from kobold_tui.engine.worker.batch import Batch
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.weights import Weights, cancelled_error, load_weights


class Model:
    """Owns an `llama_model` and its `llama_context`; everything runs on the worker's main thread."""

    def __init__(self, spec: LoadSpec, weights: Weights, context: int, abort: AbortFlag) -> None:
        self.spec = spec
        self.weights = weights
        self.vocab = weights.vocab
        self.context = context
        self.abort = abort
        self.shape = weights.shape(spec)
        self.memory: int | None = C.llama_get_memory(context)
        self.n_ctx: int = C.llama_n_ctx(context)
        self.n_ctx_seq: int = C.llama_n_ctx_seq(context)
        self.n_ubatch: int = C.llama_n_ubatch(context)
        self.n_batch: int = C.llama_n_batch(context)
        self._adapters: list[Any] = []
        self._scales: tuple[float, ...] = ()
        self._sharers: list[int] = []
        abort.attach(context)

    @property
    def name(self) -> str:
        """File name, as error messages name the model."""
        return self.weights.path.name

    @property
    def pooling(self) -> str:
        """How token vectors become one, as the context was made."""
        return load_params.POOLING_NAMES.get(C.llama_pooling_type(self.context), "none")

    def load_adapters(self) -> None:
        """Load the LoRA adapters of the options. Raises EngineError that names the file."""
        adapters = self.spec.options.lora
        for adapter in adapters:
            self._adapters.append(_load_adapter(self.weights, Path(adapter.path).expanduser()))
        self.scale_adapters([adapter.scale for adapter in adapters])

    def scale_adapters(self, scales: Sequence[float]) -> None:
        """Change how strongly each adapter acts, in every context; what is cached belongs to the old ones.

        Raises EngineError unless there is one finite scale for each adapter.
        """
        if len(scales) != len(self._adapters) or not all(map(math.isfinite, scales)):
            raise EngineError(
                "Wrong scales",
                f"{len(scales)} scales were given for the {len(self._adapters)} LoRA adapters of "
                f"{self.name}; each must be a number.",
                "Give one for each adapter, in the order they were loaded; 0 switches one off.",
            )
        self._scales = tuple(scales)
        for context in (self.context, *self._sharers):
            self._apply_adapters(context)

    @property
    def adapter_scales(self) -> tuple[float, ...]:
        """How strongly each adapter acts now, in the order they were loaded."""
        return self._scales

    def share_adapters(self, context: int) -> None:
        """Apply the adapters to another context on the same weights, now and whenever they change."""
        self._sharers.append(context)
        self._apply_adapters(context)

    def _apply_adapters(self, context: int) -> None:
        count = len(self._adapters)
        if not count:
            return
        handles = (C.llama_adapter_lora_p_ctypes * count)(*self._adapters)
        if C.llama_set_adapters_lora(context, handles, count, (ctypes.c_float * count)(*self._scales)):
            raise EngineError("Adapter refused", f"The LoRA adapters cannot be applied to {self.name}.")

    def warm_up(self) -> None:
        """Touch all weights once, so that the first answer is as fast as the second."""
        if self.memory is None or self.shape.embeddings or self.weights.cannot_generate:
            return
        token = self.vocab.bos if self.vocab.bos >= 0 else max(self.vocab.eos, 0)
        batch = Batch(1)
        batch.add(token, 0, 0, output=True)
        C.llama_set_warmup(self.context, True)
        C.llama_decode(self.context, batch.native)
        C.llama_synchronize(self.context)
        C.llama_set_warmup(self.context, False)
        C.llama_memory_clear(self.memory, True)

    def info(self, *, has_chat_template: bool, seconds_to_load: float) -> ModelInfo:
        """Return the facts about the model."""
        weights, options = self.weights, self.spec.options
        description = ctypes.create_string_buffer(256)
        C.llama_model_desc(weights.handle, description, 256)
        return ModelInfo(
            name=weights.metadata("general.name") or weights.path.stem,
            architecture=weights.architecture,
            description=description.value.decode("utf-8", "replace"),
            n_parameters=C.llama_model_n_params(weights.handle),
            size_bytes=C.llama_model_size(weights.handle),
            n_ctx=self.n_ctx,
            n_ctx_train=weights.n_ctx_train,
            n_embd=C.llama_model_n_embd(weights.handle),
            n_vocab=self.vocab.n_tokens,
            n_layer=weights.n_layer,
            n_gpu_layers=weights.gpu_layers(load_params.requested_gpu_layers(options)),
            n_seq_max=self.shape.n_seq_max,
            n_threads=C.llama_n_threads(self.context),
            has_chat_template=has_chat_template,
            has_encoder_only=weights.encoder_only,
            pooling=self.pooling,
            can_shift=bool(self.memory and C.llama_memory_can_shift(self.memory)),
            gpu_offload_supported=bindings.supports_gpu_offload(),
            devices=bindings.gpu_names(),
            seconds_to_load=seconds_to_load,
            llama_cpp_version=bindings.version(),
        )

    def close(self) -> None:
        """Free adapters, context and weights."""
        C.llama_free(self.context)
        for adapter in self._adapters:
            C.llama_adapter_lora_free(adapter)
        self._adapters.clear()
        self.weights.close()


def load_model(spec: LoadSpec, report: ReportProgress, cancelled: IsCancelled, abort: AbortFlag) -> Model:
    """Load weights and context. Raises KoboldError in words; nothing stays allocated then."""
    _check_projector(spec)
    memory_check.check_weights(spec)
    report("weights", None)
    weights = load_weights(spec, lambda fraction: report("weights", fraction), cancelled)
    try:
        return _make_model(spec, weights, report, cancelled, abort)
    except BaseException:
        weights.close()
        raise


def _make_model(
    spec: LoadSpec, weights: Weights, report: ReportProgress, cancelled: IsCancelled, abort: AbortFlag
) -> Model:
    if cancelled():
        raise cancelled_error(weights.path)
    report("context", None)
    memory_check.check_context(spec, weights)
    context = make_context(spec, weights, weights.shape(spec))
    model = Model(spec, weights, context, abort)
    try:
        model.load_adapters()
    except BaseException:
        C.llama_free(context)
        raise
    return model


def make_context(spec: LoadSpec, weights: Weights, shape: load_params.ContextShape) -> int:
    """Return a new `llama_context`. Raises EngineError in words."""
    params = load_params.context_params(spec.options, shape)
    with bindings.NATIVE_LOG.record_errors() as lines:
        context = C.llama_init_from_model(weights.handle, params.native)
    if not context:
        raise failures.context_failure(weights.path, spec.options, shape.n_ctx, lines)
    return int(context)


def _load_adapter(weights: Weights, path: Path) -> Any:
    """Return an `llama_adapter_lora`, which the bindings hand out as a typed pointer."""
    failures.check_file(path)
    with bindings.NATIVE_LOG.record_errors() as lines:
        handle = C.llama_adapter_lora_init(weights.handle, str(path).encode())
    if not handle:
        raise EngineError(
            "Adapter cannot be loaded",
            f"The LoRA adapter {path} does not go with {weights.path.name}: {failures.reason(lines)}.",
            "An adapter works only with the base model it was trained on.",
            tuple(lines),
        )
    return handle


def _check_projector(spec: LoadSpec) -> None:
    if spec.options.mmproj:
        failures.check_file(Path(spec.options.mmproj).expanduser())
