"""From a name to what is loaded: presets first, recipes with any model, files of either program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_world import model

from kobold_tui.domain.errors import KoboldError, UsageError
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.model import ModelEntry
from kobold_tui.domain.preset import MemoryOptions, Preset
from kobold_tui.services.launch import Chosen, Defaults, LaunchService
from kobold_tui.services.models import ModelsService
from kobold_tui.services.own_thread import OwnThread

RECIPE = Preset(name="long", load=LoadOptions(n_ctx=32768))
WHOLE = Preset(name="whole", model="alpha", load=LoadOptions(n_ctx=512))
REMOTE = Preset(name="remote", endpoint="http://10.0.0.5:8000/v1", endpoint_model="big", api_key_env="KEY")
ALPHA, BETA, VECTORS = model("alpha"), model("beta"), model("vectors", "embedding")


def launch_service(
    presets: Sequence[Preset] = (RECIPE, WHOLE, REMOTE),
    models: Sequence[ModelEntry] = (ALPHA, BETA, VECTORS),
    default_model: str = "",
    defaults: Defaults | None = None,
) -> LaunchService:
    thread = OwnThread("test files")

    def find(name: str) -> Preset | None:
        return next((preset for preset in presets if preset.name == name), None)

    def read_file(path: Path) -> Preset:
        return Preset(name=path.stem, model="absent.gguf" if "absent" in path.name else "beta")

    def read_entry(path: Path, _source: str) -> ModelEntry:
        raise KoboldError("Not found", f"{path} does not exist.", "Check the path.")

    found = ModelsService(lambda: tuple(models), read_entry, thread, default_model)
    return LaunchService(found, find, read_file, thread, defaults or Defaults())


async def test_a_preset_beats_a_model_of_its_name() -> None:
    service = launch_service([Preset(name="alpha", model="beta")])
    assert (await service.resolve("alpha")).model == BETA


async def test_a_recipe_goes_with_the_model_that_is_named_beside_it() -> None:
    launch = await launch_service().resolve("long", "beta")
    assert (launch.model, launch.spec.path) == (BETA, BETA.path)
    assert launch.spec.options.n_ctx == 32768
    assert (launch.preset.name, launch.preset.model) == ("long", BETA.path)


async def test_a_recipe_goes_with_the_model_chosen_at_the_start() -> None:
    chosen = Defaults(chosen=Chosen(preset="long", model="beta"))
    assert (await launch_service(defaults=chosen).resolve("long")).model == BETA


async def test_a_recipe_alone_goes_with_the_default_or_the_only_model() -> None:
    assert (await launch_service(default_model="beta").resolve("long")).model == BETA
    assert (await launch_service(models=[ALPHA]).resolve("long")).model == ALPHA
    with pytest.raises(UsageError, match="2 models"):
        await launch_service().resolve("long")


async def test_a_model_beside_a_preset_takes_the_place_of_its_own() -> None:
    assert (await launch_service().resolve("whole")).model == ALPHA
    assert (await launch_service().resolve("whole", "beta")).model == BETA
    chosen = Defaults(chosen=Chosen(preset="whole", model="beta"))
    assert (await launch_service(defaults=chosen).resolve("whole")).model == BETA
    elsewhere = Defaults(chosen=Chosen(preset="long", model="beta"))
    assert (await launch_service(defaults=elsewhere).resolve("whole")).model == ALPHA


async def test_a_recipe_for_chat_takes_on_what_the_model_is() -> None:
    launch = await launch_service().resolve("long", "vectors")
    assert (launch.preset.kind, launch.spec.embedding) == ("embedding", True)


async def test_a_server_needs_no_model_here() -> None:
    launch = await launch_service().resolve("remote")
    endpoint = launch.spec.endpoint
    assert endpoint is not None
    assert (endpoint.url, endpoint.model, endpoint.api_key_env) == ("http://10.0.0.5:8000/v1", "big", "KEY")
    assert (launch.model.name, launch.spec.path, launch.model.kind) == ("big", "big", "chat")
    with pytest.raises(UsageError, match="endpoint"):
        await launch_service().resolve("remote", "alpha")


@pytest.mark.parametrize("name", ["x.toml", "x.kcpps", "X.KCPPT"])
async def test_a_file_is_read_as_a_preset(name: str) -> None:
    assert (await launch_service().resolve(name)).model == BETA


async def test_a_file_whose_model_is_not_there_says_how_to_get_it() -> None:
    with pytest.raises(KoboldError, match="'absent' cannot be loaded") as caught:
        await launch_service().resolve("absent.kcpps")
    assert "presets import absent.kcpps" in caught.value.hint


async def test_a_preset_says_after_what_time_its_model_is_unloaded() -> None:
    preset = Preset(name="idle", model="alpha", memory=MemoryOptions(idle_unload_seconds=60.0))
    assert (await launch_service([preset]).resolve("idle")).spec.idle_unload_seconds == 60.0
    assert (await launch_service().resolve("whole")).spec.idle_unload_seconds is None


async def test_a_model_without_a_preset_is_loaded_as_the_settings_say() -> None:
    defaults = Defaults(load=LoadOptions(n_ctx=777), chosen=Chosen(preset="whole", model="beta"))
    launch = await launch_service(defaults=defaults).resolve("alpha")
    assert (launch.model, launch.spec.options.n_ctx) == (ALPHA, 777)


async def test_limit_and_pin_of_a_preset_go_along_and_a_pinned_model_is_never_parked() -> None:
    memory = MemoryOptions(card_limit_bytes=7, pinned=True, idle_unload_seconds=60.0)
    preset = Preset(name="kept", model="alpha", memory=memory)
    spec = (await launch_service([preset]).resolve("kept")).spec
    assert (spec.card_limit_bytes, spec.is_pinned, spec.idle_unload_seconds) == (7, True, 0.0)
