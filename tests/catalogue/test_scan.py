"""The scan finds every model once, in all places, and reports what it could not use."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kobold_tui.catalogue.index import CatalogueIndex
from kobold_tui.catalogue.scan import scan
from kobold_tui.catalogue.stores import (
    FolderStore,
    HuggingFaceStore,
    ModelStore,
    PackageStore,
    default_stores,
    find_models,
    hugging_face_cache,
)
from kobold_tui.domain.errors import ModelFileError
from kobold_tui.domain.model import ModelEntry, ModelFault

WriteModel = Callable[..., Path]


def rows(*stores: ModelStore) -> list[str]:
    return [Path(item.path).name for item in scan(stores) if isinstance(item, ModelEntry)]


def faults(*stores: ModelStore) -> list[ModelFault]:
    return [item for item in scan(stores) if isinstance(item, ModelFault)]


def test_models_are_found_at_every_depth_in_order(write_model: WriteModel, tmp_path: Path) -> None:
    for name in ("b.gguf", "a.gguf", "deep/er/c.GGUF", "deep/notes.txt", "._a.gguf"):
        write_model(tmp_path / name)
    assert rows(FolderStore(tmp_path, "x")) == ["a.gguf", "b.gguf", "c.GGUF"]


def test_a_file_can_stand_in_place_of_a_folder(write_model: WriteModel, tmp_path: Path) -> None:
    assert rows(FolderStore(write_model(tmp_path / "one.gguf"), "x")) == ["one.gguf"]


def test_rows_arrive_while_the_walk_goes_on(write_model: WriteModel, tmp_path: Path) -> None:
    class EndlessStore:
        def find(self) -> Iterator[tuple[Path, str] | ModelFault]:
            yield write_model(tmp_path / "first.gguf"), "x"
            raise AssertionError("the walk went on before the first row was taken")

    first = next(scan([EndlessStore()]))
    assert isinstance(first, ModelEntry)


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


def test_a_file_reached_by_several_ways_is_listed_once(write_model: WriteModel, tmp_path: Path) -> None:
    real = write_model(tmp_path / "a" / "m.gguf")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "link.gguf").symlink_to(real)
    os.link(real, tmp_path / "b" / "hard.gguf")
    stores = [FolderStore(tmp_path / "a", "first"), FolderStore(tmp_path / "b", "second")]
    assert list(find_models(stores)) == [(real, "first")]


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


def test_a_broken_model_is_reported_with_reason_and_remedy(write_model: WriteModel, tmp_path: Path) -> None:
    write_model(tmp_path / "good.gguf")
    (tmp_path / "bad.gguf").write_bytes(b"")
    store = FolderStore(tmp_path, "x")
    assert rows(store) == ["good.gguf"]
    (fault,) = faults(store)
    assert "is empty" in fault.reason
    assert "Download" in fault.reason


def test_parts_are_listed_as_one_model(write_model: WriteModel, tmp_path: Path) -> None:
    write_model(tmp_path / "big-00001-of-00002.gguf")
    second = write_model(tmp_path / "big-00002-of-00002.gguf")
    second.write_bytes(
        second.read_bytes().replace(b"\1\0\0\0\0\0\0\0w", b"\1\0\0\0\0\0\0\0v").replace(b"norm", b"nurm")
    )
    (entry,) = scan([FolderStore(tmp_path, "x")])
    assert isinstance(entry, ModelEntry)
    assert entry.shards == 2
    assert entry.path.endswith("big-00001-of-00002.gguf")


def test_parts_without_their_first_are_one_fault(write_model: WriteModel, tmp_path: Path) -> None:
    write_model(tmp_path / "big-00002-of-00003.gguf")
    write_model(tmp_path / "big-00003-of-00003.gguf")
    (fault,) = scan([FolderStore(tmp_path, "x")])
    assert isinstance(fault, ModelFault)
    assert "big-00001-of-00003.gguf, is missing" in fault.reason


def test_files_of_python_packages_are_found_by_their_records(write_model: WriteModel, tmp_path: Path) -> None:
    write_model(tmp_path / "pkg" / "shipped.gguf")
    write_model(tmp_path / "pkg" / "unlisted.gguf")
    info = tmp_path / "pkg-1.0.dist-info"
    info.mkdir()
    (info / "RECORD").write_text(
        "pkg/__init__.py,sha256=x,1\npkg/shipped.gguf,sha256=y,2\npkg/removed.gguf,,\npkg/shipped.gguf.txt,,\n"
    )
    found = list(PackageStore([str(tmp_path), str(tmp_path / "absent.zip")]).find())
    assert found == [(tmp_path / "pkg" / "shipped.gguf", "Python package")]


def test_a_hundred_packages_are_searched_in_milliseconds(tmp_path: Path) -> None:
    for number in range(100):
        info = tmp_path / f"p{number}-1.0.dist-info"
        info.mkdir()
        (info / "RECORD").write_bytes(b"p/module.py,sha256=0123456789abcdef,12345\n" * 500)
    store = PackageStore([str(tmp_path)])

    def seconds() -> float:
        begin = time.perf_counter()
        assert list(store.find()) == []
        return time.perf_counter() - begin

    assert min(seconds() for _ in range(5)) < 0.05


def test_the_hugging_face_cache_is_read_by_its_snapshots(write_model: WriteModel, tmp_path: Path) -> None:
    repository = tmp_path / "models--org--name"
    blob = write_model(repository / "blobs" / "abc123")
    for revision in ("rev1", "rev2"):
        (repository / "snapshots" / revision).mkdir(parents=True)
        (repository / "snapshots" / revision / "m.gguf").symlink_to(blob)
    (tmp_path / "datasets--org--name" / "snapshots").mkdir(parents=True)
    (entry,) = scan([HuggingFaceStore(tmp_path)])
    assert isinstance(entry, ModelEntry)
    assert entry.path == str(repository / "snapshots" / "rev1" / "m.gguf")
    assert entry.source == "Hugging Face cache"


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({}, str(Path("~/.cache/huggingface/hub").expanduser())),
    ],
)
def test_the_hugging_face_cache_is_where_its_variables_say(environ: dict[str, str], folder: str) -> None:
    assert hugging_face_cache(environ) == Path(folder)


def test_configured_folders_come_before_all_other_stores(write_model: WriteModel, tmp_path: Path) -> None:
    mine = write_model(tmp_path / "mine" / "same.gguf")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "same.gguf").symlink_to(mine)
    write_model(tmp_path / "own" / "other.gguf")
    stores = default_stores([str(tmp_path / "mine")], tmp_path / "own", {"HF_HOME": str(tmp_path / "hf")})
    found = [item for item in find_models(stores) if not isinstance(item, ModelFault)]
    assert found[0] == (mine, str(tmp_path / "mine"))
    assert found[1] == (tmp_path / "own" / "other.gguf", "own models")


def test_the_index_reads_a_file_again_only_when_it_has_changed(
    write_model: WriteModel, tmp_path: Path
) -> None:
    path = write_model(tmp_path / "m.gguf", general__name="First")
    index = CatalogueIndex(tmp_path / "cache" / "index.json")
    assert index.read(path, "a").name == "First"
    index.save()
    path.write_bytes(path.read_bytes().replace(b"First", b"Other"))
    os.utime(path, ns=(0, 1_000_000_000))
    status = path.stat()
    again = CatalogueIndex(tmp_path / "cache" / "index.json")
    assert again.read(path, "b").name == "Other"
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    again.save()
    path.write_bytes(b"\0" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    remembered = CatalogueIndex(tmp_path / "cache" / "index.json").read(path, "c")
    assert (remembered.name, remembered.source) == ("Other", "c")


def test_the_index_notices_a_part_that_went_away(write_model: WriteModel, tmp_path: Path) -> None:
    first = write_model(tmp_path / "big-00001-of-00002.gguf")
    second = write_model(tmp_path / "big-00002-of-00002.gguf", no_tensors=True)
    index = CatalogueIndex(tmp_path / "index.json")
    assert index.read(first, "").shards == 2
    index.save()
    second.unlink()
    with pytest.raises(ModelFileError, match="big-00002-of-00002"):
        CatalogueIndex(tmp_path / "index.json").read(first, "")


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 99, "rows": {}}', b"\xff\xfe", b"[" * 100_000])
def test_a_broken_index_counts_as_empty(write_model: WriteModel, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index.json").write_bytes(content)
    path = write_model(tmp_path / "m.gguf", general__name="Read")
    assert CatalogueIndex(tmp_path / "index.json").read(path, "").name == "Read"
