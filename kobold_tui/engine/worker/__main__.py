"""The worker process: `python -m kobold_tui.engine.worker FD [--scripted JSON] [--planner ROLE]`.

FD is the inherited end of the socket pair that carries the wire. The first act is to make standard input
empty and to send standard output where standard error goes, so that nothing a library prints can reach the
wire or a terminal.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from kobold_tui.domain.errors import KoboldError
from kobold_tui.engine.worker.backend import Backend, Role
from kobold_tui.engine.worker.serve import EXIT_FAILED, serve

_OOM_SCORE = "900"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one model over the given descriptor; returns the exit code of the process."""
    parser = argparse.ArgumentParser(prog="kobold-tui-worker", add_help=False)
    parser.add_argument("descriptor", type=int)
    parser.add_argument("--scripted", metavar="JSON")
    parser.add_argument("--planner", choices=("virtual", "real", "log"))
    arguments = parser.parse_args(argv)
    _separate_standard_streams()
    _prepare_process()
    connection = socket.socket(fileno=arguments.descriptor)
    connection.set_inheritable(False)
    try:
        backend = _backend(arguments.scripted, arguments.planner)
    except KoboldError as error:
        print(error, file=sys.stderr, flush=True)  # noqa: T201 - standard error is the log
        return EXIT_FAILED
    return serve(connection, backend)


def _separate_standard_streams() -> None:
    with Path(os.devnull).open("rb") as empty:
        os.dup2(empty.fileno(), 0)
    os.dup2(2, 1)


def _prepare_process() -> None:
    """Let the kernel end this process first when memory runs out, and let a crash end it at once.

    Without GGML_NO_BACKTRACE a failed assertion starts a debugger and can hang for ever.
    """
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")


def _backend(scripted: str | None, planner: Role | None) -> Backend:
    if scripted is not None:
        from kobold_tui.engine.worker.scripted import ScriptedBackend

        return ScriptedBackend.from_json(scripted)
    from kobold_tui.engine.worker.virtual_gpu import install_from_environment

    if planner != "virtual":
        install_from_environment()
    if planner is not None:
        from kobold_tui.engine.worker.planner import PlannerBackend

        return PlannerBackend(planner)
    from kobold_tui.engine.worker.llama_backend import LlamaBackend

    return LlamaBackend()


if __name__ == "__main__":
    raise SystemExit(main())
