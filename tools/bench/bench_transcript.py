"""What a streaming answer costs: the transcript against Textual's MarkdownStream, in CPU seconds.

Each candidate runs as an app of its own in a pseudo-terminal of 120x40 and is fed at the pace of a fast
model; the cost of the same app without an answer is taken off. Only the ratios mean anything elsewhere.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Markdown

from kobold_tui.tui.theming import variable_defaults
from kobold_tui.tui.widgets.transcript import Transcript, TranscriptItem
from tools.bench.measure import Row

TOKENS = 600
TOKENS_A_SECOND = 100
SIZE = (120, 40)
SECTION = """## Section {i}: how a lighthouse works

A **lamp** sits behind a *lens*; see `fresnel.focus()` and [a page](https://example.org/a).

1. Light the lamp
2. Turn the lens once every `15 s`
   - keep the bearing oiled
   - log each turn

```python
def flash(period, offset=0.0):
    # seconds since the last flash
    while True:
        yield (time.monotonic() - offset) % period
```

| part | mass | share |
|------|-----:|------:|
| lens | 900 kg | 61 % |
| lamp | 20 kg | 1 % |

> Note: the figures are made up.

"""


class Cost(NamedTuple):
    """CPU seconds and bytes to the terminal of one run."""

    cpu_seconds: float
    output_bytes: int


def run() -> list[Row]:
    """Return a row for every measure: its name and its value with the ratio to MarkdownStream."""
    idle = measure("idle")
    costs = {kind: measure(kind) for kind in ("transcript", "transcript-paged", "markdown-stream")}
    base = costs["markdown-stream"].cpu_seconds - idle.cpu_seconds
    rows = []
    for kind, cost in costs.items():
        cpu = max(0.0, cost.cpu_seconds - idle.cpu_seconds)
        per_token = (cost.output_bytes - idle.output_bytes) // TOKENS
        rows.append(
            Row(f"{kind}, {TOKENS} tokens", f"{cpu:.2f} CPU s ({cpu / base:.2f}x), {per_token} bytes/token")
        )
    return rows


def measure(kind: str, tokens: int = TOKENS) -> Cost:
    """Run one candidate in a pseudo-terminal and return what it cost."""
    pid, terminal = pty.fork()
    if pid == 0:
        root = Path(__file__).resolve().parents[2]
        environment = {
            **os.environ,
            "PYTHONPATH": str(root),
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
        }
        os.execve(sys.executable, [sys.executable, __file__, kind, str(tokens)], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    output_bytes = 0
    while chunk := _read(terminal):
        output_bytes += len(chunk)
    _, _, usage = os.wait4(pid, 0)
    os.close(terminal)
    return Cost(usage.ru_utime + usage.ru_stime, output_bytes)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def tokens_of_an_answer(count: int) -> list[str]:
    """Return an answer of headings, lists, code, tables and quotes in pieces about as long as tokens."""
    tokens: list[str] = []
    section = 1
    while len(tokens) < count:
        tokens += re.findall(r"\s*\S+|\s+$", SECTION.format(i=section))
        tokens.append("\n\n")
        section += 1
    return tokens[:count]


class Candidate(App[None]):
    """One way to show an answer: fed at the pace of a fast model, then ended."""

    def __init__(self, kind: str, count: int) -> None:
        super().__init__()
        self.kind = kind
        self.count = count

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Give the variables that the transcript uses."""
        return variable_defaults(self.current_theme)

    def compose(self) -> ComposeResult:
        """Show the widget under test."""
        if self.kind.startswith("transcript"):
            yield Transcript()
        else:
            with VerticalScroll():
                yield Markdown()

    def on_mount(self) -> None:
        """Begin to feed."""
        self.run_worker(self.feed())

    async def feed(self) -> None:
        """Stream one answer, or only wait where the app itself is measured."""
        if self.kind == "markdown-stream":
            await self.feed_markdown()
        elif self.kind != "idle":
            await self.feed_transcript()
        else:
            await asyncio.sleep(1)
        self.exit()

    async def feed_transcript(self) -> None:
        """Stream into the transcript."""
        transcript = self.query_one(Transcript)
        transcript.page_scroll = self.kind.endswith("paged")
        transcript.show([TranscriptItem(1, "assistant", status="streaming")])
        async for token in paced(self.count):
            transcript.stream(1, token)
        transcript.finish(1, TranscriptItem(1, "assistant", transcript.last_answer_text()))

    async def feed_markdown(self) -> None:
        """Stream into Textual's own Markdown."""
        self.query_one(VerticalScroll).anchor()
        stream = Markdown.get_stream(self.query_one(Markdown))
        async for token in paced(self.count):
            await stream.write(token)
        await stream.stop()


async def paced(count: int) -> AsyncIterator[str]:
    """Yield the tokens of an answer when they are due."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number, token in enumerate(tokens_of_an_answer(count)):
        await asyncio.sleep(max(0.0, start + number / TOKENS_A_SECOND - loop.time()))
        yield token


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Candidate(sys.argv[1], int(sys.argv[2])).run()
    else:
        for name, value in run():
            print(f"{name:36} {value}")
