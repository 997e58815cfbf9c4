"""What the hub is asked, and what its answers become."""

from __future__ import annotations

import pytest
from hub_bench import REPO, Bench

from kobold_tui.catalogue.hub_errors import HubError
from kobold_tui.domain.hub import HubFile


def test_a_search_finds_gguf_repositories_the_most_downloaded_first(bench: Bench) -> None:
    bench.server.add("other/tiny-big-GGUF", {}, downloads=5000, likes=7, licence="mit", gated="manual")
    found = bench.hub.search("tiny gguf", limit=10)
    assert [repo.id for repo in found] == ["other/tiny-big-GGUF", REPO]
    assert (found[0].downloads, found[0].likes, found[0].licence, found[0].gate) == (5000, 7, "mit", "manual")
    assert found[1].updated_at == 1772366400.0
    asked = bench.server.asked[-1].query
    assert (asked["filter"], asked["sort"], asked["limit"]) == (["gguf"], ["downloads"], ["10"])


def test_a_listing_has_sizes_and_hashes_of_one_revision(bench: Bench) -> None:
    listing = bench.hub.listing(REPO)
    (item,) = listing.items
    (file,) = item.files
    assert listing.revision == "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"
    assert (item.quantization, file.path, file.size_bytes) == ("Q4_K_M", "tiny-Q4_K_M.gguf", 256 * 1024)
    assert len(file.sha256) == 64


def test_parts_are_one_item_and_what_is_no_model_stands_last(bench: Bench) -> None:
    parts = {f"BF16/m-BF16-{i:05d}-of-00003.gguf": b"x" * 9 for i in (1, 2, 3)}
    others = {"m-Q8_0.gguf": b"x" * 5, "mmproj-F16.gguf": b"x", "m.imatrix.gguf": b"x"}
    bench.server.add("a/split", {**parts, **others, "notes.txt": b"hello"})
    items = bench.hub.listing("a/split").items
    assert [(item.name, item.kind, item.quantization, len(item.files)) for item in items] == [
        ("m-Q8_0", "model", "Q8_0", 1),
        ("m-BF16", "model", "BF16", 3),
        ("mmproj-F16", "projector", "F16", 1),
        ("m.imatrix", "matrix", "", 1),
    ]
    assert items[1].size_bytes == 27
    assert [file.name[-19:] for file in items[1].files] == [
        f"-0000{i}-of-00003.gguf"[-19:] for i in (1, 2, 3)
    ]


def test_a_part_that_the_repository_lacks_is_named(bench: Bench) -> None:
    bench.server.add("a/holes", {"m-00001-of-00003.gguf": b"x", "m-00003-of-00003.gguf": b"x"})
    (item,) = bench.hub.listing("a/holes").items
    assert item.missing == ("m-00002-of-00003.gguf",)


@pytest.mark.parametrize(
    ("path", "quantization"),
    [
        ("Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"),
        ("qwen3-8b-q5_k_s.gguf", "Q5_K_S"),
        ("Model-UD-Q2_K_XL.gguf", "UD-Q2_K_XL"),
        ("model.IQ3_XXS.gguf", "IQ3_XXS"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("ggml-model-f16.gguf", "F16"),
        ("Q8_0/model-of-q.gguf", "Q8_0"),
        ("llama-2-7b.gguf", ""),
    ],
)
def test_the_quantization_is_read_from_the_name(bench: Bench, path: str, quantization: str) -> None:
    bench.server.add("a/one", {path: b"x"})
    (item,) = bench.hub.listing("a/one").items
    assert item.quantization == quantization


@pytest.mark.parametrize(
    "path", ["..gguf", ".hidden.gguf", "a\x1b[31m.gguf", "a/b\\c.gguf", "line\nbreak.gguf"]
)
def test_files_whose_names_could_do_harm_are_not_offered(bench: Bench, path: str) -> None:
    bench.server.add("a/names", {path: b"x", "good.gguf": b"x"})
    assert [item.name for item in bench.hub.listing("a/names").items] == ["good"]


def test_a_hash_that_is_none_is_taken_for_no_hash(bench: Bench) -> None:
    bench.server.add("a/odd", {"m.gguf": b"x"}, hashes={"m.gguf": "../../etc"})
    (item,) = bench.hub.listing("a/odd").items
    assert item.files == (HubFile(path="m.gguf", size_bytes=1),)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>Log in to the guest network</html>",
        b'{"id": "someone/tiny-GGUF"}',
        b'{"id": "../../etc", "sha": "abc"}',
        b'{"id": "a/b", "sha": "../../main"}',
        b"[1, 2",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"id": 7, "siblings": "none"}',
    ],
    ids=[
        "a page",
        "no revision",
        "bad name",
        "bad revision",
        "cut off",
        "no text",
        "too deep",
        "wrong types",
    ],
)
def test_an_answer_that_no_hub_gives_is_an_error_in_words(bench: Bench, answer: bytes) -> None:
    bench.server.faults.answer = answer
    with pytest.raises(HubError, match="answered something unexpected") as caught:
        bench.hub.listing(REPO)
    assert caught.value.title == "Not a hub's answer"
    assert "HF_ENDPOINT" in caught.value.hint


def test_search_results_with_impossible_names_are_left_out(bench: Bench) -> None:
    bench.server.faults.answer = b'[{"id": "../x"}, {"id": "a\\u001b/b"}, {"id": "ok/ok", "downloads": -3}]'
    assert [(repo.id, repo.downloads) for repo in bench.hub.search("x")] == [("ok/ok", 0)]


def test_an_answer_without_an_end_is_given_up(bench: Bench) -> None:
    bench.server.faults.endless = True
    with pytest.raises(HubError, match="no end"):
        bench.hub.search("x")
