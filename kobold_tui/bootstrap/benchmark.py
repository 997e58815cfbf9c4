"""Puts together what measures speed: who loads, who knows the machine, and where figures are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kobold_tui.services.benchmark import BenchmarkService, Surroundings
from kobold_tui.services.benchmark_trial import Instruments
from kobold_tui.services.loading import LoadingService
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.placement import PlacementService
from kobold_tui.services.telemetry import TelemetryService
from kobold_tui.services.tuning import TuningService
from kobold_tui.storage.benchmarks import BenchmarkFiles
from kobold_tui.storage.paths import Paths

if TYPE_CHECKING:
    from kobold_tui.services.presets import PresetsService


def benchmark_service(  # noqa: PLR0913, PLR0917 - what it joins
    paths: Paths,
    presets: PresetsService,
    loading: LoadingService,
    placement: PlacementService,
    telemetry: TelemetryService,
    tuning: TuningService,
) -> BenchmarkService:
    """Return the service; it measures around the placement that `tuning` finds best."""
    from kobold_tui.hardware.cpu_name import cpu_name, usable_cpus

    return BenchmarkService(
        Instruments(loads=loading, room=placement, telemetry=telemetry.sample, predict=tuning.predict),
        Surroundings(cpu_name=cpu_name, n_cpus=usable_cpus(), best=tuning.propose, presets=presets),
        BenchmarkFiles(paths.data_dir / "benchmarks"),
        OwnThread("benchmarks"),
    )
