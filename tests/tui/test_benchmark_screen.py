"""The benchmark window as a person uses it: start, watch, stop, and put the best into the preset."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from fake_bench import TALKATIVE, TimedEngine
from fake_world import GIB, World, model
from rich.cells import cell_len
from textual.app import App
from textual.command import CommandList, CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input, Static

from kobold_tui.domain.benchmark import BenchRun, DeviceBytes, Spread
from kobold_tui.domain.errors import Failure
from kobold_tui.domain.gpu import GpuSnapshot
from kobold_tui.domain.instance import InstanceId
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.tui import app as app_module
from kobold_tui.tui.app import KoboldApp
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.registry import find_panes
from kobold_tui.tui.screens.benchmark import BenchmarkScreen
from kobold_tui.tui.screens.help import HelpScreen
from kobold_tui.tui.theming import variable_defaults
from kobold_tui.tui.widgets.benchmark_rows import draw_run, heading
from kobold_tui.tui.widgets.row_list import RowList
from kobold_tui.tui.widgets.speed_curve import SpeedCurve, curve_rows

MODEL = model("tiny")
CARD = GpuSnapshot(index=0, uuid="GPU-0", name="Card", memory_total_bytes=24 * GIB)


def by_layers(options: LoadOptions) -> tuple[float, float]:
    layers = options.n_gpu_layers
    return (100.0, 10.0) if not isinstance(layers, int) else (100.0 + 50 * layers, 10.0 + layers)


class Host(App[int]):
    """An app with nothing but the window, in the colours of the program."""

    CSS_PATH = Path(app_module.__file__).with_name("app.tcss")

    def __init__(self, context: PaneContext) -> None:
        super().__init__()
        self.context = context

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme)


class Window:
    """The window and the keys that reach it."""

    def __init__(self, pilot: Pilot[int]) -> None:
        self.pilot = pilot

    @property
    def screen(self) -> BenchmarkScreen:
        screen = self.pilot.app.screen
        assert isinstance(screen, BenchmarkScreen)
        return screen

    @property
    def runs(self) -> list[BenchRun]:
        return list(self.screen.query_one("#benchmark-rows", RowList).items)

    def text(self, name: str) -> str:
        return str(self.screen.query_one(f"#benchmark-{name}", Static).render())

    async def type(self, field: str, text: str) -> None:
        self.screen.query_one(f"#benchmark-{field}", Input).value = text

    async def until(self, condition: Callable[[], object]) -> None:
        for _ in range(2000):
            if condition():
                return
            await self.pilot.pause(0.005)
        raise AssertionError("the condition never held")

    async def measure(self, layers: str = "0,31") -> None:
        await self.type("layers", layers)
        await self.type("prompt", "60")
        await self.type("answer", "12")
        await self.pilot.press("enter")


class Bench:
    """A world whose one model offloads layers; `held` stops its answers in the middle."""

    def __init__(self, home: Path) -> None:
        self.engines: list[TimedEngine] = []
        self.held = False
        self.world = World([MODEL], make_engine=self._make, gpus=(CARD,))
        self.world.keep_presets_in(home)

    def _make(self, instance_id: InstanceId) -> TimedEngine:
        def refuse(options: LoadOptions) -> Failure | None:
            too_many = options.n_gpu_layers == 13
            return Failure(title="Out of memory", message="The \x1b[31mcard is full.") if too_many else None

        script = msgspec.structs.replace(TALKATIVE, hold_answer_after=3 if self.held else None)
        engine = TimedEngine(instance_id, by_layers, script=script, refuse=refuse, offloads=True)
        self.engines.append(engine)
        return engine


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@contextlib.asynccontextmanager
async def opened(
    world: World, make_app: Callable[[PaneContext], App[int]], size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Pilot[int]]:
    backend = world.backend()
    try:
        async with make_app(world.context(backend)).run_test(size=size) as pilot:
            yield pilot
    finally:
        assert await backend.close()


@pytest.fixture
async def window(bench: Bench) -> AsyncIterator[Window]:
    async with opened(bench.world, Host) as pilot:
        app = pilot.app
        assert isinstance(app, Host)
        await app.push_screen(BenchmarkScreen(app.context))
        yield Window(pilot)


async def test_enter_measures_and_the_rows_and_curves_come(window: Window) -> None:
    await window.measure("0,16,31")
    await window.until(lambda: not window.screen.running)
    assert [run.n_gpu_layers for run in window.runs] == [0, 16, 31]
    answers = window.screen.query_one("#benchmark-answers", SpeedCurve)
    assert [x for x, _ in answers.points] == [0, 16, 31]
    assert [y for _, y in answers.points] == pytest.approx([9.8, 25.48, 40.18])
    assert answers.axis == "layers"
    assert window.screen.query_one("#benchmark-rows", RowList).cursor == 2
    assert "fastest placement is marked" in window.text("note")


async def test_progress_names_the_placement(window: Window, bench: Bench) -> None:
    bench.held = True
    await window.measure()
    await window.until(lambda: "Placement 1 of 2: 0 layers" in window.text("note"))
    assert "ctrl+x stops" in str(window.screen.query("Vertical").first().border_subtitle)


async def test_stopping_keeps_what_was_measured_and_unloads_the_model(window: Window, bench: Bench) -> None:
    bench.held = True
    await window.measure()
    await window.until(lambda: bench.engines and type(bench.engines[0].state).__name__ == "Ready")
    await window.pilot.press("ctrl+x")
    await window.until(lambda: not window.screen.running)
    assert "Stopped" in window.text("note")
    await window.until(lambda: type(bench.engines[0].state).__name__ == "Stopped")
    bench.held = False
    await window.pilot.press("enter")
    await window.until(lambda: len(window.runs) == 2)


async def test_escape_stops_first_and_then_closes(window: Window, bench: Bench) -> None:
    bench.held = True
    await window.measure()
    await window.pilot.press("escape")
    await window.until(lambda: not window.screen.running)
    await window.pilot.press("escape")
    assert not isinstance(window.pilot.app.screen, BenchmarkScreen)


async def test_a_refused_load_is_a_row_that_says_why_and_steers_no_terminal(window: Window) -> None:
    await window.measure("13")
    await window.until(lambda: not window.screen.running)
    assert "Out of memory" in window.text("detail")
    assert "\x1b" not in window.text("detail")
    assert "No placement could be measured" in window.text("note")
    await window.pilot.press("ctrl+s")
    await window.until(lambda: "no figures" in window.text("note"))


async def test_the_row_under_the_cursor_goes_into_the_preset(window: Window, bench: Bench) -> None:
    await window.measure()
    await window.until(lambda: not window.screen.running)
    await window.pilot.press("down", "up", "ctrl+s")
    await window.until(lambda: "Saved in the preset tiny" in window.text("note"))
    assert bench.world.library.read("tiny").preset.load.n_gpu_layers == 0


async def test_comments_are_lost_only_after_a_second_press(
    window: Window, bench: Bench, tmp_path: Path
) -> None:
    file = tmp_path / "presets" / "tiny.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f'# dear\nname = "tiny"\nmodel = "{MODEL.path}"\n')
    await window.type("model", "tiny")
    await window.measure()
    await window.until(lambda: not window.screen.running)
    await window.pilot.press("ctrl+s")
    await window.until(lambda: "Press ctrl+s again" in window.text("note"))
    assert "# dear" in file.read_text()
    await window.pilot.press("ctrl+s")
    await window.until(lambda: "Saved in the preset tiny" in window.text("note"))
    assert bench.world.library.read("tiny").preset.load.n_gpu_layers == 31


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("layers", "many", "no list of layers"),
        ("prompt", "x", "no number"),
        ("answer", "1", "n_gen"),
        ("prompt", "99999", "do not go into a context"),
        ("model", "nobody", "nobody"),
    ],
)
async def test_wrong_fields_are_explained(window: Window, field: str, text: str, words: str) -> None:
    await window.type(field, text)
    await window.pilot.press("enter")
    await window.until(lambda: words in window.text("note"))
    await window.until(lambda: not window.screen.running)
    assert window.runs == []


async def test_the_command_palette_opens_the_window_for_the_loaded_model_and_f1_explains_it(
    bench: Bench,
) -> None:
    async with opened(bench.world, lambda context: KoboldApp(context, find_panes())) as pilot:
        window = Window(pilot)
        await pilot.press("ctrl+p")
        await window.until(lambda: isinstance(pilot.app.screen, CommandPalette))
        await pilot.press(*"benchmark placements")
        await window.until(lambda: pilot.app.screen.query_one(CommandList).option_count == 1)
        await pilot.press("down", "enter")
        await window.until(lambda: isinstance(pilot.app.screen, BenchmarkScreen))
        await pilot.press("f1")
        await window.until(lambda: isinstance(pilot.app.screen, HelpScreen))
        assert pilot.app.screen.query("VerticalScroll").first().border_title == "Help · Benchmark placements"


@pytest.mark.parametrize("width", [60, 76, 80, 116, 200])
def test_rows_are_as_wide_as_the_list(width: int) -> None:
    speed = Spread(median=1234.5, low=1000.0, high=1300.0)
    run = BenchRun(
        options=LoadOptions(type_k="iq4_nl", type_v="q4_0", n_ubatch=65_536, n_batch=65_536),
        n_gpu_layers=31,
        prompt_tokens_per_second=speed,
        tokens_per_second=speed,
        seconds_to_load=61.0,
        memory=(DeviceBytes(device="CUDA0", measured_bytes=5 * GIB),),
    )
    failed = msgspec.structs.replace(run, failure=Failure(title="Out of memory", message="…"))
    least = max(width, 69)
    assert cell_len("".join(text for text, _ in draw_run(run, run, width))) == least
    assert cell_len("".join(text for text, _ in draw_run(failed, None, width))) == width
    assert cell_len(heading(width)) == least


def test_a_curve_rises_from_zero_to_the_greatest_value() -> None:
    rows = curve_rows([(0, 0.0), (10, 5.0), (20, 10.0)], 10, 3)
    assert [len(row) for row in rows] == [10, 10, 10]
    assert rows[0].strip() == rows[0][-len(rows[0].strip()) :]
    assert rows[2][0] != " "
    assert not rows[2][-1].strip()
    flat = curve_rows([(0, 7.0), (20, 7.0)], 10, 3)
    assert flat == ["⠉" * 10, " " * 10, " " * 10]


@pytest.mark.parametrize("points", [[], [(0, 0.0), (1, 0.0)]])
def test_a_curve_of_nothing_is_blank(points: list[tuple[float, float]]) -> None:
    assert curve_rows(points, 4, 2) == ["    ", "    "]
