"""Where a model runs that is not ours to load: an OpenAI-compatible server.

The key never stands here: `api_key_env` names the environment variable that holds it.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from kobold_tui.domain.errors import UsageError


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A server by its base address, such as `http://127.0.0.1:8000/v1`, and the name of a model there.

    An empty `model` stands for the only one that the server has.
    """

    url: str
    model: str = ""
    api_key_env: str = ""

    @property
    def base_url(self) -> str:
        """The address without a slash at its end."""
        return self.url.rstrip("/")

    @property
    def root_url(self) -> str:
        """The address of the server itself, where requests outside OpenAI's own go."""
        return self.base_url.removesuffix("/v1")

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def is_this_machine(self) -> bool:
        """Whether the address never leaves the machine."""
        name = urlsplit(self.url).hostname or ""
        return name in {"localhost", "::1"} or name.startswith("127.")

    @property
    def is_private_line(self) -> bool:
        """Whether nobody between here and there can read along: encrypted, or this very machine."""
        return self.is_this_machine or urlsplit(self.url).scheme == "https"


def check_endpoint(endpoint: Endpoint) -> None:
    """Raise UsageError where the address cannot be one, or holds a name and a password."""
    try:
        parts = urlsplit(endpoint.url)
        well_formed = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        well_formed = False
        parts = urlsplit("")
    if not well_formed:
        raise UsageError(
            "Not an endpoint",
            f"{endpoint.url!r} is no address of a server.",
            "Write it like http://127.0.0.1:8000/v1.",
        )
    if parts.username or parts.password:
        raise UsageError(
            "A password in an address",
            f"The endpoint at {endpoint.host} has a name or a password in its address.",
            "Take it out, and name the environment variable that holds the key: api_key_env.",
        )
    if parts.query or parts.fragment:
        raise UsageError(
            "Not an endpoint",
            f"The address of {endpoint.host} has more than a path.",
            "Leave out what follows ? or #.",
        )
