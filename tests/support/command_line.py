"""The command line run in the test's own process over a backend of fakes, with its streams in hand."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import pytest
from fake_world import World

from kobold_tui.cli import main as cli
from kobold_tui.cli.frame import guarded
from kobold_tui.domain.generation import GenerateRequest
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.services.options import StartOptions
from kobold_tui.services.registry import Services


class Typed(io.TextIOWrapper):
    """Standard input: a pipe, or a terminal at which somebody types these lines and then ctrl+d."""

    def __init__(self, data: bytes, *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        """Standard output as one JSON document a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class CommandLine:
    """Runs commands against a world of fakes; remembers how the services were opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.world = World()
        self.options = StartOptions()
        self.private: bool | None = None

    def run(self, *argv: str, piped: str | bytes = "", typed: Sequence[str] | None = None) -> Outcome:
        """Run a command with a pipe on standard input, or `typed` lines at a terminal."""
        data = piped.encode() if isinstance(piped, str) else piped
        if typed is not None:
            data = "".join(f"{line}\n" for line in typed).encode()
        self._monkeypatch.setattr("sys.stdin", Typed(data, terminal=typed is not None))
        status = guarded(lambda: cli.run(cli.parse(argv), self._open), as_json="--json" in argv)
        captured = self._capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    @property
    def requests(self) -> list[GenerateRequest]:
        """All that the one model of the world was asked, in order."""
        (engine,) = self.world.engines.values()
        return [item for item in engine.history if isinstance(item, GenerateRequest)]

    @property
    def loads(self) -> list[LoadSpec]:
        """All loads of the one model of the world, in order."""
        (engine,) = self.world.engines.values()
        return [item for item in engine.history if isinstance(item, LoadSpec)]

    def _open(self, options: StartOptions, *, private: bool) -> AbstractAsyncContextManager[Services]:
        self.options, self.private = options, private
        return self.world.open()
