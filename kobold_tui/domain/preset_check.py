"""What the declaration of a preset cannot say: which values exclude each other, and that no key is in it.

A key is never repeated in a message: messages end up in logs and on other people's screens.
"""

from __future__ import annotations

import re

from kobold_tui.domain.endpoint import check_endpoint
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_file import leaves, stated

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ISSUED_KEY = re.compile(r"(?:sk|pk|rk|hf|gsk|xai|nvapi|r8|ghp|gho|glpat|pplx|AIza|eyJ)[-_A-Za-z0-9.]{12,}")
_HEX_KEY = re.compile(r"[0-9a-fA-F]{32,}")
_LONGEST_WORD = 20


def check_preset(preset: Preset, file: str) -> None:
    """Raise KoboldError, which names `file` and the key, where the values make no sense together."""
    for key in ("endpoint", "endpoint_model", "api_key_env"):
        if looks_like_key(getattr(preset, key)):
            raise _key_in_file(key, file)
    if preset.api_key_env and not _VARIABLE.fullmatch(preset.api_key_env):
        raise KoboldError(
            "Not a variable",
            f"{file}: api_key_env does not hold the name of an environment variable.",
            'Write the name alone, such as api_key_env = "SERVER_KEY".',
        )
    if preset.model and preset.endpoint:
        raise KoboldError(
            "Two models",
            f"{file}: both model and endpoint say what to run.",
            "Remove one of the two lines.",
        )
    if found := next((key for key, value in leaves(stated(preset)) if value != value), None):  # noqa: PLR0124
        raise KoboldError("Not a number", f"{file}: {found} is nan.", "Write a number, or remove the line.")
    if preset.remote is not None:
        try:
            check_endpoint(preset.remote)
        except KoboldError as error:
            raise KoboldError(error.title, f"{file}: endpoint: {error.message}", error.hint) from None


def looks_like_key(text: str) -> bool:
    """Whether a text is rather a key than a name: an issuer's prefix, hex, or a long mix without a break."""
    if _ISSUED_KEY.fullmatch(text) or _HEX_KEY.fullmatch(text):
        return True
    mixed = all(re.search(pattern, text) for pattern in ("[a-z]", "[A-Z]", "[0-9]"))
    return mixed and len(text) > _LONGEST_WORD and text.isalnum()


def _key_in_file(key: str, file: str) -> KoboldError:
    return KoboldError(
        "A key in a file",
        f"{file}: {key} looks like a key, and keys do not belong into files.",
        'Put it into an environment variable and name that: api_key_env = "SERVER_KEY".',
    )
