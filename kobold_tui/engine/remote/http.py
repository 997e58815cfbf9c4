"""Requests to one endpoint: bounded, retried where that is safe, and with errors in words.

A request is tried again after a failed connection and after the statuses that mean "later", before
anything of the answer was read. Redirects are errors: the key goes to the address it was given for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from kobold_tui.domain.endpoint import Endpoint
from kobold_tui.domain.errors import EngineError
from kobold_tui.engine.log_tail import LogTail, printable
from kobold_tui.engine.remote import words

if TYPE_CHECKING:
    import httpx

Sleep = Callable[[float], Awaitable[None]]
Json = dict[str, Any]

MAX_BODY_BYTES = 256 * 1024 * 1024
_LATER = frozenset({429, 502, 503, 504})
_LONGEST_WAIT_SECONDS = 30.0


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait for what, in seconds, and how often to try; waits double from the first one."""

    connect_seconds: float = 10.0
    silence_seconds: float = 600.0
    tries: int = 4
    first_wait_seconds: float = 0.5


class Http:
    """The connections to one endpoint; `log` gets a line about everything that did not go smoothly."""

    def __init__(
        self,
        endpoint: Endpoint,
        key: str,
        log: LogTail,
        *,
        patience: Patience,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        import httpx

        self.endpoint = endpoint
        self._key = key
        self._log = log
        self._patience = patience
        self._sleep = sleep
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.AsyncClient(
            headers=headers,
            follow_redirects=False,
            trust_env=not endpoint.is_this_machine,  # a proxy is for others
            timeout=httpx.Timeout(patience.silence_seconds, connect=patience.connect_seconds),
        )

    def without_key(self, text: str) -> str:
        """Return text that may be shown: servers like to quote the key that they refuse."""
        return words.without(self._key, text)

    async def close(self) -> None:
        """Close all connections; requests under way fail."""
        await self._client.aclose()

    async def get(self, url: str, *, seconds: float | None = None) -> Any:
        """Return the JSON document at `url`, waiting for at most `seconds`. Raises EngineError."""
        return await self._fetch("GET", url, None, seconds)

    async def post(self, url: str, body: Mapping[str, object]) -> Any:
        """Send a JSON document and return the one that comes back. Raises EngineError."""
        return await self._fetch("POST", url, body, None)

    @contextlib.asynccontextmanager
    async def stream(self, url: str, body: Mapping[str, object]) -> AsyncIterator[httpx.Response]:
        """Send a JSON document; what comes back is read piece by piece. Raises EngineError."""
        response = await self._open("POST", url, body, None)
        try:
            with self._worded(reading=True):
                yield response
        finally:
            await response.aclose()

    async def _fetch(
        self, method: str, url: str, body: Mapping[str, object] | None, seconds: float | None
    ) -> Any:
        response = await self._open(method, url, body, seconds)
        try:
            with self._worded(reading=True):
                data = await _read(response, self.endpoint)
        finally:
            await response.aclose()
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise words.nonsense(self.endpoint, "no JSON document") from None

    async def _open(
        self, method: str, url: str, body: Mapping[str, object] | None, seconds: float | None
    ) -> httpx.Response:
        """Return a response of status 200 whose body is unread."""
        wait = self._patience.first_wait_seconds
        for tries_left in range(self._patience.tries - 1, -1, -1):
            try:
                return await self._once(method, url, body, seconds)
            except _LaterError as later:
                if not tries_left:
                    self._note(later.error.message)
                    raise later.error from None
                pause = min(later.wait_seconds or wait, _LONGEST_WAIT_SECONDS)
                self._note(f"{method} {_path(url)}: {later.error.message} Again in {pause:.1f} s.")
                await self._sleep(pause)
                wait *= 2
        raise AssertionError

    async def _once(
        self, method: str, url: str, body: Mapping[str, object] | None, seconds: float | None
    ) -> httpx.Response:
        import httpx

        limit = httpx.USE_CLIENT_DEFAULT if seconds is None else seconds
        request = self._client.build_request(method, url, json=body, timeout=limit)
        try:
            with self._worded():
                response = await self._client.send(request, stream=True)
        except EngineError as error:
            if isinstance(error.__cause__, httpx.NetworkError | httpx.ConnectTimeout | httpx.ProtocolError):
                raise _LaterError(error) from None  # nothing of an answer was read
            raise
        if response.status_code == httpx.codes.OK:
            return response
        try:
            raise await self._refusal(response)
        finally:
            await response.aclose()

    async def _refusal(self, response: httpx.Response) -> Exception:
        if response.is_redirect:
            return words.moved(self.endpoint, words.without(self._key, response.headers.get("location", "")))
        with self._worded(reading=True):
            body = await _read(response, self.endpoint, 65536)
        error = words.refused(self.endpoint, response.status_code, body, self._key)
        if response.status_code in _LATER:
            return _LaterError(error, _seconds(response.headers.get("retry-after", "")))
        self._note(error.message)
        return error

    @contextlib.contextmanager
    def _worded(self, *, reading: bool = False) -> Any:
        """Turn what the connection raises into words."""
        import httpx

        try:
            yield
        except httpx.ReadTimeout as error:
            raise words.silent(self.endpoint, self._patience.silence_seconds) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
            reason = words.without(self._key, str(error) or type(error).__name__)
            if reading:
                self._note(reason)
            worded = words.broke_off if reading else words.unreachable
            raise worded(self.endpoint, reason) from error

    def _note(self, line: str) -> None:
        stamp = time.strftime("%H:%M:%S")
        self._log.feed(f"{stamp} {printable(words.without(self._key, line))}\n".encode())


class _LaterError(Exception):
    """A refusal that may be none the next time."""

    def __init__(self, error: EngineError, wait_seconds: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait_seconds = wait_seconds


async def _read(response: httpx.Response, endpoint: Endpoint, most: int = MAX_BODY_BYTES) -> bytes:
    """Return the body. Raises EngineError where an answer has more than `most` bytes; an error is cut."""
    data = bytearray()
    async for piece in response.aiter_bytes():
        data += piece
        if len(data) > most:
            if response.is_error:
                break
            raise words.nonsense(endpoint, f"more than {most} bytes")
    return bytes(data)


def _seconds(header: str) -> float | None:
    """Return what a Retry-After header says; the form with a date counts as none."""
    try:
        return max(0.0, float(header))
    except ValueError:
        return None


def _path(url: str) -> str:
    return "/" + url.split("/", 3)[-1]
