"""From what a person names to what the engine loads: a preset, or a model with the settings' own options."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.model import ModelEntry
from kobold_tui.domain.preset import ChatOptions, Preset
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.models import ModelsService
from kobold_tui.services.own_thread import OwnThread


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
        )


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """What a model gets that no preset speaks of."""

    load: LoadOptions = LoadOptions()
    sampling: SamplingOptions = SamplingOptions()
    chat: ChatOptions = ChatOptions()


class LaunchService(LoopBound):
    """Resolves names of presets and models, presets first."""

    def __init__(
        self,
        models: ModelsService,
        load_presets: Callable[[], Iterable[Preset]],
        read_preset: Callable[[Path], Preset],
        thread: OwnThread,
        defaults: Defaults,
    ) -> None:
        super().__init__()
        self._models = models
        self._load_presets = load_presets
        self._read_preset = read_preset
        self._thread = thread
        self._defaults = defaults

    async def resolve(self, reference: str | None) -> Launch:
        """Return preset and model for a preset's name or file, a model's name or file, or None.

        Raises UsageError for a name that fits nothing, ModelFileError for a broken file.
        """
        self.check_loop()
        preset = await self._preset(reference) if reference else None
        if preset is None:
            return self.for_model(await self._models.resolve(reference))
        if not preset.model:
            raise UsageError(
                "No model", f"The preset {preset.name!r} names no model.", "Add a line: model = FILE."
            )
        return Launch(preset=preset, model=await self._models.resolve(preset.model))

    def for_model(self, model: ModelEntry) -> Launch:
        """Return how `model` is loaded when nothing else is said."""
        preset = Preset(
            name=model.name or Path(model.path).stem,
            model=model.path,
            kind=model.kind if model.kind in ("chat", "base", "embedding", "reranker") else "chat",
            load=self._defaults.load,
            sampling=self._defaults.sampling,
            chat=self._defaults.chat,
        )
        return Launch(preset=preset, model=model)

    async def _preset(self, reference: str) -> Preset | None:
        if reference.endswith(".toml"):
            return await self._thread.call(self._read_preset, Path(reference))
        presets = await self._thread.call(lambda: tuple(self._load_presets()))
        return next((preset for preset in presets if preset.name.casefold() == reference.casefold()), None)
