"""`kobold-tui models`: the models that the catalogue finds, for people and for scripts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kobold_tui.cli.output import Column, below_home, narrate, print_json, screen_width, table
from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.model import ModelEntry
from kobold_tui.domain.units import format_bytes, format_count, format_tokens

if TYPE_CHECKING:
    from kobold_tui.services.registry import Services

NAME = "models"
SUMMARY = "list the models there are"

EPILOG = """\
`models` and `models list` are the same. With folders, only what lies in them is
listed; files that cannot be used are named with the reason.
"""

COLUMNS = (
    Column(title="NAME", flexible=True),
    Column(title="KIND"),
    Column(title="ARCH"),
    Column(title="PARAMS", align="right"),
    Column(title="QUANT"),
    Column(title="SIZE", align="right"),
    Column(title="CONTEXT", align="right"),
    Column(title="FILE", flexible=True, keep="end"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EPILOG
    parser.usage = "kobold-tui models [list] [DIR ...] [--json]"
    what = parser.add_argument_group("what to list")
    what.add_argument("words", nargs="*", metavar="DIR", help="folder to list in place of all known ones")
    what.add_argument("--json", action="store_true", help="print one JSON document")


def places(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the folders that were named. Raises UsageError for one that is not there."""
    words: list[str] = arguments.words
    folders = words[1:] if words[:1] == ["list"] else words
    for folder in folders:
        if not Path(folder).expanduser().is_dir():
            raise UsageError("No such folder", f"{folder} is not a folder.", "Name folders that hold models.")
    return tuple(str(Path(folder).expanduser().resolve()) for folder in folders)


async def run(arguments: argparse.Namespace, services: Services) -> int:
    """Print the list; files that cannot be used are told apart from it."""
    models, faults = await services.models.list_models()
    folders = places(arguments)
    models = tuple(model for model in models if _is_below(model.path, folders))
    faults = tuple(fault for fault in faults if _is_below(fault.path, folders))
    if arguments.json:
        print_json({"models": models, "failed": faults})
        return 0
    for line in table(COLUMNS, [row(model) for model in models], screen_width()) if models else ():
        print(line)
    if not models:
        narrate("No models found. Name a folder that holds GGUF files: kobold-tui models DIR")
    for fault in faults:
        narrate(f"Not usable: {fault.path}: {fault.reason}")
    return 0


def row(model: ModelEntry) -> tuple[str, ...]:
    """Return the cells of one model; what the file does not say stays empty."""
    shards = f" ×{model.shards}" if model.shards > 1 else ""
    return (
        model.name,
        model.kind,
        model.architecture,
        format_count(model.parameters) if model.parameters else "",
        model.quantization,
        format_bytes(model.size_bytes) + shards,
        format_tokens(model.n_ctx_train) if model.n_ctx_train else "",
        below_home(model.path),
    )


def _is_below(path: str, folders: Sequence[str]) -> bool:
    return not folders or any(Path(path).resolve().is_relative_to(folder) for folder in folders)
