"""The rules that need no hub: what fits, how fast it is, what a person means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.gpu import GpuSnapshot, HostSnapshot, MigInstance, Telemetry
from kobold_tui.domain.hub import HubFile, HubItem, HubListing, HubRepo, Progress, choose, parse_reference
from kobold_tui.domain.size_rule import OVERHEAD, FreeMemory, SizeVerdict, free_memory, judge_size
from kobold_tui.domain.transfer_rate import TransferRate
from kobold_tui.services.downloads import describe

GIB = 1024**3
BEST_FIRST: list[SizeVerdict] = ["gpu", "partly", "cpu", "no"]


@pytest.mark.parametrize(
    ("size_gib", "vram_gib", "ram_gib", "verdict"),
    [
        (10, 12, 1, "gpu"),
        (10, 11, 64, "partly"),
        (10, 1, 64, "cpu"),
        (10, 0, 64, "cpu"),
        (10, 6, 5, "no"),
        (100, 24, 64, "no"),
    ],
)
def test_what_fits_is_judged_by_size(
    size_gib: int, vram_gib: int, ram_gib: int, verdict: SizeVerdict
) -> None:
    free = FreeMemory(vram_bytes=vram_gib * GIB, ram_bytes=ram_gib * GIB)
    assert judge_size(size_gib * GIB, free) == verdict


sizes = st.integers(0, 10**13)


@given(sizes, sizes, sizes, sizes)
def test_a_larger_model_never_fits_better(size: int, more: int, vram: int, ram: int) -> None:
    free = FreeMemory(vram_bytes=vram, ram_bytes=ram)
    before, after = judge_size(size, free), judge_size(size + more, free)
    assert BEST_FIRST.index(after) >= BEST_FIRST.index(before) or (before, after) == ("cpu", "partly")
    assert (after == "no") or (size + more) * OVERHEAD <= vram + ram


def test_free_memory_counts_the_cards_that_we_may_use() -> None:
    slice_ = MigInstance(index=0, uuid="m", memory_free_bytes=3)
    telemetry = Telemetry(
        taken_at=0.0,
        host=HostSnapshot(memory_total_bytes=100, memory_available_bytes=70),
        gpus=(
            GpuSnapshot(index=0, uuid="a", name="A", memory_free_bytes=10),
            GpuSnapshot(index=1, uuid="b", name="B", memory_free_bytes=20, is_visible=False),
            GpuSnapshot(index=2, uuid="c", name="C"),
            GpuSnapshot(
                index=3, uuid="d", name="D", memory_free_bytes=50, mig_enabled=True, mig_instances=(slice_,)
            ),
        ),
    )
    assert free_memory(telemetry) == FreeMemory(vram_bytes=13, ram_bytes=70)


def test_speed_is_that_of_the_last_seconds() -> None:
    rate = TransferRate()
    for second in range(60):
        rate.note(second, second * 1000 if second < 30 else 30_000 + (second - 30) * 100)
    assert rate.bytes_per_second == pytest.approx(100)
    assert rate.seconds_left(42_900) == pytest.approx(100)


def test_speed_is_not_guessed_and_not_that_of_an_earlier_beginning() -> None:
    rate = TransferRate()
    rate.note(0.0, 0)
    rate.note(0.1, 10**9)
    assert (rate.bytes_per_second, rate.seconds_left(10**10)) == (None, None)
    rate.note(5.0, 100)
    rate.note(6.0, 300)
    assert rate.bytes_per_second == 200


def test_a_transfer_that_stands_still_has_no_end() -> None:
    rate = TransferRate()
    rate.note(0.0, 500)
    rate.note(9.0, 500)
    assert rate.seconds_left(1000) is None


def test_progress_is_told_in_words() -> None:
    moving = Progress(done_bytes=1, total_bytes=9, bytes_per_second=12_900_000.0, seconds_left=125.0)
    assert describe(moving) == "12.3 MiB/s · 2 min 05 s left"
    assert describe(Progress(done_bytes=1, total_bytes=9)) == ""
    assert (
        describe(Progress(done_bytes=1, total_bytes=9, doing="waiting for its turn"))
        == "waiting for its turn"
    )


@pytest.mark.parametrize(
    ("text", "repo", "wanted"),
    [
        ("a/b-GGUF", "a/b-GGUF", ""),
        (" a/b:Q4_K_M ", "a/b", "Q4_K_M"),
        ("hf.co/a/b:Q8_0", "a/b", "Q8_0"),
        ("https://huggingface.co/a/b", "a/b", ""),
        ("https://huggingface.co/a/b/tree/main", "a/b", ""),
        ("https://huggingface.co/a/b/blob/main/x/m-Q4_0.gguf", "a/b", "x/m-Q4_0.gguf"),
        ("https://huggingface.co/a/b/resolve/main/m.gguf?download=true", "a/b", "m.gguf"),
    ],
)
def test_a_repository_is_understood_as_people_write_it(text: str, repo: str, wanted: str) -> None:
    assert parse_reference(text) == (repo, wanted)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a/b/c", "../b", "a/..", "a/b..c", "a//b", "a/b c", "a/\x1b", "http://x.org/a/b", "-a/b"],
)
def test_what_is_no_repository_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="no name of a repository"):
        parse_reference(text)


def listing(*names: str) -> HubListing:
    items = tuple(
        HubItem(
            name=name,
            quantization=name.split("-")[-1],
            kind="projector" if "mmproj" in name else "model",
            files=(HubFile(path=f"sub/{name}.gguf", size_bytes=5 * GIB),),
        )
        for name in names
    )
    return HubListing(repo=HubRepo(id="a/b"), revision="1", items=items)


@pytest.mark.parametrize("wanted", ["q4_k", "M-Q4_K", "sub/M-Q4_K.gguf", "m-q4_k.gguf", " Q4_K "])
def test_an_item_is_named_by_quantization_name_or_file(wanted: str) -> None:
    assert choose(listing("M-Q4_K", "M-Q4_K_S", "mmproj-F16"), wanted).name == "M-Q4_K"


def test_the_only_model_needs_no_name() -> None:
    assert choose(listing("M-Q4_0", "mmproj-F16"), "").name == "M-Q4_0"


@pytest.mark.parametrize(
    ("wanted", "message"), [("", "has 2 models"), ("Q4", "2 files"), ("Q9", "nothing called")]
)
def test_a_choice_that_is_none_offers_what_there_is(wanted: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        choose(listing("M-Q4_0", "M-Q4_1"), wanted)
    assert "Q4_0 (5.00 GiB), Q4_1 (5.00 GiB)" in caught.value.hint


def test_a_repository_without_models_says_so() -> None:
    with pytest.raises(UsageError, match="no GGUF model"):
        choose(listing("mmproj-F16"), "")
