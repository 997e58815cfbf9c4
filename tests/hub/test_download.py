"""A download: whole or not at all under its name, resumed where it was left, never another file's bytes."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import msgspec
import pytest
from hub_bench import CONTENT, PAUSES, REPO, Bench

from kobold_tui.catalogue import download_part
from kobold_tui.domain.errors import KoboldError

SPLIT = {f"m-Q4_0-0000{i}-of-00003.gguf": bytes([i]) * 5000 for i in (1, 2, 3)}


def test_a_file_arrives_whole_and_nothing_else_stays(bench: Bench) -> None:
    told = bench.fetch()
    assert bench.target.read_bytes() == CONTENT
    assert [path.name for path in bench.folder.iterdir()] == [bench.target.name]
    assert (told[-1].done_bytes, told[-1].total_bytes) == (len(CONTENT), len(CONTENT))


def test_the_parts_of_a_model_are_one_download(bench: Bench) -> None:
    bench.server.add("a/split", SPLIT)
    told = bench.fetch(bench.request(repo="a/split"))
    assert {path.name: path.read_bytes() for path in bench.folder.iterdir()} == SPLIT
    assert told[-1].done_bytes == told[-1].total_bytes == 15_000


def test_a_stopped_download_keeps_its_part_and_goes_on_from_there(bench: Bench) -> None:
    bench.stop_after(100_000)
    (part,) = bench.parts
    kept = part.read_bytes()
    assert 0 < len(kept) < len(CONTENT)
    assert kept == CONTENT[: len(kept)]
    bench.fetch()
    assert bench.server.spans[-1] == f"bytes={len(kept)}-{len(CONTENT) - 1}"
    assert bench.target.read_bytes() == CONTENT
    assert not bench.parts


def test_a_broken_connection_is_taken_up_where_it_broke(bench: Bench) -> None:
    bench.server.faults.break_after = [50_000, 70_000]
    told = bench.fetch()
    starts = [int(span.removeprefix("bytes=").split("-")[0]) for span in bench.server.spans]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert len(starts) == 3
    assert bench.target.read_bytes() == CONTENT
    assert any("trying again" in progress.doing for progress in told)


def test_a_connection_that_breaks_without_end_is_given_up_and_its_part_kept(bench: Bench) -> None:
    bench.server.faults.break_after = [50_000, *([0] * 20)]
    with pytest.raises(KoboldError, match="in the middle of"):
        bench.fetch()
    assert len(bench.server.fetched) == 1 + len(PAUSES)
    assert [part.stat().st_size for part in bench.parts] == [50_000]


def test_a_server_that_ignores_ranges_begins_anew(bench: Bench) -> None:
    bench.stop_after(100_000)
    bench.server.faults.ignore_ranges = True
    bench.fetch()
    assert bench.target.read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_and_always_breaks_is_given_up(bench: Bench) -> None:
    bench.server.faults.ignore_ranges = True
    bench.server.faults.break_after = [50_000] * 50
    with pytest.raises(KoboldError, match="in the middle of"):
        bench.fetch()
    assert len(bench.server.fetched) == 1 + len(PAUSES)


def test_another_part_than_was_asked_for_is_refused(bench: Bench) -> None:
    bench.stop_after(100_000)
    kept = bench.parts[0].stat().st_size
    bench.server.faults.wrong_ranges = True
    with pytest.raises(KoboldError, match="not the part of the file"):
        bench.fetch()
    assert bench.parts[0].stat().st_size == kept


def test_more_bytes_than_the_file_has_are_refused(bench: Bench) -> None:
    bench.server.faults.tail = b"more"
    with pytest.raises(KoboldError, match="longer than the file"):
        bench.fetch()
    assert not bench.target.exists()


def test_large_files_are_asked_for_in_spans(bench: Bench) -> None:
    bench.downloader(span_bytes=100_000).download(bench.request()).run(lambda _: None)
    assert bench.server.spans == ["bytes=0-99999", "bytes=100000-199999", "bytes=200000-262143"]
    assert bench.target.read_bytes() == CONTENT


def test_a_wrong_hash_names_the_file_and_says_what_was_deleted(bench: Bench) -> None:
    bench.server.faults.corrupt_at = 77
    with pytest.raises(KoboldError) as caught:
        bench.fetch()
    assert caught.value.title == "Damaged in transit"
    assert str(bench.target) in caught.value.message
    assert hashlib.sha256(CONTENT).hexdigest() in caught.value.message
    assert "256 KiB that arrived were deleted" in caught.value.message
    assert list(bench.folder.iterdir()) == []


def test_damage_in_what_was_there_before_is_found_too(bench: Bench) -> None:
    bench.stop_after(100_000)
    part = bench.parts[0]
    part.write_bytes(b"\0" * part.stat().st_size)
    with pytest.raises(KoboldError, match="its sha256 is"):
        bench.fetch()
    assert not bench.target.exists()


def test_a_part_longer_than_the_file_is_begun_anew(bench: Bench) -> None:
    bench.stop_after(100_000)
    bench.parts[0].write_bytes(b"x" * (len(CONTENT) + 1))
    bench.fetch()
    assert bench.target.read_bytes() == CONTENT


def test_a_part_of_another_version_is_not_gone_on_with(bench: Bench) -> None:
    bench.stop_after(100_000)
    bench.server.repos[REPO].files["tiny-Q4_K_M.gguf"] = CONTENT[::-1]
    bench.fetch()
    assert bench.server.spans[-1] == f"bytes=0-{len(CONTENT) - 1}"
    assert bench.target.read_bytes() == CONTENT[::-1]


def test_a_file_that_is_here_already_is_checked_and_not_fetched(bench: Bench) -> None:
    bench.folder.mkdir()
    bench.target.write_bytes(CONTENT)
    bench.fetch()
    assert bench.server.fetched == []


@pytest.mark.parametrize("other", [b"something else", CONTENT[::-1]], ids=["shorter", "as long"])
def test_another_file_of_that_name_is_left_alone(bench: Bench, other: bytes) -> None:
    bench.folder.mkdir()
    bench.target.write_bytes(other)
    with pytest.raises(KoboldError, match="is there already"):
        bench.fetch()
    assert bench.target.read_bytes() == other


def test_a_link_in_place_of_the_part_is_not_followed(bench: Bench, tmp_path: Path) -> None:
    bench.stop_after(100_000)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    bench.parts[0].unlink()
    place = bench.folder / f"{bench.target.name}.{hashlib.sha256(CONTENT).hexdigest()[:8]}.part"
    place.symlink_to(precious)
    with pytest.raises(KoboldError):
        bench.fetch()
    assert precious.read_text() == "mine"


def test_the_same_file_is_not_downloaded_twice_at_once(bench: Bench) -> None:
    request = bench.request()
    bench.folder.mkdir()
    with (
        download_part.PartFile(bench.folder, request.item.files[0]),
        pytest.raises(KoboldError, match="another download"),
    ):
        bench.fetch(request)


def test_a_full_disk_is_told_before_the_start(bench: Bench) -> None:
    bench.free_bytes = len(CONTENT) - 1
    with pytest.raises(KoboldError) as caught:
        bench.fetch()
    assert caught.value.title == "Not enough disk space"
    assert "needs 256 KiB more" in caught.value.message
    assert not bench.server.fetched
    assert not bench.folder.exists()


def test_what_is_here_already_needs_no_more_space(bench: Bench) -> None:
    bench.stop_after(100_000)
    bench.free_bytes = len(CONTENT) - bench.parts[0].stat().st_size
    bench.fetch()
    assert bench.target.exists()


def test_a_disk_that_fills_up_meanwhile_is_told_and_the_part_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.stop_after(100_000)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KoboldError) as caught:
        bench.fetch()
    assert caught.value.title == "Disk full"
    assert "kept" in caught.value.hint
    assert bench.parts[0].read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made_is_named(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(KoboldError, match="models"):
        bench.fetch()


def test_a_model_with_missing_parts_is_not_begun(bench: Bench) -> None:
    bench.server.add("a/holes", {"m-00001-of-00002.gguf": b"x"})
    with pytest.raises(KoboldError, match="lacks m-00002-of-00002"):
        bench.fetch(bench.request(repo="a/holes"))
    assert not bench.server.fetched


def test_an_unfinished_download_is_found_again_after_a_restart(bench: Bench) -> None:
    bench.stop_after(100_000)
    request = bench.request()
    bench.notes.keep(request)
    (found,) = bench.notes.unfinished()
    assert found.request == request
    assert found.done_bytes == bench.parts[0].stat().st_size
    assert bench.notes.discard(request) == found.done_bytes
    assert (bench.notes.unfinished(), bench.parts) == ((), [])


def test_notes_that_make_no_sense_are_left_out(bench: Bench, tmp_path: Path) -> None:
    request = bench.request()
    bench.notes.keep(request)
    empty = msgspec.structs.replace(request, item=msgspec.structs.replace(request.item, files=()))
    harmful = msgspec.to_builtins(request)
    harmful["item"]["files"][0]["path"] = "m/..\\x"
    for name, content in (
        ("1", b"{"),
        ("2", msgspec.json.encode(empty)),
        ("3", msgspec.json.encode(harmful)),
    ):
        (tmp_path / "notes" / f"{name}.json").write_bytes(content)
    assert [found.request for found in bench.notes.unfinished()] == [request]
