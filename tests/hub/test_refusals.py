"""Every way in which the hub says no, or nothing at all, has a title, a reason and a remedy."""

from __future__ import annotations

import io
import logging
import socket

import huggingface_hub.constants
import pytest
from hub_bench import REPO, Bench

from kobold_tui.catalogue.hub import Hub
from kobold_tui.catalogue.hub_errors import HubError
from kobold_tui.catalogue.hub_http import HubSession


def refusal(bench: Bench, repo: str = REPO) -> HubError:
    with pytest.raises(HubError) as caught:
        bench.fetch(bench.request(repo=repo))
    assert "hf_" not in str(caught.value).replace("hf_.", "")
    return caught.value


def test_a_gated_repository_says_where_to_accept_its_terms(bench: Bench) -> None:
    bench.server.add("a/gated", {"m.gguf": b"x"}, gated="manual", needs_token=True)
    error = refusal(bench, "a/gated")
    assert error.title == "Access is restricted"
    assert f"{bench.server.endpoint}/a/gated" in error.hint
    assert "HF_TOKEN" in error.hint


def test_a_token_opens_a_gated_repository_and_never_leaves_the_hub(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.server.add("a/gated", {"m.gguf": b"x"}, gated="manual", needs_token=True)
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    bench.fetch(bench.request(repo="a/gated"))
    assert {asked.headers["authorization"] for asked in bench.server.asked} == {"Bearer hf_good"}
    assert [asked.headers.get("authorization") for asked in bench.server.fetched] == [None]


def test_a_token_is_not_sent_where_that_is_forbidden(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    bench.hub.search("tiny")
    assert "authorization" not in bench.server.asked[-1].headers


def test_a_wrong_token_is_told_and_not_quoted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret_of_mine")
    error = refusal(bench)
    assert error.title == "Not authorised"
    assert "secret" not in f"{error.title}{error.message}{error.hint}"


def test_a_token_that_cannot_be_sent_is_told_and_not_quoted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_sécret")
    error = refusal(bench)
    assert error.title == "Not an access token"
    assert "cret" not in f"{error.message}{error.hint}"
    assert not bench.server.asked


@pytest.mark.parametrize("repo", ["no/such", "a/private"])
def test_a_missing_and_a_private_repository_look_the_same(bench: Bench, repo: str) -> None:
    bench.server.add("a/private", {"m.gguf": b"x"}, private=True)
    error = refusal(bench, repo)
    assert (error.title, f"has no {repo}" in error.message) == ("No such repository", True)


def test_a_file_that_is_gone_is_named(bench: Bench) -> None:
    request = bench.request()
    del bench.server.repos[REPO].files["tiny-Q4_K_M.gguf"]
    with pytest.raises(HubError, match=r"has no file tiny-Q4_K_M\.gguf"):
        bench.fetch(request)


@pytest.mark.parametrize(
    ("status", "title", "part_of_hint"),
    [
        (403, "Access is refused", "HF_TOKEN"),
        (429, "Too many requests", "in 2 min 05 s"),
        (500, "The hub has trouble", "in a few minutes"),
        (503, "The hub has trouble", "in a few minutes"),
        (418, "The hub refuses", ""),
    ],
)
def test_a_refusal_names_its_status_or_reason(
    bench: Bench, status: int, title: str, part_of_hint: str
) -> None:
    bench.server.faults.status = status
    bench.server.faults.headers = {"Retry-After": "125"}
    error = refusal(bench)
    assert error.title == title
    assert bench.server.endpoint in error.message
    assert part_of_hint in error.hint


def test_an_error_at_the_start_is_not_tried_again(bench: Bench) -> None:
    request = bench.request()
    bench.server.faults.file_statuses = [503, 503, 503]
    with pytest.raises(HubError, match="503"):
        bench.fetch(request)
    assert len(bench.server.fetched) == 1


def test_no_connection_names_the_hub_and_the_variables(unused_port: int) -> None:
    hub = Hub(HubSession(f"http://127.0.0.1:{unused_port}", 10.0))
    with pytest.raises(HubError, match="refuses connections") as caught:
        hub.search("x")
    assert caught.value.title == "No connection"
    assert "HF_ENDPOINT" in caught.value.hint


def test_a_name_that_does_not_resolve_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(HubError, match="its name cannot be found"):
        Hub(HubSession("http://hub.invalid", 10.0)).search("x")


@pytest.mark.parametrize("endpoint", ["hub", "ftp://hub/", "http://a:b"])
def test_an_endpoint_that_is_no_address_says_so(endpoint: str) -> None:
    with pytest.raises(HubError, match="no address of a hub"):
        Hub(HubSession(endpoint, 10.0)).search("x")


def test_a_silent_server_is_given_up(bench: Bench) -> None:
    request = bench.request()
    bench.server.faults.stall_after = 0
    bench.session = HubSession(bench.server.endpoint, timeout_seconds=0.2)
    with pytest.raises(HubError, match="Nothing came from"):
        bench.fetch(request)


def test_offline_mode_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        bench.hub.search("x")
    assert not bench.server.asked


def test_words_of_a_server_are_not_repeated(bench: Bench) -> None:
    bench.server.faults.status = 500
    bench.server.faults.headers = {"X-HF-Warning": "own; look: evil words", "X-Error-Message": "evil words"}
    error = refusal(bench)
    assert "evil" not in f"{error.title}{error.message}{error.hint}"


def test_what_the_library_logs_never_reaches_the_terminal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logger, terminal = logging.getLogger("huggingface_hub"), io.StringIO()
    logger.addHandler(logging.StreamHandler(terminal))
    monkeypatch.setattr(huggingface_hub.constants, "HF_DEBUG", True)
    caplog.set_level(logging.DEBUG, logger="huggingface_hub")
    bench.hub.search("x")
    assert terminal.getvalue() == ""


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port
