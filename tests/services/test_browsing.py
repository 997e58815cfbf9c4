"""Favourites that several copies of the program share, where models fit, and folders on the desktop."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fake_world import GIB, model
from model_shapes import header_of

from kobold_tui.domain.errors import ModelFileError
from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot, HostSnapshot, Telemetry
from kobold_tui.domain.instance import InstanceId
from kobold_tui.domain.memory import ModelShape, shape_of
from kobold_tui.services.favourites import MOST_RECENT, FavouritesService, Marks
from kobold_tui.services.model_files import FolderWindow
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.suitability import SuitabilityService
from kobold_tui.storage.paths import Paths
from kobold_tui.storage.settings import edit_state, load_settings

LLAMA_8B = model("Llama 8B", size_bytes=8 * GIB)
OURS = InstanceId("ours")


def telemetry(*free_gib: float, ram_gib: float = 64, held_gib: float = 0) -> Telemetry:
    cards = tuple(
        GpuSnapshot(
            index=index,
            uuid=f"GPU-{index}",
            name="A card",
            memory_total_bytes=80 * GIB,
            memory_free_bytes=int(free * GIB),
            processes=(GpuProcess(pid=1, memory_bytes=int(held_gib * GIB), instance=OURS),),
        )
        for index, free in enumerate(free_gib)
    )
    host = HostSnapshot(memory_total_bytes=64 * GIB, memory_available_bytes=int(ram_gib * GIB))
    return Telemetry(taken_at=0.0, host=host, gpus=cards)


def suitability(read: Any = None, accelerators: tuple[str, ...] = ("CUDA",)) -> SuitabilityService:
    def shape(_path: str) -> ModelShape:
        return shape_of(header_of("llama-8b"))

    return SuitabilityService(read or shape, OwnThread("headers"), lambda: accelerators)


@pytest.mark.parametrize(
    ("machine", "verdict"),
    [
        (telemetry(40), "gpu"),
        (telemetry(3), "partly"),
        (telemetry(0.1), "cpu"),
        (telemetry(), "cpu"),
        (telemetry(ram_gib=1), "no"),
    ],
)
async def test_a_model_is_judged_by_prediction_on_what_is_free(machine: Telemetry, verdict: str) -> None:
    assert await suitability().judge([LLAMA_8B], machine) == {LLAMA_8B.path: verdict}


async def test_what_makes_way_counts_as_free() -> None:
    machine = telemetry(3, held_gib=37)
    assert (await suitability().judge([LLAMA_8B], machine, OURS))[LLAMA_8B.path] == "gpu"
    assert (await suitability().free(machine, OURS)).vram_bytes == 40 * GIB


async def test_cards_that_the_library_cannot_use_do_not_count() -> None:
    judged = await suitability(accelerators=()).judge([LLAMA_8B], telemetry(40))
    assert judged[LLAMA_8B.path] == "cpu"


async def test_a_header_is_read_once_and_one_that_cannot_be_read_leaves_the_size() -> None:
    reads: list[str] = []

    def refuse(path: str) -> ModelShape:
        reads.append(path)
        raise ModelFileError("Broken", f"{path} is broken.", "Download it again.")

    service = suitability(refuse)
    assert (await service.judge([LLAMA_8B], telemetry(40)))[LLAMA_8B.path] == "gpu"
    assert (await service.judge([LLAMA_8B], telemetry(8)))[LLAMA_8B.path] == "partly"
    assert reads == [LLAMA_8B.path]


async def test_favourites_of_two_copies_of_the_program_add_up(tmp_path: Path) -> None:
    paths = Paths.below(tmp_path)
    one, other = (FavouritesService(partial(edit_state, paths), OwnThread("marks")) for _ in range(2))
    await one.toggle(["/a.gguf"])
    assert (await other.toggle(["/b.gguf"])).favourites == ("/b.gguf", "/a.gguf")
    assert (await one.toggle(["/elsewhere.gguf", "/a.gguf"])).favourites == ("/b.gguf",)
    assert load_settings(paths, {}).settings.favourites == ("/b.gguf",)


async def test_only_the_models_used_last_are_remembered(tmp_path: Path) -> None:
    paths = Paths.below(tmp_path)
    service = FavouritesService(partial(edit_state, paths), OwnThread("marks"))
    for number in range(MOST_RECENT + 3):
        marks = await service.note_used(f"/{number}.gguf")
    again = await service.note_used("/9.gguf")
    assert marks.recent[0] == f"/{MOST_RECENT + 2}.gguf"
    assert again.recent[:2] == ("/9.gguf", f"/{MOST_RECENT + 2}.gguf")
    assert len(again.recent) == len(set(again.recent)) == MOST_RECENT
    assert load_settings(paths, {}).settings.recent_models == again.recent


async def test_hand_written_favourites_are_the_beginning(tmp_path: Path) -> None:
    service = FavouritesService(
        partial(edit_state, Paths.below(tmp_path)), OwnThread("marks"), Marks(favourites=("/hand.gguf",))
    )
    assert (await service.toggle(["/a.gguf"])).favourites == ("/a.gguf", "/hand.gguf")


def test_a_folder_is_shown_only_where_there_is_a_desktop(tmp_path: Path) -> None:
    opener = tmp_path / "xdg-open"
    opener.write_text("")
    opener.chmod(0o755)
    asked: list[list[str]] = []

    def run(command: list[str], **_options: Any) -> subprocess.CompletedProcess[bytes]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0)

    desktop = {"PATH": str(tmp_path), "DISPLAY": ":0"}
    assert FolderWindow(desktop, run).show("/models")
    assert asked == [[str(opener), "/models"]]
    assert not FolderWindow({**desktop, "SSH_CONNECTION": "x"}, run).show("/models")
    assert not FolderWindow({"PATH": str(tmp_path)}, run).show("/models")
    assert len(asked) == 1
