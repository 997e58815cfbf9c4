"""What the gauge costs beside nvitop: output to the terminal and CPU time, on the same two made-up cards.

Both run in pseudo-terminals of 120x40 over the NVML stub of the tests, by turns: load, temperature and power
move with every reading, each second, while two processes hold memory that rests, as models do. The page is
measured with the whole program around it, which is also measured while it hardly reads the cards: the
difference is the page. The terminal has 256 colours, as over SSH; a line with 24-bit colours is added.
nvitop is installed once into an environment of its own; where that is impossible the bench says so.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from tools.bench.measure import Row
from tools.bench.models import folder

sys.path.append(str(Path(__file__).parents[2] / "tests" / "support"))
from nvml_stub import Stub

SIZE = (120, 40)
NVITOP = "nvitop==1.7.2"
OURS = [sys.executable, "-m", "kobold_tui", "--no-supervisor"]
CARDS, SECONDS, SETTLE_SECONDS, ROUNDS = 2, 15.0, 8.0, 3
F3 = b"\x1bOR"


class Cost(NamedTuple):
    """Bytes a second to the terminal, and the share of one processor, in per cent."""

    bytes_per_second: float
    cpu_percent: float


def run() -> list[Row]:
    """Return a row for each program, for the page alone, and for the ratios."""
    nvitop = [_nvitop()]
    with tempfile.TemporaryDirectory() as place:
        stub = Stub(Path(place), CARDS, [f"process {card} {os.getpid()} 9000 30" for card in range(CARDS)])
        environ = {**os.environ, **stub.environment(), "TERM": "xterm-256color"}
        environ |= {"KOBOLD_TUI_HOME": f"{place}/home"}
        environ.pop("COLORTERM", None)
        idle = {**environ, "KOBOLD_TUI_GAUGE_SECONDS": "60"}
        rounds = [
            (measure(OURS, environ, F3), measure(OURS, idle, F3), measure(nvitop, environ))
            for _ in range(ROUNDS)
        ]
        rich = measure(OURS, {**environ, "COLORTERM": "truecolor"}, F3)
    pages, idles, theirs = ([each[place] for each in rounds] for place in range(3))
    page_cpu = statistics.median(
        (page.cpu_percent - idle.cpu_percent) / nvitop.cpu_percent for page, idle, nvitop in rounds
    )
    output = statistics.median(page.bytes_per_second / nvitop.bytes_per_second for page, _, nvitop in rounds)
    return [
        Row("the program with the page", _median(pages)),
        Row("the program at rest", _median(idles)),
        Row("nvitop", _median(theirs)),
        Row("the page to nvitop", f"{output:.2f}x the output, {page_cpu:.2f}x the CPU time"),
        Row("with 24-bit colours", _words(rich)),
    ]


def _median(costs: Sequence[Cost]) -> str:
    return _words(Cost(*(statistics.median(values) for values in zip(*costs, strict=True))))


def _words(cost: Cost) -> str:
    return f"{cost.bytes_per_second:5.0f} bytes/s, {cost.cpu_percent:.2f} % CPU"


def _nvitop() -> str:
    """Return nvitop, installed where it is not. Raises RuntimeError where that is impossible."""
    place = folder() / "nvitop"
    program = place / "bin" / "nvitop"
    if not program.exists():
        venv.create(place, with_pip=True, clear=True)
        pip = [str(place / "bin" / "pip"), "install", "--quiet", NVITOP]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{NVITOP} cannot be installed: {done.stderr.strip()[-300:]}")
    return str(program)


def measure(command: Sequence[str], environ: Mapping[str, str], keys: bytes = b"") -> Cost:
    """Run a program, wait until it has settled, and return what it costs from then on."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(command[0], list(command), dict(environ))
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
        _read_for(terminal, SETTLE_SECONDS / 2)
        os.write(terminal, keys)
        _read_for(terminal, SETTLE_SECONDS / 2)
        before, started = _cpu_seconds(pid), time.monotonic()
        n_bytes = _read_for(terminal, SECONDS)
        seconds = time.monotonic() - started
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            raise RuntimeError(f"{command[0]} has ended.")
        return Cost(n_bytes / seconds, 100 * (_cpu_seconds(pid) - before) / seconds)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads; `schedstat` counts nanoseconds, `cpu_times` only ticks."""
    tasks = Path(f"/proc/{pid}/task")
    try:
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
    except OSError:
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system


def _read_for(terminal: int, seconds: float) -> int:
    """Read what a program writes for some time, and return how many bytes it was."""
    count, deadline = 0, time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        readable, _, _ = select.select([terminal], [], [], left)
        if not readable:
            continue
        try:
            count += len(os.read(terminal, 65536))
        except OSError:  # the program has ended
            break
    return count


if __name__ == "__main__":
    for name, value in run():
        print(f"{name:28} {value}")
