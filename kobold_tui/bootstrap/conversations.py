"""Puts conversations together: one store, opened at its first use, that replies and everything else share."""

from __future__ import annotations

import contextlib
import functools
import time
from pathlib import Path

from kobold_tui.domain.errors import KoboldError
from kobold_tui.services.chat import ChatService
from kobold_tui.services.conversations import ConversationsService
from kobold_tui.services.loading import LoadingService
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.storage.conversations import IN_MEMORY, ConversationStore
from kobold_tui.storage.story_files.exchange import StoryFiles

KEEP_DELETED_SECONDS = 30 * 86_400.0


def conversation_services(
    path: Path, loading: LoadingService, files: OwnThread, *, private: bool
) -> tuple[ChatService, ConversationsService]:
    """Return the services of replies and of conversations; `private` keeps them in memory."""
    open_store = functools.cache(functools.partial(_open_store, IN_MEMORY if private else path))
    thread = OwnThread("conversations")
    return (
        ChatService(loading.engine, open_store, thread),
        ConversationsService(open_store, thread, StoryFiles(), files),
    )


def _open_store(path: Path) -> ConversationStore:
    """Open the store and remove what was deleted long ago; a disk that is full leaves that for later."""
    store = ConversationStore(path)
    with contextlib.suppress(KoboldError):
        store.purge(time.time() - KEEP_DELETED_SECONDS)
    return store
