"""`kobold-tui presets`: listing, showing, checking, and the exchange with KoboldCpp's files."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kobold_tui.cli.output import below_home, narrate, print_json, printable, screen_width, table

if TYPE_CHECKING:
    from kobold_tui.domain.preset_file import PresetFile
    from kobold_tui.domain.preset_report import ImportedPreset
    from kobold_tui.services.registry import Services

NAME = "presets"
SUMMARY = "list and check presets; bring them from KoboldCpp and back"

EPILOG = """\
actions:
{actions}

`presets` and `presets list` are the same. Names and files both work: a .toml
file of ours, a .kcpps or .kcppt file of KoboldCpp. A preset without a model is
a recipe: kobold-tui --preset "long context" --model FILE.
`kobold-tui presets ACTION --help` tells the options of an action.
"""

SUMMARIES = {
    "list": "list all presets",
    "show": "print a preset with all that it extends",
    "validate": "check files; exit status 1 where one is wrong",
    "import": "make a preset of KoboldCpp's file and report every key",
    "export": "write a preset as a file of KoboldCpp",
}

DEFAULT_WIDTH = 80


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    width = max(map(len, SUMMARIES))
    listing = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in SUMMARIES.items())
    parser.epilog = EPILOG.format(actions=listing)
    parser.usage = "kobold-tui presets [ACTION] [options]"
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    actions = parser.add_subparsers(
        dest="action", metavar="ACTION", prog="kobold-tui presets", help=argparse.SUPPRESS
    )
    _action(parser, actions, "list")
    _action(parser, actions, "show").add_argument("reference", metavar="PRESET", help="name or file")
    validate = _action(parser, actions, "validate")
    validate.add_argument("references", nargs="*", metavar="PRESET", help="names or files; all without any")
    bring = _action(parser, actions, "import")
    bring.add_argument("file", metavar="FILE.kcpps", help="a .kcpps or .kcppt file")
    bring.add_argument("--name", default="", metavar="N", help="name of the preset; else that of the file")
    bring.add_argument("--overwrite", action="store_true", help="replace a preset of that name")
    bring.add_argument("--dry-run", action="store_true", help="report only, save nothing")
    export = _action(parser, actions, "export")
    export.add_argument("reference", metavar="PRESET", help="name or file")
    export.add_argument("--to", required=True, metavar="FILE.kcpps", help="file to write")
    export.add_argument("--overwrite", action="store_true", help="replace that file")


async def run(arguments: argparse.Namespace, services: Services) -> int:
    """Do what was asked for; returns the exit status."""
    return await _ACTIONS[arguments.action or "list"](arguments, services)


async def list_presets(arguments: argparse.Namespace, services: Services) -> int:
    """Print all presets; files that are none are told apart from them."""
    from kobold_tui.cli.preset_lines import COLUMNS, failure_line, row

    found = await services.presets.list_presets()
    if arguments.json:
        print_json({"presets": [_summary(stored) for stored in found.presets], "failed": found.failed})
        return 0
    for line in table(COLUMNS, [row(stored) for stored in found.presets], screen_width()):
        print(line)
    for failure in found.failed:
        narrate(failure_line(failure))
    return 0


async def show(arguments: argparse.Namespace, services: Services) -> int:
    """Print one preset as TOML."""
    from kobold_tui.storage.toml_file import dump

    stored = await services.presets.read(arguments.reference)
    if arguments.json:
        print_json({**_summary(stored), "preset": _table(stored.preset)})
    else:
        narrate(below_home(f"{stored.path}"), quiet=True)
        print(printable(dump(stored.preset)), end="")
    return 0


async def validate(arguments: argparse.Namespace, services: Services) -> int:
    """Check presets; prints one line for each."""
    from kobold_tui.cli.preset_lines import failure_line

    checks = await services.presets.validate(arguments.references)
    if arguments.json:
        document = [
            {
                "path": str(check.path) if check.path else None,
                "name": check.name or None,
                "ok": check.failure is None,
                "error": check.failure,
            }
            for check in checks
        ]
        print_json({"checked": document})
    else:
        for check in checks:
            good = f"ok     {check.name}: {below_home(str(check.path))}"
            print(printable(good) if check.failure is None else f"wrong  {failure_line(check.failure)}")
    return 1 if any(check.failure for check in checks) else 0


async def bring(arguments: argparse.Namespace, services: Services) -> int:
    """Import a file of KoboldCpp and print what became of its keys."""
    from kobold_tui.cli.preset_lines import download_lines, report_lines

    path = Path(arguments.file)
    saved: tuple[PresetFile, ...] = ()
    if arguments.dry_run:
        imported = await services.presets.preview_import(path, arguments.name)
    else:
        outcome = await services.presets.import_file(path, arguments.name, overwrite=arguments.overwrite)
        imported, saved = outcome.imported, (outcome.stored, *outcome.companions)
    if arguments.json:
        print_json(_import_document(imported, saved))
        return 0
    for line in report_lines(imported.report, screen_width() or DEFAULT_WIDTH):
        print(line)
    for line in download_lines(imported.downloads):
        print(line)
    for stored in saved:
        narrate(f"Saved {stored.preset.name!r} as {below_home(str(stored.path))}")
    return 0


async def export(arguments: argparse.Namespace, services: Services) -> int:
    """Write a file for KoboldCpp and print what could not be said there."""
    from kobold_tui.cli.preset_lines import report_lines

    to = Path(arguments.to)
    outcome = await services.presets.export(arguments.reference, to, overwrite=arguments.overwrite)
    if arguments.json:
        print_json({"file": str(outcome.path), "report": outcome.exported.report})
        return 0
    for line in report_lines(outcome.exported.report, screen_width() or DEFAULT_WIDTH):
        print(line)
    narrate(f"Wrote {below_home(str(outcome.path))}")
    return 0


def _action(
    parser: argparse.ArgumentParser, actions: argparse._SubParsersAction[Any], name: str
) -> argparse._ArgumentGroup:
    """Return the group for the options of an action, to which those that all of them have are added."""
    from kobold_tui.cli.main import add_place_options

    summary = SUMMARIES[name]
    own: argparse.ArgumentParser = actions.add_parser(
        name,
        description=f"{summary[:1].upper()}{summary[1:]}.",
        formatter_class=parser.formatter_class,
        allow_abbrev=False,
        add_help=False,
    )
    what = own.add_argument_group(f"what to {name}")
    everywhere = own.add_argument_group("with every command")
    everywhere.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON document"
    )
    everywhere.add_argument("-h", "--help", action="help", help="show this help")
    add_place_options(everywhere, argparse.SUPPRESS)
    return what


def _summary(stored: PresetFile) -> dict[str, Any]:
    preset = stored.preset
    return {
        "name": preset.name,
        "description": preset.description,
        "kind": preset.kind,
        "model": preset.model or None,
        "endpoint": preset.endpoint or None,
        "source": stored.source,
        "path": str(stored.path),
        "writable": stored.writable,
    }


def _import_document(imported: ImportedPreset, saved: tuple[PresetFile, ...]) -> dict[str, Any]:
    """Return presets and report; without files where nothing was saved."""
    presets = [stored.preset for stored in saved] or [imported.preset, *imported.companions]
    files: list[str | None] = [str(stored.path) for stored in saved] or [None] * len(presets)
    both = [{"preset": _table(preset), "file": file} for preset, file in zip(presets, files, strict=True)]
    return {
        **both[0],
        "report": imported.report,
        "downloads": imported.downloads,
        "companions": both[1:],
    }


def _table(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value, str_keys=True)


_ACTIONS: dict[str, Callable[[argparse.Namespace, Services], Awaitable[int]]] = {
    "list": list_presets,
    "show": show,
    "validate": validate,
    "import": bring,
    "export": export,
}
