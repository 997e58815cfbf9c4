"""Finding one model among many: filter, order, groups, and what each row tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fake_world import GIB, World, model
from msgspec.structs import replace

from kobold_tui.domain.gpu import GpuSnapshot
from kobold_tui.domain.model import ModelEntry, ModelFault
from kobold_tui.services.favourites import Marks
from kobold_tui.tui.panes.models import ModelsPane
from kobold_tui.tui.widgets.column_titles import ColumnTitles
from kobold_tui.tui.widgets.filter_line import FilterLine
from kobold_tui.tui.widgets.model_arrangement import Heading
from kobold_tui.tui.widgets.row_list import RowList
from tests.tui.conftest import Driver

if TYPE_CHECKING:
    from tests.tui.conftest import MakeApp

SMOL = replace(model("SmolLM2 135M", size_bytes=GIB // 10), family="SmolLM2")
QWEN = replace(model("Qwen3 30B A3B", size_bytes=17 * GIB, parameters=30_500_000_000), family="Qwen3")
QWEN_SMALL = replace(model("Qwen3 8B", size_bytes=8 * GIB, parameters=8_200_000_000), family="Qwen3")
HUGE = model("DeepSeek V3", size_bytes=400 * GIB, parameters=671_000_000_000)
MODELS = (SMOL, QWEN, QWEN_SMALL, HUGE)
FAULT = ModelFault(path="/models/half.gguf", reason="The file is truncated.")
CARD = GpuSnapshot(
    index=0,
    uuid="GPU-0",
    name="A",
    memory_total_bytes=12 * GIB,
    memory_free_bytes=10 * GIB,
    memory_used_bytes=0,
)


def names(driver: Driver) -> list[str]:
    return [
        row.name if isinstance(row, ModelEntry) else str(getattr(row, "title", row)) for row in driver.rows
    ]


def rows_of(driver: Driver) -> RowList[object]:
    return driver.workbench.query_one("#models-list", RowList)


def picture(driver: Driver) -> list[str]:
    rows = rows_of(driver)
    return [rows.render_line(y).text.rstrip() for y in range(min(len(rows.items), rows.size.height))]


def detail(driver: Driver) -> str:
    return str(driver.workbench.query_one("#models-detail").render())


def said(driver: Driver) -> str:
    return " ".join(notice.message for notice in driver.pilot.app._notifications)


def edge(driver: Driver) -> str:
    return str(driver.workbench.query_one(ModelsPane).border_subtitle)


async def test_all_words_of_the_filter_must_be_there_and_escape_shows_all_again(make_app: MakeApp) -> None:
    async with make_app(World(MODELS)).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: len(driver.rows) == 4)
        await pilot.press("slash", *"30b qw")
        await driver.until(lambda: names(driver) == ["Qwen3 30B A3B"])
        assert "Qwen3 30B" in detail(driver)
        assert edge(driver) == "1 of 4"
        await pilot.press("escape")
        await driver.until(lambda: len(driver.rows) == 4)
        assert rows_of(driver).has_focus
        assert not driver.workbench.query_one(FilterLine).display


async def test_keys_and_clicks_on_titles_sort(make_app: MakeApp) -> None:
    async with make_app(World(MODELS)).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: len(driver.rows) == 4)
        assert names(driver)[0] == "DeepSeek V3"
        await pilot.press("s", "s", "s", "s")
        await driver.until(lambda: edge(driver).endswith("by size"))
        assert names(driver) == ["DeepSeek V3", "Qwen3 30B A3B", "Qwen3 8B", "SmolLM2 135M"]
        await pilot.press("S")
        assert names(driver)[0] == "SmolLM2 135M"
        titles = driver.workbench.query_one(ColumnTitles)
        at = titles.render_line(0).text.index("Params")
        await pilot.click(ColumnTitles, offset=(at, 0))
        assert names(driver)[0] == "DeepSeek V3"
        await pilot.click(ColumnTitles, offset=(at, 0))
        assert names(driver)[0] == "SmolLM2 135M"
        assert "reversed" in edge(driver)


async def test_groups_have_titles_with_their_sums_and_fold(make_app: MakeApp) -> None:
    async with make_app(World(MODELS)).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: len(driver.rows) == 4)
        await pilot.press("g", "g")
        await driver.until(lambda: len(driver.rows) == 7)
        assert names(driver) == [
            "llama", "DeepSeek V3", "Qwen3", "Qwen3 30B A3B", "Qwen3 8B", "SmolLM2", "SmolLM2 135M",
        ]  # fmt: skip
        assert picture(driver)[2].split() == ["▾", "Qwen3", "2", "·", "25.0", "GiB"]
        assert rows_of(driver).current == HUGE
        assert "DeepSeek" in detail(driver)
        await pilot.press("down", "enter")
        await driver.until(lambda: len(driver.rows) == 5)
        assert rows_of(driver).current == Heading(title="Qwen3", count=2, n_bytes=25 * GIB, is_open=False)
        await pilot.press("enter")
        await driver.until(lambda: len(driver.rows) == 7)


async def test_favourites_come_first_then_the_last_used(make_app: MakeApp) -> None:
    world = World(MODELS)
    world.browsing.marks = Marks(favourites=(SMOL.path,), recent=(QWEN_SMALL.path,))
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: names(driver)[:2] == ["SmolLM2 135M", "Qwen3 8B"])
        assert picture(driver)[0].startswith(" ★")
        await pilot.press("end", "f")
        await driver.until(lambda: world.browsing.remembered.get("favourites") == (QWEN.path, SMOL.path))
        await driver.until(lambda: picture(driver)[3].startswith(" ★"))
        assert names(driver)[3] == "Qwen3 30B A3B"
        await pilot.press("r")
        await driver.until(lambda: names(driver)[0] == "Qwen3 30B A3B")
        assert rows_of(driver).current == QWEN
        await pilot.press("f")
        await driver.until(lambda: world.browsing.remembered["favourites"] == (SMOL.path,))


async def test_a_loaded_model_is_marked_and_counts_as_used(make_app: MakeApp) -> None:
    world = World([SMOL, QWEN])
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await driver.load()
        await driver.until(lambda: world.browsing.remembered.get("recent_models") == (QWEN.path,))
        await pilot.press("f2")
        await driver.until(lambda: picture(driver)[0].startswith("▶"))


async def test_marks_tell_where_a_model_would_run(make_app: MakeApp) -> None:
    world = World(MODELS, gpus=(CARD,))
    world.accelerators = ("CUDA",)
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: len(world.browsing.judged) == 4)
        await driver.until(lambda: "too large for this machine" in detail(driver))
        assert [line[2] for line in picture(driver)] == ["✗", "◐", "●", "●"]


async def test_a_library_without_gpu_support_means_the_cpu(make_app: MakeApp) -> None:
    async with make_app(World(MODELS, gpus=(CARD,))).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: [line[2:3] for line in picture(driver)] == ["✗", "○", "○", "○"])


async def test_what_cannot_be_used_stands_apart_with_its_reason(make_app: MakeApp) -> None:
    async with make_app(World([SMOL, FAULT])).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: len(driver.rows) == 3)
        assert names(driver)[1] == "Cannot be used"
        await pilot.press("end")
        await driver.until(lambda: "The file is truncated." in detail(driver))
        await pilot.press("enter")
        await driver.until(lambda: "Choose another model." in said(driver))


async def test_projectors_are_marked_and_not_loaded_by_themselves(make_app: MakeApp) -> None:
    seeing = replace(model("Gemma 3"), projectors=("/models/mmproj.gguf",))
    projector = replace(model("mmproj gemma"), kind="projector")
    world = World([seeing, projector])
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: len(driver.rows) == 2)
        assert "+mmproj" in picture(driver)[0]
        await driver.until(lambda: picture(driver)[1][2] == "+")
        await pilot.press("end", "enter")
        await driver.until(lambda: "belongs to" in said(driver))
        assert world.engines == {}
