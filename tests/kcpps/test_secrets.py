"""Nothing secret and nothing that runs leaves a file: not into a preset, not into a report."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from kcpps_talk import fate, imported

from kobold_tui.domain.preset_report import MASK

SECRET = "Tr0ub4dor&3"


def everything_of(values: dict[str, Any]) -> str:
    """Return all that an import tells, as text."""
    return msgspec.json.encode(imported(values)).decode()


@pytest.mark.parametrize("key", ["password", "adminpassword", "hordekey"])
def test_secrets_are_refused_and_masked(key: str) -> None:
    row = fate(key, SECRET)
    assert (row.status, row.value) == ("refused", MASK)
    assert SECRET not in everything_of({key: SECRET})


@pytest.mark.parametrize(
    "values",
    [
        {"my_api_key": SECRET},
        {"hfToken": SECRET},
        {"gendefaults": {"api_key": SECRET}},
        {"jinja_kwargs": {"auth": SECRET}},
        {"unheard": {"deep": {"password": SECRET}}},
        {"unheard": "https://user:Tr0ub4dor&3@host/x"},
        {"model_param": "https://user:Tr0ub4dor&3@host/m.gguf"},
        {"model_param": "https://host/m.gguf?token=Tr0ub4dor&3"},
        {"onready": f"curl -u me:{SECRET} http://host"},
    ],
)
def test_secrets_are_found_where_nobody_declared_them(values: dict[str, Any]) -> None:
    assert SECRET not in everything_of(values)


def test_what_looks_like_a_key_is_masked_wherever_it_stands() -> None:
    key = "sk-abcdefghijklmnopqrstuvwx"
    assert key not in everything_of({"unheard": f"use {key} here", "savedatafile": key})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("onready", "rm -rf ~"),
        ("remotetunnel", True),
        ("mcpfile", "servers.json"),
        ("allow_config_onready", True),
    ],
)
def test_what_would_run_programs_is_refused(key: str, value: Any) -> None:
    assert fate(key, value).status == "refused"


@pytest.mark.parametrize(
    "address",
    [
        "ftp://host/m.gguf",
        "file:///etc/passwd.gguf",
        "https://host/m.sh",
        "https://host/.gguf",
        "https://host/a%2F..%2F..%2Fm.gguf",
        "https://host/a\\b.gguf",
        "https:///m.gguf",
        "https://[::1/m.gguf",
        "http://host/" + "m" * 300 + ".gguf",
    ],
)
def test_an_address_that_is_none_of_a_model_is_refused(address: str) -> None:
    found = imported({"model_param": address})
    assert (found.preset.model, found.downloads) == ("", ())
    assert fate("model_param", address).status == "refused"


@pytest.mark.parametrize(
    ("address", "urls"),
    [
        ("https://h/m.gguf?download=true", ["https://h/m.gguf"]),
        ("https://huggingface.co/a/b/blob/main/m.gguf", ["https://huggingface.co/a/b/resolve/main/m.gguf"]),
        (
            "https://h/m-00001-of-00002.gguf",
            ["https://h/m-00001-of-00002.gguf", "https://h/m-00002-of-00002.gguf"],
        ),
        ("https://h/m-00001-of-99999.gguf", ["https://h/m-00001-of-99999.gguf"]),
    ],
)
def test_an_address_becomes_an_offer_for_all_its_parts(address: str, urls: list[str]) -> None:
    (offer,) = imported({"model": [address]}).downloads
    assert list(offer.urls) == urls


def test_an_adapter_is_never_fetched() -> None:
    found = imported({"lora": ["https://h/a.gguf"]})
    assert (found.preset.load.lora, found.downloads) == ((), ())
