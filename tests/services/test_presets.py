"""Presets as the front ends see them: listed, watched, compared, changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest
from fake_world import World, model

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_file import PresetList
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.services.launch import Launch
from kobold_tui.services.presets import PresetsService, preset_from

PATIENCE_SECONDS = 20.0


@pytest.fixture
async def service(tmp_path: Path) -> AsyncGenerator[PresetsService, None]:
    world = World([model("alpha")])
    world.keep_presets_in(tmp_path)
    async with world.open() as services:
        yield services.presets


def names(found: PresetList) -> list[str]:
    return [stored.preset.name for stored in found.presets]


async def awaited(changes: AsyncGenerator[PresetList, None]) -> PresetList:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(changes)


async def test_presets_are_listed_with_what_is_wrong(service: PresetsService, tmp_path: Path) -> None:
    await service.save(Preset(name="b"))
    await service.save(Preset(name="A"))
    (tmp_path / "presets" / "broken.toml").write_text("name =")
    found = await service.list_presets()
    assert names(found) == ["A", "b"]
    assert [failure.title for failure in found.failed] == ["Not valid TOML"]


async def test_those_who_watch_see_changes_on_disk(service: PresetsService, tmp_path: Path) -> None:
    await service.save(Preset(name="p"))
    changes = service.watch()
    assert names(await awaited(changes)) == ["p"]
    (tmp_path / "presets" / "q.toml").write_text('name = "q"')
    assert names(await awaited(changes)) == ["p", "q"]
    (tmp_path / "presets" / "q.toml").write_text('name = "other"')
    assert names(await awaited(changes)) == ["other", "p"]
    (tmp_path / "presets" / "q.toml").unlink()
    assert names(await awaited(changes)) == ["p"]
    await changes.aclose()


async def test_those_who_watch_see_a_save_without_waiting_for_the_next_look(
    tmp_path: Path,
) -> None:
    world = World()
    world.keep_presets_in(tmp_path)
    async with world.open() as services:
        service = PresetsService(
            world.library,
            world.exchange,
            services.models,
            services.presets._thread,
            interval_seconds=1e6,
        )
        changes = service.watch()
        assert names(await awaited(changes)) == []
        waiting = asyncio.ensure_future(awaited(changes))
        await service.save(Preset(name="p"))
        assert names(await waiting) == ["p"]
        await changes.aclose()


async def test_a_preset_differs_from_its_file_in_what_was_changed(service: PresetsService) -> None:
    stored = await service.save(Preset(name="p", load=LoadOptions(n_ctx=512)))
    assert await service.differs(stored.preset) == ()
    changed = msgspec.structs.replace(stored.preset, load=LoadOptions(n_ctx=1024, n_batch=64))
    rows = [(row.key, row.left, row.right) for row in await service.differs(changed)]
    assert rows == [("load.n_ctx", 512, 1024), ("load.n_batch", 512, 64)]
    assert [row.key for row in await service.differs(Preset(name="new", model="m"))] == ["model"]


async def test_two_presets_are_compared_key_by_key(service: PresetsService) -> None:
    await service.save(Preset(name="a", model="1.gguf", description="one"))
    await service.save(Preset(name="b", model="1.gguf", sampling=SamplingOptions(seed=4)))
    rows = [(row.key, row.left, row.right) for row in await service.compare("a", "b")]
    assert rows == [("sampling.seed", None, 4)]


async def test_a_preset_is_duplicated_renamed_deleted_and_taken_back(service: PresetsService) -> None:
    await service.save(Preset(name="p", model="m.gguf"))
    assert (await service.duplicate("p")).preset.name == "p copy"
    assert (await service.rename("p copy", "q")).preset.name == "q"
    deleted = await service.delete("q")
    assert names(await service.list_presets()) == ["p"]
    assert (await service.undelete(deleted)).preset.model == "m.gguf"
    assert names(await service.list_presets()) == ["p", "q"]


async def test_validation_names_what_is_wrong(service: PresetsService, tmp_path: Path) -> None:
    await service.save(Preset(name="p"))
    broken = tmp_path / "presets" / "broken.toml"
    broken.write_text('name = "x"\n[load]\nn_ctx = 1')
    everything = {check.name: check.failure for check in await service.validate()}
    assert everything["p"] is None
    assert everything[""] is not None
    (one,) = await service.validate([str(broken)])
    assert one.failure is not None
    assert str(broken) in one.failure.message
    assert "load.n_ctx" in one.failure.message


async def test_an_export_names_the_model_by_its_path(service: PresetsService, tmp_path: Path) -> None:
    await service.save(Preset(name="p", model="alpha"))
    outcome = await service.export("p", tmp_path / "out.kcpps")
    assert outcome.exported.document["model_param"] == "/models/alpha-Q4_1.gguf"
    again = await service.import_file(outcome.path, "again")
    assert again.stored.preset.model == "/models/alpha-Q4_1.gguf"


async def test_what_is_loaded_becomes_a_preset_of_its_own() -> None:
    launch = Launch(
        preset=Preset(name="long context", extends="base", load=LoadOptions(n_ctx=512)), model=model("alpha")
    )
    assert preset_from(launch, "mine") == Preset(
        name="mine", model="/models/alpha-Q4_1.gguf", load=LoadOptions(n_ctx=512)
    )
