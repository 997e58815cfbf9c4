"""One row of the key table: what becomes of a key of KoboldCpp where it asks for something."""

from __future__ import annotations

from typing import Any

import msgspec

from kobold_tui.domain.preset_report import KeyStatus


class Rule(msgspec.Struct, frozen=True):
    """A key, its fate where it asks for something, the preset's key that it becomes, and why or how.

    A value among `neutral` asks for nothing, as every value that is empty, zero, false or null does; a
    `secret` is never shown. `by_code` marks the keys whose fate an importer's function decides.
    """

    key: str
    fate: KeyStatus
    setting: str = ""
    note: str = ""
    neutral: tuple[Any, ...] = ()
    secret: bool = False
    by_code: bool = False

    def asks_for_nothing(self, value: Any) -> bool:
        """Whether the key changes nothing with this value."""
        return not value or any(value == usual and type(value) is type(usual) for usual in self.neutral)
