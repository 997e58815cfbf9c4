"""Conversations on disk: trees of messages in one SQLite file.

Every call stores at once and may block; the store belongs to one thread at a time. Several copies of the
program can use the same file. An answer that is being written is marked `streaming` with the process that
writes it: once that process is gone, the next to open the file marks the answer `interrupted`.

The parts are apart: `conversation_messages` holds single messages, `conversation_tree` versions and
deleting, `conversation_shelf` the list, `conversation_search` search, `conversation_transfer` whole stories.
"""

from __future__ import annotations

from kobold_tui.storage.conversation_database import IN_MEMORY
from kobold_tui.storage.conversation_search import ConversationSearch
from kobold_tui.storage.conversation_transfer import ConversationTransfer

__all__ = ["IN_MEMORY", "ConversationStore"]


class ConversationStore(ConversationTransfer, ConversationSearch):
    """All conversations of one user; every method raises KoboldError where the file cannot be used."""
