"""Folders and stores that tests start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kobold_tui.storage.conversations import ConversationStore
from kobold_tui.storage.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Folders of a user who has nothing yet."""
    paths = Paths.below(tmp_path / "home")
    assert paths.create() == ()
    return paths


@pytest.fixture
def store(paths: Paths) -> Iterator[ConversationStore]:
    """An empty store of conversations."""
    with ConversationStore(paths.database) as store:
        yield store
