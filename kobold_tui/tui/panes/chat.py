"""The conversation with the loaded model: the transcript above, the prompt below."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from kobold_tui.domain.chat import Conversation, MessageId
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.instance import Failed, Instance, Loading, Ready, Starting
from kobold_tui.services.chat import ReplyRequest
from kobold_tui.services.launch import Launch
from kobold_tui.services.registry import Services
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.messages import CopyRequested, FailureReported
from kobold_tui.tui.pane import Pane
from kobold_tui.tui.registry import PaneCommand, PaneSpec
from kobold_tui.tui.screens.conversations import ConversationsScreen
from kobold_tui.tui.streaming import ReplyStream, item_of
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
What you write before it is ready is sent as soon as it is."""
TITLE_LENGTH = 60


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
        super().__init__(context, "chat")
        self._transcript = Transcript()
        self._transcript.frames_per_second = context.link.frames_per_second
        self._transcript.page_scroll = context.link.slow
        self._prompt = Prompt(id="chat-prompt")
        self._line = Static(id="chat-line", markup=False)
        self._conversation: Conversation | None = None
        self._head: MessageId | None = None
        self._queued: list[str] = []
        self._stream: ReplyStream | None = None

    def compose(self) -> ComposeResult:
        """Lay out the transcript, the line and the prompt."""
        yield Static(WELCOME, id="chat-welcome", markup=False)
        yield self._transcript
        yield self._line
        yield self._prompt

    def on_mount(self) -> None:
        """Start empty."""
        self.add_class("-empty")
        self._prompt.cursor_blink = not self.context.link.slow
        self._tell()

    @property
    def first_focus(self) -> Widget:
        """The prompt."""
        return self._prompt

    def watch_instance(self, instance: Instance | None) -> None:
        """Send what was waiting for the model."""
        self._tell()
        if instance is not None and isinstance(instance.state, Ready):
            self._send_next()

    def watch_replying(self) -> None:
        """Show and offer what is possible now."""
        self._tell()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Leave Esc to others while no answer runs."""
        return self.replying if action == "stop" else True

    def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        """Put the message in line and send it if it is its turn."""
        self._queued.append(event.text)
        self._send_next()
        self._tell()

    def action_stop(self) -> None:
        """Stop the answer."""
        conversation = self._conversation
        if conversation is None:
            return

        async def stop(services: Services) -> None:
            services.chat.stop(conversation.id)

        self.run_worker(self.context.backend.call(stop), group="stop", exit_on_error=False)

    def action_new(self) -> None:
        """Start a new conversation; the present one is stored."""
        if self.replying:
            self.action_stop()
        self._conversation, self._head = None, None
        self._transcript.show(())
        self.add_class("-empty")
        self._prompt.focus()
        self._tell()

    def action_open(self) -> None:
        """Choose an earlier conversation."""
        if self.replying:
            self.notify("Stop the answer first (Esc).")
            return
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

    def _open(self, conversation: Conversation | None) -> None:
        if conversation is not None:
            self.run_worker(self._show(conversation), group="open", exclusive=True, exit_on_error=False)

    async def _show(self, conversation: Conversation) -> None:
        head = conversation.head_id
        messages = await self.context.backend.call(lambda services: services.chat.messages(head))
        self._conversation, self._head = conversation, head
        self._transcript.show([item_of(message) for message in messages])
        self.set_class(not messages, "-empty")
        self._tell()

    def _send_next(self) -> None:
        ready = (
            self.instance is not None and isinstance(self.instance.state, Ready) and self.launch is not None
        )
        if self._queued and ready and not self.replying:
            self.replying = True
            self.remove_class("-empty")
            self.run_worker(self._reply(self._queued.pop(0)), group="reply", exit_on_error=False)

    async def _reply(self, text: str) -> None:
        stream = self._stream = ReplyStream(self._transcript)
        try:
            request = await self._request(text)
            frame = 1 / self.context.link.frames_per_second
            async for batch in self.context.backend.stream(
                lambda services: services.chat.reply(request), frame
            ):
                stream.take(batch)
                self._tell()
        except KoboldError as error:
            self.post_message(FailureReported(error.failure))
        finally:
            self._head = stream.head.id if stream.head else self._head
            self.replying = False
            self._send_next()

    async def _request(self, text: str) -> ReplyRequest:
        launch, instance = self.launch, self.instance
        if launch is None or instance is None:
            raise KoboldError(
                "No model", "The model went away before the message was sent.", "Load one and send it again."
            )
        if self._conversation is None:
            title = " ".join(text.split())[:TITLE_LENGTH]
            self._conversation = await self.context.backend.call(
                lambda services: services.chat.new_conversation(title)
            )
        return ReplyRequest(
            conversation_id=self._conversation.id,
            instance=instance.id,
            text=text,
            preset=launch.preset,
            parent_id=self._head,
            raw=not launch.model.chat_template and launch.preset.chat.template == "auto",
        )

    def _tell(self) -> None:
        self._line.update(self._status())
        self._prompt.placeholder = _placeholder(self.instance, self.launch)

    def _status(self) -> str:
        waiting = f"{len(self._queued)} waiting to be sent · " if self._queued else ""
        if self.replying:
            progress = self._stream.progress if self._stream and self._stream.progress else "answering"
            return f"{waiting}{progress} · Esc stops"
        return waiting.removesuffix(" · ")


def _placeholder(instance: Instance | None, launch: Launch | None) -> str:
    match instance.state if instance else None:
        case Ready(info):
            name = launch.model.name if launch else info.name
            return f"Message {name}"
        case Starting() | Loading():
            return "Loading … type ahead, it is sent when the model is ready"
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
