"""The conversation with the loaded model: the transcript above, the prompt below."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from kobold_tui.domain.chat import Conversation
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.instance import Failed, Instance, InstanceId, Loading, Ready, Starting
from kobold_tui.services.launch import Launch
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.exchange import Exchange
from kobold_tui.tui.messages import CopyRequested, FailureReported
from kobold_tui.tui.pane import Pane
from kobold_tui.tui.registry import PaneCommand, PaneSpec
from kobold_tui.tui.screens.conversations import ConversationsScreen
from kobold_tui.tui.streaming import item_of
from kobold_tui.tui.widgets.prompt import Prompt
from kobold_tui.tui.widgets.transcript import Transcript

HELP = """\
Type below and press **Enter**; **ctrl+j** makes a new line. **Esc** stops an answer; what has arrived is
kept. You can type, scroll and look at other panes while an answer streams. A message sent while no model is
ready, or while an answer runs, waits for its turn.

**PgUp / PgDn** scroll; **End** follows the answer again. Every message is stored before it is sent.
"""

WELCOME = """\
Pick a model on the left (F2) and press Enter.
What you write before it is ready is answered as soon as it is."""


class ChatPane(Pane):
    """Transcript and prompt, and one quiet line about what is going on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape", "stop", "Stop", id="chat.stop", tooltip="Stop the answer; what has arrived is kept"
        ),
        Binding("ctrl+n", "new", "New chat", id="chat.new", tooltip="Start a new conversation"),
        Binding("ctrl+o", "open", "Chats", id="chat.open", tooltip="Open an earlier conversation"),
        Binding("alt+c", "copy_answer", "Copy", id="chat.copy", tooltip="Copy the last answer"),
        Binding(
            "alt+x",
            "copy_code",
            "Copy code",
            show=False,
            id="chat.copy-code",
            tooltip="Copy the last code block",
        ),
        Binding(
            "pageup", "scroll(-1)", "", show=False, id="chat.page-up", tooltip="Scroll the conversation up"
        ),
        Binding(
            "pagedown",
            "scroll(1)",
            "",
            show=False,
            id="chat.page-down",
            tooltip="Scroll the conversation down",
        ),
        Binding("ctrl+end", "follow", "", show=False, id="chat.follow", tooltip="Jump to the end and follow"),
    ]
    DEFAULT_CSS = """
    ChatPane > Transcript { height: 1fr; }
    ChatPane > #chat-welcome { height: 1fr; padding: 1 2; display: none; }
    ChatPane.-empty > #chat-welcome { display: block; }
    ChatPane.-empty > Transcript { display: none; }
    ChatPane > #chat-line { height: 1; padding: 0 1; }
    """

    replying: reactive[bool] = reactive(False)
    """Whether an answer is under way."""

    def __init__(self, context: PaneContext) -> None:
        super().__init__(context, "chat", classes="-empty")
        self._transcript = Transcript()
        self._transcript.frames_per_second = context.link.frames_per_second
        self._transcript.page_scroll = context.link.slow
        self._prompt = Prompt(id="chat-prompt")
        self._line = Static(id="chat-line", markup=False)
        frame = 1 / context.link.frames_per_second
        self._exchange = Exchange(context.backend, self._transcript, frame, self._tell)

    def compose(self) -> ComposeResult:
        """Lay out the transcript, the line and the prompt."""
        yield Static(WELCOME, id="chat-welcome", markup=False)
        yield self._transcript
        yield self._line
        yield self._prompt

    def on_mount(self) -> None:
        """Start empty."""
        self._prompt.cursor_blink = not self.context.link.slow
        self._tell()

    @property
    def first_focus(self) -> Widget:
        """The prompt."""
        return self._prompt

    def watch_instance(self) -> None:
        """Answer what was waiting for the model."""
        self._tell()
        self._answer_waiting()

    def watch_replying(self) -> None:
        """Offer what is possible now."""
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Leave Esc to others while no answer runs."""
        return self.replying if action == "stop" else True

    def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        """Store and show the message, and answer it if it is its turn."""
        self.remove_class("-empty")
        self.run_worker(self._post(event.text), group="post", exit_on_error=False)

    def action_stop(self) -> None:
        """Stop the answer."""
        self.run_worker(self._exchange.stop(), group="stop", exit_on_error=False)

    def action_new(self) -> None:
        """Start a new conversation; the present one is stored."""
        if self._is_busy():
            return
        self._exchange.clear()
        self._transcript.show(())
        self.add_class("-empty")
        self._prompt.focus()
        self._tell()

    def action_open(self) -> None:
        """Choose an earlier conversation."""
        if not self._is_busy():
            self.app.push_screen(ConversationsScreen(self.context.backend), self._open)

    def action_copy_answer(self) -> None:
        """Copy the last answer."""
        if text := self._transcript.last_answer_text():
            self.post_message(CopyRequested(text, "the last answer"))

    def action_copy_code(self) -> None:
        """Copy the last code block of the last answer."""
        answers = [item for item in self._transcript.items if item.role == "assistant"]
        if answers and (blocks := self._transcript.code_blocks(answers[-1].key)):
            self.post_message(CopyRequested(blocks[-1], "the last code block"))

    def action_scroll(self, pages: int) -> None:
        """Scroll the conversation while the keys stay with the prompt."""
        (self._transcript.action_page_up if pages < 0 else self._transcript.action_page_down)()

    def action_follow(self) -> None:
        """Jump to the end and follow the answer."""
        self._transcript.action_follow()

    def _is_busy(self) -> bool:
        if self.replying:
            self.notify("Stop the answer first (Esc).")
        return self.replying

    def _open(self, conversation: Conversation | None) -> None:
        if conversation is not None:
            self.run_worker(self._show(conversation), group="open", exclusive=True, exit_on_error=False)

    async def _show(self, conversation: Conversation) -> None:
        messages = await self._exchange.open(conversation)
        self._transcript.show([item_of(message) for message in messages])
        self.set_class(not messages, "-empty")
        self._tell()

    async def _post(self, text: str) -> None:
        try:
            await self._exchange.post(text)
        except KoboldError as error:
            self._prompt.text = self._prompt.text or text  # what is not stored stays where it was written
            self.post_message(FailureReported(error.failure))
        self._answer_waiting()

    def _answer_waiting(self) -> None:
        launch, instance = self.launch, self.instance
        ready = instance is not None and isinstance(instance.state, Ready)
        if instance and launch and ready and self._exchange.unanswered and not self._exchange.replying:
            self._exchange.replying = True
            self.run_worker(self._answer(launch, instance.id), group="answer", exit_on_error=False)

    async def _answer(self, launch: Launch, instance: InstanceId) -> None:
        try:
            await self._exchange.answer(launch, instance)
        except KoboldError as error:
            self.post_message(FailureReported(error.failure))
        self._answer_waiting()

    def _tell(self) -> None:
        self.replying = self._exchange.replying
        self._line.update(self._status())
        self._prompt.placeholder = _placeholder(self.instance, self.launch)

    def _status(self) -> str:
        if self._exchange.replying:
            return f"{self._exchange.progress or 'answering'} · Esc stops"
        return "stored; answered as soon as a model is ready" if self._exchange.unanswered else ""


def _placeholder(instance: Instance | None, launch: Launch | None) -> str:
    match instance.state if instance else None:
        case Ready(info):
            return f"Message {launch.model.name if launch else info.name}"
        case Starting() | Loading():
            return "Loading … type ahead, it is answered when the model is ready"
        case Failed():
            return "The model has ended; ctrl+r loads it again"
    return "No model loaded; F2 lists them"


PANE = PaneSpec(
    id="chat",
    title="Chat",
    region="main",
    order=10,
    key="f4",
    summary="talk to the loaded model",
    help=HELP,
    build=ChatPane,
    commands=(
        PaneCommand(title="New conversation", action="new", help="The present one is stored"),
        PaneCommand(title="Open a conversation", action="open", help="Earlier conversations, newest first"),
        PaneCommand(title="Copy the last answer", action="copy_answer", help="As Markdown, to the clipboard"),
        PaneCommand(title="Copy the last code block", action="copy_code", help="To the clipboard"),
    ),
)
