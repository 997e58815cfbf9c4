"""An endpoint beside models: loaded, asked and let go through the same services."""

from __future__ import annotations

import pytest
from openai_server import HELLO, OpenAiServer, Stream, delta
from remote_talk import KEY, Waits, read

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import EmbedRequest
from kobold_tui.domain.instance import InstanceId, LoadSpec, Ready
from kobold_tui.engine.fake import FakeEngine
from kobold_tui.engine.pool import EnginePool
from kobold_tui.engine.remote.engine import RemoteEngine
from kobold_tui.services.loading import LoadingService


@pytest.fixture
async def loading(waits: Waits) -> LoadingService:
    def make_remote(instance_id: InstanceId) -> RemoteEngine:
        return RemoteEngine(instance_id, read_key=lambda _: KEY, sleep=waits)

    return LoadingService(EnginePool(FakeEngine, make_remote))


async def test_an_endpoint_is_an_instance_like_any_other(
    loading: LoadingService, server: OpenAiServer, spec: LoadSpec
) -> None:
    local = await loading.load(LoadSpec(path="/models/local.gguf"))
    remote = await loading.load(spec)
    assert [instance.id for instance in loading.instances()] == [local.id, remote.id]
    assert remote.id == server.url.removeprefix("http://").removesuffix("/v1").replace(":", "-")
    assert isinstance(remote.state, Ready)
    text, _, _ = await read(loading.engine(remote.id))
    assert text == "Hello there"
    await loading.stop(remote.id)
    assert [instance.id for instance in loading.instances()] == [local.id]
    await loading.close()


async def test_an_instance_outlives_a_lost_connection(
    loading: LoadingService, server: OpenAiServer, spec: LoadSpec
) -> None:
    server.answers["/v1/chat/completions"] = [Stream([delta("Hel")], "drop"), HELLO]
    instance = await loading.load(spec)
    engine = loading.engine(instance.id)
    with pytest.raises(EngineError):
        await read(engine)
    assert (await read(engine))[0] == "Hello there"
    assert KEY not in " ".join(loading.log_tail(instance.id))
    with pytest.raises(EngineError, match="404"):
        await engine.embed(EmbedRequest(texts=("x",)))
    assert isinstance(loading.instance(instance.id).state, Ready)
    await loading.close()
