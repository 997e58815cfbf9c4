"""What goes wrong between here and an endpoint, in words; never with a key in them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from kobold_tui.domain.endpoint import Endpoint
from kobold_tui.domain.errors import EngineError
from kobold_tui.engine.log_tail import printable

_MAX_QUOTE = 300

_BY_STATUS: dict[int, tuple[str, str]] = {
    401: ("The endpoint refuses the key", "Set the environment variable that `api_key_env` names."),
    403: ("The endpoint refuses the key", "Check what this key is allowed to do."),
    404: ("The endpoint does not know this", "Check the address: it mostly ends in /v1."),
    413: ("Too long for the endpoint", "Shorten the conversation, or choose a model with more context."),
    429: ("The endpoint is busy", "It limits how often it may be asked; wait a little and send again."),
}


def refused(endpoint: Endpoint, status: int, body: bytes, secret: str = "") -> EngineError:
    """Word an answer with an error status; what the server says is quoted, without the key."""
    said = without(secret, said_by(body))
    title, hint = _BY_STATUS.get(
        status,
        ("The endpoint failed", "Look at the server's log; then send again.")
        if status >= 500
        else ("The endpoint refused the request", "Change what it complains about."),
    )
    words = f"{endpoint.host} answered with status {status}" + (f": {said}" if said else ".")
    return EngineError(title, words, hint)


def moved(endpoint: Endpoint, target: str) -> EngineError:
    """Word a redirect: it is never followed, because the key would go along."""
    return EngineError(
        "The endpoint is elsewhere",
        f"{endpoint.host} sends requests on to {printable(target)[:_MAX_QUOTE] or 'an unknown place'}.",
        "Put the new address into the preset if you trust it.",
    )


def unreachable(endpoint: Endpoint, reason: str) -> EngineError:
    """Word that no connection came about."""
    return EngineError(
        "The endpoint cannot be reached",
        f"No connection to {endpoint.host}: {printable(reason)[:_MAX_QUOTE]}.",
        "Start the server, or check address and network.",
    )


def silent(endpoint: Endpoint, seconds: float) -> EngineError:
    """Word that nothing came for so long that nothing is expected any more."""
    return EngineError(
        "The endpoint does not answer",
        f"Nothing came from {endpoint.host} for {seconds:.0f} seconds.",
        "Look at the server's log; then send again.",
    )


def broke_off(endpoint: Endpoint, reason: str) -> EngineError:
    """Word that a connection ended in the middle of an answer."""
    return EngineError(
        "The connection broke off",
        f"The answer of {endpoint.host} is not complete: {printable(reason)[:_MAX_QUOTE]}.",
        "What came is kept; send again to go on.",
    )


def nonsense(endpoint: Endpoint, what: str) -> EngineError:
    """Word an answer that is not what the protocol says."""
    return EngineError(
        "The endpoint answered with something else",
        f"{endpoint.host} sent {what}.",
        "Check that the address is that of an OpenAI-compatible server; it mostly ends in /v1.",
    )


def lacking(endpoint: Endpoint, what: str) -> EngineError:
    """Word that an endpoint has no such function."""
    return EngineError(
        "The endpoint cannot do this", f"{endpoint.host} has no way to {what}.", "Load a model file for it."
    )


def which_model(endpoint: Endpoint, names: Iterable[str]) -> EngineError:
    """Word that the model's name is missing or unknown, and list what there is."""
    there = [printable(name)[:80] for name in names]
    listed = ", ".join(there[:12]) + (f" and {len(there) - 12} more" if len(there) > 12 else "")
    if not there:
        return EngineError(
            "The endpoint has no model", f"{endpoint.host} lists none.", "Load one on the server first."
        )
    what = f"does not have {endpoint.model!r}" if endpoint.model else f"has {len(there)} models"
    return EngineError(
        "Which model?", f"{endpoint.host} {what}; it has {listed}.", "Name one: endpoint_model."
    )


def said_by(body: bytes) -> str:
    """Return what the body of an error says: the message of OpenAI's form, else its first line."""
    text = body[:65536].decode("utf-8", "replace")
    try:
        found = _message(json.loads(text))
    except (ValueError, RecursionError):
        found = ""
    line = printable(" ".join((found or text).split()))
    return line if len(line) <= _MAX_QUOTE else f"{line[:_MAX_QUOTE]} …"


def without(secret: str, text: str) -> str:
    """Return text with every occurrence of the key taken out."""
    return text.replace(secret, "***") if secret else text


def _message(value: object) -> str:
    while isinstance(value, dict):
        value = next((value[key] for key in ("error", "message", "detail", "msg") if value.get(key)), None)
    if isinstance(value, list) and value:
        return _message(value[0])
    return value if isinstance(value, str) else ""
