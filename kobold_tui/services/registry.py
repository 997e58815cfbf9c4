"""All services of one running program, as the front ends receive them."""

from __future__ import annotations

from dataclasses import dataclass

from kobold_tui.services.chat import ChatService
from kobold_tui.services.jobs import JobsService
from kobold_tui.services.launch import LaunchService
from kobold_tui.services.loading import LoadingService
from kobold_tui.services.machine import MachineService
from kobold_tui.services.models import ModelsService
from kobold_tui.services.state import StateService
from kobold_tui.services.telemetry import TelemetryService
from kobold_tui.storage.paths import Paths
from kobold_tui.storage.settings import LoadedSettings


@dataclass(frozen=True, kw_only=True)
class Services:
    """Everything a front end can ask for; all of them live on one loop."""

    paths: Paths
    settings: LoadedSettings
    models: ModelsService
    launch: LaunchService
    loading: LoadingService
    chat: ChatService
    telemetry: TelemetryService
    jobs: JobsService
    machine: MachineService
    state: StateService
