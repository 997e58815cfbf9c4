"""The table of what would be better: setting, now, best, and why; values and drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory.context import DEFAULT_MAX_CTX
from kobold_tui.tui.tuning import Tuning
from kobold_tui.tui.widgets.fit_text import fit, fit_right
from kobold_tui.tui.widgets.tune_controls import split_word

SETTING, VALUE = 16, 11

SPLIT = ("split_mode", "tensor_split", "devices")
"""The options that share a model out."""


@dataclass(frozen=True)
class Proposal:
    """A setting as it is and as it is best; `options` are those with the better one taken over."""

    setting: str
    now: str
    best: str
    why: str
    options: LoadOptions

    @property
    def is_better(self) -> bool:
        """Whether there is anything to take over."""
        return self.now != self.best


def proposals(tuning: Tuning) -> tuple[Proposal, ...]:
    """Return what the search has found, nothing before it has; only rows that mean something here."""
    best, now = tuning.best, tuning.options
    if best is None or best.kind == "no":
        return ()
    cards = tuple(device.name for device in tuning.devices if not device.is_host)
    wanted = best.options
    layers = str(best.estimate.n_gpu_layers)
    rows = [
        Proposal(
            "GPU layers",
            str(tuning.shown.n_gpu_layers),
            layers,
            best.why,
            _with(now, n_gpu_layers=best.estimate.n_gpu_layers),
        )
    ]
    if tuning.model.shape.has_experts and cards:
        rows.append(
            Proposal(
                "Experts in RAM",
                str(now.n_cpu_moe),
                str(wanted.n_cpu_moe),
                "As few as make the rest fit.",
                _with(now, n_cpu_moe=wanted.n_cpu_moe),
            )
        )
    if len(cards) > 1:
        rows.append(
            Proposal(
                "Split",
                split_word(now, cards),
                split_word(wanted, cards),
                "By whole layers, each card within its reserve.",
                _with(now, **{name: getattr(wanted, name) for name in SPLIT}),
            )
        )
    return (*rows, *_longest_context(tuning))


def _longest_context(tuning: Tuning) -> tuple[Proposal, ...]:
    longest, now = tuning.longest, tuning.options
    if longest is None or longest.kind == "no" or not isinstance(longest.options.n_ctx, int):
        return ()
    n_ctx = longest.options.n_ctx
    auto = min(tuning.model.shape.n_ctx_train, DEFAULT_MAX_CTX)
    shown = f"{auto if now.n_ctx == 'auto' else now.n_ctx:,}"
    return (Proposal("Longest context", shown, f"{n_ctx:,}", longest.why, _with(now, n_ctx=n_ctx)),)


def draw_proposal(row: Proposal, width: int) -> Sequence[tuple[str, str]]:
    """Return a row of the table; what is best already is quiet."""
    left = max(0, width - SETTING - 2 * VALUE - 3)
    return (
        (fit(f" {row.setting}", SETTING), "row--text"),
        (fit_right(row.now, VALUE), "row--text"),
        (fit_right(row.best if row.is_better else "✓", VALUE), "row--good"),
        (fit(f"   {row.why}", left + 3), "row--quiet"),
    )


def head_of_proposals(width: int) -> str:
    """Return the head of the table."""
    head = fit(" Setting", SETTING) + fit_right("Now", VALUE) + fit_right("Best", VALUE) + "   Why"
    return fit(head, width)


def _with(options: LoadOptions, **changes: object) -> LoadOptions:
    return msgspec.structs.replace(options, **changes)
