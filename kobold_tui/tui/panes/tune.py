"""What a model would take of every device, while its options are moved; then it is loaded so."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Button, Static

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.fit import Placement
from kobold_tui.domain.instance import Instance
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.services.registry import Services
from kobold_tui.services.telemetry import Reading
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.messages import FailureReported, HardwarePlanned, LaunchRequested, OptionsTuned
from kobold_tui.tui.pane import Pane
from kobold_tui.tui.registry import PaneCommand, PaneSpec
from kobold_tui.tui.tuning import Tuning
from kobold_tui.tui.widgets import tune_words as words
from kobold_tui.tui.widgets.fit_text import fit
from kobold_tui.tui.widgets.row_list import RowList
from kobold_tui.tui.widgets.tune_board import DETAILED_FROM, board_cuts, board_lines
from kobold_tui.tui.widgets.tune_canvas import TuneCanvas
from kobold_tui.tui.widgets.tune_controls import OptionsChosen, TuneControls
from kobold_tui.tui.widgets.tune_hardware import HardwareLine
from kobold_tui.tui.widgets.tune_proposals import (
    Proposal,
    draw_proposal,
    head_of_proposals,
    proposals,
)
from kobold_tui.tui.widgets.tune_truth import measured_bytes, truth_lines


class TunePane(Pane):
    """Bars above, always in view; controls, truth and proposals below, which scroll."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "apply", "Apply", id="tune.apply", tooltip="Load the model with these settings"),
        Binding("b", "best", "Best", id="tune.best", tooltip="Take over the best placement"),
        Binding("w", "anyway", "Load anyway", id="tune.anyway", tooltip="Load it though memory seems short"),
        Binding("h", "hardware", "Hardware", id="tune.hardware", tooltip="Plan for other cards"),
        Binding("p", "preset", "Preset", id="tune.preset", tooltip="Write the settings to a preset"),
        Binding("up,k", "move(-1)", "", show=False, id="tune.up", tooltip="The control above"),
        Binding("down,j", "move(1)", "", show=False, id="tune.down", tooltip="The control below"),
    ]
    DEFAULT_CSS = """
    TunePane { padding: 0 1; }
    TunePane #tune-head { height: 1; }
    TunePane #tune-bars { height: auto; max-height: 50%; scrollbar-size: 1 1; }
    TunePane #tune-page { height: 1fr; scrollbar-size: 1 1; margin-top: 1; }
    TunePane.-short #tune-page { margin-top: 0; }
    TunePane.-short #tune-buttons { margin-top: 0; }
    TunePane #tune-work { height: auto; }
    TunePane .tune-title { height: 1; margin-top: 1; }
    TunePane.-short .tune-title { margin-top: 0; }
    TunePane .tune-note { height: auto; }
    TunePane #tune-proposals { height: auto; }
    TunePane #tune-buttons { height: 1; margin-top: 1; }
    TunePane Button { margin-right: 2; }
    TunePane #tune-empty { height: 1fr; content-align: center middle; text-align: center; }
    TunePane.-empty #tune-work, TunePane.-empty #tune-bars, TunePane.-empty #tune-head { display: none; }
    TunePane.-empty #tune-page { display: none; }
    TunePane #tune-empty { display: none; }
    TunePane.-empty #tune-empty { display: block; }
    """

    def __init__(self, context: PaneContext) -> None:
        super().__init__(context, "tune", classes="-empty")
        self._head = TuneCanvas(id="tune-head")
        self._board = TuneCanvas(id="tune-board")
        self._controls = TuneControls()
        self._truth = TuneCanvas(id="tune-truth")
        self._note = Static("", classes="tune-note", markup=False)
        self._rows: RowList[Proposal] = RowList(draw_proposal, id="tune-proposals")
        self._rows_head = Static("", classes="tune-title", markup=False)
        self._search_note = Static("", classes="tune-note", markup=False)
        self._hardware = HardwareLine()
        self._base = LoadOptions()
        self._path = ""

    def compose(self) -> ComposeResult:
        """Lay out bars and page."""
        yield Static("Choose a model under Models (F2): what it would take shows here.", id="tune-empty")
        yield self._head
        with VerticalScroll(id="tune-bars", can_focus=False):
            yield self._board
        with VerticalScroll(id="tune-page", can_focus=False), Vertical(id="tune-work"):
            yield self._controls
            yield self._hardware
            with Horizontal(id="tune-buttons"):
                yield Button("Apply", id="tune-apply", compact=True, variant="primary")
                yield Button("Best", id="tune-best", compact=True)
                yield Button("Load anyway", id="tune-anyway", compact=True)
            yield Static("Three columns of truth", classes="tune-title", markup=False)
            yield self._truth
            yield self._note
            yield self._rows_head
            yield self._rows
            yield self._search_note

    @property
    def first_focus(self) -> Widget:
        """The first slider that can be moved."""
        return self._controls.rows[0] if self.tuning is not None else self

    @property
    def text(self) -> str:
        """What is shown above the controls and in the tables, without colours."""
        parts = [self._head.text, self._board.text, self._truth.text]
        notes = [str(note.content) for note in (self._note, self._rows_head, self._search_note)]
        return "\n".join([*parts, *notes])

    def watch_tuning(self, old: Tuning | None, new: Tuning | None) -> None:
        """Follow the model and its options."""
        self.set_class(new is None, "-empty")
        if new is not None and new.launch.model.path != self._path:
            self._path, self._base = new.launch.model.path, new.options
        self._draw()
        if (old is None) != (new is None):
            self.call_after_refresh(self._settle)

    def watch_reading(self, _reading: Reading | None) -> None:
        """Follow what the driver measures."""
        self._draw_truth()

    def watch_instance(self, _instance: Instance | None) -> None:
        """Follow which model is loaded."""
        self._draw_truth()

    def on_resize(self) -> None:
        """Lay out anew."""
        self.set_class(self.size.height < DETAILED_FROM, "-short")
        self._draw()

    def on_show(self, event: events.Show) -> None:  # noqa: ARG002
        """Show what has changed while the pane was out of view."""
        self.call_after_refresh(self._draw)

    def on_options_chosen(self, event: OptionsChosen) -> None:
        """Have the chosen options predicted."""
        event.stop()
        self.post_message(OptionsTuned(event.options))

    def on_row_list_selected(self, event: RowList.Selected) -> None:
        """Take over one row of the table."""
        event.stop()
        if isinstance(event.item, Proposal):
            self.post_message(OptionsTuned(event.item.options))

    def on_hardware_line_entered(self, event: HardwareLine.Entered) -> None:
        """Plan for other hardware."""
        event.stop()
        self.post_message(HardwarePlanned(event.text))

    def on_hardware_line_left(self, event: HardwareLine.Left) -> None:
        """Give the keys back to the sliders."""
        event.stop()
        self.first_focus.focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Do what the button says."""
        event.stop()
        actions = {"tune-apply": self.action_apply, "tune-anyway": self.action_anyway}
        actions.get(event.button.id or "", self.action_best)()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer only what is possible now."""
        if action == "best":
            return self._best is not None
        return self.tuning is not None or action not in {"apply", "anyway", "hardware", "preset", "move"}

    def action_apply(self) -> None:
        """Load the model with these settings; the conversation goes on."""
        if self.tuning is not None:
            self.post_message(LaunchRequested(self.tuning.launch))

    def action_anyway(self) -> None:
        """Load the model with these settings, also where memory seems short."""
        if self.tuning is not None:
            self.post_message(LaunchRequested(self.tuning.launch, anyway=True))

    def action_best(self) -> None:
        """Take over the best placement."""
        if (best := self._best) is not None:
            self.post_message(OptionsTuned(best.options))

    def action_hardware(self) -> None:
        """Type what cards to plan for."""
        self._hardware.open()

    def action_move(self, step: int) -> None:
        """Go to the control above or below, past the last one to what else takes keys."""
        if not self._controls.move(step):
            self.screen.focus_next() if step > 0 else self.screen.focus_previous()

    def action_preset(self) -> None:
        """Write the settings to a preset of their own."""
        if self.tuning is not None:
            self.run_worker(self._save(self.tuning), group="tune-preset", exclusive=True, exit_on_error=False)

    @property
    def _best(self) -> Placement | None:
        """The best placement that the search has found; none where nothing fits."""
        best = self.tuning.best if self.tuning is not None else None
        return best if best is not None and best.kind != "no" else None

    async def _save(self, tuning: Tuning) -> None:
        preset = tuning.launch.preset
        named = msgspec.structs.replace(preset, name=preset.name or tuning.launch.model.name)

        async def save(services: Services) -> str:
            return (await services.presets.save_copy(named)).preset.name

        try:
            name = await self.context.backend.call(save)
        except KoboldError as error:
            self.post_message(FailureReported(error.failure))
        else:
            self.notify(f"Saved as the preset {name}.", markup=False)

    def _settle(self) -> None:
        """Give the keys to the sliders once there are any."""
        self.refresh_bindings()
        if self.has_focus and self.tuning is not None:
            self.first_focus.focus()

    def _draw(self) -> None:
        tuning, width = self.tuning, self.content_size.width
        if tuning is None or width <= 0:
            return
        cards = tuple(device.name for device in tuning.devices if not device.is_host)
        self._controls.show(tuning.options, self._base, tuning.model.shape, cards)
        self._head.show([words.head_line(tuning, width)], (), width)
        detailed = self.size.height >= DETAILED_FROM
        self._board.show(board_lines(tuning.shown, width, detailed=detailed), board_cuts(width), width)
        self._hardware.show(tuning.hardware)
        self._draw_truth()
        self._draw_proposals(tuning, width - 1)

    def _draw_truth(self) -> None:
        tuning, width = self.tuning, self.content_size.width - 1
        if tuning is None or width <= 0:
            return
        instance = self.instance
        is_loaded = instance is not None and instance.spec.path == tuning.launch.model.path
        telemetry = self.reading.telemetry if self.reading is not None else None
        measured = measured_bytes(telemetry, instance.id) if instance is not None and is_loaded else {}
        applies = instance is not None and instance.spec == tuning.launch.spec
        is_asked = tuning.exact is None and not tuning.exact_note
        held = measured if applies else {}
        lines = truth_lines(tuning.estimate, tuning.exact, held, width, is_asked=is_asked)
        self._truth.show(lines, (), width)
        _say(self._note, words.truth_words(tuning, is_loaded=is_loaded, applies=applies))

    def _draw_proposals(self, tuning: Tuning, width: int) -> None:
        rows = proposals(tuning)
        if rows != self._rows.items:
            self._rows.styles.height = len(rows)
            self._rows.show(rows)
            self.refresh_bindings()
        self._rows.display = self._rows_head.display = bool(rows)
        _say(self._rows_head, fit(head_of_proposals(width), width))
        _say(self._search_note, words.search_words(tuning))


def _say(note: Static, text: str) -> None:
    """Show a text, which costs a layout only where it is another one."""
    if note.content != text:
        note.update(text)


PANE = PaneSpec(
    id="tune",
    title="Tune",
    region="main",
    order=40,
    key="f5",
    summary="layers, context and cache, and what they take",
    help=words.HELP,
    build=TunePane,
    beside="chat",
    commands=(
        PaneCommand(title="Load with the tuned settings", action="apply", help="The conversation goes on"),
        PaneCommand(title="Take over the best placement", action="best", help="Also: b in the pane Tune"),
        PaneCommand(title="Plan for other hardware", action="hardware", help="Such as 24G,24G"),
        PaneCommand(title="Save the tuned settings as a preset", action="preset"),
    ),
)
