"""The rows of the list of presets, as values and as coloured cells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

import msgspec

from kobold_tui.domain.errors import Failure
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_file import PresetFile, PresetList, differences
from kobold_tui.domain.size_rule import SizeVerdict
from kobold_tui.domain.units import format_bytes
from kobold_tui.services.launch import Launch
from kobold_tui.tui.widgets.fit_text import below_home, fit, fit_right
from kobold_tui.tui.widgets.row_list import Cell

FIT_MARKS: dict[SizeVerdict, Cell] = {
    "gpu": ("●", "row--good"),
    "partly": ("◐", "row--warn"),
    "cpu": ("○", "row--warn"),
    "no": ("✗", "row--bad"),
}
FIT_WORDS: dict[SizeVerdict, str] = {
    "gpu": "fits on the GPU",
    "partly": "fits partly on the GPU",
    "cpu": "runs on the CPU",
    "no": "does not fit now",
}
SOURCES = {"bundled": "program", "user": "you", "folder": "folder", "kcpps": "KoboldCpp"}
_PATH = re.compile(r"(.+?\.(?:toml|kcpps|kcppt))(?=[: ]|$)", re.IGNORECASE)
_SIZE, _SOURCE, _LEAST_NAME = 10, 11, 18


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a preset's model: its size, and where it would run as the preset says."""

    size_bytes: int = 0
    verdict: SizeVerdict | None = None
    missing: str = ""


class PresetRow(msgspec.Struct, frozen=True, kw_only=True):
    """A preset or a file that is none; `differing` are the keys in which the loaded one left its file."""

    stored: PresetFile | None = None
    failure: Failure | None = None
    fit: Fit = Fit()
    is_loaded: bool = False
    is_marked: bool = False
    differing: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The preset's name, or the file's where it is broken."""
        if self.stored is not None:
            return self.stored.preset.name
        path = self.path
        return path.name if path is not None else self.failure.title if self.failure is not None else ""

    @property
    def path(self) -> Path | None:
        """The file, None where it is not known."""
        if self.stored is not None:
            return self.stored.path
        found = _PATH.match(self.failure.message) if self.failure is not None else None
        return Path(found[1]) if found else None


def rows_of(
    found: PresetList, fits: Mapping[str, Fit], marked: Sequence[str], launch: Launch | None
) -> Iterator[PresetRow]:
    """Yield the rows: broken files last."""
    loaded = launch.preset if launch is not None else None
    for stored in found.presets:
        name = stored.preset.name
        is_loaded = loaded is not None and loaded.name == name
        yield PresetRow(
            stored=stored,
            fit=fits.get(name, Fit()),
            is_loaded=is_loaded,
            is_marked=name in marked,
            differing=differing(stored, loaded) if is_loaded and loaded is not None else (),
        )
    yield from (PresetRow(failure=failure) for failure in found.failed)


def differing(stored: PresetFile, loaded: Preset) -> tuple[str, ...]:
    """Return the keys in which what is loaded left its file; what a load fills in is no difference."""
    filled = {"model", "kind"} if stored.preset.is_recipe else set()
    if stored.source == "kcpps":
        filled.add("chat.template")
    return tuple(row.key for row in differences(stored.preset, loaded) if row.key not in filled)


def draw_row(row: PresetRow, width: int) -> Sequence[Cell]:
    """Return the cells: mark, fit, name, model, size and source, as many as there is room for."""
    with_source, with_model = width >= 58, width >= 44
    left = width - 5 - _SIZE - (_SOURCE if with_source else 0)
    name_width = left if not with_model else max(_LEAST_NAME, left * 9 // 20)
    lead: list[Cell] = [("▸ " if row.is_marked else "  ", "row--accent"), _mark(row), (" ", "row--text")]
    name = f"{row.name} *" if row.differing else row.name
    if row.failure is not None:
        reason = f"{row.failure.title}: {row.failure.message}".replace(str(row.path), row.name)
        rest = max(0, width - 4 - name_width)
        return [*lead, (fit(row.name, name_width), "row--bad"), (fit(f" {reason}", rest), "row--bad")]
    cells = [*lead, (fit(name, name_width), "row--warn" if row.differing else "row--text")]
    if with_model:
        cells.append((f" {fit(model_of(row), max(0, left - name_width))}", "row--quiet"))
    cells.append((fit_right(size_of(row), _SIZE), "row--quiet"))
    if with_source and row.stored is not None:
        cells.append((f"  {fit(SOURCES[row.stored.source], _SOURCE - 2)}", "row--quiet"))
    return cells


def titles(width: int) -> str:
    """Return the heads of the columns for a width."""
    with_source, with_model = width >= 58, width >= 44
    left = width - 5 - _SIZE - (_SOURCE if with_source else 0)
    name_width = left if not with_model else max(_LEAST_NAME, left * 9 // 20)
    model = f" {fit('Model', max(0, left - name_width))}" if with_model else ""
    source = f"  {fit('From', _SOURCE - 2)}" if with_source else ""
    return f"    {fit('Preset', name_width)}{model}{fit_right('Size', _SIZE)}{source}"


def model_of(row: PresetRow) -> str:
    """Return what the preset runs, in a word."""
    preset = row.stored.preset if row.stored is not None else Preset(name="x")
    if preset.is_recipe:
        return "any model"
    return preset.endpoint or PurePath(preset.model).name


def size_of(row: PresetRow) -> str:
    """Return the size of the model, nothing where there is none."""
    if row.fit.missing:
        return "missing"
    return format_bytes(row.fit.size_bytes) if row.fit.size_bytes else ""


def told(row: PresetRow) -> str:
    """Return two lines about a row: what it is for or what is wrong, and how it stands."""
    if row.failure is not None:
        message, path = row.failure.message, str(row.path)
        return f"{message.replace(path, below_home(path))}\n{row.failure.hint}"
    assert row.stored is not None  # noqa: S101 - a row is one or the other
    facts = [below_home(str(row.stored.path))]
    if row.fit.missing:
        facts = [row.fit.missing]
    elif row.is_loaded:
        facts.append("loaded")
    elif row.fit.verdict is not None:
        facts.append(FIT_WORDS[row.fit.verdict])
    if row.differing:
        facts.insert(0, f"* loaded with other {', '.join(row.differing)}")
    return f"{row.stored.preset.description or 'No description.'}\n{' · '.join(facts)}"


def _mark(row: PresetRow) -> Cell:
    if row.failure is not None:
        return "!", "row--bad"
    if row.is_loaded:
        return "▶", "row--good"
    if row.fit.missing:
        return "?", "row--warn"
    return FIT_MARKS[row.fit.verdict] if row.fit.verdict is not None else (" ", "row--quiet")
