"""The table of keys is whole, agrees with the documentation, and does what it says."""

from __future__ import annotations

from collections import Counter
from typing import Any

import key_table
import pytest
from kcpps_talk import fate, imported, key_rows, rows

from kobold_tui.storage.kcpps.keymap import RULES
from kobold_tui.storage.kcpps.rules_left import LEFT
from kobold_tui.storage.kcpps.rules_taken import TAKEN

KEYS = sorted(key_rows())


def test_every_key_that_is_known_has_one_rule() -> None:
    assert sorted(RULES) == KEYS
    assert [key for key, n in Counter(rule.key for rule in (*TAKEN, *LEFT)).items() if n > 1] == []


def test_the_documentation_shows_the_table_of_the_importer() -> None:
    assert key_table.in_docs() == key_table.table(), "run: python tests/support/key_table.py"


@pytest.mark.parametrize("key", [rule.key for rule in LEFT])
def test_a_key_that_is_left_gets_the_fate_of_the_table_where_it_asks_for_something(key: str) -> None:
    row = fate(key, "something")
    assert (row.status, row.note) == (RULES[key].fate, RULES[key].note)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_with_any_value_gets_one_line(key: str) -> None:
    values: list[Any] = [None, False, True, 0, -1, 7, 0.5, "", "text", [], ["0"], [1.5], {}, {"a": 1}]
    for value in values:
        found = imported({key: value})
        assert [row.key for row in found.report].count(key) == 1, value


@pytest.mark.parametrize("key", [rule.key for rule in TAKEN if rule.key != "chatcompletionsadapter"])
def test_a_key_that_is_taken_over_refuses_what_it_cannot_be(key: str) -> None:
    others = {"mmproj": "p.gguf", "embeddingsmodel": "e.gguf", "lora": ["a.gguf"]}
    row = fate(key, [[["no"]]], **{name: value for name, value in others.items() if name != key})
    assert row.status == "refused"
    assert row.note.startswith("It must be")


def test_an_unknown_key_is_reported() -> None:
    row = fate("brandnewkey", 1)
    assert (row.status, row.value, "does not know" in row.note) == ("unsupported", 1, True)


def test_a_key_that_stands_twice_is_reported(tmp_path: Any) -> None:
    from kobold_tui.storage.kcpps.importing import import_file

    path = tmp_path / "twice.kcpps"
    path.write_text('{"gpulayers": 1, "contextsize": 512, "gpulayers": 2}')
    found = import_file(path)
    assert found.preset.load.n_gpu_layers == 2
    assert [row.note for row in found.report if row.key == "gpulayers"][-1].startswith("Stands twice")


def test_the_report_is_in_the_order_of_the_file() -> None:
    values = {"threads": 2, "unheard": 1, "gendefaults": {"top_k": 1}, "contextsize": 512}
    keys = [row.key for row in imported(values).report if row.key in rows(imported(values))]
    assert keys[:5] == ["threads", "unheard", "gendefaults", "gendefaults.top_k", "contextsize"]
