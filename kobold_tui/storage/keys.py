"""Keys of endpoints: from an environment variable, else from the system's keyring; never from a file.

The keyring is used where the package `keyring` is installed; a key gets there with
`keyring set kobold-tui URL`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

from kobold_tui.domain.endpoint import Endpoint
from kobold_tui.domain.errors import EngineError

SERVICE = "kobold-tui"


def read_key(endpoint: Endpoint, environ: Mapping[str, str] = os.environ, keyring: Any | None = None) -> str:
    """Return the key of an endpoint, empty where none is needed.

    Raises EngineError where the variable that the preset names is not set.
    """
    if endpoint.api_key_env:
        key = environ.get(endpoint.api_key_env, "").strip()
        if not key:
            raise EngineError(
                "The key is missing",
                f"The environment variable {endpoint.api_key_env} is not set, and {endpoint.host} wants it.",
                f"Set it before you start: export {endpoint.api_key_env}=…",
            )
        return key
    return _from_keyring(endpoint, keyring)


def _from_keyring(endpoint: Endpoint, keyring: Any | None) -> str:
    try:
        keyring = keyring or importlib.import_module("keyring")
        found = keyring.get_password(SERVICE, endpoint.base_url)
    except Exception:  # noqa: BLE001 - a machine without a keyring is an ordinary machine
        return ""
    return found.strip() if isinstance(found, str) else ""
