"""The controls of the tuning pane: sliders and choices for every option that moves memory most."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass

import msgspec
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import ModelShape
from kobold_tui.domain.memory.context import context_sizes
from kobold_tui.tui.widgets.choice_strip import ChoiceStrip
from kobold_tui.tui.widgets.slider import Slider

CONTEXT_STEPS = (
    256,
    512,
    1024,
    2048,
    3072,
    4096,
    6144,
    8192,
    12288,
    16384,
    20480,
    24576,
    32768,
    40960,
    49152,
)
MOST_CONTEXT = 16_777_216
BATCHES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
CACHE_TYPES = ("f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl", "bf16", "f32")
FLASH: dict[str, object] = {"auto": "auto", "on": True, "off": False}
EVEN = "even"
"""The choice of split that gives each card the same number of layers."""


@dataclass
class OptionsChosen(Message):
    """Somebody wants the model loaded so; only the newest counts."""

    options: LoadOptions

    def can_replace(self, message: Message) -> bool:
        """Drop older ones that have not been handled."""
        return isinstance(message, OptionsChosen)


class TuneControls(Vertical):
    """Rows of controls over one set of options; `show` gives it options, `OptionsChosen` gives them back."""

    DEFAULT_CSS = """
    TuneControls { height: auto; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._options = LoadOptions()
        self._base = LoadOptions()
        self._cards: tuple[str, ...] = ()
        self.gpu_layers = Slider(
            "GPU layers", has_auto=True, format_value=self._layer_words, id="tune-layers"
        )
        self.experts = Slider("Experts in RAM", format_value=self._expert_words, id="tune-experts")
        self.context = Slider("Context", has_auto=True, format_value=_tokens, id="tune-context")
        self.batch_size = Slider("Batch", format_value=_tokens, id="tune-batch")
        self.type_k = ChoiceStrip("K cache", CACHE_TYPES, id="tune-type-k")
        self.type_v = ChoiceStrip("V cache", CACHE_TYPES, id="tune-type-v")
        self.flash = ChoiceStrip("Flash attention", tuple(FLASH), id="tune-flash")
        self.split = ChoiceStrip("Split", ("auto",), id="tune-split")

    def compose(self) -> ComposeResult:
        """Lay out one control a row, what matters most first."""
        yield from (self.gpu_layers, self.experts, self.context, self.batch_size)
        yield from (self.type_k, self.type_v, self.flash, self.split)

    @property
    def rows(self) -> tuple[Widget, ...]:
        """The controls that can take the keys, top to bottom."""
        every = (self.gpu_layers, self.experts, self.context, self.batch_size)
        strips = (self.type_k, self.type_v, self.flash, self.split)
        return tuple(row for row in (*every, *strips) if row.display and not row.disabled)

    def show(
        self, options: LoadOptions, base: LoadOptions, shape: ModelShape, cards: tuple[str, ...]
    ) -> None:
        """Show options of a model; `base` is where they began, `cards` are the names of the cards."""
        self._options, self._base, self._cards = options, base, cards
        units, sizes = shape.n_units, context_sizes(shape, options, embedding=False, has_cards=bool(cards))
        layers = None if options.n_gpu_layers == "auto" else min(options.n_gpu_layers, units)
        self.gpu_layers.disabled = not cards
        self.gpu_layers.show(range(units + 1), layers if cards else 0, units if cards else 0)
        self.experts.display = shape.has_experts
        self.experts.disabled = not cards
        self.experts.show(range(shape.n_layer + 1), min(options.n_cpu_moe, shape.n_layer))
        context = None if options.n_ctx == "auto" else options.n_ctx
        self.context.show(context_steps(shape, context), context, sizes.n_cells * sizes.n_streams)
        self.batch_size.show(_with_value(BATCHES, options.n_ubatch), options.n_ubatch)
        self.type_k.show(options.type_k)
        self.type_v.show(options.type_v)
        self.flash.show(next(word for word, value in FLASH.items() if value == options.flash_attn))
        self.split.display = len(cards) > 1
        self.split.show(split_word(options, cards), split_words(cards))

    def on_slider_changed(self, event: Slider.Changed) -> None:
        """Take over what a slider says."""
        event.stop()
        auto = event.value if event.value is not None else "auto"
        number = event.slider.number
        if event.slider is self.gpu_layers:
            self._choose(n_gpu_layers=auto)
        elif event.slider is self.context:
            self._choose(n_ctx=auto)
        elif event.slider is self.experts:
            self._choose(n_cpu_moe=number)
        else:
            self._choose(n_ubatch=number, n_batch=max(number, self._base.n_batch))

    def on_choice_strip_changed(self, event: ChoiceStrip.Changed) -> None:
        """Take over what a row of words says."""
        event.stop()
        if event.strip is self.type_k:
            self._choose(type_k=event.value)
        elif event.strip is self.type_v:
            self._choose(type_v=event.value)
        elif event.strip is self.flash:
            self._choose(flash_attn=FLASH[event.value])
        else:
            self._choose(**split_options(event.value, self._cards))

    def move(self, step: int) -> bool:
        """Give the keys to the control above or below; False where there is none."""
        rows = self.rows
        focused = self.screen.focused
        place = rows.index(focused) + step if focused in rows else 0
        if not 0 <= place < len(rows):
            return False
        rows[place].focus()
        return True

    def _choose(self, **changes: object) -> None:
        self._options = msgspec.structs.replace(self._options, **changes)
        self.post_message(OptionsChosen(self._options))

    def _layer_words(self, layers: int) -> str:
        return f"{layers} of {self.gpu_layers.steps[-1]}" if self._cards else "no GPU"

    def _expert_words(self, layers: int) -> str:
        return f"of {layers} layers" if layers else "none"


def context_steps(shape: ModelShape, chosen: int | None) -> tuple[int, ...]:
    """Return the contexts to stop at: up to what the model is trained for, and what is chosen already."""
    most = min(shape.n_ctx_train or 32768, MOST_CONTEXT)
    steps = [step for step in CONTEXT_STEPS if step < most]
    while steps and (following := steps[-1] + (16384 if steps[-1] < 262_144 else 65_536)) < most:
        if steps[-1] < 49152:
            break
        steps.append(following)
    return _with_value((*steps, max(most, 256)), chosen)


def split_words(cards: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ways to share a model out: by free memory, evenly, or all on one card."""
    return ("auto", EVEN, *cards) if len(cards) > 1 else ("auto",)


def split_word(options: LoadOptions, cards: tuple[str, ...]) -> str:
    """Return which way options say; shares that are none of them stand for themselves, as 3:1."""
    if options.devices and not set(cards) <= set(options.devices):
        return "+".join(options.devices)
    if options.split_mode == "none":
        return cards[options.main_gpu] if options.main_gpu < len(cards) else "auto"
    shares = options.tensor_split
    if not any(shares):
        return "auto" if options.split_mode == "layer" else options.split_mode
    return EVEN if len(set(shares)) == 1 and len(shares) == len(cards) else ":".join(f"{s:g}" for s in shares)


def split_options(word: str, cards: tuple[str, ...]) -> dict[str, object]:
    """Return the options of a way to share a model out; see `split_word`."""
    changes: dict[str, object] = {"split_mode": "layer", "tensor_split": (), "main_gpu": 0, "devices": ()}
    if word == EVEN:
        return changes | {"tensor_split": (1.0,) * len(cards)}
    if word == "tensor":
        return changes | {"split_mode": "tensor"}
    if ":" in word:
        return changes | {"tensor_split": tuple(float(share) for share in word.split(":"))}
    return changes if word == "auto" else changes | {"devices": tuple(word.split("+"))}


def _with_value(steps: tuple[int, ...], value: int | None) -> tuple[int, ...]:
    if value is None or value in steps:
        return steps
    found = list(steps)
    insort(found, value)
    return tuple(found)


def _tokens(count: int) -> str:
    return f"{count:,}"
