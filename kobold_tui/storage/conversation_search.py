"""Full-text search over all conversations, by SQLite's FTS5.

What a person types is never FTS5's own language: words are looked for as they stand, so no query can be
wrong. A word matches as a beginning where a `*` follows it or where it is the last one, as it is typed.
"""

from __future__ import annotations

import re

import msgspec

from kobold_tui.domain.chat import SearchHit
from kobold_tui.storage.conversation_database import ConversationDatabase

_LONGEST_QUERY = 500
_MOST_TERMS = 16
_TERM = re.compile(r'"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+)')
_BEGIN, _END = "\ufdd0", "\ufdd1"
"""Around a hit in a snippet: characters that Unicode keeps for such inner use, so that texts have none."""

_MESSAGES = f"""
    SELECT message.conversation_id, message.id, conversation.title,
        snippet(message_search, 0, '{_BEGIN}', '{_END}', '…', 24) AS snippet,
        conversation.archived, message.role, message.created_at
    FROM message_search JOIN message ON message.id = message_search.rowid
        JOIN conversation ON conversation.id = message.conversation_id
    WHERE message_search MATCH ? AND conversation.deletion IS NULL
    ORDER BY rank, message.id DESC LIMIT ? OFFSET ?
"""  # noqa: S608 - made of constants
_TITLES = f"""
    SELECT conversation.id, NULL, conversation.title,
        highlight(title_search, 0, '{_BEGIN}', '{_END}') AS snippet,
        conversation.archived, NULL, conversation.updated_at
    FROM title_search JOIN conversation ON conversation.id = title_search.conversation_id
    WHERE title_search MATCH ? AND conversation.deletion IS NULL
    ORDER BY rank, conversation.updated_at DESC LIMIT ?
"""  # noqa: S608 - made of constants


class ConversationSearch(ConversationDatabase):
    """Finds messages and titles; deleted ones and an answer that still grows are not found."""

    def search(self, query: str, limit: int = 50, offset: int = 0) -> tuple[SearchHit, ...]:
        """Return where all words of a query occur: titles first, then messages, the best first.

        Words may be of any case and without their accents; "words in quotes" must stand together. A query
        without a letter or digit finds nothing. `offset` counts messages; titles come with the first ones.
        """
        if not (expression := match_expression(query)):
            return ()
        titles = () if offset else self._read(_TITLES, (expression, limit), _hit)
        return titles + self._read(_MESSAGES, (expression, limit - len(titles), offset), _hit)


def match_expression(query: str) -> str:
    """Return an FTS5 expression that finds all words of a query; empty where there is none."""
    terms: list[str] = []
    typed = query[:_LONGEST_QUERY].replace("\0", " ").encode("utf-8", "replace").decode()
    found = [term for term in _TERM.finditer(typed) if any(c.isalnum() for c in term[0])][:_MOST_TERMS]
    for number, term in enumerate(found, 1):
        phrase = term["phrase"]
        text = term["word"] if phrase is None else phrase
        is_typed_now = number == len(found) and phrase is None and term.end() == len(typed)
        terms.append(f'"{text}"' + (" *" if text.endswith("*") or is_typed_now else ""))
    return " AND ".join(terms)


def _hit(row: tuple[object, ...]) -> SearchHit:
    conversation_id, message_id, title, snippet, archived, role, created_at = row
    fields = {
        "conversation_id": conversation_id,
        "message_id": message_id,
        "title": title,
        "snippet": _pieces(str(snippet)),
        "archived": bool(archived),
        "role": role,
        "created_at": created_at,
    }
    return msgspec.convert(fields, SearchHit)


def _pieces(snippet: str) -> tuple[tuple[str, bool], ...]:
    pieces: list[tuple[str, bool]] = []
    for number, part in enumerate(re.split(f"[{_BEGIN}{_END}]", snippet)):
        text = "".join(c if c.isprintable() else " " for c in part)
        if text:
            pieces.append((text, number % 2 == 1))
    return tuple(pieces)
