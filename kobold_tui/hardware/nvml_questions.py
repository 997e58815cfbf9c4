"""Questions to NVML about one card in one round, and what their refusals say about the card and the driver.

A refusal costs its own field and no other: a function that says "GPU is lost" on a card that answers
everything else is a broken function.
"""

from __future__ import annotations

from typing import Any

from kobold_tui.hardware.fields import shown_text

INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, FUNCTION_NOT_FOUND = 2, 3, 4, 6, 13
UNKNOWN = 999

ORDINARY = frozenset({INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, FUNCTION_NOT_FOUND})
"""Codes of a healthy card that does not have what it was asked for."""


class Questions:
    """Asks the functions of `bindings` (the module pynvml) about `handle` and keeps the refusals."""

    def __init__(self, bindings: Any, *handle: Any) -> None:
        self._bindings = bindings
        self._handle = handle
        self._answers = 0
        self._refusals: dict[str, tuple[int, str]] = {}

    def ask(self, function: str, *arguments: object) -> Any:
        """Return what `function` answers; None where it refuses or does not exist."""
        try:
            answer = getattr(self._bindings, function)(*self._handle, *arguments)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in the bindings, the field is unknown
            self._refusals[function] = code_of(error), words_of(error)
            return None
        self._answers += 1
        return answer

    def first(self, functions: tuple[str, ...], *arguments: object) -> Any:
        """Return the answer of the first function that this driver has."""
        for function in functions:
            answer = self.ask(function, *arguments)
            if answer is not None or self.code(function) != FUNCTION_NOT_FOUND:
                return answer
        return None

    def code(self, function: str) -> int | None:
        """Return the code with which `function` refused last; None if it did not."""
        return self._refusals[function][0] if function in self._refusals else None

    @property
    def is_suspicious(self) -> bool:
        """Whether something was refused for a reason that a healthy card does not have."""
        return any(code not in ORDINARY for code, _ in self._refusals.values())

    @property
    def fault(self) -> str | None:
        """Why nothing at all was answered, in the driver's words; None for a card that is merely poor."""
        if self._answers:
            return None
        return next((words for code, words in self._refusals.values() if code not in ORDINARY), None)


def code_of(error: Exception) -> int:
    """Return NVML's number of an error; UNKNOWN for errors of another kind."""
    value = getattr(error, "value", None)
    return value if isinstance(value, int) else UNKNOWN


def words_of(error: Exception) -> str:
    """Return the first line of what an error says, fit to be shown."""
    first = str(error).strip().split("\n")[0]
    return shown_text(first) or type(error).__name__
