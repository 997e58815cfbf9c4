"""The command line: its options, its help, and the way to a subcommand.

A subcommand is a module in `cli/commands` with NAME, SUMMARY, `configure(parser)` and either a plain
`run(arguments)` or an async `run(arguments, services)`; nothing else needs to know of it. Two functions are
optional: `is_private(arguments)`, without which no conversation is kept, and `places(arguments)`, folders
with models beside the known ones.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

import msgspec

import kobold_tui
from kobold_tui.cli import commands
from kobold_tui.domain.errors import UsageError
from kobold_tui.services.options import StartOptions

if TYPE_CHECKING:
    from kobold_tui.services.registry import Services


class OpenServices(Protocol):
    """Opens the services on the running loop; `private` keeps no conversation."""

    def __call__(self, options: StartOptions, *, private: bool) -> AbstractAsyncContextManager[Services]:
        """Return the services as a context that closes them."""
        ...


DESCRIPTION = """\
A terminal workstation for local language models.
Without a command it opens the workbench; every command also works in scripts.

commands:
{commands}
"""

EXAMPLES = """\
examples:
  kobold-tui                                 open the workbench
  kobold-tui --model qwen3-8b.gguf --load    open it with this model
  kobold-tui chat -p "Say hello"             one answer, then back to the shell
  git diff | kobold-tui chat -p "Review:"    piped text is added to the prompt
  kobold-tui models --json                   what there is, for scripts
  kobold-tui doctor                          what is wrong here, what mends it

`kobold-tui COMMAND --help` tells the options of a command.
"""


class Command(Protocol):
    """A module of `cli/commands`."""

    NAME: str
    SUMMARY: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        ...

    @property
    def run(self) -> Callable[..., int | Coroutine[Any, Any, int]]:
        """The work itself; returns the exit status."""
        ...


class Parser(argparse.ArgumentParser):
    """Reports wrong usage as every other error is reported, also in JSON."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError in place of printing and exiting."""
        if unknown := re.match(r"argument COMMAND: invalid choice: '(.*?)' \(", message):
            raise _unknown_command(unknown[1])
        raise UsageError("Wrong usage", f"{message}.", f"See `{self.prog} --help`.")


def _unknown_command(word: str) -> UsageError:
    import difflib  # needed for this error only

    near = difflib.get_close_matches(word, find_commands(), n=1, cutoff=0.5)
    hint = f"Did you mean `kobold-tui {near[0]}`?" if near else "See `kobold-tui --help`."
    return UsageError("Unknown command", f"kobold-tui has no command {word!r}.", hint)


def find_commands() -> dict[str, Command]:
    """Return all subcommands by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(commands.__path__))
    modules = (importlib.import_module(f"{commands.__name__}.{name}") for name in names)
    return {module.NAME: module for module in cast("Sequence[Command]", tuple(modules))}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; `command` is None for the workbench. Raises UsageError."""
    found = find_commands()
    width = max(len(name) for name in found)
    listing = "\n".join(f"  {name:<{width}}  {command.SUMMARY}" for name, command in found.items())
    parser = Parser(
        prog="kobold-tui",
        usage="kobold-tui [options]\n       kobold-tui COMMAND [options]",
        description=DESCRIPTION.format(commands=listing),
        epilog=EXAMPLES,
        formatter_class=_formatter,
        allow_abbrev=False,
        add_help=False,
    )
    _add_workbench_options(parser)
    subparsers = parser.add_subparsers(
        dest="command", metavar="COMMAND", prog="kobold-tui", help=argparse.SUPPRESS
    )
    for name, command in found.items():
        summary = f"{command.SUMMARY[:1].upper()}{command.SUMMARY[1:]}."
        own = subparsers.add_parser(
            name, description=summary, formatter_class=_formatter, allow_abbrev=False, add_help=False
        )
        command.configure(own)
        everywhere = own.add_argument_group("with every command")
        everywhere.add_argument("-h", "--help", action="help", help="show this help")
        add_place_options(everywhere, argparse.SUPPRESS)
    return parser.parse_args(list(argv))


def as_chat(arguments: argparse.Namespace) -> argparse.Namespace:
    """Return what `chat` gets when the options of the workbench stand for it."""
    argv = ["chat"]
    if arguments.prompt is not None:
        argv.append(f"--prompt={arguments.prompt}")
    if reference := arguments.preset or arguments.model:
        argv += ["--", reference]
    chat = parse(argv)
    chat.preset, chat.model = arguments.preset, arguments.model
    chat.models_dirs, chat.presets_dirs = arguments.models_dirs, arguments.presets_dirs
    chat.demo = arguments.demo
    return chat


def start_options(arguments: argparse.Namespace) -> StartOptions:
    """Return what the services need to know of the command line."""
    return StartOptions(
        preset=arguments.preset or "",
        model=arguments.model or "",
        load=arguments.load,
        models_dirs=tuple(arguments.models_dirs),
        presets_dirs=tuple(arguments.presets_dirs),
        theme=arguments.theme or "",
        demo=arguments.demo,
    )


def run(arguments: argparse.Namespace, open_services: OpenServices) -> int:
    """Run the subcommand and return its exit status; errors come out as KoboldError."""
    command = find_commands()[arguments.command]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    import inspect  # slow to import; the workbench and `--help` do without

    if inspect.iscoroutinefunction(command.run):
        return _run_with_services(command, arguments, open_services)
    return cast("int", command.run(arguments))


def _run_with_services(command: Command, arguments: argparse.Namespace, open_services: OpenServices) -> int:
    import asyncio  # `--help` needs no event loop

    private: bool = getattr(command, "is_private", lambda _: True)(arguments)
    places: tuple[str, ...] = getattr(command, "places", lambda _: ())(arguments)
    options = start_options(arguments)
    options = msgspec.structs.replace(options, models_dirs=options.models_dirs + places)

    async def work() -> int:
        async with open_services(options, private=private) as services:
            return await cast("Coroutine[Any, Any, int]", command.run(arguments, services))

    return asyncio.run(work())


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=_help_width())


def _help_width() -> int:
    import shutil  # slow to import; only help needs it

    return min(shutil.get_terminal_size().columns, 100) - 2


def _add_workbench_options(parser: argparse.ArgumentParser) -> None:
    workbench = parser.add_argument_group("options of the workbench")
    workbench.add_argument("--preset", metavar="P", help="preset to start with: a name or a file")
    workbench.add_argument("--model", metavar="FILE", help="model to start with: a GGUF file or a name")
    workbench.add_argument("--load", action="store_true", help="load it at once; alone, the last preset")
    workbench.add_argument("--theme", metavar="NAME", help="colours of this start")
    workbench.add_argument("--demo", action="store_true", help="try it: made-up cards, a scripted model")
    add_place_options(workbench, [])
    instead = parser.add_argument_group("without the workbench")
    instead.add_argument("--cli", action="store_true", help="chat in plain text, as the command chat does")
    instead.add_argument("-p", "--prompt", metavar="TEXT", help="answer one prompt, as chat -p does")
    about = parser.add_argument_group("about")
    about.add_argument("-h", "--help", action="help", help="show this help")
    version = f"kobold-tui {kobold_tui.__version__}"
    about.add_argument("--version", action="version", version=version, help="show the version")
    about.add_argument("--no-supervisor", action="store_true", help=argparse.SUPPRESS)


def add_place_options(group: argparse._ArgumentGroup, default: list[str] | str) -> None:
    """Add the options that every command has; a command leaves alone what stood before its name."""
    group.add_argument(
        "--models-dir",
        dest="models_dirs",
        metavar="DIR",
        action="append",
        default=default,
        help="look for models here too; can be repeated",
    )
    group.add_argument(
        "--presets-dir",
        dest="presets_dirs",
        metavar="DIR",
        action="append",
        default=default,
        help="look for presets here too; can be repeated",
    )
