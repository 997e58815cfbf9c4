"""Where the key of an endpoint comes from."""

from __future__ import annotations

import pytest

from kobold_tui.domain.endpoint import Endpoint
from kobold_tui.domain.errors import EngineError
from kobold_tui.storage.keys import read_key

URL = "http://127.0.0.1:1/v1"


class Keyring:
    """A keyring that knows one password, or breaks."""

    def __init__(self, password: str | None, *, broken: bool = False) -> None:
        self.password = password
        self.broken = broken

    def get_password(self, service: str, name: str) -> str | None:
        if self.broken:
            raise RuntimeError("no keyring here")
        return self.password if (service, name) == ("kobold-tui", URL) else None


def test_the_named_variable_holds_the_key() -> None:
    endpoint = Endpoint(url=URL, api_key_env="MY_KEY")
    assert read_key(endpoint, {"MY_KEY": " secret\n"}, Keyring("another")) == "secret"


@pytest.mark.parametrize("environ", [{}, {"MY_KEY": "  "}])
def test_a_named_variable_that_is_not_set_is_an_error(environ: dict[str, str]) -> None:
    with pytest.raises(EngineError, match="MY_KEY"):
        read_key(Endpoint(url=URL, api_key_env="MY_KEY"), environ, Keyring("another"))


def test_without_a_variable_the_keyring_is_asked() -> None:
    assert read_key(Endpoint(url=URL + "/"), {}, Keyring("secret")) == "secret"


@pytest.mark.parametrize("keyring", [Keyring(None), Keyring("x", broken=True)])
def test_no_key_is_needed_where_none_is_named(keyring: Keyring) -> None:
    assert read_key(Endpoint(url=URL), {}, keyring) == ""
