"""Trouble with the conversation database is told in words, and an update of its form loses nothing."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kobold_tui.domain.errors import KoboldError
from kobold_tui.storage.conversations import ConversationStore
from kobold_tui.storage.migrations import APPLICATION_ID, MIGRATIONS, migrate
from kobold_tui.storage.paths import Paths


def test_a_locked_file_is_told_in_words(store: ConversationStore, paths: Paths) -> None:
    conversation = store.create_conversation("t")
    other = sqlite3.connect(paths.database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with (
        ConversationStoreNow(paths.database) as impatient,
        pytest.raises(KoboldError, match="locked by another"),
    ):
        impatient.add_message(conversation.id, None, "user", "x")
    other.execute("ROLLBACK")
    other.close()
    assert store.roots(conversation.id) == ()


class ConversationStoreNow(ConversationStore):
    """A store that does not wait for other programs."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, busy_seconds=0.0)


@pytest.mark.parametrize(
    "content", [b"this is not a database at all, " * 50, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_damaged_file_is_told_in_words_and_left_as_it_is(paths: Paths, content: bytes) -> None:
    paths.database.write_bytes(content)
    with pytest.raises(KoboldError) as caught:
        ConversationStore(paths.database)
    assert str(paths.database) in caught.value.message
    assert "Move it away" in caught.value.hint
    assert paths.database.read_bytes() == content


def test_a_row_that_makes_no_sense_is_told_in_words(store: ConversationStore, paths: Paths) -> None:
    conversation = store.create_conversation("t")
    message = store.add_message(conversation.id, None, "user", "x")
    with sqlite3.connect(paths.database) as database:
        database.execute('UPDATE message SET usage = \'{"prompt_tokens": "many"}\'')
    with pytest.raises(KoboldError, match="makes no sense"):
        store.message(message.id)


def test_a_folder_in_place_of_the_file_is_told_in_words(paths: Paths) -> None:
    paths.database.mkdir()
    with pytest.raises(KoboldError, match="Is a directory"):
        ConversationStore(paths.database)


FULL_DISK = """
import resource, sys
from pathlib import Path
from kobold_tui.domain.errors import KoboldError
from kobold_tui.storage.conversations import IN_MEMORY, ConversationStore
store = ConversationStore(Path(sys.argv[1]))
conversation = store.create_conversation("t")
kept = store.add_message(conversation.id, None, "user", "kept")
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    store.add_message(conversation.id, kept.id, "user", "x" * 1_000_000)
except KoboldError as error:
    print(error)
print(store.message(kept.id).text, len(store.children(kept.id)))
"""


def test_a_full_disk_is_told_in_words_and_keeps_what_was_stored(paths: Paths) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, paths.database], capture_output=True, text=True, check=True
    )
    assert "disk" in done.stdout.splitlines()[0]
    assert done.stdout.splitlines()[1] == "kept 0"
    with ConversationStore(paths.database) as store:
        assert len(store.conversations()) == 1


def test_a_newer_database_is_refused_in_words(store: ConversationStore, paths: Paths) -> None:
    store.close()
    with sqlite3.connect(paths.database) as database:
        database.execute("PRAGMA user_version = 999")
    with pytest.raises(KoboldError, match="newer version of kobold-tui"):
        ConversationStore(paths.database)


def test_the_database_of_another_program_is_refused(paths: Paths) -> None:
    with sqlite3.connect(paths.database) as database:
        database.execute("CREATE TABLE bookmarks (x)")
    with pytest.raises(KoboldError, match="another program"):
        ConversationStore(paths.database)


def _versions(path: Path) -> tuple[int, int]:
    with sqlite3.connect(path) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (application,) = database.execute("PRAGMA application_id").fetchone()
    return version, application


def test_migrations_are_numbered_and_leave_their_number(store: ConversationStore, paths: Paths) -> None:
    assert [number for number, _ in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
    assert _versions(paths.database) == (len(MIGRATIONS), APPLICATION_ID)


def test_an_older_database_is_copied_before_it_is_changed(store: ConversationStore, paths: Paths) -> None:
    store.create_conversation("precious")
    store.close()
    newest = len(MIGRATIONS) + 1
    more = (*MIGRATIONS, (newest, ("ALTER TABLE conversation ADD COLUMN colour TEXT",)))
    database = sqlite3.connect(paths.database, isolation_level=None)
    migrate(database, paths.database, more)
    assert database.execute("SELECT title, colour FROM conversation").fetchall() == [("precious", None)]
    database.close()
    copy = paths.database.with_name(f"conversations.db.before-{newest}")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert _versions(copy)[0] == len(MIGRATIONS)
    with sqlite3.connect(copy) as old:
        assert old.execute("SELECT title FROM conversation").fetchall() == [("precious",)]


def test_a_migration_that_fails_changes_nothing(store: ConversationStore, paths: Paths) -> None:
    store.close()
    newest = len(MIGRATIONS) + 1
    broken = (*MIGRATIONS, (newest, ("ALTER TABLE message ADD COLUMN a TEXT", "NOT SQL")))
    database = sqlite3.connect(paths.database, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError):
        migrate(database, paths.database, broken)
    columns = [row[1] for row in database.execute("PRAGMA table_info (message)")]
    database.close()
    assert "a" not in columns
    assert _versions(paths.database)[0] == len(MIGRATIONS)
