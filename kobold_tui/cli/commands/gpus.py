"""`kobold-tui gpus`: the gauge's numbers, once or for as long as one watches."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from kobold_tui.cli.gpu_figures import document, lines
from kobold_tui.cli.output import StatusLine, print_json, screen_width
from kobold_tui.domain.errors import UsageError

if TYPE_CHECKING:
    from kobold_tui.domain.gpu import Telemetry
    from kobold_tui.services.registry import Services

NAME = "gpus"
SUMMARY = "show the graphics cards, their memory and their processes"

EPILOG = """\
Cards are numbered as llama.cpp numbers them; one in brackets is hidden from it.
A process without a name has ended or runs outside of this container. ctrl+c
ends --watch.
"""

LOAD_SECONDS = 0.2
"""The load of the machine counts between two samples, so a single look takes two of them."""

SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EPILOG
    what = parser.add_argument_group("what to show")
    what.add_argument("--watch", action="store_true", help="show them again and again")
    what.add_argument("--interval", type=float, metavar="SECONDS", help="time between two looks (0.1 to 60)")
    what.add_argument("--json", action="store_true", help="print one JSON document; with --watch, one a line")


async def run(arguments: argparse.Namespace, services: Services) -> int:
    """Print the figures. Raises UsageError for an interval that makes no sense."""
    interval = _interval(arguments)
    first = await _first_look(services)
    if not arguments.watch:
        if arguments.json:
            print_json(document(first))
        else:
            _print(first)
        return 0
    if interval is not None:
        await services.telemetry.set_interval(interval)
    await _watch(services, as_json=arguments.json)
    return 0


def _interval(arguments: argparse.Namespace) -> float | None:
    seconds: float | None = arguments.interval
    if seconds is None:
        return None
    if not arguments.watch:
        raise UsageError("Wrong usage", "--interval means nothing without --watch.", "Add --watch.")
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise UsageError(
            "Wrong usage",
            f"--interval {seconds:g} is out of range.",
            f"Give {SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g} seconds.",
        )
    return seconds


async def _first_look(services: Services) -> Telemetry:
    """Return a sample with the load of the machine in it."""
    import asyncio  # `--help` needs no event loop

    status = StatusLine()
    status.show("reading the cards …")
    try:
        telemetry = await services.telemetry.sample()
        if telemetry.host.cpu_percent is None:
            await asyncio.sleep(LOAD_SECONDS)
            telemetry = await services.telemetry.sample()
    finally:
        status.clear()
    return telemetry


async def _watch(services: Services, *, as_json: bool) -> None:
    import msgspec

    from kobold_tui.cli.redraw import Block

    block = Block()
    async for reading in services.telemetry.watch():
        if reading.telemetry is None:
            continue
        if as_json:
            print(msgspec.json.encode(document(reading.telemetry)).decode(), flush=True)
        else:
            block.draw(lines(reading.telemetry, screen_width()))


def _print(telemetry: Telemetry) -> None:
    for line in lines(telemetry, screen_width()):
        print(line)
