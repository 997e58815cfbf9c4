"""The second form of the conversation database: versions that can be taken back, search, and what surrounds.

A message that is deleted carries the number of its deletion, so that all of it comes back at once. Only
messages that are complete and not deleted stand in the search index: the triggers see to that, whoever
writes, and an answer that grows costs no indexing.
"""

from __future__ import annotations

_INDEXED = "{row}.status <> 'streaming' AND {row}.deletion IS NULL"
_TAKE_OUT = f"""
    INSERT INTO message_search (message_search, rowid, text)
    SELECT 'delete', old.id, old.text WHERE {_INDEXED.format(row="old")};
"""
_PUT_IN = f"""
    INSERT INTO message_search (rowid, text)
    SELECT new.id, new.text WHERE {_INDEXED.format(row="new")};
"""
_TOKENS = "tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'"

_COLUMNS = (
    "ALTER TABLE conversation ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE conversation ADD COLUMN archived INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE conversation ADD COLUMN settings TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE conversation ADD COLUMN deletion INTEGER",
    "ALTER TABLE message ADD COLUMN name TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE message ADD COLUMN depth INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE message ADD COLUMN deletion INTEGER",
    "CREATE INDEX message_version ON message (conversation_id, parent_id)",
    "DROP INDEX message_of_conversation",
    "CREATE INDEX message_deleted ON message (deletion) WHERE deletion IS NOT NULL",
    """
    CREATE TABLE deletion (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation_id TEXT NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
        message_id INTEGER,
        head_id INTEGER,
        deleted_at REAL NOT NULL
    )
    """,
    "CREATE TABLE draft (conversation_id TEXT PRIMARY KEY, text TEXT NOT NULL)",
    """
    CREATE TABLE foreign_document (
        conversation_id TEXT PRIMARY KEY REFERENCES conversation (id) ON DELETE CASCADE,
        format TEXT NOT NULL,
        document TEXT NOT NULL
    )
    """,
)

_DEPTH = (
    "CREATE TEMP TABLE depth_of (id INTEGER PRIMARY KEY, depth INTEGER NOT NULL)",
    """
    WITH RECURSIVE tree (id, depth) AS (
        SELECT id, 0 FROM message WHERE parent_id IS NULL
        UNION ALL
        SELECT message.id, tree.depth + 1 FROM message JOIN tree ON message.parent_id = tree.id
    )
    INSERT INTO depth_of SELECT id, depth FROM tree
    """,
    "UPDATE message SET depth = coalesce((SELECT depth FROM depth_of WHERE id = message.id), 0)",
    "DROP TABLE depth_of",
    """
    CREATE TRIGGER message_depth AFTER INSERT ON message WHEN new.parent_id IS NOT NULL BEGIN
        UPDATE message SET depth = (SELECT depth + 1 FROM message WHERE id = new.parent_id)
        WHERE id = new.id;
    END
    """,
)

_SEARCH = (
    f"""
    CREATE VIRTUAL TABLE message_search
    USING fts5 (text, content = 'message', content_rowid = 'id', {_TOKENS})
    """,
    "INSERT INTO message_search (rowid, text) SELECT id, text FROM message WHERE status <> 'streaming'",
    f"CREATE TRIGGER message_found AFTER INSERT ON message BEGIN {_PUT_IN} END",
    f"CREATE TRIGGER message_lost AFTER DELETE ON message BEGIN {_TAKE_OUT} END",
    f"""
    CREATE TRIGGER message_changed AFTER UPDATE OF text, status, deletion ON message
    BEGIN {_TAKE_OUT} {_PUT_IN} END
    """,
    f"CREATE VIRTUAL TABLE title_search USING fts5 (title, conversation_id UNINDEXED, {_TOKENS})",
    "INSERT INTO title_search (title, conversation_id) SELECT title, id FROM conversation",
    """
    CREATE TRIGGER title_found AFTER INSERT ON conversation BEGIN
        INSERT INTO title_search (title, conversation_id) VALUES (new.title, new.id);
    END
    """,
    """
    CREATE TRIGGER title_changed AFTER UPDATE OF title ON conversation BEGIN
        UPDATE title_search SET title = new.title WHERE conversation_id = new.id;
    END
    """,
    """
    CREATE TRIGGER title_lost AFTER DELETE ON conversation BEGIN
        DELETE FROM title_search WHERE conversation_id = old.id;
        DELETE FROM draft WHERE conversation_id = old.id;
    END
    """,
)

TREE_AND_SEARCH = (*_COLUMNS, *_DEPTH, *_SEARCH)
"""The statements of this form, in their order."""
