"""`kobold-tui models`: the models that the catalogue finds, for people and for scripts.

Each verb is a function that declares its options and one that runs it. Without a verb the models are listed,
so that `models` and `models DIR` are short for `models list`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kobold_tui.cli.hub_commands import configure_get, configure_search, run_get, run_search
from kobold_tui.cli.output import Column, below_home, narrate, print_json, screen_width, table
from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.model import ModelEntry
from kobold_tui.domain.units import format_bytes, format_count, format_tokens

if TYPE_CHECKING:
    from kobold_tui.services.registry import Services

NAME = "models"
SUMMARY = "list the models there are"

EPILOG = """\
verbs:
{verbs}

`models` and `models list` are the same. With folders, only what lies in them is
listed; files that cannot be used are named with the reason.
`kobold-tui models VERB --help` tells the options of a verb.
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

_TAKES_A_VALUE = ("--models-dir", "--presets-dir", "--to", "--limit")


class Verb(NamedTuple):
    """One thing that `models` does."""

    summary: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Services], Coroutine[Any, Any, int]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs and their options."""
    width = max(map(len, VERBS))
    listing = "\n".join(f"  {name:<{width}}  {verb.summary}" for name, verb in VERBS.items())
    parser.epilog = EPILOG.format(verbs=listing)
    parser.usage = "kobold-tui models [VERB] [options]\n       kobold-tui models [list] [DIR ...] [--json]"
    verbs = parser.add_subparsers(
        dest="verb", metavar="VERB", prog="kobold-tui models", help=argparse.SUPPRESS
    )
    for name, verb in VERBS.items():
        own = verbs.add_parser(
            name,
            description=f"{verb.summary[:1].upper()}{verb.summary[1:]}.",
            formatter_class=parser.formatter_class,
            allow_abbrev=False,
            add_help=False,
        )
        verb.configure(own)
        everywhere = own.add_argument_group("with every command")
        everywhere.add_argument("-h", "--help", action="help", help="show this help")
        for option in ("--models-dir", "--presets-dir"):
            name_of_value = option[2:].replace("-", "_") + "s"
            own.add_argument(
                option, dest=name_of_value, action="append", default=argparse.SUPPRESS, help=argparse.SUPPRESS
            )
    _put_verb_first(parser)


def places(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the folders that were named. Raises UsageError for one that is not there."""
    folders: list[str] = getattr(arguments, "folders", [])
    for folder in folders:
        if not Path(folder).expanduser().is_dir():
            raise UsageError("No such folder", f"{folder} is not a folder.", "Name folders that hold models.")
    return tuple(str(Path(folder).expanduser().resolve()) for folder in folders)


async def run(arguments: argparse.Namespace, services: Services) -> int:
    """Do what the verb says and return the exit status."""
    return await VERBS[arguments.verb].run(arguments, services)


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


def _configure_list(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to list")
    what.add_argument("folders", nargs="*", metavar="DIR", help="folder to list in place of all known ones")
    what.add_argument("--json", action="store_true", help="print one JSON document")


async def _list(arguments: argparse.Namespace, services: Services) -> int:
    """Print the list; files that cannot be used are told apart from it."""
    folders = places(arguments)
    models, faults = await services.models.list_models(folders)
    inside = _inside(folders)
    models = tuple(model for model in models if inside(model.path))
    faults = tuple(fault for fault in faults if inside(fault.path))
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


def _configure_show(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to show")
    what.add_argument("model", metavar="MODEL", help="a GGUF file, or the name of a model or a part of it")
    what.add_argument("--json", action="store_true", help="print one JSON document")


async def _show(arguments: argparse.Namespace, services: Services) -> int:
    """Print everything about one model file."""
    from kobold_tui.cli.model_details import detail_lines

    entry = await services.models.resolve(arguments.model)
    details = await services.models.details(entry.path)
    if arguments.json:
        print_json(details)
        return 0
    for line in detail_lines(details, screen_width()):
        print(line)
    return 0


def _put_verb_first(parser: argparse.ArgumentParser) -> None:
    """Let options stand before the verb, and let `list` be meant where there is none."""
    parse_known_args = parser.parse_known_args

    def parse(args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        words = list(args or ())
        at = next((i for i, word in enumerate(words) if _is_verb(word, words[:i])), None)
        if at is not None:
            words.insert(0, words.pop(at))
        elif not {"-h", "--help"} & set(words):
            words.insert(0, "list")
        return parse_known_args(words, namespace)

    parser.parse_known_args = parse  # type: ignore[method-assign, assignment]


def _is_verb(word: str, before: Sequence[str]) -> bool:
    """Whether a word is a verb: the first that is neither an option nor the value of one."""
    if word not in VERBS:
        return False
    owners = ["", *before]
    return (
        all(
            owner in _TAKES_A_VALUE or (other.startswith("-") and other != word)
            for owner, other in zip(owners, before, strict=False)
        )
        and owners[-1] not in _TAKES_A_VALUE
    )


def _inside(folders: Sequence[str]) -> Callable[[str], bool]:
    """Return what tells whether a path is one of the folders or lies below one; all do without folders."""
    known: dict[str, bool] = {}

    def is_inside(path: str) -> bool:
        parent = path.rpartition("/")[0]
        if parent not in known:
            resolved = Path(parent).resolve()
            known[parent] = any(resolved.is_relative_to(folder) for folder in folders)
        return not folders or path in folders or known[parent]

    return is_inside


VERBS: dict[str, Verb] = {
    "list": Verb("list the models there are", _configure_list, _list),
    "show": Verb("show everything that a model file says", _configure_show, _show),
    "search": Verb("search the Hugging Face hub for models", configure_search, run_search),
    "get": Verb("download a model from the Hugging Face hub", configure_get, run_get),
}
