"""`models search` and `models get`: find models on the Hugging Face hub and download them."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kobold_tui.cli.output import (
    Column,
    StatusLine,
    can_draw,
    narrate,
    print_json,
    printable,
    screen_width,
    table,
)
from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.hub import (
    DownloadRequest,
    HubItem,
    HubListing,
    HubRepo,
    Progress,
    choose,
    parse_reference,
)
from kobold_tui.domain.size_rule import FreeMemory, judge_size
from kobold_tui.domain.units import format_bytes, format_count

if TYPE_CHECKING:
    from kobold_tui.services.registry import Services

MOST_RESULTS = 100
FITS = {"gpu": "on the GPU", "partly": "partly on the GPU", "cpu": "on the CPU", "no": "too large"}

_REPOS = (
    Column(title="REPOSITORY", flexible=True),
    Column(title="DOWNLOADS", align="right"),
    Column(title="LIKES", align="right"),
    Column(title="LICENCE", flexible=True),
    Column(title="UPDATED"),
    Column(title="ACCESS"),
)
_ITEMS = (
    Column(title="QUANT"),
    Column(title="SIZE", align="right"),
    Column(title="FITS HERE"),
    Column(title="FILE", flexible=True),
)


def configure_search(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `search`."""
    what = parser.add_argument_group("what to search")
    what.add_argument("words", nargs="+", metavar="WORD", help="words in the name of the repository")
    what.add_argument("--limit", type=int, default=20, metavar="N", help="most results (20)")
    what.add_argument("--json", action="store_true", help="print one JSON document")


async def run_search(arguments: argparse.Namespace, services: Services) -> int:
    """Print the repositories that fit, the most downloaded first."""
    if not 1 <= arguments.limit <= MOST_RESULTS:
        raise UsageError("Wrong usage", f"--limit is a number from 1 to {MOST_RESULTS}.")
    found = await services.downloads.search(" ".join(arguments.words), arguments.limit)
    if arguments.json:
        print_json({"repositories": found})
        return 0
    for line in table(_REPOS, [_repo_row(repo) for repo in found], screen_width()) if found else ():
        print(line)
    if found:
        narrate("")
        narrate("`kobold-tui models get REPOSITORY` lists its files and downloads one.", quiet=True)
    else:
        narrate("No repository with GGUF files has these words in its name.")
    return 0


def configure_get(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `get`."""
    parser.epilog = (
        "A download that was interrupted goes on where it ended when the same command is\n"
        "given again. HF_TOKEN opens repositories with terms, HF_ENDPOINT names a mirror.\n"
    )
    what = parser.add_argument_group("what to download")
    what.add_argument("repo", metavar="REPO", help="OWNER/NAME, OWNER/NAME:QUANT or the page's address")
    what.add_argument("file", nargs="?", default="", metavar="FILE", help="file or quantization, as Q4_K_M")
    what.add_argument("--to", metavar="DIR", help="folder for the files; else one among the models")
    what.add_argument("--json", action="store_true", help="print one JSON document")


async def run_get(arguments: argparse.Namespace, services: Services) -> int:
    """Download an item and print where its first file is."""
    import asyncio  # `--help` needs no event loop

    reference = parse_reference(arguments.repo)
    listing = await services.downloads.listing(reference.repo)
    wanted = arguments.file or reference.wanted
    if not wanted and not arguments.json:
        await _check_choice(listing, services)
    item = choose(listing, wanted)
    folder = arguments.to or await services.downloads.folder_for(listing.repo.id)
    request = DownloadRequest(
        repo=listing.repo.id,
        revision=listing.revision,
        item=item,
        folder=str(await asyncio.to_thread(_absolute, folder)),
    )
    await _download(request, services)
    paths = [str(Path(request.folder, file.name)) for file in item.files]
    if arguments.json:
        facts = {"repo": request.repo, "revision": request.revision, "size_bytes": request.size_bytes}
        print_json({"path": paths[0], "paths": paths, **facts})
    else:
        print(printable(paths[0]) if sys.stdout.isatty() else paths[0])
        _tell_extras(listing, item)
    return 0


async def _download(request: DownloadRequest, services: Services) -> None:
    import asyncio  # `--help` needs no event loop

    lines = ProgressLines(request)
    try:
        async with contextlib.aclosing(services.downloads.fetch(request)) as steps:
            async for progress in steps:
                lines.show(progress)
    except asyncio.CancelledError:
        lines.end()
        narrate("Stopped. What has arrived is kept; the same command goes on from there.")
        raise
    finally:
        lines.end()


class ProgressLines:
    """One line that is overwritten on a terminal; elsewhere a line for each tenth that is done."""

    def __init__(self, request: DownloadRequest) -> None:
        self._name = request.item.name
        self._line = StatusLine()
        self._is_terminal = can_draw(sys.stderr)
        self._tenth = -1
        self._doing = ""
        self._started = time.monotonic()

    def show(self, progress: Progress) -> None:
        """Tell how far it is."""
        if self._is_terminal:
            self._line.show(progress_words(self._name, progress))
            return
        tenth = 10 * progress.done_bytes // max(progress.total_bytes, 1)
        if tenth > self._tenth or progress.doing != self._doing:
            self._tenth, self._doing = max(tenth, self._tenth), progress.doing
            narrate(progress_words(self._name, progress))

    def end(self) -> None:
        """Leave no trace of the line."""
        self._line.clear()


def progress_words(name: str, progress: Progress) -> str:
    """Return one line: how far, of what, how fast."""
    from kobold_tui.services.downloads import describe

    share = progress.done_bytes / progress.total_bytes if progress.total_bytes else 1.0
    amount = f"{format_bytes(progress.done_bytes)} of {format_bytes(progress.total_bytes)}"
    return "  ".join(part for part in (f"{share:4.0%}", amount, describe(progress), name) if part)


async def _check_choice(listing: HubListing, services: Services) -> None:
    """List the files where the person has to choose one, and raise UsageError."""
    models = [item for item in listing.items if item.kind == "model"]
    if len(models) < 2:
        return
    free = await services.downloads.free()
    for line in table(_ITEMS, [item_row(item, free) for item in listing.items], screen_width()):
        narrate(line)
    example = f"kobold-tui models get {listing.repo.id} {shlex.quote(_short(models[0]))}"
    raise UsageError("Which file?", f"{listing.repo.id} has {len(models)} models.", f"Name one: {example}")


def _tell_extras(listing: HubListing, chosen: HubItem) -> None:
    projectors = [item for item in listing.items if item.kind == "projector"]
    if projectors and chosen.kind == "model":
        name = shlex.quote(projectors[0].files[0].name)
        narrate(
            f"For images it needs a projector: kobold-tui models get {listing.repo.id} {name}", quiet=True
        )


def item_row(item: HubItem, free: FreeMemory | None) -> tuple[str, ...]:
    """Return the cells of an item."""
    fits = FITS[judge_size(item.size_bytes, free)] if free and item.kind == "model" else ""
    parts = f" ({len(item.files)} files)" if len(item.files) > 1 else ""
    if item.missing:
        parts += f", {len(item.missing)} missing"
    kind = {"projector": ", for images", "matrix": ", importance matrix"}.get(item.kind, "")
    return item.quantization, format_bytes(item.size_bytes), fits, f"{item.name}{parts}{kind}"


def _repo_row(repo: HubRepo) -> tuple[str, ...]:
    updated = time.strftime("%Y-%m-%d", time.gmtime(repo.updated_at)) if repo.updated_at else ""
    access = "private" if repo.private else "on request" if repo.gate else ""
    downloads = format_count(repo.downloads)
    return repo.id, downloads, format_count(repo.likes), repo.licence, updated, access


def _short(item: HubItem) -> str:
    return item.quantization or item.files[0].name


def _absolute(folder: str) -> Path:
    return Path(folder).expanduser().absolute()
