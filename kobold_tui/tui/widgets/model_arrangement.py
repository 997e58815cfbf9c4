"""Which rows the model list has, in which order: words to find, a column to sort by, groups that fold.

Pure functions of values, so that a thousand models are arranged within one frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import msgspec

from kobold_tui.domain.model import ModelEntry, ModelFault
from kobold_tui.domain.size_rule import SizeVerdict
from kobold_tui.services.favourites import Marks
from kobold_tui.tui.widgets.fit_text import below_home
from kobold_tui.tui.widgets.model_search import NO_MATCH, SearchText, score_of, search_text, split_words

T = TypeVar("T", ModelEntry, ModelFault)

Sort = Literal[
    "first", "name", "quantization", "parameters", "size", "context", "architecture", "kind", "fit", "changed"
]
Group = Literal["none", "folder", "family"]

SORTS: dict[Sort, str] = {
    "first": "favourites and last used first",
    "name": "by name",
    "quantization": "by quantisation",
    "parameters": "by parameters",
    "size": "by size",
    "context": "by context",
    "architecture": "by architecture",
    "kind": "by kind",
    "fit": "by where it fits",
    "changed": "newest first",
}
"""Orders in the order in which a key goes through them, with their words."""

GROUPS: dict[Group, str] = {"none": "no groups", "folder": "by folder", "family": "by family"}
FAULTS = "Cannot be used"

_LARGEST_FIRST: frozenset[Sort] = frozenset({"parameters", "size", "context", "changed"})
_FITS: dict[SizeVerdict | None, int] = {"gpu": 0, "partly": 1, "cpu": 2, "no": 3, None: 4}


class Heading(msgspec.Struct, frozen=True, kw_only=True):
    """The title of a group, with what it holds; a closed one hides its rows."""

    title: str
    count: int
    n_bytes: int = 0
    is_open: bool = True


Row = ModelEntry | ModelFault | Heading


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """How rows are to be shown; `words` must all be found in a row."""

    sort: Sort = "first"
    is_reversed: bool = False
    group: Group = "none"
    words: str = ""
    closed: frozenset[str] = frozenset()


class Stock(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to show, and what is known beside the files themselves."""

    models: tuple[ModelEntry, ...] = ()
    failed: tuple[ModelFault, ...] = ()
    marks: Marks = Marks()


def identity_of(row: Row) -> str:
    """Return what tells a row from others, also after it has changed."""
    return f"# {row.title}" if isinstance(row, Heading) else row.path


def is_favourite(model: ModelEntry, marks: Marks) -> bool:
    """Whether a model is a favourite, by whichever of its places."""
    favourites = marks.favourites
    return bool(favourites) and any(path in favourites for path in (model.path, *model.copies))


class Arranger:
    """Arranges rows; keeps what is searched of each, so that a typed letter costs little."""

    def __init__(self, fit_of: Callable[[ModelEntry], SizeVerdict | None]) -> None:
        self._fit_of = fit_of
        self._texts: dict[str, tuple[ModelEntry | ModelFault, SearchText]] = {}

    def arrange(self, stock: Stock, order: Order) -> tuple[Row, ...]:
        """Return the rows, models before what cannot be used; better matches of the words come first."""
        words = split_words(order.words)
        models = self._matching(self._sorted(stock, order), words)
        faults = self._matching(stock.failed, words)
        rows: list[Row] = []
        for title, members in _grouped(models, order.group):
            size = sum(model.size_bytes for model in members)
            rows += _with_heading(title, members, order, size) if title else members
        return tuple(rows + (_with_heading(FAULTS, faults, order, 0) if faults else []))

    def _matching(self, rows: Sequence[T], words: Sequence[str]) -> list[T]:
        if not words:
            return list(rows)
        scored = ((score_of(self._text(row), words), row) for row in rows)
        found = sorted((pair for pair in scored if pair[0] < NO_MATCH), key=lambda pair: pair[0])
        return [row for _, row in found]

    def _text(self, row: ModelEntry | ModelFault) -> SearchText:
        kept = self._texts.get(row.path)
        if kept is None or kept[0] is not row:
            kept = self._texts[row.path] = (row, search_text(row))
        return kept[1]

    def _sorted(self, stock: Stock, order: Order) -> list[ModelEntry]:
        models = sorted(stock.models, key=lambda model: model.name.casefold())
        if order.sort == "first":
            rank = _ranks(stock.marks)
            last = len(rank) + 1
            models.sort(key=lambda model: min(rank.get(path, last) for path in (model.path, *model.copies)))
        elif order.sort != "name":
            key = self._key(order.sort)
            models.sort(key=key, reverse=order.sort in _LARGEST_FIRST)
        return models[::-1] if order.is_reversed else models

    def _key(self, sort: Sort) -> Callable[[ModelEntry], float | str]:
        keys: dict[Sort, Callable[[ModelEntry], float | str]] = {
            "quantization": lambda model: model.quantization,
            "parameters": lambda model: model.parameters,
            "size": lambda model: model.size_bytes,
            "context": lambda model: model.n_ctx_train,
            "architecture": lambda model: model.architecture,
            "kind": lambda model: model.kind,
            "fit": lambda model: _FITS[self._fit_of(model)],
            "changed": lambda model: model.modified_at,
        }
        return keys[sort]


def _ranks(marks: Marks) -> dict[str, int]:
    """Return the place of every marked path: favourites share the first, the last used follow in order."""
    ranks = {path: 1 + index for index, path in enumerate(marks.recent)}
    return ranks | dict.fromkeys(marks.favourites, 0)


def _grouped(models: Sequence[ModelEntry], group: Group) -> list[tuple[str, list[ModelEntry]]]:
    """Return groups in the order of their titles, each in the order of its models."""
    if group == "none":
        return [("", list(models))]
    groups: dict[str, tuple[str, list[ModelEntry]]] = {}
    for model in models:
        name = _group_of(model, group)
        key = name if group == "folder" else name.casefold()
        groups.setdefault(key, (name, []))[1].append(model)
    titled = [(below_home(name), members) for name, members in groups.values()]
    return sorted(titled, key=lambda item: item[0].casefold())


def _group_of(model: ModelEntry, group: Group) -> str:
    if group == "folder":
        return model.path.rpartition("/")[0] or "/"
    return model.family or model.architecture or "other"


def _with_heading(
    title: str, members: Sequence[ModelEntry | ModelFault], order: Order, size: int
) -> list[Row]:
    is_open = title not in order.closed or bool(order.words)
    heading = Heading(title=title, count=len(members), n_bytes=size, is_open=is_open)
    return [heading, *members] if is_open else [heading]
