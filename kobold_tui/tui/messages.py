"""Messages between panes and the workbench: facts in the past tense, wishes as `…Requested`."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from kobold_tui.domain.errors import Failure
from kobold_tui.domain.instance import InstanceId
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.model import ModelEntry
from kobold_tui.services.launch import Launch


@dataclass
class ModelHighlighted(Message):
    """The cursor stands on a model; only the newest counts."""

    model: ModelEntry | None

    def can_replace(self, message: Message) -> bool:
        """Drop older ones that have not been handled."""
        return isinstance(message, ModelHighlighted)


@dataclass
class LoadRequested(Message):
    """Somebody wants a model loaded."""

    model: ModelEntry


@dataclass
class LaunchRequested(Message):
    """Somebody wants a model loaded with just these settings; `anyway` also where memory is short.

    What is loaded makes way for it, unless it is to run `beside`.
    """

    launch: Launch
    anyway: bool = False
    beside: bool = False


@dataclass
class OptionsTuned(Message):
    """Somebody wants to see the model under the cursor with other options; only the newest counts."""

    options: LoadOptions

    def can_replace(self, message: Message) -> bool:
        """Drop older ones that have not been handled."""
        return isinstance(message, OptionsTuned)


@dataclass
class HardwarePlanned(Message):
    """Somebody wants to plan for cards such as `24G,24G`; an empty text means those of this machine."""

    text: str


@dataclass
class UnloadRequested(Message):
    """Somebody wants the loaded model gone and its memory back."""


@dataclass
class RestartRequested(Message):
    """Somebody wants a failed model loaded again."""

    instance: InstanceId


@dataclass
class PaneRequested(Message):
    """Somebody wants to see another pane, and perhaps an action of it carried out."""

    pane: str
    action: str = ""


@dataclass
class CopyRequested(Message):
    """Text is to go to the clipboard; `what` names it in the answer."""

    text: str
    what: str


@dataclass
class FailureReported(Message):
    """Something went wrong that the user should read."""

    failure: Failure
