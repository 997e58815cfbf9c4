"""Everything about one model file as lines for a terminal: what matters first, then all metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kobold_tui.cli.output import Column, below_home, cell_width, cut, one_line, table
from kobold_tui.domain.model_details import ModelDetails
from kobold_tui.domain.units import format_bytes, format_count
from kobold_tui.services.model_facts import Fact, file_facts, memory_facts, metadata_facts, weight_facts

_INDENT = "  "
_TYPE_COLUMNS = (
    Column(title="TYPE"),
    Column(title="TENSORS", align="right"),
    Column(title="WEIGHTS", align="right"),
    Column(title="SIZE", align="right"),
    Column(title="SHARE", align="right"),
)


def detail_lines(details: ModelDetails, width: int | None) -> Iterator[str]:
    """Yield the lines, at most `width` columns each; None cuts nothing."""
    entry = details.entry
    yield _fit(entry.name, width)
    summary = (entry.kind, entry.architecture, entry.quantization, format_bytes(entry.size_bytes))
    yield _fit(_INDENT + " · ".join(word for word in summary if word), width)
    yield from _group("Weights", weight_facts(details), width)
    yield from _group("Memory", memory_facts(details), width)
    yield from _group("File", _short_paths(file_facts(details)), width)
    if details.types:
        yield from ("", "Tensor types")
        inner = None if width is None else width - len(_INDENT)
        yield from (_INDENT + line for line in table(_TYPE_COLUMNS, _type_rows(details), inner))
    for title, facts in metadata_facts(details):
        yield from _group(f"Metadata: {title}", facts, width)


def _short_paths(facts: Iterable[Fact]) -> Iterator[Fact]:
    yield from ((label, below_home(value)) for label, value in facts)


def _type_rows(details: ModelDetails) -> list[tuple[str, ...]]:
    return [
        (
            share.type_name,
            str(share.tensors),
            format_count(share.parameters),
            format_bytes(share.n_bytes),
            f"{share.n_bytes / details.tensor_bytes:.1%}" if details.tensor_bytes else "",
        )
        for share in details.types
    ]


def _group(title: str, pairs: Iterable[Fact], width: int | None) -> Iterator[str]:
    listed = [(one_line(label), one_line(value)) for label, value in pairs]
    if not listed:
        return
    longest = max(cell_width(label) for label, _ in listed)
    yield from ("", title)
    for label, value in listed:
        blank = " " * (longest - cell_width(label))
        yield _fit(f"{_INDENT}{label}{blank}  {value}".rstrip(), width)


def _fit(line: str, width: int | None) -> str:
    return one_line(line) if width is None else cut(one_line(line), width)
