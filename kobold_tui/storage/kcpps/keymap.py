"""Every key that KoboldCpp has had, once: the importer, the report and the documentation read this table."""

from __future__ import annotations

from kobold_tui.storage.kcpps.rule import Rule
from kobold_tui.storage.kcpps.rules_left import LEFT
from kobold_tui.storage.kcpps.rules_taken import TAKEN

RULES: dict[str, Rule] = {rule.key: rule for rule in (*TAKEN, *LEFT)}


def in_words(rule: Rule) -> tuple[str, str, str, str]:
    """Return a row of the documentation: key, what becomes of it, the preset's key, and why or how."""
    return f"`{rule.key}`", rule.fate, f"`{rule.setting}`" if rule.setting else "", rule.note
