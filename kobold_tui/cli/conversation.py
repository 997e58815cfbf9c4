"""A conversation in plain text: ask, answer, ask again; it is kept like every conversation of the workbench.

While the person types nothing else runs, so `input` may hold the loop: only on the main thread does it have
line editing and ctrl+c.
"""

from __future__ import annotations

import contextlib
import re
import signal
import sys
from collections.abc import Iterator

import msgspec

from kobold_tui.cli.frame import error_document, report
from kobold_tui.cli.output import narrate, print_json
from kobold_tui.cli.replies import document, end_answer, footer, print_piece, silent, take_reply
from kobold_tui.domain.chat import ConversationId, MessageId
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.instance import InstanceId
from kobold_tui.services.chat import ReplyRequest
from kobold_tui.services.launch import Launch
from kobold_tui.services.loading import is_ready
from kobold_tui.services.registry import Services

PROMPT = "> "
COMMANDS = "/new starts afresh, /exit or ctrl+d ends, ctrl+c stops an answer."
TITLE_CHARACTERS = 60
_COMMAND = re.compile(r"/[a-z]+")


class Talk(msgspec.Struct, kw_only=True):
    """Where the conversation stands; None before its first message."""

    conversation_id: ConversationId | None = None
    last_id: MessageId | None = None


async def converse(
    services: Services, launch: Launch, instance: InstanceId, *, raw: bool, as_json: bool
) -> int:
    """Ask for prompts and answer them until the person leaves; returns the exit status."""
    narrate(f"{launch.model.name} is ready. {COMMANDS}", quiet=True)
    _use_line_editing()
    talk = Talk()
    while (line := _ask()) is not None:
        match line:
            case "":
                continue
            case "/exit" | "/quit":
                return 0
            case "/new":
                talk = Talk()
            case _ if _COMMAND.fullmatch(line):
                narrate(f"{line} is no command. {COMMANDS}")
            case _:
                await _answer(services, launch, instance, talk, line, raw=raw, as_json=as_json)
    return 0


def _ask() -> str | None:
    """Return what the person typed, None at the end of input; ctrl+c raises KeyboardInterrupt."""
    try:
        with _interrupt_raises():
            if sys.stdout.isatty():
                return input(PROMPT).strip()
            print(PROMPT, end="", file=sys.stderr, flush=True)
            return input().strip()
    except EOFError:
        print(file=sys.stderr)
        return None
    except KeyboardInterrupt:
        print(file=sys.stderr)
        raise


async def _answer(  # noqa: PLR0913 - the talk, its model, and how to print
    services: Services,
    launch: Launch,
    instance: InstanceId,
    talk: Talk,
    text: str,
    *,
    raw: bool,
    as_json: bool,
) -> None:
    """Answer one message; an error is told and leaves the conversation open."""
    try:
        if not is_ready(services.loading.engine(instance).state):
            await services.loading.restart(instance)
        if talk.conversation_id is None:
            conversation = await services.chat.new_conversation(
                text[:TITLE_CHARACTERS], launch.preset.chat.system_prompt
            )
            talk.conversation_id = conversation.id
    except KoboldError as error:
        report(error, as_json=as_json)
        return
    request = ReplyRequest(
        conversation_id=talk.conversation_id,
        instance=instance,
        text=text,
        preset=launch.preset,
        parent_id=talk.last_id,
        raw=raw,
    )
    reply = await take_reply(services.chat, request, silent if as_json else print_piece)
    if reply.message:
        talk.last_id = reply.message.id
    if as_json:
        print_json({**document(reply), **(error_document(reply.failure) if reply.failure else {})})
        return
    end_answer(reply)
    if not reply.failure:
        narrate(footer(reply), quiet=True)


def _use_line_editing() -> None:
    """Give `input` history and editing where this Python has readline."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - its import is its effect


@contextlib.contextmanager
def _interrupt_raises() -> Iterator[None]:
    """Make ctrl+c end `input` at once; the loop's own handler would wait for it to return."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
