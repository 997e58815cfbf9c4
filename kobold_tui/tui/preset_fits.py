"""What is known of the models that presets name, asked from the services one preset at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.gpu import Telemetry
from kobold_tui.domain.instance import InstanceId
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.domain.preset_file import PresetFile
from kobold_tui.domain.size_rule import SizeVerdict
from kobold_tui.services.registry import Services
from kobold_tui.tui.widgets.preset_rows import Fit


async def fits(
    services: Services, presets: Sequence[PresetFile], telemetry: Telemetry, leaving: InstanceId | None
) -> AsyncIterator[tuple[str, Fit]]:
    """Yield names and what is known of their models; recipes and endpoints have none.

    What `leaving` holds counts as free where a model is judged by what it is alone.
    """
    for stored in presets:
        preset = stored.preset
        if not preset.is_recipe and not preset.endpoint:
            yield preset.name, await _fit(services, stored, telemetry, leaving)


async def _fit(
    services: Services, stored: PresetFile, telemetry: Telemetry, leaving: InstanceId | None
) -> Fit:
    try:
        model = await services.models.resolve(stored.preset.model)
    except KoboldError as error:
        return Fit(missing=error.message)
    spec = services.launch.with_model(stored.preset, model).spec
    estimate = await services.tuning.predict(spec)
    if estimate is not None and (estimate.fits or spec.options.n_gpu_layers != "auto"):
        return Fit(size_bytes=model.size_bytes, verdict=verdict_of(estimate))
    judged = await services.suitability.judge((model,), telemetry, leaving)
    return Fit(size_bytes=model.size_bytes, verdict=judged.get(model.path))


def verdict_of(estimate: MemoryEstimate) -> SizeVerdict:
    """Return in a word where a model runs by these figures."""
    if not estimate.fits:
        return "no"
    if not estimate.n_gpu_layers or not any(card.total_bytes for card in estimate.cards):
        return "cpu"
    return "gpu" if estimate.n_gpu_layers > estimate.n_layer else "partly"
