"""Runs `chat` on the terminal that it is started in, over fakes; every answer stops after two words."""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager

from fake_world import World, model

from kobold_tui.cli import main as cli
from kobold_tui.cli.frame import guarded
from kobold_tui.engine.script import Script
from kobold_tui.services.options import StartOptions
from kobold_tui.services.registry import Services


def open_world(options: StartOptions, *, private: bool) -> AbstractAsyncContextManager[Services]:
    script = Script(reply="one two three", hold_answer_after=2, hold_load="--hold-load" in sys.argv)
    return World([model("tiny")], script).open()


if __name__ == "__main__":
    argv = [argument for argument in sys.argv[1:] if argument != "--hold-load"]
    sys.exit(guarded(lambda: cli.run(cli.parse(argv), open_world)))
