"""From what a person names to what the engine loads: a preset, or a model with the settings' own options.

A preset without a model is a recipe. It goes with the model that is named beside it (`--preset "long context"
--model FILE`), else with the default model, else with the only one there is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from kobold_tui.domain.endpoint import Endpoint
from kobold_tui.domain.errors import KoboldError, UsageError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.model import ModelEntry
from kobold_tui.domain.preset import ChatOptions, Preset, PresetKind
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.models import ModelsService
from kobold_tui.services.own_thread import OwnThread

KCPPS = (".kcpps", ".kcppt")
FILES = (".toml", *KCPPS)
_KINDS: dict[str, PresetKind] = {
    "chat": "chat",
    "base": "base",
    "embedding": "embedding",
    "reranker": "reranker",
}


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is ready to be loaded, with the preset that says how."""

    preset: Preset
    model: ModelEntry

    @property
    def spec(self) -> LoadSpec:
        """What the engine is asked to load."""
        return LoadSpec(
            path=self.model.path,
            options=self.preset.load,
            embedding=self.preset.kind in {"embedding", "reranker"},
            template=self.preset.chat.template,
            endpoint=self.preset.remote,
            idle_unload_seconds=0.0 if self.preset.memory.pinned else self.preset.memory.idle_unload_seconds,
            card_limit_bytes=self.preset.memory.card_limit_bytes,
            reserve_bytes=self.preset.memory.reserve_bytes,
            is_pinned=self.preset.memory.pinned,
        )


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """What was named at the start of the program: a preset, and the model that it is to go with."""

    preset: str = ""
    model: str = ""


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """What a model gets that no preset speaks of, and what was chosen for the whole run."""

    load: LoadOptions = LoadOptions()
    sampling: SamplingOptions = SamplingOptions()
    chat: ChatOptions = ChatOptions()
    chosen: Chosen = Chosen()


class LaunchService(LoopBound):
    """Resolves names of presets and models, presets first.

    `find_preset` returns the preset of a name, None without any; `read_preset` one of a file. Both may block.
    """

    def __init__(
        self,
        models: ModelsService,
        find_preset: Callable[[str], Preset | None],
        read_preset: Callable[[Path], Preset],
        thread: OwnThread,
        defaults: Defaults,
    ) -> None:
        super().__init__()
        self._models = models
        self._find_preset = find_preset
        self._read_preset = read_preset
        self._thread = thread
        self._defaults = defaults

    async def resolve(self, reference: str | None, model: str | None = None) -> Launch:
        """Return preset and model for a preset's name or file, a model's name or file, or None.

        `model` is what a preset is to go with, in place of the model that it names itself. Raises UsageError
        for a name that fits nothing, ModelFileError for a broken file.
        """
        self.check_loop()
        preset = await self._preset(reference) if reference else None
        if preset is None:
            return self.for_model(await self._models.resolve(model or reference))
        if not model and (preset.is_recipe or reference == self._defaults.chosen.preset):
            model = self._defaults.chosen.model
        if preset.remote is not None:
            return Launch(preset=preset, model=_at_endpoint(preset, preset.remote, model))
        if model or preset.is_recipe:
            return self.with_model(preset, await self._models.resolve(model or None))
        return Launch(preset=preset, model=await self._named(preset, reference or ""))

    def for_model(self, model: ModelEntry) -> Launch:
        """Return how `model` is loaded when nothing else is said."""
        preset = Preset(
            name=model.name or Path(model.path).stem,
            model=model.path,
            kind=_KINDS.get(model.kind, "chat"),
            load=self._defaults.load,
            sampling=self._defaults.sampling,
            chat=self._defaults.chat,
        )
        return Launch(preset=preset, model=model)

    def with_model(self, preset: Preset, model: ModelEntry) -> Launch:
        """Return how `model` is loaded as a preset says; one for chat takes on what the model is."""
        self.check_loop()
        kind = _KINDS.get(model.kind, "chat") if preset.kind == "chat" else preset.kind
        return Launch(preset=msgspec.structs.replace(preset, model=model.path, kind=kind), model=model)

    async def _named(self, preset: Preset, reference: str) -> ModelEntry:
        try:
            return await self._models.resolve(preset.model)
        except KoboldError as error:
            told = error.hint
            if reference.lower().endswith(KCPPS):
                told = f"`kobold-tui presets import {reference}` tells whether it can be fetched. {told}"
            raise type(error)(
                error.title, f"The preset {preset.name!r} cannot be loaded: {error.message}", told
            ) from None

    async def _preset(self, reference: str) -> Preset | None:
        if reference.lower().endswith(FILES):
            return await self._thread.call(self._read_preset, Path(reference))
        return await self._thread.call(self._find_preset, reference)


def _at_endpoint(preset: Preset, endpoint: Endpoint, model: str | None) -> ModelEntry:
    """Return the row of a model that somebody else runs. Raises UsageError where a file is to go with it."""
    if model:
        raise UsageError(
            "Two models",
            f"The preset {preset.name!r} names the endpoint {endpoint.host}, and {model!r} is a model.",
            "Name one of them.",
        )
    return ModelEntry(
        path=endpoint.model or endpoint.host,
        name=endpoint.model or endpoint.host,
        architecture="",
        kind=preset.kind,
        parameters=0,
        quantization="",
        size_bytes=0,
        n_layer=0,
        n_ctx_train=0,
        n_embd=0,
        chat_template=preset.kind == "chat",
        shards=1,
        source=endpoint.host,
    )
