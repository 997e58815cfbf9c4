"""The work of `chat`: settle what to answer and how, load the model, then one of the three ways to answer.

What was asked for on the command line beats the preset. Wrong usage is found before the model is loaded.
"""

from __future__ import annotations

import argparse
import sys
import threading
from typing import TypeVar

import msgspec

from kobold_tui.cli.batch import answer_batch, read_batch
from kobold_tui.cli.conversation import TITLE_CHARACTERS, converse
from kobold_tui.cli.frame import FAILED, INTERRUPTED, error_document
from kobold_tui.cli.output import StatusLine, narrate, print_json
from kobold_tui.cli.replies import document, end_answer, print_piece, silent, take_reply
from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.instance import Instance, InstanceState, Loading, Starting
from kobold_tui.services.chat import ChatService, ReplyRequest
from kobold_tui.services.launch import Launch
from kobold_tui.services.registry import Services

S = TypeVar("S", bound=msgspec.Struct)

PHASES = {"weights": "weights", "context": "context", "template": "chat template", "warmup": "warming up"}
PATIENCE_SECONDS = 1.0


async def chat(arguments: argparse.Namespace, services: Services) -> int:
    """Answer as `arguments` say; returns the exit status."""
    prompts = read_batch(arguments.batch) if arguments.batch else None
    prompt = None if prompts is not None else read_prompt(arguments)
    reference = arguments.reference or arguments.preset or arguments.model
    launch = adjusted(await services.launch.resolve(reference), arguments)
    instance = await load(services, launch)
    if prompts is not None:
        return await answer_batch(services, launch, instance.id, prompts, raw=arguments.raw)
    if prompt is None:
        return await converse(services, launch, instance.id, raw=arguments.raw, as_json=arguments.json)
    conversation = await services.chat.new_conversation(prompt[:TITLE_CHARACTERS])
    request = ReplyRequest(
        conversation_id=conversation.id,
        instance=instance.id,
        text=prompt,
        preset=launch.preset,
        raw=arguments.raw,
    )
    return await answer_once(services.chat, request, as_json=arguments.json)


async def answer_once(chat_service: ChatService, request: ReplyRequest, *, as_json: bool) -> int:
    """Print one answer while it grows, or as one document."""
    reply = await take_reply(chat_service, request, silent if as_json else print_piece)
    if as_json:
        print_json({**document(reply), **(error_document(reply.failure) if reply.failure else {})})
    else:
        end_answer(reply)
    return FAILED if reply.failure else INTERRUPTED if reply.finish_reason == "cancelled" else 0


def read_prompt(arguments: argparse.Namespace) -> str | None:
    """Return what to answer, None where a person is to be asked. Raises UsageError for nothing at all."""
    given: str | None = arguments.prompt
    is_complete = given is not None and arguments.raw
    piped = None if is_complete or sys.stdin.isatty() else read_pipe()
    if given is None and piped is None:
        return None
    prompt = "\n\n".join(part for part in (given, piped) if part)
    if not prompt.strip():
        raise UsageError("Nothing to answer", "The prompt is empty.", "Give one with -p TEXT or by a pipe.")
    return prompt.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read_pipe() -> str:
    """Return all of standard input, one final line break taken off; a person is told why it takes long."""
    told = threading.Timer(
        PATIENCE_SECONDS, narrate, ["Reading standard input to its end; `< /dev/null` leaves it out."]
    )
    told.daemon = True
    told.start()
    try:
        return sys.stdin.buffer.read().decode("utf-8", "replace").removesuffix("\n")
    finally:
        told.cancel()


def adjusted(launch: Launch, arguments: argparse.Namespace) -> Launch:
    """Return `launch` with what the command line says in place of the preset. Raises UsageError."""
    if launch.model.kind in {"embedding", "reranker", "projector", "adapter", "vocabulary"}:
        raise UsageError(
            "Not a chat model",
            f"{launch.model.name} is of the kind {launch.model.kind}, which writes no text.",
            "`kobold-tui models` lists what there is.",
        )
    preset = launch.preset
    threads = {"n_threads": arguments.threads, "n_threads_batch": arguments.threads}
    sampling = {"seed": arguments.seed, "temperature": arguments.temperature}
    chat_options = {"system_prompt": arguments.system, "max_tokens": arguments.max_tokens}
    return msgspec.structs.replace(
        launch,
        preset=msgspec.structs.replace(
            preset,
            load=changed(preset.load, threads),
            sampling=changed(preset.sampling, sampling),
            chat=changed(preset.chat, chat_options),
        ),
    )


def changed(value: S, changes: dict[str, object]) -> S:
    """Return a checked copy of `value`; None changes nothing. Raises UsageError for what is out of range."""
    wanted = {key: change for key, change in changes.items() if change is not None}
    if not wanted:
        return value
    try:
        return msgspec.convert({**msgspec.to_builtins(value), **wanted}, type(value))
    except msgspec.ValidationError as error:
        words, _, place = str(error).partition(" - at `$.")
        raise UsageError(
            "Wrong usage", f"{place.rstrip('`') or 'An option'}: {words[:1].lower()}{words[1:]}."
        ) from error


async def load(services: Services, launch: Launch) -> Instance:
    """Load the model with one line that tells how far it is."""
    line = StatusLine()

    def show(state: InstanceState) -> None:
        match state:
            case Starting():
                line.show(f"Starting {launch.model.name} …")
            case Loading(phase=phase, fraction=fraction):
                part = "" if fraction is None else f" {fraction:.0%}"
                line.show(f"Loading {launch.model.name}: {PHASES.get(phase, phase)}{part} …")
            case _:
                line.clear()

    try:
        return await services.loading.load(launch.spec, on_state=show)
    finally:
        line.clear()
