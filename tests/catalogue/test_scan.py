"""The scan finds every model once, in all places, and reports what it could not use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kobold_tui.catalogue import folders
from kobold_tui.catalogue.scan import look_through, scan
from kobold_tui.catalogue.stores import FolderStore, FoundFile, ModelStore
from kobold_tui.domain.model import ModelEntry, ModelFault, Sighting

WriteModel = Callable[..., Path]


def rows(*stores: ModelStore) -> list[str]:
    return [Path(item.path).name for item in scan(stores) if isinstance(item, ModelEntry)]


def faults(*stores: ModelStore) -> list[ModelFault]:
    return [item for item in scan(stores) if isinstance(item, ModelFault)]


def test_models_are_found_at_every_depth(write_model: WriteModel, tmp_path: Path) -> None:
    for name in ("b.gguf", "a.gguf", "deep/er/c.GGUF", "deep/notes.txt", "._a.gguf"):
        write_model(tmp_path / name, general__name=name)
    assert rows(FolderStore(tmp_path, "x")) == ["a.gguf", "b.gguf", "c.GGUF"]


def test_a_file_can_stand_in_place_of_a_folder(write_model: WriteModel, tmp_path: Path) -> None:
    assert rows(FolderStore(write_model(tmp_path / "one.gguf"), "x")) == ["one.gguf"]


def test_rows_arrive_while_the_walk_goes_on(write_model: WriteModel, tmp_path: Path) -> None:
    class EndlessStore:
        name = "endless"

        def find(self) -> Iterator[FoundFile | ModelFault]:
            yield FoundFile(write_model(tmp_path / "first.gguf"), "x")
            raise AssertionError("the walk went on before the first row was taken")

    assert isinstance(next(look_through(EndlessStore())), Sighting)


def test_loops_of_links_are_walked_once(
    write_model: WriteModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "sub" / "m.gguf")
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    walked: list[str] = []
    real_scandir = os.scandir

    def counting_scandir(folder: Path) -> object:
        walked.append(str(folder))
        return real_scandir(folder)

    monkeypatch.setattr(os, "scandir", counting_scandir)
    assert rows(FolderStore(tmp_path, "x")) == ["m.gguf"]
    assert walked == [str(tmp_path), str(tmp_path / "sub")]


def test_a_tree_without_end_is_left_with_advice(
    write_model: WriteModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "MAX_FOLDERS", 3)
    for number in range(9):
        write_model(tmp_path / f"f{number}" / "m.gguf", general__name=f"m{number}")
    store = FolderStore(tmp_path, "x")
    assert len(rows(store)) == 2
    assert "more than 3 folders" in faults(store)[0].reason


def test_a_file_of_several_names_is_read_once_and_listed_once(
    write_model: WriteModel, tmp_path: Path
) -> None:
    real = write_model(tmp_path / "a" / "m.gguf")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "link.gguf").symlink_to(real)
    os.link(real, tmp_path / "b" / "hard.gguf")
    read: list[FoundFile] = []

    def noting(found: FoundFile) -> Sighting:
        read.append(found)
        return next(item for item in look_through(FolderStore(real, "")) if isinstance(item, Sighting))

    (entry,) = scan([FolderStore(tmp_path, "x")], noting)
    assert isinstance(entry, ModelEntry)
    assert entry.path == str(real)
    assert entry.copies == (str(tmp_path / "b" / "hard.gguf"), str(tmp_path / "b" / "link.gguf"))
    assert len(read) == 1


def test_a_copy_with_the_same_content_is_listed_with_the_original(
    write_model: WriteModel, tmp_path: Path
) -> None:
    first = write_model(tmp_path / "first" / "m.gguf")
    other = write_model(tmp_path / "second" / "renamed.gguf")
    stores = [FolderStore(tmp_path / "second", "second"), FolderStore(tmp_path / "first", "first")]
    (entry,) = scan(stores)
    assert isinstance(entry, ModelEntry)
    assert (entry.path, entry.source, entry.copies) == (str(other), "second", (str(first),))


@pytest.mark.parametrize("change", ["metadata", "weights", "tensors"])
def test_models_that_differ_are_two_even_at_the_same_size(
    write_model: WriteModel, tmp_path: Path, change: str
) -> None:
    content = write_model(tmp_path / "a.gguf", general__name="one", some__id=1).read_bytes()
    changed = {
        "metadata": content.replace(b"some.id\4\0\0\0\1", b"some.id\4\0\0\0\2"),
        "weights": content[:-1] + b"\1",
        "tensors": content.replace(b"\4\0\0\0\0\0\0\0norm", b"\4\0\0\0\0\0\0\0nurm"),
    }[change]
    assert changed != content
    (tmp_path / "b.gguf").write_bytes(changed)
    assert rows(FolderStore(tmp_path, "x")) == ["a.gguf", "b.gguf"]


def test_a_link_to_nothing_is_reported(tmp_path: Path) -> None:
    (tmp_path / "gone.gguf").symlink_to(tmp_path / "nowhere")
    (fault,) = faults(FolderStore(tmp_path, "x"))
    assert fault.path.endswith("gone.gguf")
    assert "No such file" in fault.reason


def test_a_folder_that_cannot_be_read_is_reported_and_the_rest_is_found(
    write_model: WriteModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "z" / "ok.gguf")
    (tmp_path / "locked").mkdir()
    real_scandir = os.scandir

    def refusing_scandir(folder: Path) -> object:
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return real_scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing_scandir)
    store = FolderStore(tmp_path, "x")
    assert rows(store) == ["ok.gguf"]
    (fault,) = faults(store)
    assert (Path(fault.path).name, "Permission denied" in fault.reason) == ("locked", True)


def test_only_a_folder_that_somebody_asked_for_is_missed(tmp_path: Path) -> None:
    assert "No such file" in faults(FolderStore(tmp_path / "absent", "x"))[0].reason
    assert faults(FolderStore(tmp_path / "absent", "x", expected=False)) == []


def test_a_broken_model_is_reported_once_with_reason_and_remedy(
    write_model: WriteModel, tmp_path: Path
) -> None:
    write_model(tmp_path / "good.gguf")
    (tmp_path / "bad.gguf").write_bytes(b"")
    (tmp_path / "link-to-bad.gguf").symlink_to(tmp_path / "bad.gguf")
    store = FolderStore(tmp_path, "x")
    assert rows(store) == ["good.gguf"]
    (fault,) = faults(store)
    assert "is empty" in fault.reason
    assert "Download" in fault.reason


def test_parts_are_listed_as_one_model(write_model: WriteModel, tmp_path: Path) -> None:
    write_model(tmp_path / "big-00001-of-00002.gguf")
    write_model(tmp_path / "big-00002-of-00002.gguf")
    (entry,) = scan([FolderStore(tmp_path, "x")])
    assert isinstance(entry, ModelEntry)
    assert entry.shards == 2
    assert entry.path.endswith("big-00001-of-00002.gguf")


def test_a_missing_part_is_named(write_model: WriteModel, tmp_path: Path) -> None:
    write_model(tmp_path / "big-00001-of-00003.gguf")
    write_model(tmp_path / "big-00003-of-00003.gguf")
    (fault,) = scan([FolderStore(tmp_path, "x")])
    assert isinstance(fault, ModelFault)
    assert "missing: big-00002-of-00003.gguf" in fault.reason


def test_parts_without_their_first_are_one_fault(write_model: WriteModel, tmp_path: Path) -> None:
    write_model(tmp_path / "big-00002-of-00003.gguf")
    write_model(tmp_path / "big-00003-of-00003.gguf")
    (fault,) = scan([FolderStore(tmp_path, "x")])
    assert isinstance(fault, ModelFault)
    assert "big-00001-of-00003.gguf, is missing" in fault.reason
