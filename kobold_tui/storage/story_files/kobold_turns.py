"""KoboldAI Lite keeps one growing text in chunks; this divides it into turns and puts turns into chunks.

How turns are told apart depends on the mode: placeholders or the tags of an instruct format, names at the
beginning of a line, lines that begin with `> `; in a story each chunk is a turn of its own.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import msgspec

from kobold_tui.domain.generation import Role
from kobold_tui.domain.story import Mode, StoryMessage
from kobold_tui.storage.story_files.document import MAX_MESSAGES

INPUT, OUTPUT, SYSTEM = "{{[INPUT]}}", "{{[OUTPUT]}}", "{{[SYSTEM]}}"
_PLACEHOLDER = r"\n?\{\{\[(?:INPUT|OUTPUT|SYSTEM)(?:_END)?\]\}\}\n?"
_AFTER: dict[str, Role] = {
    "": "assistant",
    INPUT: "user",
    OUTPUT: "assistant",
    SYSTEM: "system",
    "{{[INPUT_END]}}": "assistant",
    "{{[OUTPUT_END]}}": "assistant",
    "{{[SYSTEM_END]}}": "assistant",
}
"""Who speaks after a placeholder."""


class TurnFormat(msgspec.Struct, frozen=True, kw_only=True):
    """What tells turns apart: `tags` are texts of an instruct format with the placeholder of each."""

    mode: Mode = "instruct"
    tags: tuple[tuple[str, str], ...] = ()
    user_name: str = "User"
    answer_names: tuple[str, ...] = ("KoboldAI",)


def turns_of(chunks: Sequence[str], form: TurnFormat) -> tuple[StoryMessage, ...]:
    """Return the turns of a text in chunks; turns without text are left out."""
    match form.mode:
        case "story" | "raw":
            turns = [StoryMessage(role="assistant", text=chunk) for chunk in chunks]
        case "chat":
            turns = _chat_turns("".join(chunks), form)
        case "adventure":
            turns = _adventure_turns("".join(chunks))
        case _:
            turns = _instruct_turns("".join(chunks), form)
    return tuple(turn for turn in turns if turn.text)


def chunks_of(
    turns: Sequence[StoryMessage], form: TurnFormat, after: StoryMessage | None = None
) -> list[str]:
    """Return the chunks that turns are written as, where they follow the turn `after`."""
    chunks = []
    for number, turn in enumerate(turns):
        before = turns[number - 1] if number else after
        chunks.append(_chunk(turn, before, form))
    return chunks


def _instruct_turns(text: str, form: TurnFormat) -> list[StoryMessage]:
    """Divide at placeholders and tags; a placeholder takes a line end on each side along."""
    kinds = {tag: placeholder for tag, placeholder in form.tags if tag}
    marks = re.compile("|".join([*map(re.escape, kinds), _PLACEHOLDER]))
    turns, role, place = [], _AFTER[""], 0
    for mark in itertools.islice(marks.finditer(text), MAX_MESSAGES):
        turns.append(StoryMessage(role=role, text=text[place : mark.start()]))
        role, place = _AFTER[kinds.get(mark[0], mark[0]).strip()], mark.end()
    return [*turns, StoryMessage(role=role, text=text[place:])]


def _chat_turns(text: str, form: TurnFormat) -> list[StoryMessage]:
    names = "|".join(re.escape(name) for name in (form.user_name, *form.answer_names))
    pieces = re.split(rf"(?:^|\n)({names}): ?", text, maxsplit=MAX_MESSAGES)
    turns = [StoryMessage(role="assistant", text=pieces[0])]
    for name, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        role: Role = "user" if name == form.user_name else "assistant"
        turns.append(StoryMessage(role=role, text=piece, name=name))
    return turns


def _adventure_turns(text: str) -> list[StoryMessage]:
    pieces = re.split(r"(?:^|\n\n)> ([^\n]*)(?:\n\n?|$)", text, maxsplit=MAX_MESSAGES)
    turns = [StoryMessage(role="assistant", text=pieces[0])]
    for action, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        turns += [StoryMessage(role="user", text=action), StoryMessage(role="assistant", text=piece)]
    return turns


def _chunk(turn: StoryMessage, before: StoryMessage | None, form: TurnFormat) -> str:
    match form.mode:
        case "story" | "raw":
            return turn.text
        case "chat":
            name = turn.name or (form.user_name if turn.role == "user" else form.answer_names[0])
            return f"\n{name}: {turn.text}"
        case "adventure":
            return f"\n\n> {' '.join(turn.text.splitlines())}\n\n" if turn.role == "user" else turn.text
        case _:
            return _instruct_chunk(turn, before)


def _instruct_chunk(turn: StoryMessage, before: StoryMessage | None) -> str:
    if turn.role == "user":
        return f"\n{INPUT}\n{turn.text}\n{OUTPUT}\n"
    if turn.role == "system":
        return f"\n{SYSTEM}\n{turn.text}"
    return turn.text if before is None or before.role == "user" else f"\n{OUTPUT}\n{turn.text}"
