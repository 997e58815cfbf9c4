"""Where the program meets the machine: what runs models, what reads the hardware, and where models lie.

There are two of them, the real one here and that of the demonstration; all other services are the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from kobold_tui.catalogue.places import default_stores
from kobold_tui.catalogue.stores import ModelStore
from kobold_tui.engine.library import accelerators
from kobold_tui.services.loading import LoadingService
from kobold_tui.services.machine import MachineService
from kobold_tui.services.options import StartOptions
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.telemetry import TelemetryService
from kobold_tui.storage.paths import Paths
from kobold_tui.storage.settings import LoadedSettings


@dataclass(frozen=True, kw_only=True)
class Outside:
    """The parts that know the machine; `accelerators` names what llama.cpp can use besides the processor."""

    loading: LoadingService
    telemetry: TelemetryService
    machine: MachineService
    stores: tuple[ModelStore, ...]
    accelerators: Callable[[], tuple[str, ...]]


def real_outside(paths: Paths, loaded: LoadedSettings, options: StartOptions) -> Outside:
    """Return the parts that know this machine."""
    from kobold_tui.bootstrap import engines, machine

    workers = machine.Workers()
    loading = engines.loading_service(paths, workers)
    telemetry, machine_service = machine.machine_services(loaded, workers, OwnThread("hardware"))
    folders = (*options.models_dirs, *loaded.settings.models_dirs)
    return Outside(
        loading=loading,
        telemetry=telemetry,
        machine=machine_service,
        stores=default_stores(folders, paths.models_dir, os.environ),
        accelerators=accelerators,
    )
