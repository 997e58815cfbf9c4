"""The default values of requests (`gendefaults`): KoboldCpp's names for the sampling of a preset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from kobold_tui.domain.preset_report import KeyStatus
from kobold_tui.storage.kcpps.masking import is_secret_name
from kobold_tui.storage.kcpps.reading import UNUSED, Reading, number
from kobold_tui.storage.kcpps.sampling_names import ALIASES, FIRST, LAST, NOT_HERE, ORDER, SAMPLING_NAMES

_MOST_NAMES = 200


def read_defaults(reading: Reading) -> None:
    """Take over the defaults of requests, each name with a report row of its own."""
    key = "gendefaults" if "gendefaults" in reading.values else "sdgendefaults"
    reading_of_old = reading.values.get("sdgendefaults")
    if key == "gendefaults" and reading_of_old:
        reading.say("sdgendefaults", "ignored", "`gendefaults` counts.")
    value = reading.values.get(key)
    if not value or (value is True and key == "sdgendefaults"):
        return
    table = table_of(value)
    if table is None:
        reading.refuse(key, "It must be a JSON object.")
        return
    reading.say(key, "mapped" if table else "ignored", "Name by name." if table else UNUSED, "sampling")
    read_requests(reading, table, key)


def table_of(value: Any) -> dict[str, Any] | None:
    """Return an object, also from a text that holds one; None where there is none."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else {}
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def read_requests(reading: Reading, table: Mapping[str, Any], prefix: str) -> None:
    """Take over values by KoboldCpp's names for them; rows are called `prefix.name`."""
    for name, value in list(table.items())[:_MOST_NAMES]:
        _read_name(_Item(reading, f"{prefix}.{name}", value), ALIASES.get(name, name))
    if len(table) > _MOST_NAMES:
        reading.refuse(f"{prefix}.…", f"More than {_MOST_NAMES} names.", len(table))


class _Item(msgspec.Struct, frozen=True):
    """A value with the name of its row."""

    reading: Reading
    row: str
    value: Any

    @property
    def whole(self) -> Any:
        """The value as a whole number, itself where it is no number."""
        figure = number(self.value)
        return self.value if figure is None else int(figure)

    def say(self, status: KeyStatus, note: str, setting: str = "") -> None:
        self.reading.say(self.row, status, note, setting, self.value)

    def take(self, setting: str, ours: Any, note: str = "") -> None:
        """Give a setting the value in our form; a note says in what it is not the same."""
        if right := self.reading.set(setting, ours):
            self.reading.refuse(self.row, f"It must be {right}.", self.value)
        else:
            self.say("approximated" if note else "mapped", note, setting)


def _read_name(item: _Item, name: str) -> None:
    if name in NOT_HERE:
        neutral, note = NOT_HERE[name]
        asks = item.value not in (None, "", [], neutral)
        item.say("unsupported" if asks else "ignored", note if asks else UNUSED)
    elif item.value is None:
        item.say("ignored", UNUSED)
    elif name in SAMPLING_NAMES:
        item.take(f"sampling.{SAMPLING_NAMES[name]}", _as_ours(name, item.value))
    elif name in _SPECIAL:
        _SPECIAL[name](item)
    elif is_secret_name(name):
        item.say("refused", "A secret; a preset is a file that others may read.")
    else:
        item.say("unsupported", "A preset holds nothing like it.")


def _as_ours(name: str, value: Any) -> Any:
    """Return a value in our form; KoboldCpp takes a temperature below zero for zero, and whole floats."""
    if name == "logit_bias":
        return {key: float(bias) for key, bias in value.items()} if _is_biases(value) else value
    figure = number(value)
    if figure is None:
        return value
    if name == "temperature":
        return max(figure, 0.0)
    return int(figure) if figure == int(figure) and isinstance(value, float) else value


def _is_biases(value: Any) -> bool:
    return isinstance(value, dict) and all(number(bias) is not None for bias in value.values())


def _length(item: _Item) -> None:
    item.take("chat.max_tokens", item.whole)


def _stops(item: _Item) -> None:
    found = [item.value] if isinstance(item.value, str) else item.value
    if isinstance(found, list) and all(isinstance(text, str) for text in found):
        found = list(dict.fromkeys([*(item.reading.get("chat.stop") or ()), *filter(None, found)]))
    item.take("chat.stop", found)


def _seed(item: _Item) -> None:
    figure = number(item.value)
    if figure is not None and figure < 0:
        item.say("mapped", "A new one every time.", "sampling.seed")
    else:
        item.take("sampling.seed", item.whole)


def _grammar(item: _Item) -> None:
    is_schema = isinstance(item.value, str) and item.value.lstrip().startswith("{")
    item.take("sampling.json_schema" if is_schema else "sampling.grammar", item.value)


def _schema(item: _Item) -> None:
    is_text = isinstance(item.value, str)
    item.take("sampling.json_schema", item.value if is_text else json.dumps(item.value, ensure_ascii=False))


def _order(item: _Item) -> None:
    ids = item.value if isinstance(item.value, list) else []
    if not ids or any(type(i) is not int or not 0 <= i < len(ORDER) for i in ids) or len(set(ids)) < len(ids):
        item.say("refused", "It must be a list of the numbers 0 to 6, each of them once.")
        return
    order = [*FIRST, *(sampler for i in ids for sampler in ORDER[i]), *LAST]
    item.take("sampling.order", order, "Top-a and tail-free sampling are left out.")


def _variables(item: _Item) -> None:
    known = item.reading.get("chat.template_options") or {}
    is_plain = isinstance(item.value, dict) and not any(map(is_secret_name, item.value))
    item.take("chat.template_options", {**known, **item.value} if is_plain else item.value)


def _unneeded(item: _Item) -> None:
    item.say("ignored", "Always so here.")


_SPECIAL = {
    "max_length": _length,
    "stop_sequence": _stops,
    "sampler_seed": _seed,
    "grammar": _grammar,
    "json_schema": _schema,
    "sampler_order": _order,
    "chat_template_kwargs": _variables,
    "trim_stop": _unneeded,
}
