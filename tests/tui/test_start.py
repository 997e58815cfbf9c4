"""What the files and the machine say reaches the app: themes, warnings, what was loaded last, the log."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_world import World, model

from kobold_tui import bootstrap
from kobold_tui.domain.errors import Failure
from kobold_tui.services.options import StartOptions
from kobold_tui.storage.paths import Paths
from kobold_tui.storage.settings import LoadedSettings, Settings, load_settings
from kobold_tui.tui.app import KoboldApp
from kobold_tui.tui.context import link_from
from kobold_tui.tui.start import build_app
from kobold_tui.tui.widgets.row_list import RowList
from tests.tui.conftest import PATIENCE_SECONDS, Driver

if TYPE_CHECKING:
    from tests.tui.conftest import MakeApp

SMOL = model("SmolLM2")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    places = Paths.below(tmp_path)
    places.create()
    return places


def built(
    paths: Paths, loaded: LoadedSettings, *, load: bool = False, failed: tuple[Failure, ...] = ()
) -> KoboldApp:
    backend = World([SMOL]).backend()
    try:
        return build_app(backend, StartOptions(load=load), paths, loaded, failed)
    finally:
        backend.close_waiting()


def test_the_theme_of_the_settings_is_used(paths: Paths) -> None:
    assert built(paths, LoadedSettings(settings=Settings(theme="paper"))).theme == "paper"


def test_a_theme_of_the_user_is_used(paths: Paths) -> None:
    own = (Path(__file__).parents[2] / "themes" / "ember.toml").read_text().replace('"ember"', '"mine"', 1)
    (paths.themes_dir / "mine.toml").write_text(own)
    assert built(paths, LoadedSettings(settings=Settings(theme="mine"))).theme == "mine"


def test_an_unknown_or_broken_theme_is_reported_and_never_stops_the_start(paths: Paths) -> None:
    (paths.themes_dir / "broken.toml").write_text("name = 3")
    app = built(paths, LoadedSettings(settings=Settings(theme="nowhere")))
    assert app.theme == "ember"
    told = " ".join(warning.message for warning in app.setup.warnings)
    assert "broken.toml" in told
    assert "nowhere" in told


def test_what_is_wrong_with_files_becomes_a_warning(paths: Paths) -> None:
    app = built(paths, LoadedSettings(), failed=(Failure(title="t", message="settings.toml is broken"),))
    assert [warning.message for warning in app.setup.warnings] == ["settings.toml is broken"]


def test_a_bare_load_means_what_was_loaded_last(paths: Paths) -> None:
    loaded = LoadedSettings(settings=Settings(last_model="/models/last.gguf"))
    assert built(paths, loaded, load=True).context.options.model == "/models/last.gguf"
    assert built(paths, loaded).context.options.model == ""


@pytest.mark.parametrize(
    ("environment", "choice", "slow"),
    [
        ({}, "auto", False),
        ({"SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22"}, "auto", True),
        ({"SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22"}, "fast", False),
        ({}, "slow", True),
    ],
)
def test_the_line_is_slow_over_ssh_or_by_choice(environment: dict[str, str], choice: str, slow: bool) -> None:
    assert link_from(environment, choice).slow == slow


async def test_a_warning_stands_on_the_screen(make_app: MakeApp) -> None:
    app = make_app(World([SMOL]))
    async with app.run_test() as pilot:
        driver = Driver(pilot)
        driver.workbench.warn(Failure(title="Mind this", message="It is so.", hint="Do that."))
        await pilot.pause()
        assert "Mind this" in str(driver.workbench.query_one("#banner").render())


async def test_a_theme_chosen_in_the_app_is_remembered(make_app: MakeApp) -> None:
    world = World([SMOL])
    app = make_app(world)
    async with app.run_test() as pilot:
        app.theme = "paper"
        await Driver(pilot).until(lambda: world.remembered == {"theme": "paper"})


async def test_an_error_that_nothing_expected_is_shown_and_logged(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(World([SMOL]))

    async def broken() -> None:
        raise ZeroDivisionError("of all things")

    async with app.run_test() as pilot:
        app.run_worker(broken(), exit_on_error=False)
        await Driver(pilot).until(lambda: "of all things" in caplog.text)
        assert app.is_running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_the_app_in_order(make_app: MakeApp, number: signal.Signals) -> None:
    app = make_app(World([SMOL]))
    async with app.run_test() as pilot:
        await pilot.pause()
        os.kill(os.getpid(), number)
        await Driver(pilot).until(lambda: app.return_value == 128 + number)
    asyncio.get_running_loop().remove_signal_handler(number)


def test_the_log_is_its_owners_alone(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(logging, "basicConfig", given.update)
    log = paths.log_dir / "kobold-tui.log"
    log.write_bytes(b"x" * (bootstrap.LOG_BYTES + 1))
    bootstrap._log_to_file(log)
    assert log.stat().st_mode & 0o777 == 0o600
    assert log.stat().st_size == 0
    assert (paths.log_dir / "kobold-tui.old.log").stat().st_size > bootstrap.LOG_BYTES


async def test_services_open_over_the_real_parts_and_find_a_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_llama: Path
) -> None:
    monkeypatch.setenv("KOBOLD_TUI_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-hub"))
    options = StartOptions(models_dirs=(str(tiny_llama.parent),))
    async with bootstrap.open_services(options) as services:
        models, _ = await services.models.list_models()
        assert services.paths.catalogue_index.exists()
        assert str(tiny_llama) in {found.path for found in models}
        launch = await services.launch.resolve(str(tiny_llama))
        message = await services.chat.post(None, None, "Hello")
        telemetry = await services.telemetry.sample()
    assert launch.spec.path == str(tiny_llama)
    assert telemetry.host.memory_total_bytes > 0
    assert load_settings(services.paths, {}).failed == ()
    async with bootstrap.open_services(options) as again:
        [conversation] = await again.chat.conversations()
        assert conversation.id == message.conversation_id


async def test_a_message_that_is_being_stored_when_the_program_ends_is_stored(make_app: MakeApp) -> None:
    world = World([SMOL])
    world.store.may_read.clear()
    async with make_app(world).run_test() as pilot:
        driver = Driver(pilot)
        await pilot.press("f4")
        await driver.until(lambda: driver.workbench.pane == "chat")
        backend = driver.chat.context.backend
        pilot.app.run_worker(
            backend.call(lambda services: services.chat.conversations()), exit_on_error=False
        )
        await driver.until(world.store.reading.is_set)  # from here on the store's thread is busy
        await driver.say("almost too late")
        await driver.until(lambda: any(worker.group == "post" for worker in driver.chat.workers))
        await pilot.pause()
        driver.chat.workers.cancel_group(driver.chat, "post")
        await pilot.pause()
    world.store.may_read.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not world.store.messages:  # noqa: ASYNC110 - the store writes in a thread of its own
            await asyncio.sleep(0.005)
    assert [message.text for message in world.store.messages.values()] == ["almost too late"]


async def test_a_named_model_is_listed_wherever_its_file_lies(make_app: MakeApp) -> None:
    world = World([SMOL])
    world.elsewhere = (model("Qwen3"),)
    app = make_app(world, StartOptions(model="/models/Qwen3-Q4_1.gguf"))
    async with app.run_test() as pilot:
        driver = Driver(pilot)
        await driver.until(lambda: len(driver.rows) == 2)
        assert driver.workbench.query_one("#models-list", RowList).current == world.elsewhere[0]
