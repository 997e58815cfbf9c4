"""Measure how fast placements of a model are, watch the figures come, and put the best into the preset."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from kobold_tui.domain.benchmark import BenchEvent, BenchProgress, BenchRun, BenchSettings, winner
from kobold_tui.domain.errors import KoboldError, UsageError
from kobold_tui.domain.preset_file import PresetConflict
from kobold_tui.services.benchmark_plan import BenchWish, read_layers, read_settings
from kobold_tui.services.launch import Launch
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.widgets.benchmark_rows import (
    BEGIN,
    HELP,
    curve_points,
    detail,
    draw_run,
    heading,
    progress_words,
)
from kobold_tui.tui.widgets.fit_text import safe
from kobold_tui.tui.widgets.row_list import Cell, RowList
from kobold_tui.tui.widgets.speed_curve import SpeedCurve

_FIELDS = (("layers", "Layers", "auto"), ("prompt", "Prompt", "512"), ("answer", "Answer", "128"))


class BenchmarkScreen(ModalScreen[None]):
    """A window with what to measure, the runs, their curves, and how far it is."""

    HELP_TITLE: ClassVar[str] = "Benchmark placements"
    HELP_TEXT: ClassVar[str] = HELP
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - declared so by Screen
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Close", id="benchmark.back", tooltip="Stop the benchmark, then close"),
        Binding("down", "enter_list", "", show=False, id="benchmark.list", tooltip="To the measured rows"),
        Binding(
            "ctrl+x",
            "stop",
            "Stop",
            id="benchmark.stop",
            tooltip="Stop; what was measured stays",
            priority=True,  # a field would cut its text
        ),
        Binding(
            "ctrl+s", "save", "Save", id="benchmark.save", tooltip="Write the row's settings into the preset"
        ),
    ]
    DEFAULT_CSS = """
    BenchmarkScreen { align: center middle; }
    BenchmarkScreen > Vertical { width: 120; max-width: 100%; height: 90%; padding: 0 1; }
    BenchmarkScreen.-narrow > Vertical { width: 100%; height: 100%; }
    BenchmarkScreen Input { height: 1; border: none; padding: 0 1; width: 1fr; }
    BenchmarkScreen Input:focus { border: none; }
    BenchmarkScreen #benchmark-prompt, BenchmarkScreen #benchmark-answer { width: 9; }
    BenchmarkScreen #benchmark-repeats { width: 6; }
    BenchmarkScreen .benchmark-line { height: 1; }
    BenchmarkScreen .benchmark-label { width: auto; padding: 0 1; }
    BenchmarkScreen #benchmark-heading { height: 1; margin-top: 1; }
    BenchmarkScreen #benchmark-detail { height: auto; max-height: 3; padding: 0 2; }
    BenchmarkScreen #benchmark-curves { height: 7; margin-top: 1; }
    BenchmarkScreen SpeedCurve { width: 1fr; margin: 0 2; }
    BenchmarkScreen #benchmark-note { height: auto; max-height: 4; padding: 0 2; margin-top: 1; }
    """

    running: reactive[bool] = reactive(False, init=False)
    """Whether a benchmark is under way."""

    def __init__(
        self, context: PaneContext, launch: Launch | None = None, *, is_loaded: bool = False
    ) -> None:
        super().__init__()
        self._backend = context.backend
        self._launch = launch
        self._is_loaded = is_loaded
        self._best: BenchRun | None = None
        self._to_overwrite: BenchRun | None = None
        name = launch.preset.name if launch else ""
        self._model = Input(name, placeholder="Model or preset; empty is the default", id="benchmark-model")
        self._fields = {key: Input(value, id=f"benchmark-{key}") for key, _, value in _FIELDS}
        self._fields["repeats"] = Input(str(BenchSettings().repeat), id="benchmark-repeats")
        self._heading = Static(id="benchmark-heading", markup=False)
        self._rows: RowList[BenchRun] = RowList(self._draw, id="benchmark-rows")
        self._detail = Static(id="benchmark-detail", markup=False)
        self._note = Static(BEGIN, id="benchmark-note", markup=False)
        self._answer = SpeedCurve("Answer tok/s", id="benchmark-answers")
        self._prompt = SpeedCurve("Prompt tok/s", id="benchmark-prompts")

    def compose(self) -> ComposeResult:
        """Lay out fields, rows, curves and the line that tells how far it is."""
        with Vertical() as window:
            window.border_title = "Benchmark placements"
            with Horizontal(classes="benchmark-line"):
                yield Static("Model  ", classes="benchmark-label", markup=False)
                yield self._model
            with Horizontal(classes="benchmark-line"):
                for key, title in (*((key, title) for key, title, _ in _FIELDS), ("repeats", "Repeats")):
                    yield Static(title, classes="benchmark-label", markup=False)
                    yield self._fields[key]
            yield self._heading
            yield self._rows
            yield self._detail
            with Horizontal(id="benchmark-curves"):
                yield self._answer
                yield self._prompt
            yield self._note

    def on_mount(self) -> None:
        """Say what is in the way of good figures."""
        (self._fields["layers"] if self._launch else self._model).focus()
        self.watch_running()
        self._show_runs(())
        if self._is_loaded:
            self._say("A model is loaded: it takes memory and time from the measurement. " + BEGIN)

    def watch_running(self) -> None:
        """Show the keys that do something now."""
        keys = "ctrl+x stops" if self.running else "Enter starts · ctrl+s saves the row · Esc closes"
        self.query_one(Vertical).border_subtitle = f"{keys} · F1 help"
        self.refresh_bindings()

    def on_resize(self) -> None:
        """Fit the titles to the width."""
        self.call_after_refresh(self._show_heading)

    def on_input_submitted(self) -> None:
        """Begin to measure."""
        if self.running:
            return
        try:
            settings, wish = self._wanted()
        except UsageError as error:
            self._tell(error)
            return
        self._show_runs(())
        self.running = True
        work = self._measure(self._model.value.strip(), settings, wish)
        self.run_worker(work, group="benchmark", exclusive=True, exit_on_error=False)

    def on_row_list_highlighted(self) -> None:
        """Tell what the row has no room for."""
        self._to_overwrite = None
        self._detail.update(safe(detail(self._rows.current)) if self._rows.current else "")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer only what is possible now."""
        if action == "stop":
            return self.running
        if action == "save":
            return not self.running and self._rows.current is not None
        if action == "enter_list":
            return isinstance(self.focused, Input) and bool(self._rows.items)
        return True

    def action_back(self) -> None:
        """Stop what runs, else close."""
        if self.running:
            self.action_stop()
        else:
            self.dismiss(None)

    def action_enter_list(self) -> None:
        """Give the keys to the rows."""
        self._rows.focus()

    def action_stop(self) -> None:
        """Stop the benchmark; the model that is measured is unloaded."""
        self.workers.cancel_group(self, "benchmark")

    def action_save(self) -> None:
        """Write the settings of the row into the preset; the second time also over comments."""
        run, launch = self._rows.current, self._launch
        if run is None or launch is None:
            return
        if run.seconds is None:
            self._say("This row has no figures; choose one that was measured.", is_error=True)
            return
        overwrite = self._to_overwrite is run
        self.run_worker(self._save(launch, run, overwrite=overwrite), group="save", exit_on_error=False)

    def _wanted(self) -> tuple[BenchSettings, BenchWish]:
        """Return what the fields say. Raises UsageError."""
        numbers = {"n_prompt": "prompt", "n_gen": "answer", "repeat": "repeats"}
        values = {name: _number(self._fields[field].value) for name, field in numbers.items()}
        return read_settings(values), BenchWish(
            n_gpu_layers=read_layers(self._fields["layers"].value or "auto")
        )

    async def _measure(self, name: str, settings: BenchSettings, wish: BenchWish) -> None:
        self._say("Starting …")
        try:
            launch = await self._launch_of(name)
            stream = self._backend.stream(lambda services: services.benchmark.run(launch, settings, wish))
            async for batch in stream:
                for event in batch:
                    self._take(event)
            self._say(self._verdict())
        except KoboldError as error:
            self._tell(error)
        except asyncio.CancelledError:
            self._say("Stopped. The rows above were measured before.")
            raise
        finally:
            self.running = False

    async def _launch_of(self, name: str) -> Launch:
        if self._launch is None or name != self._launch.preset.name:
            self._launch = await self._backend.call(lambda services: services.launch.resolve(name or None))
        return self._launch

    def _take(self, event: BenchEvent) -> None:
        match event:
            case BenchProgress():
                self._say(progress_words(event))
            case BenchRun():
                self._show_runs((*self._rows.items, event))

    def _show_runs(self, runs: tuple[BenchRun, ...]) -> None:
        self._best = winner(runs, self._launch.preset.load) if self._launch else None
        self._rows.show(runs)
        for curve, of_prompt in ((self._answer, False), (self._prompt, True)):
            curve.axis, curve.points = curve_points(runs, of_prompt=of_prompt)
        self.query_one("#benchmark-curves").display = len(self._answer.points) > 1
        self.on_row_list_highlighted()
        self._show_heading()
        self.refresh_bindings()

    def _verdict(self) -> str:
        if self._best is None:
            return "No placement could be measured; the rows say why."
        self._rows.place(self._rows.items.index(self._best))
        return "The fastest placement is marked. ctrl+s writes the row under the cursor into the preset."

    async def _save(self, launch: Launch, run: BenchRun, *, overwrite: bool) -> None:
        try:
            stored = await self._backend.call(
                lambda services: services.benchmark.save(launch.preset, run, overwrite=overwrite), finish=True
            )
        except PresetConflict as error:
            self._to_overwrite = run
            self._say(f"{error.title}: {error.message} Press ctrl+s again to write it all the same.")
        except KoboldError as error:
            self._tell(error)
        else:
            self._say(f"Saved in the preset {stored.preset.name}.")

    def _show_heading(self) -> None:
        self._heading.update(heading(self._heading.size.width))

    def _tell(self, error: KoboldError) -> None:
        self._say(f"{error.title}: {error.message} {error.hint}".strip(), is_error=True)

    def _say(self, text: str, *, is_error: bool = False) -> None:
        self._note.update(safe(text))
        self._note.set_class(is_error, "-error")

    def _draw(self, run: BenchRun, width: int) -> Sequence[Cell]:
        return draw_run(run, self._best, width)


def _number(text: str) -> int | None:
    """Return what a field says, None where it is empty. Raises UsageError."""
    text = text.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 9):
        raise UsageError("Wrong usage", f"{text!r} is no number of tokens or repeats.", "Such as 512.")
    return int(text)
