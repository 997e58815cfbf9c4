"""Everything that decides how a model is loaded and what memory it takes, in llama.cpp's own names.

The declaration is the single source: files are validated by it, forms and command-line help read the
ranges, units, titles and help texts from each field's `Meta`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
SplitMode = Literal["none", "layer", "tensor"]
Pooling = Literal["auto", "none", "mean", "cls", "last", "rank"]
Auto = Literal["auto"]


CPU_ONLY = ("CPU",)
"""The choice of devices that keeps a model off every card: its process does not even see them."""


class LoraAdapter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A LoRA adapter file and the factor it is applied with."""

    path: str
    scale: Annotated[float, Meta(description="1 applies the adapter as trained, 0 switches it off")] = 1.0


class LoadOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How to load a model; `"auto"` leaves the choice to the program, never to a magic number."""

    n_gpu_layers: Annotated[
        Annotated[int, Meta(ge=0, le=100_000)] | Auto,
        Meta(
            title="GPU layers",
            description="Layers held by the GPU; all of them is n_layer + 1. KoboldCpp: gpulayers.",
            extra={"unit": "layers", "kobold": "gpulayers"},
        ),
    ] = "auto"
    n_ctx: Annotated[
        Annotated[int, Meta(ge=256, le=16_777_216)] | Auto,
        Meta(
            title="Context",
            description="Tokens that the model can look back on; auto is the trained length, at most 8192.",
            extra={"unit": "tokens", "kobold": "contextsize"},
        ),
    ] = "auto"
    n_batch: Annotated[
        int,
        Meta(
            ge=1,
            le=65_536,
            title="Batch",
            description="Prompt tokens handed over in one call.",
            extra={"unit": "tokens"},
        ),
    ] = 512
    n_ubatch: Annotated[
        int,
        Meta(
            ge=1,
            le=65_536,
            title="Micro-batch",
            description="Prompt tokens computed at once; sets the compute buffer. KoboldCpp: batchsize.",
            extra={"unit": "tokens", "kobold": "batchsize"},
        ),
    ] = 512
    n_threads: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | Auto,
        Meta(
            title="Threads",
            description="CPU threads for generation; auto is the cores this process may use, minus one.",
            extra={"unit": "threads", "kobold": "threads"},
        ),
    ] = "auto"
    n_threads_batch: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | Auto,
        Meta(
            title="Prompt threads",
            description="CPU threads for prompts; auto is the same as for generation.",
            extra={"unit": "threads", "kobold": "blasthreads"},
        ),
    ] = "auto"
    flash_attn: Annotated[
        bool | Auto,
        Meta(title="Flash attention", description="Less memory and more speed; auto asks the device."),
    ] = "auto"
    type_k: Annotated[
        CacheType, Meta(title="K cache type", description="Element type of the cached keys.")
    ] = "f16"
    type_v: Annotated[
        CacheType,
        Meta(
            title="V cache type",
            description="Element type of the cached values; quantised needs flash attention.",
        ),
    ] = "f16"
    offload_kqv: Annotated[
        bool,
        Meta(
            title="KV cache on GPU",
            description="Off keeps the cache in RAM. KoboldCpp: lowvram is the opposite.",
        ),
    ] = True
    op_offload: Annotated[
        bool,
        Meta(title="Op offload", description="Copy CPU weights to the GPU for long prompts; takes VRAM."),
    ] = True
    swa_full: Annotated[
        bool,
        Meta(
            title="Full-size SWA cache",
            description="Keep the whole context for sliding-window layers; costs memory.",
        ),
    ] = False
    tensor_split: Annotated[
        tuple[Annotated[float, Meta(ge=0)], ...],
        Meta(
            title="Split",
            description="Share of each GPU, in order; empty leaves it to free memory.",
            extra={"kobold": "tensor_split"},
        ),
    ] = ()
    split_mode: Annotated[
        SplitMode,
        Meta(title="Split mode", description="none: one GPU; layer: whole layers; tensor: inside layers."),
    ] = "layer"
    main_gpu: Annotated[
        int, Meta(ge=0, le=127, title="Main GPU", description="The card used by split mode none.")
    ] = 0
    devices: Annotated[
        tuple[str, ...],
        Meta(
            title="Devices",
            description="Names of the devices to use, as llama.cpp lists them; empty is all, CPU is no GPU.",
        ),
    ] = ()
    n_cpu_moe: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            title="MoE layers in RAM",
            description="Keep the experts of the first N layers in RAM.",
            extra={"kobold": "moecpu"},
        ),
    ] = 0
    override_tensors: Annotated[
        tuple[str, ...],
        Meta(
            title="Tensor overrides",
            description="regex=BUFFER pairs that place matching tensors, first match wins.",
        ),
    ] = ()
    override_kv: Annotated[
        dict[str, bool | int | float | str],
        Meta(
            title="Metadata overrides",
            description="GGUF keys replaced while loading.",
            extra={"kobold": "overridekv"},
        ),
    ] = {}
    use_mmap: Annotated[
        bool,
        Meta(
            title="Memory-map", description="Map the file instead of reading it; starts faster, shares pages."
        ),
    ] = True
    use_mlock: Annotated[
        bool, Meta(title="Lock in RAM", description="Keep the model from being swapped out.")
    ] = False
    check_tensors: Annotated[
        bool, Meta(title="Check tensors", description="Look for invalid numbers while loading; slower.")
    ] = False
    rope_freq_base: Annotated[
        float,
        Meta(
            ge=0,
            title="RoPE base",
            description="0 takes the model's own value.",
            extra={"kobold": "ropeconfig"},
        ),
    ] = 0.0
    rope_freq_scale: Annotated[
        float,
        Meta(
            ge=0,
            title="RoPE scale",
            description="0 takes the model's own value.",
            extra={"kobold": "ropeconfig"},
        ),
    ] = 0.0
    n_seq_max: Annotated[
        int,
        Meta(ge=1, le=256, title="Slots", description="Conversations that are answered at the same time."),
    ] = 4
    kv_unified: Annotated[
        bool, Meta(title="Shared cache", description="All slots share one context instead of a slice each.")
    ] = True
    n_outputs_max: Annotated[
        Annotated[int, Meta(ge=1, le=65_536)] | Auto,
        Meta(title="Outputs", description="Logit rows reserved; auto is one for each slot and draft token."),
    ] = "auto"
    n_draft: Annotated[
        int, Meta(ge=0, le=64, title="Draft tokens", description="Tokens guessed by prompt lookup; 0 is off.")
    ] = 0
    pooling: Annotated[
        Pooling,
        Meta(title="Pooling", description="How token vectors become one; auto is what the file says."),
    ] = "auto"
    mmproj: Annotated[
        str, Meta(title="Projector", description="GGUF file with the vision or audio encoder.")
    ] = ""
    mmproj_offload: Annotated[
        bool, Meta(title="Projector on GPU", description="Off keeps the projector in RAM.")
    ] = True
    lora: Annotated[
        tuple[LoraAdapter, ...], Meta(title="LoRA adapters", description="Applied in order.")
    ] = ()

    @property
    def is_cpu_only(self) -> bool:
        """Whether no card may be touched."""
        return self.devices == CPU_ONLY
