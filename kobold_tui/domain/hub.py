"""Models on the Hugging Face hub: repositories, what can be downloaded from them, and what was begun.

One *item* is what a person downloads: a model in one quantization with all its parts, or a projector.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.units import format_bytes

_ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/", re.IGNORECASE)
_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)

ItemKind = Literal["model", "projector", "matrix"]
"""`matrix` is an importance matrix: made for quantizing, of no use for running."""

Gate = Literal["", "auto", "manual"]
"""Whether a repository asks to accept its terms: no, accepted at once, or decided by its authors."""


class HubRepo(msgspec.Struct, frozen=True, kw_only=True):
    """A repository as a search finds it; `updated_at` is in seconds since 1970, 0 where unknown."""

    id: str
    downloads: int = 0
    likes: int = 0
    licence: str = ""
    gate: Gate = ""
    private: bool = False
    updated_at: float = 0.0


class HubFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a repository; `sha256` is empty where the hub states none."""

    path: str
    size_bytes: int
    sha256: str = ""

    @property
    def name(self) -> str:
        """The file's name without the folders of the repository."""
        return self.path.rsplit("/", 1)[-1]


class HubItem(msgspec.Struct, frozen=True, kw_only=True):
    """What is downloaded as one: all parts of a model; `missing` names parts that the repository lacks."""

    name: str
    kind: ItemKind = "model"
    quantization: str = ""
    files: tuple[HubFile, ...]
    missing: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """All parts together."""
        return sum(file.size_bytes for file in self.files)


class HubListing(msgspec.Struct, frozen=True, kw_only=True):
    """What one revision of a repository offers, models first and from small to large.

    `revision` is the commit that sizes and hashes belong to, and that is downloaded.
    """

    repo: HubRepo
    revision: str
    items: tuple[HubItem, ...]


class DownloadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to fetch and the folder that its files go to."""

    repo: str
    revision: str
    item: HubItem
    folder: str

    @property
    def size_bytes(self) -> int:
        """All parts together."""
        return self.item.size_bytes


class Unfinished(msgspec.Struct, frozen=True, kw_only=True):
    """A download that was begun and not ended; `done_bytes` are on the disk already."""

    request: DownloadRequest
    done_bytes: int


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a download is; speed and end are None until they are known.

    `doing` tells in words what is under way where that is not simply downloading.
    """

    done_bytes: int
    total_bytes: int
    bytes_per_second: float | None = None
    seconds_left: float | None = None
    doing: str = ""


def is_repo_name(name: str) -> bool:
    """Whether a name is OWNER/NAME and can stand in an address and name a folder as it is."""
    return _REPO.fullmatch(name) is not None and ".." not in name


class Reference(NamedTuple):
    """A repository as a person names it, and the file or quantization asked for, empty for none."""

    repo: str
    wanted: str


def parse_reference(text: str) -> Reference:
    """Read `OWNER/NAME`, `OWNER/NAME:Q4_K_M`, or the address of a repository or of a file in it.

    Raises UsageError for anything else.
    """
    place = _ADDRESS.sub("", text.strip(), count=1).partition("?")[0].strip("/")
    name, _, wanted = place.partition(":")
    owner, repo, *rest = [*name.split("/"), "", ""]
    path = [part for part in rest if part]
    if not wanted and len(path) > 2 and path[0] in {"blob", "resolve"}:
        wanted = "/".join(path[2:])
    elif path and path[0] != "tree":
        repo = ""
    if not is_repo_name(f"{owner}/{repo}"):
        raise UsageError(
            "Not a repository",
            f"{text!r} is no name of a repository.",
            "Write OWNER/NAME as on the hub's pages, or OWNER/NAME:QUANTIZATION.",
        )
    return Reference(f"{owner}/{repo}", wanted)


def choose(listing: HubListing, wanted: str) -> HubItem:
    """Return the item that `wanted` names: a file, a quantization, or a part of either that fits one alone.

    An empty `wanted` stands for the only model there is. Raises UsageError where that leaves none or several.
    """
    repo, words = listing.repo.id, wanted.casefold().strip()
    if not words:
        found = [item for item in listing.items if item.kind == "model"]
        if not found:
            raise UsageError("No model", f"{repo} has no GGUF model.", "Search for one that has.")
    else:
        found = [item for item in listing.items if words in _identities(item)]
        found = found or [item for item in listing.items if any(words in name for name in _identities(item))]
        if not found:
            raise UsageError("No such file", f"{repo} has nothing called {wanted!r}.", _offer(listing.items))
    if len(found) > 1:
        what = f"{len(found)} files that {wanted!r} fits" if words else f"{len(found)} models"
        message = f"{repo} has {what}."
        raise UsageError("Which file?", message, _offer(found))
    return found[0]


def _identities(item: HubItem) -> set[str]:
    paths = {name for file in item.files for name in (file.path.casefold(), file.name.casefold())}
    return {item.name.casefold(), item.quantization.casefold(), *paths} - {""}


def _offer(items: Sequence[HubItem], most: int = 12) -> str:
    names = [f"{item.quantization or item.name} ({format_bytes(item.size_bytes)})" for item in items[:most]]
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return f"Name one of: {', '.join(names)}{more}." if names else "It has no GGUF files."
