"""A document of KoboldCpp while it is read: checked values in, settings and one report row a key out.

The first row that is said of a key stays, so that a value that was refused is not called mapped afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_report import MASK, DownloadOffer, KeyReport, KeyStatus
from kobold_tui.storage.kcpps.facts import ModelFacts
from kobold_tui.storage.kcpps.keymap import RULES
from kobold_tui.storage.kcpps.masking import is_secret_name, shown
from kobold_tui.storage.type_words import in_words, type_at

UNUSED = "Not used in the file."
NOT_IN_FILE = "Not in the file; this is KoboldCpp's default."
EMPTY = "Empty; KoboldCpp's default is taken."
_PROBE = {"name": "probe"}
_IN_DOCUMENT: Any = object()
_LONGEST_KEY = 80


class Reading:
    """The document, and what has become of it so far.

    `facts` are those of the model file, where it is there; `read_near` returns a file that the document
    names, None where it cannot be read.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        facts: ModelFacts | None = None,
        read_near: Callable[[str], bytes | None] = lambda _: None,
    ) -> None:
        self.values = values
        self.facts = facts
        self.read_near = read_near
        self.downloads: list[DownloadOffer] = []
        self.template = ""
        self._settings: dict[str, Any] = {}
        self._rows: dict[str, KeyReport] = {}
        self._assumed: list[KeyReport] = []

    def get(self, setting: str) -> Any:
        """Return what a setting has become, None while it has the default."""
        return self._settings.get(setting)

    def set(self, setting: str, value: Any) -> str:
        """Give a setting a value; returns what it must be where the value cannot be one, else nothing."""
        steps = setting.split(".")
        table: Any = value
        for step in reversed(steps):
            table = {step: table}
        try:
            msgspec.convert({**_PROBE, **table}, Preset, strict=True, str_keys=True)
        except msgspec.ValidationError:
            return in_words(type_at(Preset, steps))
        self._settings[setting] = value
        return ""

    def put(self, key: str, setting: str, value: Any, status: KeyStatus = "mapped", note: str = "") -> bool:
        """Give a setting the value of a key and say so; a value out of range is refused instead."""
        if right := self.set(setting, value):
            self.refuse(key, f"It must become {right}.")
            return False
        self.say(key, status, note, setting)
        return True

    def say(
        self, key: str, status: KeyStatus, note: str = "", setting: str = "", value: Any = _IN_DOCUMENT
    ) -> None:
        """Report a key of the document; `value` where it is no key of the topmost object."""
        if key in self._rows or (key not in self.values and value is _IN_DOCUMENT):
            return
        self._rows[key] = KeyReport(
            key=key[:_LONGEST_KEY],
            value=_reported(key, self.values[key] if value is _IN_DOCUMENT else value),
            status=status,
            note=note or (UNUSED if status == "ignored" else ""),
            setting=setting,
        )

    def refuse(self, key: str, note: str, value: Any = _IN_DOCUMENT) -> None:
        """Report a key whose value cannot be taken over."""
        self.say(key, "refused", note, value=value)

    def assume(self, key: str, setting: str, value: Any) -> None:
        """Give a setting KoboldCpp's default for a key that the document lacks or leaves empty."""
        self.set(setting, value)
        if key in self.values:
            self.say(key, "mapped", EMPTY, setting)
        else:
            row = KeyReport(key=key, value=None, status="mapped", note=NOT_IN_FILE, setting=setting)
            self._assumed.append(row)

    def integer(self, key: str) -> int | None:
        """Return a whole number, None where there is none; truth values and other types are refused."""
        number = self.number(key)
        if number is None or number == int(number):
            return None if number is None else int(number)
        self.refuse(key, "It must be a whole number.")
        return None

    def number(self, key: str) -> float | None:
        """Return a finite number, None where there is none; other types are refused."""
        value = self.values.get(key)
        if value is None:
            return None
        if number(value) is None:
            self.refuse(key, "It must be a number.")
        return number(value)

    def flag(self, key: str) -> bool:
        """Return a truth value; null is false, 1 and 0 count, other types are refused and false."""
        value = self.values.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        if number(value) in {0, 1}:
            return bool(value)
        self.refuse(key, "It must be true or false.")
        return False

    def text(self, key: str) -> str:
        """Return a text without blanks around it; null is empty, other types are refused and empty."""
        value = self.values.get(key)
        if isinstance(value, str) or value is None:
            return (value or "").strip()
        self.refuse(key, "It must be a text in quotes.")
        return ""

    def numbers(self, key: str) -> list[float]:
        """Return a list of finite numbers; null is empty, other types are refused and empty."""
        value = self.values.get(key)
        found = [number(item) for item in value] if isinstance(value, list) else []
        if value is not None and (not isinstance(value, list) or None in found):
            self.refuse(key, "It must be a list of numbers.")
            return []
        return [item for item in found if item is not None]

    def texts(self, key: str) -> list[str]:
        """Return a list of texts; a text alone is one, null is empty, other types are refused and empty."""
        value = self.values.get(key)
        items = [value] if isinstance(value, str) else value
        if items is None:
            return []
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            self.refuse(key, "It must be a list of texts.")
            return []
        return [item.strip() for item in items if item.strip()]

    def settings(self) -> dict[str, Any]:
        """Return everything that is no default, as the table of a preset."""
        table: dict[str, Any] = {}
        for setting, value in self._settings.items():
            *above, last = setting.split(".")
            inner = table
            for part in above:
                inner = inner.setdefault(part, {})
            inner[last] = value
        return table

    def report(self) -> tuple[KeyReport, ...]:
        """Return a row for every key of the document in its order, then those that it lacks.

        A key that nobody spoke of gets what the key table says.
        """
        for key, value in self.values.items():
            self._say_by_rule(key, value)
        top = {key: rank for rank, key in enumerate(self.values)}
        names = sorted(self._rows, key=lambda name: top.get(name, top.get(name.partition(".")[0], len(top))))
        return (*(self._rows[name] for name in names), *self._assumed)

    def _say_by_rule(self, key: str, value: Any) -> None:
        rule = RULES.get(key)
        if rule is None:
            note = "This program does not know the key."
            self.say(key, "refused" if is_secret_name(key) and value else "unsupported", note)
        elif rule.asks_for_nothing(value):
            self.say(key, "ignored", UNUSED)
        else:
            self.say(key, rule.fate, rule.note, rule.setting)


def number(value: Any) -> float | None:
    """Return a finite number that arithmetic can hold, None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return value if abs(value) < 2**53 else None
    return value if math.isfinite(value) else None


def _reported(key: str, value: Any) -> Any:
    rule = RULES.get(key)
    is_secret = rule.secret if rule is not None else is_secret_name(key.rpartition(".")[2])
    if value and (is_secret or key == "onready"):
        return MASK
    return shown(value)
