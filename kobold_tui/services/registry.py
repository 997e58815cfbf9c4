"""All services of one running program, as the front ends receive them."""

from __future__ import annotations

from dataclasses import dataclass

from kobold_tui.services.benchmark import BenchmarkService
from kobold_tui.services.chat import ChatService
from kobold_tui.services.conversations import ConversationsService
from kobold_tui.services.downloads import DownloadsService
from kobold_tui.services.favourites import FavouritesService
from kobold_tui.services.jobs import JobsService
from kobold_tui.services.launch import LaunchService
from kobold_tui.services.loading import LoadingService
from kobold_tui.services.machine import MachineService
from kobold_tui.services.model_files import ModelFilesService
from kobold_tui.services.models import ModelsService
from kobold_tui.services.placement import PlacementService
from kobold_tui.services.presets import PresetsService
from kobold_tui.services.residency import ResidencyService
from kobold_tui.services.state import StateService
from kobold_tui.services.suitability import SuitabilityService
from kobold_tui.services.switching import SwitchingService
from kobold_tui.services.telemetry import TelemetryService
from kobold_tui.services.tuning import TuningService
from kobold_tui.storage.paths import Paths
from kobold_tui.storage.settings import LoadedSettings


@dataclass(frozen=True, kw_only=True)
class Services:
    """Everything a front end can ask for; all of them live on one loop."""

    paths: Paths
    settings: LoadedSettings
    models: ModelsService
    model_files: ModelFilesService
    favourites: FavouritesService
    suitability: SuitabilityService
    launch: LaunchService
    presets: PresetsService
    loading: LoadingService
    switching: SwitchingService
    residency: ResidencyService
    placement: PlacementService
    tuning: TuningService
    chat: ChatService
    conversations: ConversationsService
    telemetry: TelemetryService
    benchmark: BenchmarkService
    jobs: JobsService
    downloads: DownloadsService
    machine: MachineService
    state: StateService
