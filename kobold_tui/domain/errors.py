"""The one error type that people see, and its form as a value.

An error carries a title, a message that names the file or model, and a hint that says what to do; the
front end alone decides how to show it. `Failure` is the same as a frozen value: it crosses the wire
between processes and stands in the state of an instance.
"""

from __future__ import annotations

import msgspec


class Failure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What went wrong, in words; `log_tail` holds the last lines that the engine wrote, oldest first."""

    title: str
    message: str
    hint: str = ""
    log_tail: tuple[str, ...] = ()


class KoboldError(Exception):
    """An expected failure with a title, a message and a hint for the person in front of the screen."""

    def __init__(self, title: str, message: str, hint: str = "", log_tail: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.title = title
        self.message = message
        self.hint = hint
        self.log_tail = log_tail

    @classmethod
    def from_failure(cls, failure: Failure) -> KoboldError:
        """Return the exception that says what `failure` says."""
        return cls(failure.title, failure.message, failure.hint, failure.log_tail)

    @property
    def failure(self) -> Failure:
        """The same facts as a frozen value."""
        return Failure(title=self.title, message=self.message, hint=self.hint, log_tail=self.log_tail)

    def __str__(self) -> str:
        return f"{self.title}: {self.message}" + (f" {self.hint}" if self.hint else "")


class UsageError(KoboldError):
    """The request itself was wrong (unknown name, bad option); command-line exit code 2."""


class ModelFileError(KoboldError):
    """A model file cannot be read; the message names the file, the offset and the reason."""


class EngineError(KoboldError):
    """The engine refused or lost a request; the instance's state says whether it still lives."""
