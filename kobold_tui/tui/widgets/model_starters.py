"""What stands in place of the list where there is no model yet: a few to begin with, one key away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from kobold_tui.tui.widgets.fit_text import fit, fit_right
from kobold_tui.tui.widgets.row_list import Cell, RowList


class Starter(NamedTuple):
    """A model to begin with: what is searched for it, its size as a file, and what it is good for."""

    words: str
    size: str
    purpose: str


STARTERS = (
    Starter("SmolLM2 360M Instruct GGUF", "0.3 GiB", "chat, fast everywhere"),
    Starter("Qwen3 4B Instruct GGUF", "2.5 GiB", "chat, good on a laptop"),
    Starter("Gemma 3 12B it GGUF", "7.3 GiB", "chat, for a card of 12 GB"),
    Starter("Qwen3 30B A3B Instruct GGUF", "18 GiB", "chat, for a card of 24 GB"),
    Starter("embeddinggemma 300M GGUF", "0.3 GiB", "embeddings"),
)

ABOVE = """\
No models yet. Enter searches for one of these on Hugging Face; ctrl+d for any other.
"""
BELOW = """\

Models that are here already: start with --models-dir FOLDER, then press r."""


class StarterList(Vertical):
    """A few models, and where others come from."""

    DEFAULT_CSS = """
    StarterList { height: auto; padding: 1 1 0 1; }
    StarterList > Static { height: auto; }
    StarterList > RowList { height: 5; }
    """

    @dataclass
    class Chosen(Message):
        """A starter was opened."""

        starter: Starter

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.rows: RowList[Starter] = RowList(_draw, id="models-starters")

    def compose(self) -> ComposeResult:
        """Lay out the list between its explanations."""
        yield Static(ABOVE, markup=False)
        yield self.rows
        yield Static(BELOW, markup=False)

    def on_mount(self) -> None:
        """Fill the list."""
        self.rows.show(STARTERS)

    def on_row_list_highlighted(self, event: RowList.Highlighted) -> None:
        """Keep the message inside."""
        event.stop()

    def on_row_list_selected(self, event: RowList.Selected) -> None:
        """Report the choice."""
        event.stop()
        if self.rows.current is not None:
            self.post_message(self.Chosen(self.rows.current))


def _draw(starter: Starter, width: int) -> Sequence[Cell]:
    purpose = 28 if width >= 70 else 0
    name = max(0, width - 10 - purpose)
    return [
        (fit(" " + starter.words.removesuffix(" GGUF"), name), "row--text"),
        (fit_right(starter.size, 10), "row--accent"),
        (fit("  " + starter.purpose, purpose), "row--quiet"),
    ]
