"""The command line of the set-up: options, one set-up at a time, and errors in words."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.installer.errors import SetupError
from tools.installer.setup_steps import Options, Setup


def run_setup(arguments: Sequence[str], root: str) -> int:
    """Set up `.venv` under `root`; returns the exit code: 0 ready, 1 failed, 130 interrupted."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with_lock(Path(root), lambda: Setup(options, Path(root), dict(os.environ), sys.stdout).run())
    except SetupError as error:
        print(f"\n{error.cause}\n{error.advice}", flush=True)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The next run goes on from here.", flush=True)
        return 130
    return 0


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line that the Makefile writes."""
    parser = argparse.ArgumentParser(prog="tools/setup.py", description="Set up .venv for kobold-tui.")
    parser.add_argument("profile", choices=("run", "dev"))
    parser.add_argument("--cuda", default="", choices=("", "0", "1"), help="0: CPU only, 1: GPU or nothing")
    parser.add_argument("--this-python", action="store_true", help="make .venv anew if it has another Python")
    found = parser.parse_args(arguments)
    return Options(found.profile, found.cuda, found.this_python)


def with_lock(root: Path, work: Callable[[], None]) -> None:
    """Run `work` while no other set-up of the same checkout runs."""
    handle = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another set-up of this checkout is at work; waiting for it.", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        work()
    finally:
        os.close(handle)
