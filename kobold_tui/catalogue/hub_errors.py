"""What goes wrong on the way to the hub, in words: which repository or file, why, and what to do.

Answers and exceptions of the connection are never quoted: they can hold addresses that are signed for
one person, and the text of a server is not to be trusted.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import msgspec

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.units import format_seconds

if TYPE_CHECKING:
    import httpx2

LOG_IN = "Set HF_TOKEN to an access token, or log in with `hf auth login`"


class HubError(KoboldError):
    """The hub cannot be reached, refuses, or answers something that makes no sense.

    `is_passing` is whether another try a little later could succeed.
    """

    def __init__(self, title: str, message: str, hint: str = "", *, is_passing: bool = False) -> None:
        super().__init__(title, message, hint)
        self.is_passing = is_passing


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for: the hub's address, and the repository and file where there are such."""

    endpoint: str
    repo: str = ""
    file: str = ""
    with_token: bool = False

    @property
    def words(self) -> str:
        """The repository or file as messages name it."""
        return f"{self.repo}/{self.file}" if self.file else self.repo or self.endpoint


def refused(response: httpx2.Response, asked: Asked) -> HubError:
    """Return what an answer with an error status means."""
    status, code = response.status_code, response.headers.get("X-Error-Code", "")
    if code == "GatedRepo":
        found = _gated(asked)
    elif status == 403:
        found = _forbidden(asked)
    elif code == "EntryNotFound" or (status == 404 and asked.file):
        found = _no_file(asked)
    elif status == 401 and asked.with_token:
        found = _token_refused(asked)
    elif status in {401, 404}:
        found = _no_repository(asked)
    elif status == 429:
        found = _too_many(response, asked)
    else:
        found = _trouble(status, asked)
    return found


def unreachable(error: Exception, asked: Asked) -> HubError:
    """Return what an exception of the connection means."""
    import httpx2
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return HubError(
            "Offline mode", "HF_HUB_OFFLINE keeps programs from the hub.", "Unset it to search and download."
        )
    if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol):
        return HubError(
            "Not an address", f"{asked.endpoint} is no address of a hub.", "Correct or unset HF_ENDPOINT."
        )
    if isinstance(error, httpx2.TooManyRedirects):
        return HubError(
            "The hub answers in circles", f"{asked.words} leads from one address to the next without end."
        )
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
        return _no_connection(error, asked)
    if isinstance(error, httpx2.TimeoutException):
        return HubError(
            "The hub does not answer",
            f"Nothing came from {asked.endpoint} for {asked.words} in time.",
            "Try again; HF_HUB_DOWNLOAD_TIMEOUT sets the seconds to wait.",
            is_passing=True,
        )
    return broken(asked)


def broken(asked: Asked) -> HubError:
    """Return the error for an answer that ended before its time."""
    return HubError(
        "The connection broke",
        f"The connection to {asked.endpoint} ended in the middle of {asked.words}.",
        "Try again; a download goes on from where it broke.",
        is_passing=True,
    )


def senseless(asked: Asked, reason: str) -> HubError:
    """Return the error for an answer that cannot be understood."""
    return HubError(
        "Not a hub's answer",
        f"{asked.endpoint} answered something unexpected for {asked.words}: {reason}.",
        "Check HF_ENDPOINT, and whether a proxy or a log-in page stands in between.",
    )


def bad_token() -> HubError:
    """Return the error for an access token that cannot be sent; it is not quoted."""
    return HubError(
        "Not an access token",
        "The access token of the hub holds characters that no token has.",
        f"{LOG_IN}; tokens begin with hf_.",
    )


def _gated(asked: Asked) -> HubError:
    return HubError(
        "Access is restricted",
        f"The authors of {asked.repo} give access only to those who accept their terms.",
        f"Accept them on {asked.endpoint}/{asked.repo} with your account. {LOG_IN}.",
    )


def _forbidden(asked: Asked) -> HubError:
    return HubError(
        "Access is refused",
        f"{asked.endpoint} does not let you read {asked.words}.",
        f"Its page may ask you to accept terms. {LOG_IN}.",
    )


def _no_repository(asked: Asked) -> HubError:
    return HubError(
        "No such repository",
        f"{asked.endpoint} has no {asked.words}, or it is private.",
        f"Check the name, as in OWNER/NAME. For a private one: {LOG_IN[:1].lower()}{LOG_IN[1:]}.",
    )


def _no_file(asked: Asked) -> HubError:
    return HubError(
        "No such file", f"{asked.repo} has no file {asked.file}.", "List what it has, and choose another."
    )


def _trouble(status: int, asked: Asked) -> HubError:
    message = f"{asked.endpoint} answered {status} for {asked.words}."
    if status >= 500 or status == 408:
        return HubError("The hub has trouble", message, "Try again in a few minutes.", is_passing=True)
    return HubError("The hub refuses", message)


def _token_refused(asked: Asked) -> HubError:
    return HubError(
        "Not authorised",
        f"{asked.endpoint} did not accept your access token for {asked.words}.",
        f"Check that the repository exists and that the token is valid. {LOG_IN}.",
    )


def _too_many(response: httpx2.Response, asked: Asked) -> HubError:
    wait = response.headers.get("Retry-After", "")
    when = f"in {format_seconds(int(wait))}" if wait.isdecimal() and len(wait) < 6 else "in a few minutes"
    more = "" if asked.with_token else f" {LOG_IN}: accounts may ask more often."
    return HubError(
        "Too many requests",
        f"{asked.endpoint} has had enough questions from here for now.",
        f"Try again {when}.{more}",
    )


def _no_connection(error: Exception, asked: Asked) -> HubError:
    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        reason = "its name cannot be found"
    elif any(isinstance(cause, ssl.SSLError) for cause in causes):
        reason = "its certificate is not accepted"
    elif any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        reason = "it refuses connections"
    else:
        reason = "there is no way to it"
    return HubError(
        "No connection",
        f"{asked.endpoint} cannot be reached: {reason}.",
        "Check the network and its proxy (HTTPS_PROXY); HF_ENDPOINT names another hub or mirror.",
        is_passing=True,
    )


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
