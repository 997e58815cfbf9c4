"""The Hugging Face hub as a catalogue: search for repositories, and what each has to download."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from kobold_tui.catalogue.hub_errors import Asked, senseless
from kobold_tui.catalogue.hub_http import HubSession
from kobold_tui.catalogue.hub_items import items_of
from kobold_tui.catalogue.text import printable
from kobold_tui.domain.hub import Gate, HubFile, HubListing, HubRepo, is_repo_name, parse_reference

T = TypeVar("T")

_EXPANDED = ("downloads", "likes", "lastModified", "gated", "private", "tags")


class _Lfs(msgspec.Struct, frozen=True, kw_only=True):
    """Large files: their real size and hash, where the repository itself holds a pointer."""

    sha256: str = ""
    oid: str = ""
    size: int | None = None


class _Sibling(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a repository."""

    rfilename: str
    size: int | None = None
    lfs: _Lfs | None = None


class _Model(msgspec.Struct, frozen=True, kw_only=True):
    """A repository as `/api/models` tells of it; what is not asked for may be absent."""

    id: str
    sha: str = ""
    downloads: int = 0
    likes: int = 0
    private: bool = False
    gated: bool | str = False
    lastModified: str = ""  # noqa: N815 - the hub's name
    tags: tuple[str, ...] = ()
    siblings: tuple[_Sibling, ...] = ()


class Hub:
    """Questions to one hub; every call may block for as long as the session's limits allow."""

    def __init__(self, session: HubSession) -> None:
        self._session = session

    def search(self, words: str, limit: int = 50) -> tuple[HubRepo, ...]:
        """Return repositories with GGUF files, the most downloaded first. Raises HubError."""
        parameters = {
            "search": words,
            "filter": "gguf",
            "sort": "downloads",
            "direction": "-1",
            "limit": str(limit),
            "expand": _EXPANDED,
        }
        asked = self._session.asked()
        answer = self._session.get_json("models", parameters, asked)
        found = _decode(answer, list[_Model], asked)
        return tuple(_repo(model) for model in found[:limit] if is_repo_name(model.id))

    def listing(self, repo: str) -> HubListing:
        """Return what a repository offers. Raises HubError, and UsageError for what is no name of one."""
        repo = parse_reference(repo).repo
        asked = self._session.asked(repo)
        answer = self._session.get_json(f"models/{repo}", {"blobs": "true"}, asked)
        model = _decode(answer, _Model, asked)
        if not (model.sha.isalnum() and is_repo_name(model.id)):
            raise senseless(asked, "it names no revision of a repository")
        files = (_file(sibling) for sibling in model.siblings)
        items = items_of(file for file in files if file is not None)
        return HubListing(repo=_repo(model), revision=model.sha, items=items)


def _decode(answer: bytes, type_: type[T], asked: Asked) -> T:
    try:
        return msgspec.json.decode(answer, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise senseless(asked, "it is not what a hub answers") from None


def _repo(model: _Model) -> HubRepo:
    licences = [tag.removeprefix("license:") for tag in model.tags if tag.startswith("license:")]
    return HubRepo(
        id=model.id,
        downloads=max(0, model.downloads),
        likes=max(0, model.likes),
        licence=printable(licences[0], 40) if licences else "",
        gate=_gate(model.gated),
        private=model.private,
        updated_at=_seconds(model.lastModified),
    )


def _gate(gated: bool | str) -> Gate:
    if not gated:
        return ""
    return "manual" if gated == "manual" else "auto"


def _file(sibling: _Sibling) -> HubFile | None:
    """Return a file; None for one whose size is not told, which cannot be downloaded safely."""
    lfs = sibling.lfs or _Lfs()
    size = sibling.size if lfs.size is None else lfs.size
    if size is None or size < 0:
        return None
    sha256 = (lfs.sha256 or lfs.oid).removeprefix("sha256:").lower()
    is_hash = len(sha256) == 64 and all(digit in "0123456789abcdef" for digit in sha256)
    return HubFile(path=sibling.rfilename, size_bytes=size, sha256=sha256 if is_hash else "")


def _seconds(moment: str) -> float:
    with contextlib.suppress(ValueError, OverflowError):
        when = datetime.fromisoformat(moment)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return 0.0
