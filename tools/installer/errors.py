"""The one error of the set-up: what happened and what to do, as sentences."""

from __future__ import annotations


class SetupError(Exception):
    """The set-up cannot go on; `advice` says what the reader can do about it."""

    def __init__(self, cause: str, advice: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.advice = advice
