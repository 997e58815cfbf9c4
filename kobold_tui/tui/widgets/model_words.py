"""What the model browser says in words: states, verdicts, reasons, questions and its help."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from rich.cells import cell_len

from kobold_tui.domain.instance import Failed, Instance, Loading, Ready, Starting
from kobold_tui.domain.model import ModelEntry, ModelFault
from kobold_tui.domain.removal import Removal
from kobold_tui.domain.size_rule import SizeVerdict
from kobold_tui.domain.units import format_bytes, format_count, format_tokens
from kobold_tui.tui.widgets.fit_text import below_home, fit, fit_path
from kobold_tui.tui.widgets.model_arrangement import Heading, Row
from kobold_tui.tui.widgets.model_columns import FIT_MARKS, HELPERS
from kobold_tui.tui.widgets.row_list import Cell

HELP = """\
All GGUF models of this machine: your model folders, the stores of Hugging Face, LM Studio, Ollama, KoboldCpp
and llama.cpp, and installed Python packages. The list follows changes on disk. **Enter** loads the model
under the cursor. **/** finds by words (`qwen q4 30b`), **s** sorts, as a click on a title does, **g** groups.

Will it run here: ● all on the GPU   ◐ partly on the GPU   ○ on the CPU   ✗ too large   + goes with a model

In front: ▶ loaded   » loading   ! failed   ★ favourite. Favourites and models used last come first from the
next start on, or with **r**. Files that cannot be used stand at the end, with their reasons.
"""

_FIT_SENTENCES: dict[SizeVerdict, str] = {
    "gpu": "fits on the GPU",
    "partly": "fits partly on the GPU",
    "cpu": "fits into RAM, on the CPU",
    "no": "too large for this machine",
}


def state_mark(model: ModelEntry, instance: Instance | None) -> Cell:
    """Return whether a model is loaded."""
    if instance is None or instance.spec.path not in (model.path, *model.copies):
        return " ", "row--quiet"
    match instance.state:
        case Ready():
            return "▶", "row--good"
        case Starting() | Loading():
            return "»", "row--warn"
        case Failed():
            return "!", "row--bad"
    return " ", "row--quiet"


def fit_words(model: ModelEntry, verdict: SizeVerdict | None) -> str:
    """Return where a model would run, in words with their mark."""
    if model.kind in HELPERS:
        return ""
    return f"{FIT_MARKS[verdict][0]} {_FIT_SENTENCES[verdict]}" if verdict else ""


def why_not(model: ModelEntry) -> tuple[str, str]:
    """Return why a file is not loaded by itself, and what to do instead."""
    if model.kind == "projector":
        return f"{model.name} lets a model see or hear.", "Load the model that it belongs to."
    if model.kind == "adapter":
        return f"{model.name} is an adapter.", "Load its base model with a preset that names the adapter."
    if model.kind == "vocabulary":
        return f"{model.name} has a vocabulary and no weights.", "Choose another model."
    return f"{model.path}: llama.cpp has no architecture {model.architecture!r}.", "Choose another model."


def detail(row: Row, verdict: SizeVerdict | None, width: int, *, is_short: bool = False) -> str:
    """Return three lines about a row, its facts and its path; two of them in a short terminal."""
    if isinstance(row, Heading):
        size = f" · {format_bytes(row.n_bytes)}" if row.n_bytes else ""
        return f"{fit(row.title, width)}\n{fit(f'{row.count} files{size}; Enter folds and unfolds.', width)}"
    path = fit_path(below_home(row.path), width)
    if isinstance(row, ModelFault):
        return f"{path}\n{row.reason}"
    first, *rest = _flowing(list(_facts(row, verdict)), width)
    second = rest[0] if rest else fit(_origin(row), width)
    return "\n".join((first, path) if is_short else (first, second, path))


def _facts(model: ModelEntry, verdict: SizeVerdict | None) -> Iterator[str]:
    if runs := fit_words(model, verdict):
        yield runs
    yield model.kind
    if model.architecture:
        yield model.architecture
    yield f"{format_count(model.parameters)} parameters"
    if model.n_layer:
        yield f"{model.n_layer} layers"
    if model.n_ctx_train:
        yield f"{format_tokens(model.n_ctx_train)} context"
    if model.shards > 1:
        yield f"{model.shards} parts"
    if model.projectors:
        yield "with a projector"
    if model.copies:
        yield f"{1 + len(model.copies)} places"


def _origin(model: ModelEntry) -> str:
    made_from = f"made from {model.base_model}" if model.base_model else ""
    return " · ".join(word for word in (made_from, model.source) if word)


def _flowing(facts: list[str], width: int) -> list[str]:
    """Return the facts as lines, as many on each as there is room for."""
    lines = [facts[0]]
    for fact in facts[1:]:
        if cell_len(lines[-1]) + 3 + cell_len(fact) <= width:
            lines[-1] += f" · {fact}"
        else:
            lines.append(fact)
    return [fit(line, width) for line in lines]


def removal_question(removal: Removal) -> tuple[str, list[str]]:
    """Return title and lines of the question before a deletion."""
    count = len(removal.files)
    what = "this file" if count == 1 else f"these {count} files"
    lines = [f"{format_bytes(removal.freed_bytes)} will be free. It deletes {what}, for good:", ""]
    folder = ""
    for file in removal.files:
        path = PurePath(file.path)
        if str(path.parent) != folder:
            folder = str(path.parent)
            lines.append(f"in {below_home(folder)}")
        lines.append(f"{format_bytes(file.freed_bytes):>9}  {path.name}")
    return f"Delete {removal.name}?", [*lines, *(["", *removal.notes] if removal.notes else [])]
