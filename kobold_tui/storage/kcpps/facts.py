"""What KoboldCpp reads from a model's header before it decides, so that the same is decided here."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from kobold_tui.domain.errors import ModelFileError
from kobold_tui.gguf.header import read_header

DEFAULT_BASE = 10_000.0
_STRETCHED_BASES = (10_000.0, 500_000.0)


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A model's architecture, trained context in tokens, and its rotary embedding."""

    architecture: str
    n_ctx_train: int
    rope_freq_base: float = DEFAULT_BASE
    is_scaled: bool = False


def read_facts(path: str) -> ModelFacts | None:
    """Return the facts of a model file, None where there is none that can be read."""
    try:
        file = Path(path).expanduser()
        if not path or not file.is_file():
            return None
        header = read_header(file)
    except (ModelFileError, OSError, ValueError, RuntimeError):
        return None
    prefix = f"{header.architecture}.rope"
    base = header.metadata.get(f"{prefix}.freq_base")
    factors = [header.metadata.get(f"{prefix}.{name}") for name in ("scaling.factor", "scale_linear")]
    kind = header.text(f"{prefix}.scaling.type", "none")
    return ModelFacts(
        architecture=header.architecture,
        n_ctx_train=header.n_ctx_train,
        rope_freq_base=float(base) if isinstance(base, int | float) and base > 0 else DEFAULT_BASE,
        is_scaled=kind == "yarn" or any(isinstance(f, int | float) and f not in {0, 1} for f in factors),
    )


def automatic_base(facts: ModelFacts, n_ctx: int) -> float | None:
    """Return the RoPE base that KoboldCpp takes for a context beyond the trained one, None for the model's.

    It stretches the usual bases alone, and leaves models alone that bring a scaling of their own.
    """
    if n_ctx <= facts.n_ctx_train or facts.rope_freq_base not in _STRETCHED_BASES or facts.is_scaled:
        return None
    return stretched_base(facts.rope_freq_base, n_ctx, facts.n_ctx_train)


def stretched_base(base: float, n_ctx: int, n_ctx_train: int) -> float | None:
    """Return base ^ (log10(n_ctx / 2π) / log10(n_ctx_train / 2π)), None where that is no number."""
    if n_ctx < 8 or n_ctx_train < 8:
        return None
    exponent = math.log10(n_ctx / math.tau) / math.log10(n_ctx_train / math.tau)
    try:
        stretched = base**exponent
    except OverflowError:
        return None
    return round(stretched, 1) if math.isfinite(stretched) else None
