"""The one screen: models and memory on the left, the work on the right; one side at a time when narrow.

The workbench owns the values that panes share and passes them down; it knows panes by their registry entry.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.reactive import reactive

from kobold_tui.domain.errors import Failure
from kobold_tui.domain.instance import Failed, Instance, Loading, Starting
from kobold_tui.domain.job import Job
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.domain.model import ModelEntry
from kobold_tui.services.launch import Launch
from kobold_tui.services.loading import is_live
from kobold_tui.services.telemetry import Reading
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.gauge import GaugePane
from kobold_tui.tui.loader import Loader
from kobold_tui.tui.messages import (
    FailureReported,
    HardwarePlanned,
    LoadRequested,
    ModelHighlighted,
    OptionsTuned,
    PaneRequested,
    RestartRequested,
)
from kobold_tui.tui.pane import Pane
from kobold_tui.tui.registry import PaneSpec
from kobold_tui.tui.serving import ServingScreen
from kobold_tui.tui.status import memory_parts, model_parts
from kobold_tui.tui.tuning import Tuner, Tuning
from kobold_tui.tui.widgets.banner import Banner
from kobold_tui.tui.widgets.instance_strip import InstanceStrip
from kobold_tui.tui.widgets.key_bar import KeyBar
from kobold_tui.tui.widgets.status_line import StatusLine
from kobold_tui.tui.widgets.tab_strip import Tab, TabStrip


class Workbench(ServingScreen):
    """Composition and the flow of values; what panes do is their own business."""

    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - declared so by Screen
        (0, "-narrow"),
        (100, "-wide"),
        (160, "-extra-wide"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012 - declared so by Screen
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel_load", "Cancel loading", id="workbench.cancel", tooltip="Cancel the load"),
        Binding(
            "escape", "dismiss_notice", "", show=False, id="workbench.dismiss", tooltip="Dismiss the notice"
        ),
        Binding(
            "ctrl+r",
            "restart",
            "Restart model",
            id="workbench.restart",
            tooltip="Load the failed model again",
        ),
    ]

    launch: reactive[Launch | None] = reactive(None)
    instance: reactive[Instance | None] = reactive(None)
    coming: reactive[Instance | None] = reactive(None)
    instances: reactive[tuple[Instance, ...]] = reactive(())
    estimate: reactive[MemoryEstimate | None] = reactive(None, repaint=False)
    tuning: reactive[Tuning | None] = reactive(None, repaint=False)
    wanted: reactive[ModelEntry | None] = reactive(None)
    reading: reactive[Reading | None] = reactive(None, repaint=False)
    pane: reactive[str] = reactive("", init=False)

    def __init__(
        self, context: PaneContext, panes: tuple[PaneSpec, ...], warnings: tuple[Failure, ...] = ()
    ) -> None:
        super().__init__(
            classes="-side"
        )  # the first pane in view is a side one; a later class costs a restyle
        self.context = context
        self.specs = {spec.id: spec for spec in panes}
        self._warnings = warnings
        self._loader = Loader(self, context.backend)
        self._tuner = Tuner(self, context.backend)
        self._status = StatusLine()
        self._tabs = TabStrip(_tabs(spec for spec in panes if spec.region == "main"), id="tabs")
        self._all_tabs = TabStrip(_tabs(panes), id="all-tabs")
        self._strip = InstanceStrip(id="instances")
        self._banner = Banner(id="banner")
        self._main = Vertical(id="main-panes")

    def compose(self) -> ComposeResult:
        """Lay out both regions; main panes but the first are built when they are first called up."""
        yield self._status
        yield self._all_tabs
        yield self._strip.data_bind(Workbench.instances, Workbench.instance)
        with Horizontal(id="bench"):
            with Vertical(id="side"):
                for spec in self._region("side"):
                    yield self._built(spec)
            with Vertical(id="main"):
                yield self._tabs
                yield self._banner
                with self._main:
                    yield self._built(self._region("main")[0])
        yield KeyBar()

    async def on_mount(self) -> None:
        """Start to follow the backend, and put the cursor where the work begins."""
        self._tabs.current = self._region("main")[0].id
        self._loader.start()
        await self.show_pane(self._region("side")[0].id)
        for warning in self._warnings:
            self.warn(warning)

    async def show_pane(self, pane_id: str) -> None:
        """Bring a pane into view, build it if need be, and give it the keys."""
        if not self.show_built(pane_id):
            await self._main.mount(self._built(self.specs[pane_id]))
            self.show_built(pane_id)

    def show_built(self, pane_id: str) -> bool:
        """Bring a pane into view at once, so that the next key is its own; False where there is none yet."""
        panes = {pane.id: pane for pane in self.query(Pane)}
        if pane_id not in panes:
            return False
        in_main = self.specs[pane_id].region == "main"
        self.set_class(not in_main, "-side")
        if in_main:
            self.remove_class("-browse")
            self._tabs.current = pane_id
            self._arrange()
        self.pane = self._all_tabs.current = pane_id
        self.set_focus(panes[pane_id].first_focus)
        self._tell()
        return True

    def watch_instance(self, old: Instance | None, new: Instance | None) -> None:
        """Tell how the model is, and explain a failure."""
        self._tell()
        self.refresh_bindings()
        if new is not None and isinstance(new.state, Failed) and (old is None or old.state != new.state):
            self._explain(new.state)
        elif new is not None and is_live(new.state):
            self._banner.dismiss()

    def watch_coming(self) -> None:
        """Tell what loads while another model serves."""
        self._tell()
        self.refresh_bindings()

    def watch_reading(self, reading: Reading | None) -> None:
        """Tell how much memory there is."""
        self._tell()
        if reading is not None and reading.telemetry is not None:
            self._tuner.measure(reading.telemetry)

    def on_resize(self) -> None:
        """Have one main pane or two, by the width."""
        self.call_after_refresh(self._arrange)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer only what is possible now."""
        state = self.instance.state if self.instance else None
        if action == "cancel_load":
            return self.coming is not None or isinstance(state, Starting | Loading)
        if action == "restart":
            return isinstance(state, Failed)
        if action == "dismiss_notice":
            return self._banner.is_shown
        return True

    async def on_load_requested(self, event: LoadRequested) -> None:
        """Load a model, and bring the place where it is used into view."""
        tuned = self._tuner.kept(event.model)
        self._loader.load(event.model) if tuned is None else self._loader.launch(tuned)
        await self.show_pane(self._region("main")[0].id)

    def on_restart_requested(self, _event: RestartRequested) -> None:
        """Load the failed model again."""
        self.action_restart()

    def on_model_highlighted(self, event: ModelHighlighted) -> None:
        """Predict the memory of a model before it is loaded."""
        event.stop()
        self._tuner.highlight(event.model)

    def on_options_tuned(self, event: OptionsTuned) -> None:
        """Predict with other options."""
        self._tuner.tune(event.options)

    def on_hardware_planned(self, event: HardwarePlanned) -> None:
        """Predict for other hardware."""
        self._tuner.plan_for(event.text)

    async def on_pane_requested(self, event: PaneRequested) -> None:
        """Show another pane, and carry out its action."""
        await self.show_pane(event.pane)
        if event.action:
            await self.app.run_action(event.action, self.query_one(f"#{event.pane}", Pane))

    async def on_tab_strip_chosen(self, event: TabStrip.Chosen) -> None:
        """Show the pane of a clicked tab."""
        await self.show_pane(event.tab)

    def on_failure_reported(self, event: FailureReported) -> None:
        """Show what went wrong, in words."""
        failure = event.failure
        state = self.instance.state if self.instance else None
        if isinstance(state, Failed) and state.failure.title == failure.title:
            return  # the model's own end is explained already, with the key that helps
        text = f"{failure.message} {failure.hint}".strip()
        self._banner.show("error", failure.title, text, lines=failure.log_tail[-4:])
        if not self._main.region:  # the list has the whole terminal, and the banner stands beside it
            self.notify(text, title=failure.title, severity="error", markup=False)

    def on_banner_restart_requested(self) -> None:
        """Load the failed model again."""
        self.action_restart()

    def on_banner_dismissed(self) -> None:
        """Give the keys back to the pane."""
        if self.focused is None or self.focused is self._banner:
            self.set_focus(self.query_one(f"#{self.pane}", Pane).first_focus)

    def action_cancel_load(self) -> None:
        """Cancel the load."""
        self._loader.cancel()

    def action_dismiss_notice(self) -> None:
        """Take the notice away."""
        self._banner.dismiss()

    def action_restart(self) -> None:
        """Load the failed model again."""
        self._loader.restart()

    def warn(self, failure: Failure) -> None:
        """Show what should be mended but stops nothing."""
        self._banner.show("warning", failure.title, f"{failure.message} {failure.hint}".strip())

    def show_job(self, job: Job) -> None:
        """Announce the end of background work."""
        if job.status == "done":
            self.notify(f"{job.title}: done")
        elif job.status == "failed" and job.failure:
            self.notify(f"{job.title}: {job.failure.message}", severity="error")

    def _explain(self, state: Failed) -> None:
        failure = state.failure
        text = f"{failure.message} {failure.hint}".strip()
        self._banner.show("error", failure.title, text, lines=failure.log_tail[-4:], restart=True)

    def _arrange(self) -> None:
        """Show the current main pane, and where there is room the one that stands beside it."""
        current = self._tabs.current
        for pane in self._main.query(Pane):
            pair = {pane.id, current}
            beside = any(spec.beside and {spec.id, spec.beside} == pair for spec in self.specs.values())
            pane.display = pane.id == current or (beside and self.has_class("-extra-wide"))

    def _tell(self) -> None:
        self._status.left = model_parts(
            self.instance, self.launch, self.coming, demo=self.context.options.demo
        )
        self._status.right = () if self._shows_gauge() else memory_parts(self.reading)

    def _shows_gauge(self) -> bool:
        """Whether the pane in view tells everything that the status line would repeat."""
        return bool(self.pane) and isinstance(self.query_one(f"#{self.pane}"), GaugePane)

    def _region(self, region: str) -> list[PaneSpec]:
        return [spec for spec in self.specs.values() if spec.region == region]

    def _built(self, spec: PaneSpec) -> Pane:
        pane = spec.build(self.context)
        pane.data_bind(Workbench.launch, Workbench.instance, Workbench.instances, Workbench.estimate)
        pane.data_bind(Workbench.wanted, Workbench.reading, Workbench.tuning)
        return pane


def _tabs(specs: Iterable[PaneSpec]) -> tuple[Tab, ...]:
    ordered = sorted((spec for spec in specs if spec.key), key=lambda spec: spec.key)
    return tuple(Tab(spec.id, spec.title, spec.key.upper()) for spec in ordered)
