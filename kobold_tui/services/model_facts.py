"""A model file in words: labels and values, for every front end that shows them."""

from __future__ import annotations

from collections.abc import Iterator

from kobold_tui.domain.model import MetadataValue
from kobold_tui.domain.model_details import KvCost, LongArray, ModelDetails
from kobold_tui.domain.units import format_bytes, format_count, format_tokens

Fact = tuple[str, str]
"""A label and a value; a value that belongs to the label before it has none. Values are not made safe."""


def metadata_facts(details: ModelDetails) -> Iterator[tuple[str, list[Fact]]]:
    """Yield all metadata by subject; the architecture is left out of the keys."""
    prefix = f"{details.entry.architecture}."
    for section in details.sections:
        yield (
            section.title,
            [(key.removeprefix(prefix), value_text(value)) for key, value in section.values.items()],
        )


def type_facts(details: ModelDetails) -> Iterator[Fact]:
    """Yield what every tensor type makes up of the model."""
    for share in details.types:
        part = f"{share.n_bytes / details.tensor_bytes:.1%}, " if details.tensor_bytes else ""
        yield share.type_name, f"{part}{format_bytes(share.n_bytes)}, {_counted(share.tensors)}"


def value_text(value: MetadataValue | LongArray) -> str:
    """Return a metadata value in words; equal numbers of many layers are told once."""
    if isinstance(value, LongArray):
        return f"{value.length:,} × {value.element_type}"
    if isinstance(value, tuple):
        if len(value) > 2 and len(set(value)) == 1:
            return f"{value_text(value[0])} (all {len(value)})"
        return ", ".join(value_text(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def weight_facts(details: ModelDetails) -> Iterator[Fact]:
    """Yield how many weights there are, and where the bytes are."""
    yield "parameters", f"{format_count(details.parameters)} ({details.parameters:,})"
    if details.active_parameters != details.parameters:
        yield "used by a token", format_count(details.active_parameters)
    yield "bits per weight", f"{details.bits_per_weight:.2f}"
    yield "layers", _layers(details)
    if details.expert_share:
        yield "experts", f"{details.expert_share:.0%} of the weights"
    output = "same weights as the input" if details.has_tied_output else format_bytes(details.output_bytes)
    yield "input", format_bytes(details.input_bytes)
    yield "output", output
    if details.largest_tensor is not None:
        tensor = details.largest_tensor
        shape = " × ".join(f"{size:,}" for size in tensor.dimensions)
        yield "largest tensor", f"{tensor.name} {format_bytes(tensor.n_bytes)} ({shape}, {tensor.type_name})"


def _layers(details: ModelDetails) -> str:
    sizes = details.bytes_per_layer
    if not sizes:
        return "none"
    low, high = format_bytes(min(sizes)), format_bytes(max(sizes))
    return f"{len(sizes)}, {low} each" if low == high else f"{len(sizes)}, {low} to {high} each"


def memory_facts(details: ModelDetails) -> Iterator[Fact]:
    """Yield what a context costs."""
    entry = details.entry
    if entry.n_ctx_train:
        yield "context", f"{format_tokens(entry.n_ctx_train)} tokens ({entry.n_ctx_train:,})"
    for cost in details.kv_costs:
        yield f"KV cache {cost.type_name}", _kv_text(cost, details)
    if details.windowed_layers:
        yield "sliding window", f"{details.sliding_window:,} tokens in {details.windowed_layers} layers"
    if details.recurrent_layers:
        yield "recurrent layers", str(details.recurrent_layers)


def _kv_text(cost: KvCost, details: ModelDetails) -> str:
    n_ctx, old = details.entry.n_ctx_train, cost.bytes_per_old_token
    text = f"{format_bytes(cost.bytes_per_token)} a token"
    if old != cost.bytes_per_token:
        text += f", {format_bytes(old)} beyond the window"
    if not n_ctx:
        return text
    in_window = (cost.bytes_per_token - old) * min(details.sliding_window or n_ctx, n_ctx)
    return f"{text}, {format_bytes(old * n_ctx + in_window)} at full context"


def file_facts(details: ModelDetails) -> Iterator[Fact]:
    """Yield the parts of the file, its format, licence and templates."""
    yield from (("path" if not index else "", path) for index, path in enumerate(details.paths))
    order = ", big-endian" if details.is_big_endian else ""
    yield "format", f"GGUF version {details.gguf_version}{order}, header {format_bytes(details.header_bytes)}"
    if details.license:
        yield "licence", details.license
    if details.n_vocab:
        yield "vocabulary", f"{details.n_vocab:,} tokens"
    templates = ", ".join(f"{item.name} ({item.characters:,} characters)" for item in details.chat_templates)
    yield "chat template", templates or "none"


def _counted(tensors: int) -> str:
    return "1 tensor" if tensors == 1 else f"{tensors:,} tensors"
