"""LoadOptions as llama.cpp's parameter structs.

A struct only points to its arrays and strings, so each is handed out together with what it points to. The
same functions serve a load and a dry run: what is predicted is what is loaded.
"""

from __future__ import annotations

import ctypes
from typing import Any

import msgspec

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.engine.worker import bindings, host
from kobold_tui.engine.worker.bindings import C

ALL_LAYERS = 1_000_000
DEFAULT_MAX_CTX = 8192
EMBEDDING_SEQUENCES = 64
MAX_SEQUENCES = 256
CACHE_TYPES = {
    "f32": C.GGML_TYPE_F32,
    "f16": C.GGML_TYPE_F16,
    "bf16": 30,  # GGML_TYPE_BF16 in ggml.h, which the package leaves out
    "q8_0": C.GGML_TYPE_Q8_0,
    "q5_1": C.GGML_TYPE_Q5_1,
    "q5_0": C.GGML_TYPE_Q5_0,
    "q4_1": C.GGML_TYPE_Q4_1,
    "q4_0": C.GGML_TYPE_Q4_0,
    "iq4_nl": C.GGML_TYPE_IQ4_NL,
}
POOLING_TYPES = {"auto": -1, "none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}
POOLING_NAMES = {value: name for name, value in POOLING_TYPES.items()}
SPLIT_MODES = {
    "none": C.LLAMA_SPLIT_MODE_NONE,
    "layer": C.LLAMA_SPLIT_MODE_LAYER,
    "tensor": C.LLAMA_SPLIT_MODE_TENSOR,
}
_FLASH_ATTENTION = {"auto": -1, False: 0, True: 1}
_EXPERT_TENSORS = r"blk\.{layer}\.ffn_(up|down|gate|gate_up)_(ch|)exps"  # as in llama.cpp's common.h


class _BufferOverride(ctypes.Structure):
    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


class NativeParams:
    """A parameter struct and everything that it points to."""

    def __init__(self, native: Any) -> None:
        self.native = native
        self.kept: list[Any] = []

    def keep(self, value: Any) -> Any:
        """Keep `value` alive as long as the struct, and return it."""
        self.kept.append(value)
        return value


class ContextShape(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes of a context after every "auto" has been decided, in tokens and sequences."""

    n_ctx: int
    n_batch: int
    n_ubatch: int
    n_seq_max: int
    n_outputs_max: int
    kv_unified: bool
    embeddings: bool
    pooling: int


def n_threads(options: LoadOptions) -> int:
    """Threads for generation: auto leaves one usable core to the rest of the program."""
    if options.n_threads == "auto":
        return max(1, host.usable_cores() - 1)
    return min(options.n_threads, host.usable_cores())


def n_threads_batch(options: LoadOptions) -> int:
    """Threads for prompts."""
    if options.n_threads_batch == "auto":
        return n_threads(options)
    return min(options.n_threads_batch, host.usable_cores())


def requested_gpu_layers(options: LoadOptions) -> int:
    """Layers to offload: auto is all of them where this build can offload, else none."""
    if options.is_cpu_only or not bindings.supports_gpu_offload():
        return 0
    return ALL_LAYERS if options.n_gpu_layers == "auto" else options.n_gpu_layers


def load_mode(options: LoadOptions) -> int:
    """How the file gets into memory, as an llama_load_mode."""
    modes = {
        (False, False): C.LLAMA_LOAD_MODE_NONE,
        (True, False): C.LLAMA_LOAD_MODE_MMAP,
        (False, True): C.LLAMA_LOAD_MODE_MLOCK,
        (True, True): C.LLAMA_LOAD_MODE_MMAP_MLOCK,
    }
    return int(modes[options.use_mmap, options.use_mlock])


def model_params(spec: LoadSpec, *, dry_run: bool = False) -> NativeParams:
    """Return llama_model_params; a dry run counts memory and takes none.

    Raises EngineError for devices, buffers or keys that do not exist.
    """
    options = spec.options
    params = NativeParams(C.llama_model_default_params())
    native = params.native
    native.n_gpu_layers = requested_gpu_layers(options)
    native.split_mode = SPLIT_MODES[options.split_mode]
    native.main_gpu = options.main_gpu
    native.check_tensors = options.check_tensors and not dry_run
    native.no_alloc = dry_run
    native.load_mode = C.LLAMA_LOAD_MODE_NONE if dry_run else load_mode(options)
    _set_devices(params, options)
    _set_tensor_split(params, options)
    _set_buffer_overrides(params, options)
    _set_metadata_overrides(params, options)
    return params


def _device_names(options: LoadOptions) -> tuple[str, ...] | None:
    """Return the devices to use, none for the CPU alone; None is left to llama.cpp, which takes all."""
    if options.is_cpu_only:
        return ()
    return options.devices or (bindings.gpu_names() if bindings.gpus_are_replaced() else None)


def _devices_by_name() -> dict[str, int]:
    """Return handles by llama.cpp's names, and cards of every backend by number as CUDA0, CUDA1 and so on.

    A plan numbers cards without knowing which backend will drive them.
    """
    devices = bindings.devices()
    cards = [device for device in devices if not device.is_cpu]
    numbered = {f"CUDA{number}": card.handle for number, card in enumerate(cards)}
    return {**numbered, **{device.name: device.handle for device in devices}}


def _set_devices(params: NativeParams, options: LoadOptions) -> None:
    names = _device_names(options)
    if names is None:
        return
    known = _devices_by_name()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise EngineError(
            "Unknown device",
            f"There is no device called {unknown[0]}.",
            f"llama.cpp sees: {', '.join(d.name for d in bindings.devices())}. An empty list uses every GPU.",
        )
    handles = [known[name] for name in names]
    array = params.keep((ctypes.c_void_p * (len(handles) + 1))(*handles, None))
    params.native.devices = ctypes.addressof(array)


def _set_tensor_split(params: NativeParams, options: LoadOptions) -> None:
    if not options.tensor_split:
        return
    limit = C.llama_max_devices()
    if len(options.tensor_split) > limit:
        raise EngineError(
            "Split too long",
            f"The split names {len(options.tensor_split)} cards; llama.cpp knows at most {limit}.",
            "Give one share for each card.",
        )
    params.native.tensor_split = params.keep((ctypes.c_float * limit)(*options.tensor_split))


def _override_pairs(options: LoadOptions) -> list[tuple[bytes, int]]:
    types = {bindings.buffer_type_name(d.buffer_type): d.buffer_type for d in bindings.devices()}
    pairs = []
    for text in options.override_tensors:
        pattern, _, name = text.rpartition("=")
        if not pattern or name not in types:
            raise EngineError(
                "Unknown tensor override",
                f"{text!r} is no regex=BUFFER pair with a buffer that exists here.",
                f"Buffers: {', '.join(types)}.",
            )
        pairs.append((pattern.encode(), types[name]))
    cpu = next(device.buffer_type for device in bindings.devices() if device.is_cpu)
    experts = (_EXPERT_TENSORS.format(layer=layer).encode() for layer in range(options.n_cpu_moe))
    return pairs + [(pattern, cpu) for pattern in experts]


def _set_buffer_overrides(params: NativeParams, options: LoadOptions) -> None:
    pairs = _override_pairs(options)
    if not pairs:
        return
    array = params.keep((_BufferOverride * (len(pairs) + 1))(*(_BufferOverride(*pair) for pair in pairs)))
    params.native.tensor_buft_overrides = ctypes.addressof(array)


def _set_metadata_overrides(params: NativeParams, options: LoadOptions) -> None:
    if not options.override_kv:
        return
    array = params.keep((C.llama_model_kv_override * (len(options.override_kv) + 1))())
    for entry, (key, value) in zip(array, options.override_kv.items(), strict=False):
        if len(key.encode()) > 127 or len(str(value).encode()) > 127:
            raise EngineError(
                "Override too long", f"The metadata override of {key[:60]} is longer than 127 bytes."
            )
        entry.key = key.encode()
        _set_override(entry, value)
    params.native.kv_overrides = array


def _set_override(entry: Any, value: bool | float | str) -> None:
    match value:
        case bool():
            entry.tag, entry.value.val_bool = C.LLAMA_KV_OVERRIDE_TYPE_BOOL, value
        case int():
            entry.tag, entry.value.val_i64 = C.LLAMA_KV_OVERRIDE_TYPE_INT, value
        case float():
            entry.tag, entry.value.val_f64 = C.LLAMA_KV_OVERRIDE_TYPE_FLOAT, value
        case str():
            entry.tag, entry.value.val_str = C.LLAMA_KV_OVERRIDE_TYPE_STR, value.encode()


def context_shape(
    spec: LoadSpec, *, n_ctx_train: int, encoder_only: bool, pooling_in_file: int | None, recurrent: bool
) -> ContextShape:
    """Decide every "auto" of a context; encoders evaluate a batch at once and reserve no logits."""
    options = spec.options
    n_ctx = min(n_ctx_train, DEFAULT_MAX_CTX) if options.n_ctx == "auto" else options.n_ctx
    if encoder_only or spec.embedding:
        pooling = POOLING_TYPES[options.pooling]
        if pooling < 0:
            pooling = POOLING_TYPES["mean"] if pooling_in_file in {None, 0} else pooling
        size = max(min(options.n_ubatch, n_ctx_train), 1) if encoder_only else options.n_ubatch
        return ContextShape(
            n_ctx=max(n_ctx, size),
            n_batch=size,
            n_ubatch=size,
            n_seq_max=options.n_seq_max if recurrent else EMBEDDING_SEQUENCES,
            n_outputs_max=0,
            kv_unified=True,
            embeddings=True,
            pooling=pooling,
        )
    outputs = options.n_seq_max * (1 + options.n_draft)
    return ContextShape(
        n_ctx=n_ctx,
        n_batch=max(options.n_batch, options.n_seq_max),
        n_ubatch=max(min(options.n_batch, options.n_ubatch), options.n_seq_max),
        n_seq_max=options.n_seq_max,
        n_outputs_max=outputs if options.n_outputs_max == "auto" else options.n_outputs_max,
        kv_unified=options.kv_unified,
        embeddings=False,
        pooling=POOLING_TYPES["none"],
    )


def context_params(options: LoadOptions, shape: ContextShape) -> NativeParams:
    """Return llama_context_params."""
    params = NativeParams(C.llama_context_default_params())
    native = params.native
    for name in ("n_ctx", "n_batch", "n_ubatch", "n_seq_max", "n_outputs_max", "kv_unified", "embeddings"):
        setattr(native, name, getattr(shape, name))
    native.pooling_type = shape.pooling
    native.n_threads = n_threads(options)
    native.n_threads_batch = n_threads_batch(options)
    native.flash_attn_type = _FLASH_ATTENTION[options.flash_attn]
    native.type_k = CACHE_TYPES[options.type_k]
    native.type_v = CACHE_TYPES[options.type_v]
    native.rope_freq_base = options.rope_freq_base
    native.rope_freq_scale = options.rope_freq_scale
    native.offload_kqv = options.offload_kqv
    native.op_offload = options.op_offload
    native.swa_full = options.swa_full
    native.no_perf = True
    return params
