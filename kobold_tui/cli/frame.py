"""What surrounds every command: errors become a sentence and an exit status, never a traceback.

Status 0 is done, 1 means that the work failed, 2 wrong usage, 130 interrupted. `KOBOLD_TUI_DEBUG=1` shows
tracebacks as well.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from kobold_tui.cli.output import narrate, print_json
from kobold_tui.domain.errors import KoboldError, UsageError

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130

_UNWRITTEN = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}
"""What a write fails with; an error of opening a file names the file as well."""


def open_closed_streams() -> None:
    """Open the null device for every standard stream that the program was started without.

    Without it a stream is None to Python, and the next file that is opened takes its descriptor.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode))


def guarded(work: Callable[[], int], *, as_json: bool = False) -> int:
    """Run `work` and return its exit status or the one that its error stands for, having told the error.

    Output that cannot be written (a full disk, a reader that has left) is noticed here, not at the end of the
    interpreter.
    """
    try:
        status = _attempt(work, as_json=as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_output()
        return FAILED
    except OSError as error:
        _abandon_output()
        with contextlib.suppress(OSError):
            narrate(f"Not everything could be written: {error.strerror or error}.")
        return FAILED
    return status


def _attempt(work: Callable[[], int], *, as_json: bool) -> int:
    """Return the exit status of `work`; an OSError comes out where something could not be written."""
    try:
        return work()
    except KoboldError as error:
        _trace()
        report(error, as_json=as_json)
        return WRONG_USAGE if isinstance(error, UsageError) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # the last resort: the person gets a sentence, the log the rest
        if isinstance(error, OSError) and error.errno in _UNWRITTEN and error.filename is None:
            raise
        _trace()
        report(_unexpected(error), as_json=as_json)
        return FAILED


def report(error: KoboldError, *, as_json: bool) -> None:
    """Tell an error: words on standard error, or one JSON document on standard output."""
    if as_json:
        print_json(error_document(error))
        return
    narrate(f"{error.title}: {error.message}")
    if error.hint:
        narrate(error.hint)


def error_document(error: KoboldError) -> dict[str, dict[str, str]]:
    """Return the form that an error has in JSON."""
    return {"error": {"title": error.title, "message": error.message, "hint": error.hint}}


def _unexpected(error: Exception) -> KoboldError:
    place = _log_traceback()
    hint = f"The details are in {place}." if place else "KOBOLD_TUI_DEBUG=1 shows the details."
    words = str(error).strip().split("\n")[0]
    return KoboldError("Internal error", f"{type(error).__name__}{': ' if words else ''}{words}", hint)


def _log_traceback() -> Path | None:
    """Append the traceback to the log, without the values that it was about; None where that fails."""
    from kobold_tui.storage.paths import Paths  # only a crash needs it

    try:
        paths = Paths.from_environment(os.environ)
        paths.log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = paths.log_dir / "command-line.log"
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", errors="replace") as log:
            log.write(traceback.format_exc())
    except (OSError, KoboldError):
        return None
    return file


def _trace() -> None:
    if os.environ.get("KOBOLD_TUI_DEBUG", "0") not in {"", "0"}:
        traceback.print_exc()


def _abandon_output() -> None:
    """Whoever read our output has left; the interpreter must not find that out once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
