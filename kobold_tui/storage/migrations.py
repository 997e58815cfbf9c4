"""The numbered steps that make the conversation database, and bring an older one up to date.

A step is never changed once released; a new one is appended. Each runs in a transaction of its own
together with the number it leads to (`PRAGMA user_version`), so a crash leaves the state before or after.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kobold_tui.domain.errors import KoboldError
from kobold_tui.storage.conversation_schema import TREE_AND_SEARCH

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")

APPLICATION_ID = 0x6B6F6254
"""Marks the file as ours: the letters `kobT`."""

Migration = tuple[int, tuple[str, ...]]

MIGRATIONS: tuple[Migration, ...] = (
    (
        1,
        (
            f"PRAGMA application_id = {APPLICATION_ID}",
            """
            CREATE TABLE conversation (
                id TEXT PRIMARY KEY,
                title TEXT NOT NULL,
                system_prompt TEXT NOT NULL DEFAULT '',
                head_id INTEGER REFERENCES message (id) ON DELETE SET NULL,
                created_at REAL NOT NULL,
                updated_at REAL NOT NULL
            )
            """,
            """
            CREATE TABLE message (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                conversation_id TEXT NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
                parent_id INTEGER REFERENCES message (id) ON DELETE CASCADE,
                role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant', 'tool')),
                text TEXT NOT NULL,
                reasoning TEXT NOT NULL DEFAULT '',
                status TEXT NOT NULL CHECK (status IN ('complete', 'streaming', 'interrupted')),
                finish_reason TEXT,
                usage TEXT,
                model TEXT NOT NULL DEFAULT '',
                created_at REAL NOT NULL,
                owner TEXT,
                CHECK (parent_id < id)
            )
            """,
            "CREATE INDEX message_of_conversation ON message (conversation_id)",
            "CREATE INDEX message_below ON message (parent_id)",
            "CREATE INDEX message_streaming ON message (status) WHERE status = 'streaming'",
            "CREATE INDEX conversation_by_time ON conversation (updated_at DESC)",
        ),
    ),
    (2, TREE_AND_SEARCH),
)


def migrate(database: sqlite3.Connection, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring a database in autocommit mode up to date; an older one is copied first.

    The copy stands beside it as `<name>.before-<number>`. Raises KoboldError for a database of a newer
    version or of another program.
    """
    newest = migrations[-1][0]
    version = _check(database, path, newest)
    if 0 < version < newest:
        _back_up(database, path.with_name(f"{path.name}.before-{newest}"))
    for number, statements in migrations:
        if number > version:
            _step(database, number, statements)


def _check(database: sqlite3.Connection, path: Path, newest: int) -> int:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (n_tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if n_tables and application != APPLICATION_ID:
        raise KoboldError(
            "Not our database",
            f"{path} is a database of another program.",
            "Move it away; the program then makes a new one.",
        )
    if version > newest:
        raise KoboldError(
            "Conversations of a newer version",
            f"{path} was written by a newer version of kobold-tui "
            f"(format {version}; this one knows formats up to {newest}).",
            "Update kobold-tui, or set KOBOLD_TUI_HOME to another folder to start afresh.",
        )
    return int(version)


def _step(database: sqlite3.Connection, number: int, statements: Sequence[str]) -> None:
    """Run one step, unless another copy of the program has done it while this one waited."""

    def work() -> None:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version < number:
            for statement in statements:
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {number:d}")

    in_transaction(database, work)


def in_transaction(database: sqlite3.Connection, work: Callable[[], T]) -> T:
    """Run `work` so that either all of it is stored or nothing; the database is in autocommit mode."""
    database.execute("BEGIN IMMEDIATE")
    try:
        result = work()
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    return result


def _back_up(database: sqlite3.Connection, copy: Path) -> None:
    import sqlite3

    unfinished = copy.with_name(f"{copy.name}.{os.getpid()}.tmp")
    os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    target = sqlite3.connect(unfinished)
    try:
        database.backup(target)
    finally:
        target.close()
    unfinished.replace(copy)
