"""Addresses where KoboldCpp takes a file name: what would be fetched, and what must not be.

The rules are KoboldCpp's: http and https, a permitted extension, `?download=true` removed, a page of
huggingface.co turned into the file behind it, all parts of a model. An address with a password or with a
query is refused, because it can carry a secret.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote, urlsplit

from kobold_tui.domain.preset_report import DownloadOffer

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PART = re.compile(r"-(\d{5})-of-(\d{5})(\.\w+)$")
_MOST_PARTS = 512
_LONGEST_NAME_BYTES = 200


def is_address(text: str) -> bool:
    """Whether a text names something on the network rather than a file."""
    return _ADDRESS.match(text) is not None


def offer_for(key: str, address: str, extensions: tuple[str, ...]) -> DownloadOffer | str:
    """Return what KoboldCpp would fetch, or the reason why it is refused."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return "it is no address"
    name = unquote(parts.path.rpartition("/")[2])
    if reason := _objection(parts, host, name, extensions):
        return reason
    return DownloadOffer(key=key, urls=_all_parts(_direct(parts, host)), file_name=name)


def _objection(parts: SplitResult, host: str, name: str, extensions: tuple[str, ...]) -> str:
    if parts.scheme.lower() not in {"http", "https"} or not host:
        return "only http and https addresses can be fetched"
    if "@" in parts.netloc:
        return "the address holds a name or a password"
    if parts.query not in {"", "download=true"}:
        return "the address has a query, which can hold a secret"
    if not name.lower().endswith(extensions):
        return f"the address must end in {' or '.join(extensions)}"
    return "" if _is_plain(name) else "the address has no usable file name"


def _direct(parts: SplitResult, host: str) -> str:
    path = parts.path
    if host.lower() in {"huggingface.co", "www.huggingface.co"}:
        path = path.replace("/blob/main/", "/resolve/main/", 1)
    return parts._replace(path=path, query="", fragment="").geturl()


def _all_parts(url: str) -> tuple[str, ...]:
    found = _PART.search(url)
    if found is None or int(found[1]) != 1 or not 1 < int(found[2]) <= _MOST_PARTS:
        return (url,)
    stem = url[: found.start()]
    return tuple(f"{stem}-{n:05d}-of-{found[2]}{found[3]}" for n in range(1, int(found[2]) + 1))


def _is_plain(name: str) -> bool:
    plain = name.isprintable() and not set(name) & set("/\\:") and not name.startswith(".")
    return plain and len(name.encode("utf-8", "replace")) <= _LONGEST_NAME_BYTES
