"""Asks a worker process which llama.cpp it found, and ends it.

The library is never loaded here: a broken one, which can end the process that loads it, only ends the worker.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from typing import IO

from kobold_tui.engine import wire
from kobold_tui.engine.spawn import DEFAULT_LAUNCH, worker_environment
from kobold_tui.services.doctor import LibraryFacts

TIMEOUT_SECONDS = 30.0
"""Loading a CUDA build for the first time after a start of the machine takes several seconds."""


def ask_worker(
    command: Sequence[str] = DEFAULT_LAUNCH.command, timeout_seconds: float = TIMEOUT_SECONDS
) -> LibraryFacts:
    """Return what the worker says in its first frame, or in words why it says nothing. Blocks."""
    ours, theirs = socket.socketpair()
    with ours, tempfile.TemporaryFile() as errors:
        try:
            with theirs:
                process = subprocess.Popen(
                    [*command, str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    env=worker_environment({}),
                    start_new_session=True,
                )
        except OSError as error:
            return LibraryFacts(failure=f"no worker process can be started: {error.strerror}")
        try:
            ours.settimeout(timeout_seconds)
            return _facts(_read_hello(ours))
        except TimeoutError:
            return LibraryFacts(failure=f"it did not load within {timeout_seconds:.0f} seconds")
        except (OSError, wire.FrameError):
            return LibraryFacts(failure=_last_words(process, errors))
        finally:
            process.kill()
            process.wait()


def _facts(hello: wire.Hello) -> LibraryFacts:
    return LibraryFacts(
        version=hello.llama_cpp_version, gpu_offload=hello.gpu_offload_supported, devices=hello.devices
    )


def _read_hello(connection: socket.socket) -> wire.Hello:
    reply = wire.decode_reply(_read(connection, wire.body_length(_read(connection, wire.HEADER_BYTES))))
    if not isinstance(reply, wire.Hello):
        raise wire.FrameError("a worker says hello first")
    return reply


def _read(connection: socket.socket, n_bytes: int) -> bytes:
    data = b""
    while len(data) < n_bytes:
        received = connection.recv(n_bytes - len(data))
        if not received:
            raise ConnectionError("the worker has ended")
        data += received
    return data


def _last_words(process: subprocess.Popen[bytes], errors: IO[bytes]) -> str:
    """Return the last line that the worker wrote, else how it ended."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=2.0)
    errors.seek(0)
    lines = [line.strip() for line in errors.read().decode("utf-8", "replace").splitlines() if line.strip()]
    if lines:
        return f"it cannot be loaded: {lines[-1]}"
    code = process.poll() or 0
    ending = signal.Signals(-code).name if code < 0 else f"status {code}"
    return f"it cannot be loaded: the worker process ended with {ending}"
