"""`kobold-tui fit`: what a model would take from each device, before anything is loaded."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kobold_tui.services.registry import Services

NAME = "fit"
SUMMARY = "tell what a model takes from each card, and what fits"

EPILOG = """\
Nothing is loaded: the figures come from the model's header. --exact asks
llama.cpp itself, by a dry run in another process. Layers left to `auto` become
the best placement: all on the cards, else experts in RAM, else as many layers
as fit. --n-ctx max finds the largest context; --free plans for cards that need
not exist. Exit status 0 also for what does not fit: "fits" is false.

examples:
  kobold-tui fit qwen3-8b
  kobold-tui fit qwen3-8b --free 24G,12G --n-ctx 32768 --type-k q8_0
  kobold-tui fit qwen3-8b --n-gpu-layers 20 --exact --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options; what is not given is as in the preset or the settings."""
    parser.epilog = EPILOG
    what = parser.add_argument_group("what to load")
    what.add_argument(
        "reference", nargs="?", metavar="MODEL", help="model (file or name) or preset; else the default"
    )
    what.add_argument("--n-gpu-layers", metavar="N", help="layers on the GPU: a number, all, or auto")
    what.add_argument("--n-ctx", metavar="N", help="tokens of context: a number, max, or auto")
    what.add_argument("--type-k", metavar="TYPE", help="type of cached keys: f16, q8_0, q4_0 …")
    what.add_argument("--type-v", metavar="TYPE", help="type of cached values")
    what.add_argument("--flash-attn", choices=("on", "off", "auto"), help="flash attention")
    what.add_argument("--n-batch", type=int, metavar="N", help="prompt tokens handed over in one call")
    what.add_argument("--n-ubatch", type=int, metavar="N", help="prompt tokens computed at once")
    what.add_argument("--n-cpu-moe", type=int, metavar="N", help="layers whose experts stay in RAM")
    where = parser.add_argument_group("where to")
    where.add_argument("--tensor-split", metavar="A,B", help="share of each card")
    where.add_argument("--free", metavar="SIZES", help="cards to plan for, by free memory: 24G,24G; or none")
    where.add_argument("--reserve", metavar="SIZE", help="memory to leave free on each card")
    how = parser.add_argument_group("how to tell")
    how.add_argument("--exact", action="store_true", help="confirm by a dry run of llama.cpp")
    how.add_argument("--json", action="store_true", help="print one JSON document")


async def run(arguments: argparse.Namespace, services: Services) -> int:
    """Print what it takes. Raises UsageError, ModelFileError, or EngineError of the dry run."""
    from kobold_tui.cli.fitting import fit  # `--help` needs none of it

    return await fit(arguments, services)
