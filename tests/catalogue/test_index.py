"""The index remembers what files say, and notices when they change."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kobold_tui.catalogue.index import CatalogueIndex
from kobold_tui.catalogue.stores import FoundFile
from kobold_tui.domain.errors import ModelFileError
from kobold_tui.domain.model import Sighting
from kobold_tui.gguf.window import Window

WriteModel = Callable[..., Path]


def read(index: CatalogueIndex, path: Path) -> Sighting:
    return index.read(FoundFile(path, "somewhere"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of all headers that are read."""
    paths: list[str] = []
    real = Window.__enter__

    def noting(window: Window) -> Window:
        paths.append(window.path)
        return real(window)

    monkeypatch.setattr(Window, "__enter__", noting)
    return paths


def test_a_file_is_read_again_only_when_it_has_changed(write_model: WriteModel, tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", general__name="First")
    index = CatalogueIndex(tmp_path / "cache" / "index.json")
    assert read(index, path).entry.name == "First"
    index.save()
    path.write_bytes(path.read_bytes().replace(b"First", b"Other"))
    os.utime(path, ns=(0, 1_000_000_000))
    status = path.stat()
    again = CatalogueIndex(tmp_path / "cache" / "index.json")
    assert read(again, path).entry.name == "Other"
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    again.save()
    path.write_bytes(b"\0" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert read(CatalogueIndex(tmp_path / "cache" / "index.json"), path).entry.name == "Other"


def test_a_part_that_went_away_is_noticed(write_model: WriteModel, tmp_path: Path) -> None:
    first = write_model(tmp_path / "big-00001-of-00002.gguf")
    second = write_model(tmp_path / "big-00002-of-00002.gguf", no_tensors=True)
    index = CatalogueIndex(tmp_path / "index.json")
    assert read(index, first).entry.shards == 2
    index.save()
    second.unlink()
    with pytest.raises(ModelFileError, match="big-00002-of-00002"):
        read(CatalogueIndex(tmp_path / "index.json"), first)


def test_what_was_not_asked_for_this_time_is_kept(
    write_model: WriteModel, tmp_path: Path, opened: list[str]
) -> None:
    one, two = (write_model(tmp_path / name) for name in ("one.gguf", "two.gguf"))
    for path in (one, two):
        index = CatalogueIndex(tmp_path / "index.json")
        read(index, path)
        index.save()
    opened.clear()
    last = CatalogueIndex(tmp_path / "index.json")
    assert {read(last, path).entry.path for path in (one, two)} == {str(one), str(two)}
    assert opened == []


def test_what_was_not_asked_for_in_a_month_is_forgotten(
    write_model: WriteModel, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (write_model(tmp_path / name) for name in ("old.gguf", "new.gguf"))
    index = CatalogueIndex(tmp_path / "index.json")
    read(index, old)
    index.save()
    later = time.time() + 40 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    index = CatalogueIndex(tmp_path / "index.json")
    read(index, new)
    index.save()
    opened.clear()
    read(CatalogueIndex(tmp_path / "index.json"), old)
    assert opened == [str(old)]


def test_nothing_is_written_where_nothing_has_changed(write_model: WriteModel, tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    index = CatalogueIndex(tmp_path / "index.json")
    read(index, path)
    index.save()
    (tmp_path / "index.json").write_bytes(b"untouched")
    read(index, path)
    index.save()
    assert (tmp_path / "index.json").read_bytes() == b"untouched"


def test_a_refused_file_is_not_read_again_before_it_changes(tmp_path: Path, opened: list[str]) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF and no more")
    index = CatalogueIndex(tmp_path / "index.json")
    for _ in range(3):
        with pytest.raises(ModelFileError):
            read(index, path)
    assert opened == [str(path)]
    path.chmod(0o600)
    with pytest.raises(ModelFileError):
        read(index, path)
    assert len(opened) == 2


def test_a_folder_that_cannot_be_written_is_no_error(write_model: WriteModel, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    index = CatalogueIndex(tmp_path / "file" / "index.json")
    read(index, write_model(tmp_path / "m.gguf"))
    index.save()


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 99, "rows": {}}', b"\xff\xfe", b"[" * 100_000])
def test_a_broken_index_counts_as_empty(write_model: WriteModel, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index.json").write_bytes(content)
    path = write_model(tmp_path / "m.gguf", general__name="Read")
    assert read(CatalogueIndex(tmp_path / "index.json"), path).entry.name == "Read"


def test_a_write_that_fails_leaves_nothing_behind(
    write_model: WriteModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write = Path.write_bytes

    def write_half(path: Path, content: bytes) -> int:
        real_write(path, content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    path = write_model(tmp_path / "m.gguf")
    index = CatalogueIndex(tmp_path / "cache" / "index.json")
    read(index, path)
    monkeypatch.setattr(Path, "write_bytes", write_half)
    index.save()
    assert list((tmp_path / "cache").iterdir()) == []
