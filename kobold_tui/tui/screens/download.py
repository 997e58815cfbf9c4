"""Find a model on the Hugging Face hub, see what of it fits here, and download it in the background."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.hub import DownloadRequest, HubItem, HubListing, HubRepo, Unfinished
from kobold_tui.domain.job import Job
from kobold_tui.domain.size_rule import FreeMemory
from kobold_tui.domain.units import format_bytes
from kobold_tui.tui.context import PaneContext
from kobold_tui.tui.widgets import download_words as words_of
from kobold_tui.tui.widgets.download_lines import DownloadLines
from kobold_tui.tui.widgets.download_rows import (
    draw_item,
    draw_repo,
    draw_unfinished,
    item_heading,
    repo_heading,
)
from kobold_tui.tui.widgets.fit_text import below_home, safe
from kobold_tui.tui.widgets.row_list import Cell, RowList

Found = HubRepo | Unfinished


class DownloadScreen(ModalScreen[None]):
    """A window with a search, a list of repositories or files, and what is being downloaded."""

    HELP_TITLE: ClassVar[str] = "Download a model"
    HELP_TEXT: ClassVar[str] = words_of.HELP
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - declared so by Screen
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="download.back", tooltip="Back to the list, then close"),
        Binding(
            "down", "enter_list", "", show=False, id="download.list", tooltip="From the search to the list"
        ),
        Binding("slash", "search", "Search", id="download.search", tooltip="Type other words"),
        Binding("ctrl+x", "stop", "Stop", id="download.stop", tooltip="Stop the download; its part is kept"),
        Binding(
            "delete", "discard", "Delete part", id="download.discard", tooltip="Delete an unfinished download"
        ),
    ]
    DEFAULT_CSS = """
    DownloadScreen { align: center middle; }
    DownloadScreen > Vertical { width: 110; max-width: 100%; height: 90%; padding: 0 1; }
    DownloadScreen.-narrow > Vertical { width: 100%; height: 100%; }
    DownloadScreen Input { height: 1; border: none; padding: 0 1; }
    DownloadScreen #download-heading { height: 1; margin-top: 1; }
    DownloadScreen #download-note { height: auto; max-height: 6; padding: 0 2; }
    DownloadScreen #download-folder-line { height: 1; margin-top: 1; layout: horizontal; }
    DownloadScreen #download-lines { margin-top: 1; }
    """

    listing: reactive[HubListing | None] = reactive(None, init=False)
    """The repository whose files are shown; None shows repositories."""

    def __init__(self, context: PaneContext, words: str = "") -> None:
        super().__init__()
        self._backend = context.backend
        self._free: FreeMemory | None = None
        self._to_discard: Unfinished | None = None
        self._search = Input(words, placeholder="Search the Hugging Face hub", id="download-search")
        self._heading = Static(id="download-heading", markup=False)
        self._results: RowList[Found] = RowList(_draw_found, id="download-results")
        self._files: RowList[HubItem] = RowList(self._draw_file, id="download-files")
        self._note = Static(words_of.BEGIN, id="download-note", markup=False)
        self._folder = Input(id="download-folder", placeholder="Folder for the files")
        self._lines = DownloadLines(id="download-lines")

    def compose(self) -> ComposeResult:
        """Lay out search, list, folder and downloads."""
        with Vertical() as window:
            window.border_title = "Download a model"
            yield self._search
            yield self._heading
            yield self._results
            yield self._files
            yield self._note
            with Vertical(id="download-folder-line"):
                yield Static("Folder", id="download-folder-title", markup=False)
                yield self._folder
            yield self._lines

    def on_mount(self) -> None:
        """Offer what was begun, and follow what runs."""
        self._search.focus()
        self.watch_listing()
        self.run_worker(self._follow(), exit_on_error=False)
        self.run_worker(self._measure(), exit_on_error=False)
        if self._search.value:
            self._ask_for(self._search.value)
        else:
            self.run_worker(self._offer_unfinished(), group="question", exit_on_error=False)

    def watch_listing(self) -> None:
        """Show files in place of repositories, or the other way round."""
        shows_files = self.listing is not None
        self._results.display = not shows_files
        self._files.display = shows_files
        self.query_one("#download-folder-line").display = shows_files
        window = self.query_one(Vertical)
        window.border_title = f"Download from {self.listing.repo.id}" if self.listing else "Download a model"
        self._show_heading()
        self._show_keys()

    def on_resize(self) -> None:
        """Fit the titles to the width."""
        self.call_after_refresh(self._show_heading)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Search, or download what the cursor stands on into the folder that was typed."""
        if event.input is self._search and event.value.strip():
            self._ask_for(event.value)
        elif event.input is self._folder:
            self._files.focus()

    def on_row_list_selected(self) -> None:
        """Open a repository, go on with a download, or begin one."""
        if self.listing is not None:
            self._begin(self.listing)
        elif isinstance(found := self._results.current, HubRepo):
            self.run_worker(self._open(found), group="question", exclusive=True, exit_on_error=False)
        elif isinstance(found, Unfinished):
            self._start(found.request)

    def on_row_list_highlighted(self) -> None:
        """Forget a deletion that was not confirmed."""
        self._to_discard = None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer only what is possible now."""
        if action == "stop":
            return self._lines.active is not None
        if action == "discard":
            return (
                self.listing is None
                and isinstance(self._results.current, Unfinished)
                and self._results.has_focus
            )
        if action == "search":
            return not isinstance(self.focused, Input)
        if action == "enter_list":
            return isinstance(self.focused, Input)
        return True

    def action_back(self) -> None:
        """Go back to the repositories, or close."""
        if self.listing is None:
            self.dismiss(None)
            return
        self.listing = None
        self._say("")
        self._results.focus()

    def action_enter_list(self) -> None:
        """Give the keys to the list."""
        (self._files if self.listing else self._results).focus()

    def action_search(self) -> None:
        """Give the keys to the search."""
        self._search.focus()

    def action_stop(self) -> None:
        """Stop the download that is under way."""
        if job := self._lines.active:
            self.run_worker(
                self._backend.call(lambda services: services.jobs.cancel(job.id)), exit_on_error=False
            )

    def action_discard(self) -> None:
        """Delete an unfinished download, after saying what that frees."""
        begun = self._results.current
        if not isinstance(begun, Unfinished):
            return
        if self._to_discard != begun:
            self._to_discard = begun
            size = format_bytes(begun.done_bytes)
            self._say(
                f"Press Delete again to remove the {size} of {begun.request.item.name} that have arrived."
            )
            return
        self.run_worker(self._discard(begun), group="question", exclusive=True, exit_on_error=False)

    def _ask_for(self, words: str) -> None:
        self.listing = None
        self._say(words_of.SEARCHING)
        self.run_worker(self._find(words), group="question", exclusive=True, exit_on_error=False)

    async def _find(self, words: str) -> None:
        try:
            found = await self._backend.call(lambda services: services.downloads.search(words))
        except KoboldError as error:
            self._tell(error)
            return
        self._results.show(found)
        self._say("" if found else words_of.NOTHING)
        self._show_heading()
        if found:
            self._results.place(0)
            self._results.focus()

    async def _open(self, repo: HubRepo) -> None:
        self._say(words_of.READING)
        try:
            listing = await self._backend.call(lambda services: services.downloads.listing(repo.id))
        except KoboldError as error:
            self._tell(error)
            return
        self._files.show(listing.items)
        self._folder.value = below_home(
            await self._backend.call(lambda services: services.downloads.folder_for(repo.id))
        )
        self._say("" if listing.items else words_of.NO_FILES)
        self.listing = listing
        self._files.place(0)
        self._files.focus()
        await self._measure()

    async def _measure(self) -> None:
        self._free = await self._backend.call(lambda services: services.downloads.free())
        self._files.refresh()

    async def _offer_unfinished(self) -> None:
        try:
            begun = await self._backend.call(lambda services: services.downloads.unfinished())
        except KoboldError as error:
            self._tell(error)
            return
        self._results.show(begun)
        self._say(words_of.UNFINISHED if begun else words_of.BEGIN)
        self._show_heading()

    async def _discard(self, begun: Unfinished) -> None:
        freed = await self._backend.call(lambda services: services.downloads.discard(begun.request))
        await self._offer_unfinished()
        self._say(f"{format_bytes(freed)} are free again.")

    async def _follow(self) -> None:
        async for batch in self._backend.stream(lambda services: services.downloads.watch()):
            for job in batch:
                self._show_job(job)
            self.refresh_bindings()
            self._show_keys()

    def _show_job(self, job: Job) -> None:
        if self._lines.show(job) and job.failure is not None:
            self._tell(KoboldError.from_failure(job.failure))

    def _begin(self, listing: HubListing) -> None:
        item, folder = self._files.current, self._folder.value.strip()
        if item is None:
            return
        if not folder:
            self._folder.focus()
            return
        place = str(Path(folder).expanduser().absolute())
        repo, revision = listing.repo.id, listing.revision
        self._start(DownloadRequest(repo=repo, revision=revision, item=item, folder=place))

    def _start(self, request: DownloadRequest) -> None:
        self._say(words_of.MORE)
        start = self._backend.call(lambda services: services.downloads.start(request))
        self.run_worker(start, exit_on_error=False)

    def _show_keys(self) -> None:
        keys = "Enter downloads · Esc back" if self.listing else "Enter opens · Esc closes"
        stop = " · ctrl+x stops" if self._lines.active else ""
        self.query_one(Vertical).border_subtitle = f"{keys}{stop} · F1 help"

    def _show_heading(self) -> None:
        width = self._heading.size.width
        is_plain = not any(isinstance(found, HubRepo) for found in self._results.items)
        text = item_heading(width) if self.listing else "" if is_plain else repo_heading(width)
        self._heading.update(text)

    def _tell(self, error: KoboldError) -> None:
        self._say(f"{error.title}: {error.message} {error.hint}".strip(), is_error=True)

    def _say(self, text: str, *, is_error: bool = False) -> None:
        self._note.update(safe(text))
        self._note.set_class(is_error, "-error")
        self._note.display = bool(text)

    def _draw_file(self, item: HubItem, width: int) -> Sequence[Cell]:
        return draw_item(item, self._free, width)


def _draw_found(found: Found, width: int) -> Sequence[Cell]:
    return draw_repo(found, width) if isinstance(found, HubRepo) else draw_unfinished(found, width)
