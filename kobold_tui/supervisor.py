"""A small parent process that watches over the interface and gives the terminal back whatever ends it.

A native crash or `kill -9` leaves no time to tidy up, so the interface runs in a forked child and the
parent, which does nothing but wait, undoes what the child left on the screen. The parent lives on blocked
signals and `sigwait`: no handler runs, so nothing can race with `waitpid`. It uses the standard library
alone and must run before any thread or heavy import.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
from collections.abc import Callable
from typing import NoReturn

GRACE_SECONDS = 5.0
"""Time to store everything after SIGTERM, SIGHUP or the loss of the parent; then comes SIGKILL."""

STOP_SECONDS = 0.5
"""Time for a SIGTSTP that reached the parent to reach the child too, before it is passed on."""

CONTINUE_SECONDS = 0.1
"""Time for the shell's own SIGCONT to reach the child, before it is passed on. Two would resume twice."""

MODES_OFF = (
    "\x18"  # ends an escape sequence that was cut off in the middle
    "\x1b[?2026l"  # synchronized output
    "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1016l"  # mouse
    "\x1b[?1004l\x1b[?2004l\x1b[?2048l"  # focus events, bracketed paste, resize reports
    "\x1b[<u"  # kitty keyboard flags: kept apiece by each screen, so before leaving this one
    "\x1b[?1049l"  # alternate screen
    "\x1b[?7h\x1b[?25h\x1b[0m"  # line wrap, cursor, colours
)
"""What undoes every mode that Textual's driver can have switched on."""

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_FROM_KEYBOARD = (signal.SIGINT, signal.SIGQUIT)
_WATCHED = frozenset((*_ENDING, *_FROM_KEYBOARD, signal.SIGTSTP, signal.SIGCHLD, signal.SIGALRM))
_CRASHES = frozenset(
    (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGKILL, signal.SIGSEGV)
)
_LINE_MODES = termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN


def run(
    ui: Callable[[], int],
    *,
    log_place: Callable[[], str] = str,
    grace_seconds: float = GRACE_SECONDS,
) -> int:
    """Run `ui` in a watched child and return its exit status, 128 + N where signal N ended it.

    Returns in the parent alone: the child leaves by SystemExit. `log_place` names the log in the notice
    after a crash and is called then only. Without a terminal on standard input `ui` runs here, unwatched.
    """
    terminal = _find_terminal()
    if terminal is None:
        return ui()
    sys.stdout.flush()
    sys.stderr.flush()
    screen = _Screen(terminal)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    signal.signal(signal.SIGCHLD, _ignore)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _run_child(ui, read_end, screen, grace_seconds)
    os.close(read_end)
    return _Watch(child, screen, log_place, grace_seconds).until_exit()


def watch_parent(descriptor: int, on_gone: Callable[[], None]) -> None:
    """Call `on_gone` on a thread of its own as soon as the other end of the pipe `descriptor` is closed.

    The kernel closes it whatever ends the process that held it, `kill -9` included. The thread takes no
    signals: they are to interrupt the main thread, which alone runs Python's handlers.
    """
    import threading  # the parent must not pay for what only the child uses

    def wait() -> None:
        while os.read(descriptor, 1):
            pass
        on_gone()

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    threading.Thread(target=wait, name="supervisor-watch", daemon=True).start()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _run_child(ui: Callable[[], int], parent_pipe: int, screen: _Screen, grace_seconds: float) -> NoReturn:
    watch_parent(parent_pipe, lambda: _end_orphan(screen, grace_seconds))
    try:
        status = ui()
    except Exception:
        if screen.is_changed():
            screen.restore()  # what is told about the error must not vanish with the alternate screen
        raise
    raise SystemExit(status)


def _end_orphan(screen: _Screen, grace_seconds: float) -> None:
    """End this process as a closed terminal would, by force where it does not listen."""
    import threading  # the parent must not pay for what only the child uses

    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        screen.restore()
    os.kill(os.getpid(), signal.SIGHUP)
    threading.Event().wait(grace_seconds)
    screen.restore()
    os.kill(os.getpid(), signal.SIGKILL)


def _find_terminal() -> int | None:
    """Return the descriptor that the interface draws on, None where there is no terminal to watch."""
    if not os.isatty(0):
        return None
    return next(number for number in (2, 1, 0) if os.isatty(number))


def _ignore(_number: int, _frame: object) -> None:
    """Be a handler: some systems drop a blocked SIGCHLD that has none."""


class _Screen:
    """The terminal with the line settings that it had when the program began."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._settings = termios.tcgetattr(descriptor)

    def is_changed(self) -> bool:
        """Whether keys arrive raw, which is so exactly while an interface has the screen."""
        try:
            now = termios.tcgetattr(self._descriptor)
        except termios.error:
            return False
        return bool((now[3] ^ self._settings[3]) & _LINE_MODES)

    def restore(self) -> None:
        """Switch off every mode and put the line settings back; a terminal that is gone is no error."""
        with contextlib.suppress(OSError, termios.error):
            _, writable, _ = select.select([], [self._descriptor], [], 1.0)
            if writable:
                os.write(self._descriptor, MODES_OFF.encode())
            if os.tcgetpgrp(self._descriptor) == os.getpgrp():
                termios.tcflush(self._descriptor, termios.TCIFLUSH)
                termios.tcsetattr(self._descriptor, termios.TCSANOW, self._settings)


class _Watch:
    """The parent's life: pass signals on, stop and continue with the child, and tidy up after it."""

    def __init__(
        self, child: int, screen: _Screen, log_place: Callable[[], str], grace_seconds: float
    ) -> None:
        self._child = child
        self._screen = screen
        self._log_place = log_place
        self._grace_seconds = grace_seconds
        self._pending: signal.Signals | None = None
        self._ended_by: int | None = None

    def until_exit(self) -> int:
        """Return the exit status of the child once it has ended and the terminal is as before."""
        while True:
            number, by_kernel = _next_signal()
            match number:
                case signal.SIGCHLD:
                    status = self._follow_child()
                    if status is not None:
                        return self._finish(status)
                case signal.SIGALRM:
                    self._send_pending()
                case signal.SIGTSTP:
                    self._send_later(signal.SIGTSTP, STOP_SECONDS)
                case _:
                    self._pass_on(number, by_kernel)

    def _pass_on(self, number: int, by_kernel: bool) -> None:
        """Hand a signal to the child; what the keyboard sends has reached it already."""
        if not (by_kernel and number in _FROM_KEYBOARD):
            os.kill(self._child, number)
        if number in _ENDING and self._ended_by is None:
            self._ended_by = number
            self._send_later(signal.SIGKILL, self._grace_seconds)

    def _follow_child(self) -> int | None:
        """Take in every change of the child; returns its wait status once it has ended."""
        while True:
            pid, status = os.waitpid(self._child, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if pid == 0:
                return None
            if os.WIFSTOPPED(status):
                self._stop_with_child()
            elif os.WIFCONTINUED(status):
                self._forget(signal.SIGCONT)
            else:
                return status

    def _stop_with_child(self) -> None:
        """Stop as the child did, and continue it with us.

        The shell continues the whole process group; where nobody did, for want of a shell with job
        control, SIGTSTP does not stop us either and the child is woken at once.
        """
        self._forget(signal.SIGTSTP)
        if self._ended_by is not None:
            os.kill(self._child, signal.SIGCONT)
            return
        if self._screen.is_changed():
            self._screen.restore()
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTSTP,))
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTSTP,))
        self._send_later(signal.SIGCONT, CONTINUE_SECONDS)

    def _send_later(self, number: signal.Signals, seconds: float) -> None:
        if self._pending != signal.SIGKILL:
            self._pending = number
            signal.setitimer(signal.ITIMER_REAL, seconds)

    def _forget(self, number: signal.Signals) -> None:
        if self._pending == number:
            self._pending = None
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _send_pending(self) -> None:
        if self._pending is not None:
            os.kill(self._child, self._pending)
        if self._pending != signal.SIGKILL:
            self._pending = None

    def _finish(self, status: int) -> int:
        """Tidy up and say what happened."""
        code = os.waitstatus_to_exitcode(status)
        if code < 0 or self._screen.is_changed():
            self._screen.restore()
        if code >= 0:
            return code
        if self._ended_by is not None:
            return 128 + self._ended_by
        if -code in _CRASHES:
            self._report(signal.Signals(-code))
        return 128 - code

    def _report(self, number: signal.Signals) -> None:
        place = self._log_place()
        where = f" The log is in {place}." if place else ""
        line = f"kobold-tui: the interface was ended by {number.name}. Conversations are stored.{where}\n"
        with contextlib.suppress(OSError):
            os.write(2, line.encode(errors="replace"))


def _next_signal() -> tuple[int, bool]:
    """Wait for a watched signal; returns it and whether the kernel sent it (a key, not a process)."""
    if sys.platform == "linux":
        info = signal.sigwaitinfo(_WATCHED)
        return info.si_signo, info.si_code > 0
    return signal.sigwait(_WATCHED), False
