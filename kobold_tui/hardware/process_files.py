"""What /proc tells about processes: names, owners, starts, and whether one has an NVIDIA device open."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import msgspec

from kobold_tui.hardware.fields import shown_text

FIRST_PID_NAMESPACE = "pid:[4026531836]"
"""PROC_PID_INIT_INO in include/linux/proc_ns.h: the machine's own list of processes."""

_START_FIELD = 19  # starttime is field 22 of /proc/PID/stat; the fields after the name start with number 3


class ProcessFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A process of our own list; `started` tells it from a later one of the same number."""

    name: str
    user: str
    started: str


class ProcessFiles:
    """Reads /proc below `root`; never raises."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._proc = root / "proc"

    def is_machines_own_list(self) -> bool:
        """Whether our numbers of processes are the machine's, as outside of any container."""
        try:
            return str((self._proc / "self/ns/pid").readlink()) == FIRST_PID_NAMESPACE
        except OSError:
            return False

    def facts(self, pid: int) -> ProcessFacts | None:
        """Return what is known of a process; None for one that our list does not have."""
        folder = self._proc / str(pid)
        try:
            statistics = (folder / "stat").read_text(errors="replace")
            owner = folder.stat().st_uid
            command = (folder / "cmdline").read_bytes()
        except OSError:
            return None
        fields = statistics.rpartition(")")[2].split()
        short = statistics.partition("(")[2].rpartition(")")[0]
        return ProcessFacts(
            name=shown_text(program_name(command) or short),
            user=user_name(owner),
            started=fields[_START_FIELD] if len(fields) > _START_FIELD else "",
        )

    def numbers(self, pid: int) -> frozenset[int]:
        """Return the numbers of a process in all lists that our /proc knows of, its own among them."""
        try:
            status = (self._proc / str(pid) / "status").read_text(errors="replace")
        except OSError:
            return frozenset({pid})
        for line in status.splitlines():
            if line.startswith("NSpid:"):
                return frozenset({pid, *(int(word) for word in line.split()[1:] if word.isdecimal())})
        return frozenset({pid})

    def has_card_open(self, pid: int) -> bool:
        """Whether a process has an NVIDIA device open, as far as we may know."""
        folder = self._proc / str(pid) / "fd"
        try:
            descriptors = os.listdir(folder)  # noqa: PTH208 - names are all that is wanted
        except OSError:
            return False
        return any(_is_card(folder / descriptor) for descriptor in descriptors)


def program_name(command: bytes) -> str:
    """Return the file name of a program, or the module that Python runs; no other argument, for privacy."""
    words = [word.decode(errors="replace") for word in command.split(b"\0")]
    program = words[0].rpartition("/")[2].split(" ")[0]
    if program.startswith("python"):
        for option, module in itertools.pairwise(words[1:]):
            if option == "-m" or not option.startswith("-"):
                return module if option == "-m" else program
    return program


def user_name(uid: int) -> str:
    """Return the name of a user; the number where there is no name."""
    import pwd

    try:
        return shown_text(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return str(uid)


def _is_card(descriptor: Path) -> bool:
    try:
        target = str(descriptor.readlink())
    except OSError:
        return False
    return target.startswith("/dev/nvidia") and target.removeprefix("/dev/nvidia").isdecimal()
