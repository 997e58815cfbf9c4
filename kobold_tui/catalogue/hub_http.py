"""The connection to the hub: addresses, access token and session of `huggingface-hub`, with limits of ours.

`HfApi` and `hf_hub_download` are not used: they read answers of any length, wait for ever or through minutes
of retries, cannot be cancelled, and begin a broken download anew. What is taken from the library is what
must agree with other programs: endpoint, token, proxy, offline mode and timeouts.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

import kobold_tui
from kobold_tui.catalogue.hub_errors import Asked, bad_token, refused, senseless, unreachable

if TYPE_CHECKING:
    import httpx2

MOST_BYTES = 32 * 1024 * 1024
"""No list of files or of search results is longer."""

MOST_SECONDS = 60.0
"""An answer that trickles is given up after this time."""


class HubSession:
    """Asks one hub; `endpoint` and `timeout_seconds` are by default what the environment says."""

    def __init__(self, endpoint: str = "", timeout_seconds: float | None = None) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._timeout_seconds = timeout_seconds

    @property
    def endpoint(self) -> str:
        """Address of the hub, without a slash at its end."""
        if not self._endpoint:
            from huggingface_hub import constants

            self._endpoint = constants.ENDPOINT
        return self._endpoint

    def asked(self, repo: str = "", file: str = "") -> Asked:
        """Return what errors tell about a question."""
        return Asked(endpoint=self.endpoint, repo=repo, file=file, with_token=bool(_token()))

    def get_json(self, place: str, parameters: Mapping[str, str | Sequence[str]], asked: Asked) -> bytes:
        """Return the whole answer to a question. Raises HubError; the answer is bounded in size and time."""
        body, started = bytearray(), time.monotonic()
        with self._stream(f"{self.endpoint}/api/{place}", asked, parameters=parameters) as response:
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MOST_BYTES:
                    raise senseless(asked, "the answer has no end")
                if time.monotonic() - started > MOST_SECONDS:
                    raise senseless(asked, "the answer only trickles")
        return bytes(body)

    @contextlib.contextmanager
    def open_file(self, repo: str, revision: str, path: str, span: str = "") -> Iterator[httpx2.Response]:
        """Open a file, or a `Range` of it; errors become HubError, also those of reading it."""
        address = f"{self.endpoint}/{repo}/resolve/{quote(revision, safe='')}/{quote(path)}"
        headers = {"Accept-Encoding": "identity", **({"Range": span} if span else {})}
        with self._stream(address, self.asked(repo, path), headers=headers) as response:
            yield response

    @contextlib.contextmanager
    def _stream(
        self,
        address: str,
        asked: Asked,
        *,
        parameters: Mapping[str, str | Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[httpx2.Response]:
        import httpx2
        from huggingface_hub import get_session
        from huggingface_hub.errors import OfflineModeIsEnabled

        _silence_the_library()
        everywhere = {
            "User-Agent": f"kobold-tui/{kobold_tui.__version__}",
            **_authorization(),
            **(headers or {}),
        }
        try:
            with get_session().stream(
                "GET", address, params=parameters, headers=everywhere, timeout=self._patience()
            ) as response:
                if response.status_code >= 300:
                    raise refused(response, asked)
                yield response
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OfflineModeIsEnabled) as error:
            raise unreachable(error, asked) from None

    def _patience(self) -> float:
        if self._timeout_seconds is None:
            from huggingface_hub import constants

            self._timeout_seconds = float(constants.HF_HUB_DOWNLOAD_TIMEOUT)
        return self._timeout_seconds


def _token() -> str | None:
    from huggingface_hub import constants, get_token

    return None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()


def _authorization() -> dict[str, str]:
    token = _token()
    if token and not (token.isascii() and token.isprintable()):
        raise bad_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _silence_the_library() -> None:
    """Keep what the library logs, which can be words of a server, away from the terminal.

    Its import gives its logger a handler of its own, so this comes after that.
    """
    logger = logging.getLogger("huggingface_hub")
    logger.propagate = False
    logger.handlers = [logging.NullHandler()]
