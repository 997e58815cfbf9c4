"""What F1 shows for the place where the keys are."""

from __future__ import annotations

from textual.app import App

from kobold_tui.tui.pane import Pane
from kobold_tui.tui.registry import PaneSpec
from kobold_tui.tui.screens.help import KeyRow
from kobold_tui.tui.screens.workbench import Workbench


def help_for(app: App[int]) -> tuple[str, str, tuple[KeyRow, ...]]:
    """Return title, text and keys of the focused pane."""
    workbench = next(screen for screen in app.screen_stack if isinstance(screen, Workbench))
    focused = app.screen.focused
    pane = (
        next((node for node in focused.ancestors_with_self if isinstance(node, Pane)), None)
        if focused
        else None
    )
    spec = workbench.specs[(pane.id if pane else None) or workbench.pane]
    return spec.title, spec.help, (*_keys_here(app), *_keys_of_panes(tuple(workbench.specs.values())))


def _keys_here(app: App[int]) -> list[KeyRow]:
    rows: dict[str, KeyRow] = {}
    for active in app.screen.active_bindings.values():
        binding = active.binding
        text = binding.tooltip or binding.description
        if text and active.enabled and not binding.action.startswith("go("):
            key = app.get_key_display(binding)
            known = rows.get(text)
            rows[text] = (f"{known[0]} {key}" if known else key, binding.description, text)
    return list(rows.values())


def _keys_of_panes(specs: tuple[PaneSpec, ...]) -> list[KeyRow]:
    return [(spec.key.upper(), spec.title, f"Go to {spec.title}: {spec.summary}") for spec in specs]
