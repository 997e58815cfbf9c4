"""Entry of the program: decides between the workbench, a command, and a model's worker process.

It stays cheap: what a start does not need is not imported, and the supervisor forks before anything heavy is.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from kobold_tui.services.options import StartOptions
    from kobold_tui.services.registry import Services

WORKER_OPTION = "--worker-process"
"""Hidden first argument with which a single-file build starts itself as a worker."""

WORKER_MODULE = "kobold_tui.engine.worker.__main__"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == [WORKER_OPTION]:
        return int(importlib.import_module(WORKER_MODULE).main(given[1:]))
    from kobold_tui.cli.frame import guarded, open_closed_streams  # a worker needs nothing of the front ends

    open_closed_streams()
    return guarded(lambda: _start(given), as_json="--json" in given)


def _start(given: Sequence[str]) -> int:
    from kobold_tui.cli import main as cli  # a worker needs nothing of the front ends

    arguments = cli.parse(given)
    if arguments.command is None and _wants_text(arguments):
        arguments = cli.as_chat(arguments)
    if arguments.command is not None:
        return cli.run(arguments, _open_services)
    return _workbench(arguments, cli.start_options(arguments))


def _wants_text(arguments: argparse.Namespace) -> bool:
    return arguments.cli or arguments.prompt is not None or not sys.stdin.isatty()


def _workbench(arguments: argparse.Namespace, options: StartOptions) -> int:
    """Run the interface under the parent that gives the terminal back whatever happens."""
    from kobold_tui import supervisor  # commands need no parent
    from kobold_tui.cli.frame import guarded  # a worker needs nothing of the front ends

    def ui() -> int:
        from kobold_tui.bootstrap import run_tui  # heavy; only the child pays for it

        return guarded(lambda: run_tui(options))

    return ui() if arguments.no_supervisor else supervisor.run(ui, log_place=_log_place)


def _log_place() -> str:
    from kobold_tui.storage.paths import Paths  # only a crash needs it

    return str(Paths.from_environment(os.environ).log_dir)


def _open_services(options: StartOptions, *, private: bool) -> AbstractAsyncContextManager[Services]:
    from kobold_tui.bootstrap import open_services  # `--help` needs none of it

    return open_services(options, private=private)


if __name__ == "__main__":
    sys.exit(main())
