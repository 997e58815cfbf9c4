"""The workbench's wishes about instances: which answers, which is loaded, restarted and unloaded."""

from __future__ import annotations

from textual.screen import Screen

from kobold_tui.tui.loader import Loader
from kobold_tui.tui.messages import LaunchRequested, UnloadRequested
from kobold_tui.tui.widgets.instance_strip import InstanceStrip, instance_keys


class ServingScreen(Screen[None]):
    """A screen that hands such wishes on to its loader; the strip of instances is a part of it."""

    BINDINGS = [*instance_keys()]  # noqa: RUF012 - declared so by Screen

    _loader: Loader
    _strip: InstanceStrip

    def on_launch_requested(self, event: LaunchRequested) -> None:
        """Load a model as its preset says."""
        self._loader.launch(event.launch, anyway=event.anyway, beside=event.beside)

    def on_unload_requested(self, _event: UnloadRequested) -> None:
        """Unload the model."""
        self._loader.unload()

    def on_instance_strip_chosen(self, event: InstanceStrip.Chosen) -> None:
        """Have the instance of a click or a key answer from now on."""
        self._loader.serve(event.instance)

    def action_serve(self, number: int) -> None:
        """Have the instance of that number in the strip answer."""
        self._strip.choose(number)

    def action_unload(self) -> None:
        """Unload the model that answers."""
        self._loader.unload()

    def action_reload(self) -> None:
        """Load the model that answers again."""
        self._loader.restart()
