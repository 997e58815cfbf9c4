"""A worker as the operating system sees it: started, drained of its output, waited for, signalled.

Two daemon threads serve each process, so that nothing here ever blocks the event loop or needs the main
thread's child watcher: one starts it and waits for its end, the other drains its output into the log tail.
The worker lives in a session of its own; when it ends, whatever it started ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from kobold_tui.engine.log_tail import LogTail

T = TypeVar("T")

OOM_SCORE_ADJ = 900
"""Of all processes the system shall end the model first when memory runs out, not the user's shell."""

NO_CORE_BYTES = 1
"""Limit for core files. A core of tens of gigabytes delays the end of a crashed process by minutes; 0 would
not keep the kernel from piping one to a crash handler, 1 does (core(5), `fs/coredump.c`)."""

_DRAIN_SECONDS = 2.0


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker is started: `command`, the number of its wire, `arguments`.

    `environment` adds to ours. The default command runs the worker module with this interpreter; `-P` keeps
    modules of the current directory out.
    """

    command: tuple[str, ...] = (sys.executable, "-P", "-m", "kobold_tui.engine.worker")
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = {}


DEFAULT_LAUNCH = Launch()
_NO_CARDS = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "ROCR_VISIBLE_DEVICES": ""}


def without_cards(launch: Launch) -> Launch:
    """Return the same launch for a process that sees no card; a driver's context alone takes VRAM."""
    return msgspec.structs.replace(launch, environment={**_NO_CARDS, **launch.environment})


def worker_environment(extra: dict[str, str]) -> dict[str, str]:
    """Our environment with what llama.cpp and Python need in a worker.

    Without `GGML_NO_BACKTRACE` a failed assertion can hang in a debugger for ever; `CUDA_DEVICE_ORDER`
    numbers the cards as the driver's own tools do.
    """
    fixed = {
        "GGML_NO_BACKTRACE": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }
    return {**os.environ, **_import_path(), **fixed, **extra}


def _import_path() -> dict[str, str]:
    """Let the worker find a checkout that nobody installed where this process found it."""
    root = Path(__file__).resolve().parents[2]
    if root.name in {"site-packages", "dist-packages"}:
        return {}
    inherited = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{inherited}{os.pathsep}{root}" if inherited else str(root)}


class WorkerProcess:
    """One process; `spawned` (the pid, or OSError) and `exited` (as `Popen.returncode`) are futures.

    `socket` is our end of the wire. Created on the loop that will await the futures.
    """

    def __init__(self, launch: Launch, log: LogTail, *, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._launch = launch
        self._log = log
        self._name = name
        self._popen: subprocess.Popen[bytes] | None = None
        self._reaping = threading.Lock()
        self.spawned: asyncio.Future[int] = self._loop.create_future()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self.socket, theirs = socket.socketpair()
        threading.Thread(target=self._run, args=(theirs,), name=f"{name}: process", daemon=True).start()

    @property
    def pid(self) -> int | None:
        """Its number, None before the start and after the end."""
        popen = self._popen
        return popen.pid if popen is not None and popen.returncode is None else None

    def send_signal(self, number: int) -> None:
        """Signal the process, and on SIGKILL all that it started; nothing happens once it is gone."""
        with self._reaping, contextlib.suppress(ProcessLookupError, PermissionError):
            popen = self._popen
            if popen is None or popen.returncode is not None:
                return
            if number == signal.SIGKILL:
                os.killpg(popen.pid, number)
            else:
                os.kill(popen.pid, number)

    def _run(self, theirs: socket.socket) -> None:
        """Start the process and wait for it (thread)."""
        try:
            with theirs:
                popen = self._popen = self._start(theirs)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self._on_loop(self.spawned.set_exception, error, self.spawned)
            return
        drain = threading.Thread(target=self._drain, args=(popen,), name=f"{self._name}: log", daemon=True)
        drain.start()
        _shield_the_system(popen.pid)
        self._on_loop(self.spawned.set_result, popen.pid, self.spawned)
        returncode = self._wait(popen)
        drain.join(_DRAIN_SECONDS)
        self._on_loop(self.exited.set_result, returncode, self.exited)

    def _start(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self._launch.command, str(theirs.fileno()), *self._launch.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            env=worker_environment(self._launch.environment),
        )

    def _wait(self, popen: subprocess.Popen[bytes]) -> int:
        """Wait for the end. Until the process is reaped its number cannot pass to another one."""
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(popen.pid, signal.SIGKILL)
            with self._reaping:
                return popen.wait()
        return popen.wait()

    def _drain(self, popen: subprocess.Popen[bytes]) -> None:
        """Read all that the process writes, until nobody can write any more (thread)."""
        output = popen.stdout
        if output is None:
            return
        with output:
            while data := output.read(65536):
                self._log.feed(data)
        self._log.end()

    def _on_loop(self, set_value: Callable[[T], None], value: T, future: asyncio.Future[int]) -> None:
        """Settle a future from a thread; a loop that is closed needs no answer any more."""

        def settle() -> None:
            if not future.done():
                set_value(value)

        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(settle)


def _shield_the_system(pid: int) -> None:
    """Make the worker the first victim when memory runs out, and keep it from writing core files (Linux)."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(OOM_SCORE_ADJ), encoding="ascii")
    with contextlib.suppress(OSError, ValueError):
        resource.prlimit(pid, resource.RLIMIT_CORE, (NO_CORE_BYTES, NO_CORE_BYTES))
