"""What a pane brings with it: its place, key, strings, help and commands.

Adding a pane is adding one module to `tui/panes` that holds a `PANE`; the app, the workbench, the help
screen and the command palette find everything here and know no pane by name.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from kobold_tui.tui.context import PaneContext
    from kobold_tui.tui.pane import Pane

Region = Literal["side", "main"]


@dataclass(frozen=True, kw_only=True)
class PaneCommand:
    """An entry of the command palette that runs an action of the pane, such as `chat.new`."""

    title: str
    action: str
    help: str = ""


@dataclass(frozen=True, kw_only=True)
class PaneSpec:
    """One pane: `key` brings it into view from everywhere, `help` is what F1 says about it.

    A pane without a key stands beside others and is not gone to: it has no tab either. On a very wide
    terminal a pane with `beside` stands next to the pane of that id, once it has been called up.
    """

    id: str
    title: str
    region: Region
    order: int
    key: str
    summary: str
    help: str
    build: Callable[[PaneContext], Pane]
    commands: tuple[PaneCommand, ...] = ()
    beside: str = ""


def find_panes() -> tuple[PaneSpec, ...]:
    """Return the panes of all modules in `tui/panes`, in the order they want."""
    from kobold_tui.tui import panes

    modules = (
        importlib.import_module(f"{panes.__name__}.{found.name}")
        for found in pkgutil.iter_modules(panes.__path__)
    )
    specs: list[PaneSpec] = [module.PANE for module in modules if hasattr(module, "PANE")]
    return tuple(sorted(specs, key=lambda spec: spec.order))
