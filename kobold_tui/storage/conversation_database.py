"""The open database of conversations: reading, writing and transactions, with every error in words."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from kobold_tui.domain.errors import KoboldError
from kobold_tui.storage.conversation_rows import IS_IN_CONVERSATION, storable
from kobold_tui.storage.migrations import in_transaction, migrate
from kobold_tui.storage.paths import make_private_folder
from kobold_tui.storage.process_identity import is_alive, own_identity
from kobold_tui.storage.sqlite_errors import in_words

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")
Row = tuple[object, ...]

IN_MEMORY = Path(":memory:")
"""In place of a file: conversations that nobody keeps, gone when the store is closed."""


class ConversationDatabase:
    """One connection, which belongs to one thread at a time; every method raises KoboldError."""

    def __init__(
        self, path: Path, *, busy_seconds: float = 5.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._clock = clock
        self._owner = own_identity()
        with in_words(path):
            self._database = _open(path, busy_seconds)
            try:
                migrate(self._database, path)
                self._end_abandoned()
            except BaseException:
                self._database.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        with in_words(self._path):
            self._database.close()

    def _read(
        self, query: str, values: Row | Mapping[str, object], make: Callable[[Row], T]
    ) -> tuple[T, ...]:
        with in_words(self._path):
            return tuple(make(row) for row in self._database.execute(query, values))

    def _transact(self, work: Callable[[], T]) -> T:
        with in_words(self._path):
            return in_transaction(self._database, work)

    def _write(self, statement: str, values: Mapping[str, object]) -> int:
        with in_words(self._path):
            return self._database.execute(statement, storable(values)).rowcount

    def _change(self, statement: str, values: Mapping[str, object], what: str) -> None:
        if self._write(statement, values) == 0:
            raise gone(what)

    def _check_is_in(self, conversation_id: object, message_id: object) -> None:
        values = {"conversation": conversation_id, "message": message_id}
        if self._database.execute(IS_IN_CONVERSATION, values).fetchone() is None:
            raise gone("conversation" if message_id is None else "message of this conversation")

    def _end_abandoned(self) -> None:
        rows = self._database.execute("SELECT id, owner FROM message WHERE status = 'streaming'").fetchall()
        for message_id, owner in rows:
            if owner is None or not is_alive(owner):
                self._database.execute(
                    "UPDATE message SET status = 'interrupted', owner = NULL "
                    "WHERE id = ? AND status = 'streaming' AND owner IS ?",
                    (message_id, owner),
                )


def gone(what: str) -> KoboldError:
    """Return the error for something that is not in the database, or was deleted."""
    return KoboldError(
        "Not there any more", f"The {what} does not exist.", "It may have been deleted; reload."
    )


def _open(path: Path, busy_seconds: float) -> sqlite3.Connection:
    import sqlite3

    if path != IN_MEMORY:
        make_private_folder(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    database = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        database.close()
        raise
    return database
