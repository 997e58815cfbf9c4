"""The end of a model's process in words: from an exit status and the last log lines to a `Failure`."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from kobold_tui.domain.errors import EngineError, Failure

LOG_LINES = 20
"""Lines of the log that a failure carries."""

_AGAIN = "Load it again; if it happens again, "
_SIGNALS: dict[int, tuple[str, str]] = {
    signal.SIGKILL: (
        "killed by signal 9 (probably the system's out-of-memory killer or kill -9)",
        _AGAIN + "choose a smaller context or model, or free memory.",
    ),
    signal.SIGSEGV: (
        "ended by signal 11 (SIGSEGV, an invalid memory access inside llama.cpp)",
        _AGAIN + "check the model file and update llama-cpp-python.",
    ),
    signal.SIGBUS: (
        "ended by signal 7 (SIGBUS: a part of the mapped model file could not be read)",
        "Check that the file is complete and its disk is there, or load it without memory-mapping.",
    ),
    signal.SIGILL: (
        "ended by signal 4 (SIGILL: llama.cpp was built for another processor)",
        "Run kobold-tui doctor to see how to build llama-cpp-python for this machine.",
    ),
    signal.SIGTERM: ("ended by signal 15 (SIGTERM, somebody told it to end)", "Load it again."),
}
_ASSERTIONS = ("GGML_ASSERT", "GGML_ABORT", "terminate called", "what():", "CUDA error")


def engine_error(failure: Failure) -> EngineError:
    """Return a new exception with the words of `failure`."""
    return EngineError(failure.title, failure.message, failure.hint, failure.log_tail)


def failed_start(reason: str, log: Sequence[str] = ()) -> Failure:
    """Word that a process could not even say hello; the last log line, mostly the reason, is quoted."""
    said = f' Its last words: "{log[-1]}".' if log else ""
    return Failure(
        title="The model process did not start",
        message=f"The process that is to hold the model {reason}.{said}",
        hint="Run kobold-tui doctor to see what is missing.",
        log_tail=tuple(log[-LOG_LINES:]),
    )


def ended_itself(model: str, returncode: int, log: Sequence[str]) -> Failure:
    """Word that a process ended unasked; `returncode` is as subprocess gives it, -N for signal N."""
    how, hint = _how_it_ended(returncode, log)
    return Failure(
        title="The model process ended",
        message=f"The process of {model} was {how}." if returncode < 0 else f"The process of {model} {how}.",
        hint=hint,
        log_tail=tuple(log[-LOG_LINES:]),
    )


def unreadable(model: str, reason: str, log: Sequence[str]) -> Failure:
    """Word that a process broke the protocol and was killed."""
    return Failure(
        title="The model process was ended",
        message=f"The worker sent something unreadable ({reason}), so the process of {model} was killed.",
        hint=_AGAIN + "reinstall kobold-tui: two versions of it may be mixed.",
        log_tail=tuple(log[-LOG_LINES:]),
    )


def unloaded(model: str) -> Failure:
    """Word that a request was still waiting when the model was unloaded."""
    return Failure(
        title="The model was unloaded",
        message=f"{model} was unloaded before the answer was complete.",
        hint="Load it again to go on.",
    )


def cannot_end(model: str, pid: int | None, log: Sequence[str]) -> Failure:
    """Word that not even a kill ended a process: it is stuck inside the system, mostly in a driver."""
    return Failure(
        title="The model process cannot be ended",
        message=f"The process of {model} ({pid}) does not end although it was killed: a driver holds it.",
        hint="Its memory comes back when the driver lets go; if it never does, restart the machine.",
        log_tail=tuple(log[-LOG_LINES:]),
    )


def start_reason(returncode: int) -> str:
    """Say what a process did that ended before its hello."""
    if returncode < 0:
        return f"was ended by signal {-returncode}"
    return f"ended at once with exit code {returncode}"


def _how_it_ended(returncode: int, log: Sequence[str]) -> tuple[str, str]:
    if returncode == -signal.SIGABRT:
        return _how_it_aborted(log)
    if returncode < 0:
        unknown = (f"ended by signal {-returncode}", _AGAIN + "look at the log.")
        return _SIGNALS.get(-returncode, unknown)
    return f"ended by itself with exit code {returncode}", _AGAIN + "look at the log."


def _how_it_aborted(log: Sequence[str]) -> tuple[str, str]:
    hint = _AGAIN + "change the load options that the message is about, or update llama-cpp-python."
    telling = next((line for line in reversed(log) if any(mark in line for mark in _ASSERTIONS)), None)
    quoted = f": {telling.strip()}" if telling else ""
    return f"ended by signal 6 (SIGABRT, a failed check inside llama.cpp){quoted}", hint
