"""`kobold-tui bench`: how fast a model is at each placement, measured one after another."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kobold_tui.services.registry import Services

NAME = "bench"
SUMMARY = "measure how fast a model is, and find its best settings"

EPILOG = """\
Every placement is loaded in a process of its own, warmed up, measured and
unloaded. What cannot be loaded is a row that says why. A LIST has commas;
several lists are tried in all combinations, K and V types in pairs. Without
lists it tries a few numbers of layers (without a GPU: of threads), then other
batches, caches and threads around the fastest. The prompt is read into an
empty cache, the answer is written behind it. The first load may have to read
the file from the disk. ctrl+c ends it, prints what was measured, and exits
with 130.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EPILOG
    what = parser.add_argument_group("what to measure")
    what.add_argument(
        "reference", nargs="?", metavar="MODEL", help="model (file or name) or preset; else the default"
    )
    what.add_argument("--n-prompt", type=int, metavar="N", help="tokens of the prompt (512)")
    what.add_argument("--n-gen", type=int, metavar="N", help="tokens of the answer (128)")
    what.add_argument("--repeat", type=int, metavar="N", help="measurements of each placement (3)")
    where = parser.add_argument_group("what to try")
    where.add_argument(
        "--n-gpu-layers", metavar="LIST", help="layers on the GPU: 0,16,33; all; auto chooses some"
    )
    where.add_argument("--threads", metavar="LIST", help="CPU threads")
    where.add_argument("--type-k", metavar="LIST", help="types of cached keys: f16,q8_0")
    where.add_argument("--type-v", metavar="LIST", help="types of cached values; else those of the keys")
    where.add_argument("--n-batch", metavar="LIST", help="prompt tokens handed over in one call")
    where.add_argument("--n-ubatch", metavar="LIST", help="prompt tokens computed at once")
    then = parser.add_argument_group("what to do with it")
    then.add_argument(
        "--save",
        nargs="?",
        const="",
        metavar="NAME",
        help="write the fastest placement into the preset, or as a preset called NAME",
    )
    then.add_argument("--json", action="store_true", help="print one JSON document")


async def run(arguments: argparse.Namespace, services: Services) -> int:
    """Measure and print."""
    from kobold_tui.cli.benching import bench  # `--help` needs none of it

    return await bench(arguments, services)
