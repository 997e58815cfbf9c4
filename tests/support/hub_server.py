"""A small hub on loopback that speaks the real one's API, and fails on demand.

Files are redirected to a second server, as the real hub does; both keep what they were asked.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"
PIECE = 16 * 1024


@dataclass
class Repo:
    """What a repository holds; `hashes` are announced in place of the true ones."""

    files: dict[str, bytes]
    gated: str | bool = False
    needs_token: bool = False
    private: bool = False
    downloads: int = 1000
    likes: int = 10
    licence: str = "apache-2.0"
    updated: str = "2026-03-01T12:00:00.000Z"
    hashes: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass
class Faults:
    """What goes wrong; lists are used up, one entry a request."""

    status: int = 0
    file_statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    answer: bytes | None = None
    break_after: list[int] = field(default_factory=list)
    ignore_ranges: bool = False
    wrong_ranges: bool = False
    corrupt_at: int | None = None
    stall_after: int | None = None
    tail: bytes = b""
    endless: bool = False


@dataclass(frozen=True)
class Asked:
    """One request; header names are in lower case."""

    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


class HubServer:
    """Two servers in daemon threads; `release` lets go of whatever stalls."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.faults = Faults()
        self.asked: list[Asked] = []
        self.fetched: list[Asked] = []
        self.tokens = {"hf_good"}
        self.stalling = threading.Event()
        self.release = threading.Event()
        self.answering = threading.Event()
        self.answering.set()
        self._hub = _serve(self, _HubHandler)
        self._store = _serve(self, _StoreHandler)

    @property
    def endpoint(self) -> str:
        """Address of the hub."""
        return f"http://127.0.0.1:{self._hub.server_port}"

    @property
    def store(self) -> str:
        """Address of the server that holds the bytes."""
        return f"http://127.0.0.1:{self._store.server_port}"

    @property
    def spans(self) -> list[str]:
        """The ranges that were asked for, in order."""
        return [asked.headers.get("range", "") for asked in self.fetched]

    def add(self, name: str, files: dict[str, bytes], **facts: Any) -> Repo:
        """Add a repository."""
        self.repos[name] = Repo(files, **facts)
        return self.repos[name]

    def close(self) -> None:
        """End both servers."""
        self.release.set()
        self.answering.set()
        for server in (self._hub, self._store):
            server.shutdown()
            server.server_close()


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """Run a hub."""
    server = HubServer()
    try:
        yield server
    finally:
        server.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    hub: HubServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no error here."""


def _serve(hub: HubServer, handler: type[BaseHTTPRequestHandler]) -> _Server:
    server = _Server(("127.0.0.1", 0), handler)
    server.hub = hub
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    @property
    def hub(self) -> HubServer:
        return self.server.hub

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet."""

    def note(self) -> Asked:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Asked(unquote(parts.path), parse_qs(parts.query), headers)

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _HubHandler(_Handler):
    """Search, listings, and the way to the bytes."""

    def do_GET(self) -> None:
        asked = self.note()
        self.hub.asked.append(asked)
        self.hub.answering.wait()
        faults = self.hub.faults
        if faults.status:
            self.say(faults.status, b"go away", **faults.headers)
        elif asked.path == "/api/models":
            self._search(asked)
        elif asked.path.startswith("/api/models/"):
            self._listing(asked, asked.path.removeprefix("/api/models/"))
        else:
            self._resolve(asked)

    def _json(self, document: object) -> None:
        body = self.hub.faults.answer
        self.say(200, json.dumps(document).encode() if body is None else body)

    def _search(self, asked: Asked) -> None:
        if self.hub.faults.endless:
            self._endless()
            return
        words = asked.query.get("search", [""])[0].lower().split()
        found = [name for name in self.hub.repos if all(word in name.lower() for word in words)]
        found.sort(key=lambda name: -self.hub.repos[name].downloads)
        self._json([self._facts(name) for name in found[: int(asked.query["limit"][0])]])

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.hub.release.is_set():
            self.wfile.write(b"[" * PIECE * 16)

    def _listing(self, asked: Asked, name: str) -> None:
        if not self._may_read(asked, name):
            return
        repo = self.hub.repos[name]
        siblings = [_sibling(repo, path, data) for path, data in repo.files.items()]
        self._json({**self._facts(name), "sha": COMMIT, "siblings": siblings})

    def _facts(self, name: str) -> dict[str, object]:
        repo = self.hub.repos[name]
        return {
            "_id": "0",
            "id": name,
            "downloads": repo.downloads,
            "likes": repo.likes,
            "lastModified": repo.updated,
            "gated": repo.gated,
            "private": repo.private,
            "tags": ["gguf", f"license:{repo.licence}"],
        }

    def _may_read(self, asked: Asked, name: str) -> bool:
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        repo = self.hub.repos.get(name)
        if token and token not in self.hub.tokens:
            self.say(401, b'{"error":"Invalid credentials in Authorization header"}')
        elif repo is None or (repo.private and not token):
            self.say(404 if token else 401, b"{}", **({"X_Error_Code": "RepoNotFound"} if token else {}))
        elif repo.needs_token and asked.path.count("/resolve/") and not token:
            self.say(401, b"restricted", X_Error_Code="GatedRepo")
        else:
            return True
        return False

    def _resolve(self, asked: Asked) -> None:
        name, _, rest = asked.path.lstrip("/").partition("/resolve/")
        commit, _, path = rest.partition("/")
        if not self._may_read(asked, name):
            return
        data = self.hub.repos[name].files.get(path)
        if data is None or commit != COMMIT:
            self.say(404, b"Entry not found", X_Error_Code="EntryNotFound")
            return
        self.say(
            302,
            Location=f"{self.hub.store}/{name}/{path}",
            X_Repo_Commit=COMMIT,
            X_Linked_Etag=f'"{hashlib.sha256(data).hexdigest()}"',
            X_Linked_Size=str(len(data)),
        )


class _StoreHandler(_Handler):
    """The bytes."""

    def do_GET(self) -> None:
        asked = self.note()
        self.hub.fetched.append(asked)
        faults = self.hub.faults
        if faults.file_statuses and (status := faults.file_statuses.pop(0)):
            self.say(status, b"go away", **faults.headers)
            return
        owner, repo, path = asked.path.lstrip("/").split("/", 2)
        data = bytearray(self.hub.repos[f"{owner}/{repo}"].files[path])
        if faults.corrupt_at is not None:
            data[faults.corrupt_at] ^= 0xFF
        self._send(bytes(data), asked.headers.get("range", ""))

    def _send(self, data: bytes, span: str) -> None:
        start, end, faults = 0, len(data), self.hub.faults
        if span and not faults.ignore_ranges:
            first, _, last = span.removeprefix("bytes=").partition("-")
            start, end = int(first), min(end, int(last) + 1)
            if faults.wrong_ranges:
                start = 0
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(end - start + len(faults.tail)))
        self.end_headers()
        self._write(data[start:end] + faults.tail)

    def _write(self, body: bytes) -> None:
        faults = self.hub.faults
        most = faults.break_after.pop(0) if faults.break_after else len(body)
        sent = 0
        while sent < min(most, len(body)):
            if faults.stall_after is not None and sent >= faults.stall_after:
                self.hub.stalling.set()
                self.hub.release.wait()
            piece = body[sent : min(sent + PIECE, most)]
            self.wfile.write(piece)
            sent += len(piece)
        if most < len(body):
            self.close_connection = True
            self.wfile.flush()


def _sibling(repo: Repo, path: str, data: bytes) -> dict[str, object]:
    size = repo.sizes.get(path, len(data))
    facts: dict[str, object] = {"rfilename": path, "size": size, "blobId": "0"}
    if path.endswith(".gguf"):
        sha256 = repo.hashes.get(path, hashlib.sha256(data).hexdigest())
        facts["lfs"] = {"sha256": sha256, "size": size, "pointerSize": 134}
    return facts
