"""The demonstration: the whole program without model, card or network; nothing of the user's is touched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from kobold_tui.bootstrap import open_services, open_settings
from kobold_tui.bootstrap.demo import Tempo, demo_options, demo_outside, demo_paths
from kobold_tui.bootstrap.demo.engine import DemoEngine
from kobold_tui.bootstrap.demo.words import REPLY
from kobold_tui.domain.gpu import Telemetry
from kobold_tui.domain.instance import InstanceState, Loading
from kobold_tui.hardware.synthetic import SyntheticLoad, SyntheticMachine, card_uuid
from kobold_tui.services.backend_thread import BackendThread
from kobold_tui.services.options import StartOptions
from kobold_tui.services.registry import Services
from kobold_tui.tui.panes.gpus import GpusPane
from kobold_tui.tui.start import build_app
from kobold_tui.tui.widgets.status_line import StatusLine
from tests.tui.conftest import Driver

OPTIONS = demo_options(StartOptions(demo=True))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own folder, which must stay as it is."""
    monkeypatch.setenv("KOBOLD_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KOBOLD_TUI_THEME", "no-such-theme")
    demo_paths.cache_clear()
    return tmp_path / "home"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let scripted models wait for nothing."""

    async def no_wait(*_: object) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(DemoEngine, "_wait", no_wait)


@pytest.fixture
async def pilot(home: Path, at_once: None) -> AsyncIterator[Pilot[int]]:
    """Run the demonstration."""
    backend: BackendThread[Services] = BackendThread(lambda: open_services(OPTIONS))
    backend.start()
    app = build_app(backend, OPTIONS, *open_settings(OPTIONS))
    async with app.run_test(size=(120, 40)) as running:
        yield running
    assert await backend.close()


async def test_a_model_loads_answers_and_owns_memory_of_made_up_cards(pilot: Pilot[int], home: Path) -> None:
    driver = Driver(pilot)
    await driver.until_state("Ready")
    assert "demo" in "".join(text for text, _ in driver.workbench.query_one(StatusLine).left)
    await pilot.press("f4")
    await driver.say("hello")
    await driver.until_answered()
    assert driver.transcript.items[-1].text == REPLY
    await pilot.press("f3")
    page = driver.workbench.query_one
    await driver.until(lambda: _all_in(page(GpusPane).text, "Lantern-9B", "Lantern-Embed", "python3", "ada"))
    assert len(driver.workbench.instances) == 2
    assert untouched(home)


def untouched(home: Path) -> bool:
    return not home.exists()


def disk_bytes(path: str) -> int:
    """What a file really takes, however long it says it is."""
    return Path(path).stat().st_blocks * 512


def _all_in(text: str, *parts: str) -> bool:
    return all(part in text for part in parts)


async def test_loading_shows_progress_and_the_memory_grows_with_it(home: Path) -> None:
    outside = demo_outside(demo_paths(), 1.0, tempo=Tempo(load_seconds=0.0, token_seconds=0.0))
    async with open_services(OPTIONS) as services:
        launch = await services.launch.resolve("Lantern 30B A3B Instruct")
        predicted = await services.tuning.predict(launch.spec)
    states: list[InstanceState] = []
    used: list[int] = []

    def seen(state: InstanceState) -> None:
        states.append(state)
        machine = outside.telemetry._machine  # type: ignore[attr-defined]
        used.append(sum(gpu.memory_used_bytes or 0 for gpu in machine.read_gpus().gpus))

    task = asyncio.create_task(outside.loading.load(launch.spec, estimate=predicted, on_state=seen))
    instance = await task
    fractions = [state.fraction for state in states if isinstance(state, Loading) and state.fraction]
    assert fractions == sorted(fractions)
    assert len(set(fractions)) > 20
    assert used[-1] > used[0] + 10 * 1024**3
    assert instance.pid is not None
    await outside.loading.stop(instance.id)
    await outside.loading.close()


async def test_nothing_is_left_of_the_users_settings_and_all_models_are_made_up(home: Path) -> None:
    paths, loaded = open_settings(OPTIONS)
    assert not str(paths.config_dir).startswith(str(home))
    assert loaded.settings.theme == "ember"
    async with open_services(OPTIONS) as services:
        models, failed = await services.models.list_models()
        assert {entry.source for entry in models} == {"demonstration"}
        assert sorted({entry.kind for entry in models}) == ["base", "chat", "embedding"]
        assert len(failed) == 1
        await services.state.remember("theme", "paper")
    assert untouched(home)
    assert sum(map(disk_bytes, (entry.path for entry in models))) < 4 * 1024**2


def test_another_start_can_be_asked_for() -> None:
    assert demo_options(StartOptions(demo=True, model="Harbour")).load is False
    assert (OPTIONS.load, OPTIONS.model) == (True, "Lantern 9B Instruct")


def machine(*loads: SyntheticLoad, now: Callable[[], float] = lambda: 5000.0) -> SyntheticMachine:
    return SyntheticMachine(lambda: loads, now)


def test_with_a_clock_that_stands_still_all_figures_do() -> None:
    one, other = machine(), machine()
    assert one.read_gpus() == other.read_gpus()
    assert one.read_host() == other.read_host()
    assert one.past(card_uuid(0)) == other.past(card_uuid(0))


def test_the_figures_of_a_card_add_up_and_move_with_its_models() -> None:
    load = SyntheticLoad(name="lamp", pid=7, card_bytes=(10 * 1024**3, 0), share=0.5)
    busy = SyntheticLoad(name="lamp", pid=7, card_bytes=(10 * 1024**3, 0), is_busy=True)
    half, full = machine(load).read_gpus().gpus[0], machine(busy).read_gpus().gpus[0]
    for card in (half, full, *machine().read_gpus().gpus):
        known = [card.memory_used_bytes, card.memory_free_bytes, card.memory_reserved_bytes]
        assert sum(size or 0 for size in known) == card.memory_total_bytes
        held = sum(process.memory_bytes or 0 for process in card.processes)
        assert 0 <= (card.memory_used_bytes or 0) - held < 1024**3
        assert 0 <= (card.utilization_percent or 0) <= 100
        assert (card.power_w or 0) < (card.power_limit_w or 0)
    assert [process.instance for process in half.processes] == ["lamp"]
    assert (full.memory_used_bytes or 0) - (half.memory_used_bytes or 0) == 5 * 1024**3
    assert (half.utilization_percent, full.utilization_percent) == (0, 95)


def test_the_cards_have_ten_minutes_behind_them() -> None:
    past = machine().past(card_uuid(1))
    assert past[-1].taken_at - past[0].taken_at == pytest.approx(598)
    assert past[-1].taken_at < 5000.0
    assert len({point.utilization_percent for point in past}) > 10
    assert machine().past("GPU-unknown") == ()


def test_readings_of_cards_and_host_are_apart() -> None:
    host: Telemetry = machine().read_host()
    assert host.gpus == ()
    assert host.host.memory_available_bytes < host.host.memory_total_bytes
