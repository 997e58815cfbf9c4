"""Many prompts with the model loaded once: a JSON object a line in, one a line out, in the same order.

The whole file is checked before the model is loaded, and one prompt that fails does not end the others.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from kobold_tui.cli.conversation import TITLE_CHARACTERS
from kobold_tui.cli.frame import FAILED, INTERRUPTED, error_document
from kobold_tui.cli.output import StatusLine
from kobold_tui.cli.replies import Reply, document, silent, take_reply
from kobold_tui.domain.errors import KoboldError, UsageError
from kobold_tui.domain.instance import InstanceId
from kobold_tui.domain.preset import Preset
from kobold_tui.services.chat import ReplyRequest
from kobold_tui.services.launch import Launch
from kobold_tui.services.loading import is_ready
from kobold_tui.services.registry import Services


class BatchPrompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a batch file; `id` comes back with the answer."""

    prompt: str
    id: str | int | None = None
    system: str | None = None


_decoder: msgspec.json.Decoder[BatchPrompt | str] = msgspec.json.Decoder(BatchPrompt | str)


def read_batch(place: str) -> tuple[BatchPrompt, ...]:
    """Read all prompts of a file, or of the pipe for `-`. Raises UsageError that names the line."""
    try:
        data = sys.stdin.buffer.read() if place == "-" else Path(place).read_bytes()
    except OSError as error:
        raise UsageError(
            "No batch file", f"{place} cannot be read: {error.strerror}.", "Name a JSON lines file."
        ) from error
    lines = [(number, line) for number, line in enumerate(data.splitlines(), 1) if line.strip()]
    if not lines:
        raise UsageError("Empty batch", f"{place} holds no prompt.", 'Write {"prompt": "…"} on each line.')
    return tuple(_read_line(place, number, line) for number, line in lines)


async def answer_batch(
    services: Services, launch: Launch, instance: InstanceId, prompts: Sequence[BatchPrompt], *, raw: bool
) -> int:
    """Print an answer for each prompt; returns the exit status."""
    status = StatusLine()
    failed = False
    for index, prompt in enumerate(prompts):
        status.show(f"Prompt {index + 1} of {len(prompts)} …")
        conversation = await services.chat.new_conversation(prompt.prompt[:TITLE_CHARACTERS])
        request = ReplyRequest(
            conversation_id=conversation.id,
            instance=instance,
            text=prompt.prompt,
            preset=_with_system(launch.preset, prompt.system),
            raw=raw,
        )
        reply = await _answer(services, request)
        status.clear()
        _print_line(index, prompt, reply)
        if reply.finish_reason == "cancelled":
            return INTERRUPTED
        failed = failed or reply.failure is not None
    return FAILED if failed else 0


async def _answer(services: Services, request: ReplyRequest) -> Reply:
    """Return the reply; a model that died with an earlier prompt is loaded again first."""
    try:
        if not is_ready(services.loading.engine(request.instance).state):
            await services.loading.restart(request.instance)
    except KoboldError as error:
        return Reply(text="", failure=error)
    return await take_reply(services.chat, request, silent)


def _print_line(index: int, prompt: BatchPrompt, reply: Reply) -> None:
    fields: dict[str, object] = {"index": index}
    if prompt.id is not None:
        fields["id"] = prompt.id
    fields |= document(reply)
    if reply.failure:
        fields |= error_document(reply.failure)
    print(msgspec.json.encode(fields).decode(), flush=True)


def _read_line(place: str, number: int, line: bytes) -> BatchPrompt:
    try:
        value = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            "Wrong batch line",
            f"{place}, line {number}: {error}.",
            'Every line is a JSON string or an object such as {"prompt": "Say hello", "id": 1}.',
        ) from error
    return BatchPrompt(value) if isinstance(value, str) else value


def _with_system(preset: Preset, system: str | None) -> Preset:
    if system is None:
        return preset
    return msgspec.structs.replace(preset, chat=msgspec.structs.replace(preset.chat, system_prompt=system))
