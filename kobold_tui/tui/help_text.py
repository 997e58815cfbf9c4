"""What F1 shows for the place where the keys are."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from textual.app import App

from kobold_tui.tui.pane import Pane
from kobold_tui.tui.registry import PaneSpec
from kobold_tui.tui.screens.workbench import Workbench

if TYPE_CHECKING:
    from kobold_tui.tui.screens.help import KeyRow, KeySection


@runtime_checkable
class ExplainedScreen(Protocol):
    """A window with a help text of its own, in place of that of the pane below it."""

    HELP_TITLE: ClassVar[str]
    HELP_TEXT: ClassVar[str]


def help_for(app: App[int]) -> tuple[str, str, tuple[KeySection, ...]]:
    """Return title, text and keys of the focused pane: its own keys first, those of text fields last."""
    workbench = next(screen for screen in app.screen_stack if isinstance(screen, Workbench))
    focused = app.screen.focused
    pane = (
        next((node for node in focused.ancestors_with_self if isinstance(node, Pane)), None)
        if focused
        else None
    )
    spec = workbench.specs[(pane.id if pane else None) or workbench.pane]
    title, text = spec.title, spec.help
    if isinstance(app.screen, ExplainedScreen):
        title, text = app.screen.HELP_TITLE, app.screen.HELP_TEXT
    sections = (
        ("Keys here", _keys_here(app, explained=True)),
        ("Panes", _keys_of_panes(tuple(workbench.specs.values()))),
        ("Moving and editing", _keys_here(app, explained=False)),
    )
    return title, text, tuple(section for section in sections if section[1])


def _keys_here(app: App[int], *, explained: bool) -> tuple[KeyRow, ...]:
    """Return the keys that work now; ours explain themselves by a tooltip, Textual's own do not."""
    rows: dict[str, KeyRow] = {}
    for active in app.screen.active_bindings.values():
        binding = active.binding
        text = binding.tooltip or binding.description
        if (
            not text
            or bool(binding.tooltip) != explained
            or not active.enabled
            or binding.action.startswith("go(")
        ):
            continue
        key = app.get_key_display(binding)
        rows[text] = (f"{rows[text][0]} {key}" if text in rows else key, text)
    return tuple(rows.values())


def _keys_of_panes(specs: tuple[PaneSpec, ...]) -> tuple[KeyRow, ...]:
    ordered = sorted((spec for spec in specs if spec.key), key=lambda spec: spec.key)
    return tuple((spec.key.upper(), f"{spec.title}: {spec.summary}") for spec in ordered)
