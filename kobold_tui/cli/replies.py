"""One reply on the command line: streamed while it grows, stopped by ctrl+c, told as a JSON document."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator

import msgspec

from kobold_tui.cli.frame import report
from kobold_tui.cli.output import dim, narrate, printable
from kobold_tui.domain.chat import ChatMessage
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.generation import Finished, FinishReason, TextDelta, Usage
from kobold_tui.domain.units import format_rate, format_seconds
from kobold_tui.services.chat import ChatService, ReplyRequest, Stored


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A whole reply; `failure` is the error that ended it, its text then what had arrived."""

    text: str
    reasoning: str = ""
    finish_reason: FinishReason = "error"
    usage: Usage = Usage()
    note: str = ""
    message: ChatMessage | None = None
    failure: KoboldError | None = None


async def take_reply(chat: ChatService, request: ReplyRequest, on_text: Callable[[TextDelta], None]) -> Reply:
    """Return the reply once it is whole; `on_text` gets every piece, ctrl+c stops it.

    A model that dies or refuses is no exception here: `failure` tells, beside the text so far.
    """
    text, reasoning = "", ""
    finished: Finished | None = None
    message: ChatMessage | None = None
    failure: KoboldError | None = None
    with on_interrupt(lambda: chat.stop(request.conversation_id)):
        try:
            async for event in chat.reply(request):
                match event:
                    case TextDelta():
                        text += "" if event.reasoning else event.text
                        reasoning += event.text if event.reasoning else ""
                        on_text(event)
                    case Finished():
                        finished = event
                    case Stored():
                        message = event.message
        except KoboldError as error:
            failure = error
    ending = finished or Finished(reason="error", usage=(message and message.usage) or Usage())
    return Reply(
        text=text,
        reasoning=reasoning,
        finish_reason="error" if failure else ending.reason,
        usage=ending.usage,
        note=ending.note,
        message=message,
        failure=failure,
    )


def document(reply: Reply) -> dict[str, object]:
    """Return a reply in the form that it has in JSON."""
    fields: dict[str, object] = {
        "text": reply.text,
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.usage.prompt_tokens,
        "completion_tokens": reply.usage.completion_tokens,
        "seconds_to_first_token": reply.usage.seconds_to_first_token,
        "tokens_per_second": reply.usage.tokens_per_second,
    }
    if reply.reasoning:
        fields["reasoning"] = reply.reasoning
    return fields


def footer(reply: Reply) -> str:
    """Return the quiet line below an answer: how fast, how long, and why it ended early."""
    usage = reply.usage
    parts = [f"{usage.completion_tokens} tokens"]
    if usage.tokens_per_second:
        parts.append(format_rate(usage.tokens_per_second))
    if usage.seconds_to_first_token is not None:
        parts.append(f"{format_seconds(usage.seconds_to_first_token)} to the first")
    endings = {"length": "cut off: the length is reached", "cancelled": "stopped"}
    if ending := reply.note or endings.get(reply.finish_reason, ""):
        parts.append(ending)
    return " · ".join(parts)


def print_piece(delta: TextDelta) -> None:
    """Print a piece of an answer; the model's thinking is narration."""
    if delta.reasoning:
        sys.stderr.write(dim(delta.text))
        sys.stderr.flush()
        return
    sys.stdout.write(printable(delta.text) if sys.stdout.isatty() else delta.text)
    sys.stdout.flush()


def end_answer(reply: Reply) -> None:
    """End the last line of an answer and tell what the reader should know of its end."""
    if reply.text and not reply.text.endswith("\n"):
        print(flush=True)
    if reply.failure:
        report(reply.failure, as_json=False)
    elif reply.note:
        narrate(reply.note)


def silent(_delta: TextDelta) -> None:
    """Leave the pieces to what is printed at the end."""


@contextlib.contextmanager
def on_interrupt(callback: Callable[[], None]) -> Iterator[None]:
    """Call `callback` on the running loop at the first ctrl+c; a second one ends the program as usual."""
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    pressed = False

    def interrupt() -> None:
        nonlocal pressed
        if pressed and callable(before):
            before(signal.SIGINT, None)
        pressed = True
        callback()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
