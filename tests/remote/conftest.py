"""A scripted endpoint and an engine that points to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from openai_server import OpenAiServer
from remote_talk import KEY, Waits

from kobold_tui.domain.endpoint import Endpoint
from kobold_tui.domain.instance import InstanceId, LoadSpec
from kobold_tui.engine.remote.engine import RemoteEngine
from kobold_tui.engine.remote.http import Patience


@pytest.fixture
async def server() -> AsyncIterator[OpenAiServer]:
    async with OpenAiServer() as server:
        yield server


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def spec(server: OpenAiServer) -> LoadSpec:
    return LoadSpec(path="tiny", endpoint=Endpoint(url=server.url, api_key_env="ENDPOINT_KEY"))


@pytest.fixture
async def engine(waits: Waits) -> AsyncIterator[RemoteEngine]:
    engine = RemoteEngine(
        InstanceId("remote"), read_key=lambda _: KEY, patience=Patience(tries=3), sleep=waits
    )
    yield engine
    await engine.stop()


@pytest.fixture
async def ready(engine: RemoteEngine, spec: LoadSpec) -> RemoteEngine:
    await engine.ensure_ready(spec)
    return engine
