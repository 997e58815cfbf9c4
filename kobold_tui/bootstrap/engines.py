"""Puts together what runs models: a process for each of them, in one pool."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kobold_tui.bootstrap.machine import Workers
from kobold_tui.engine.pool import EnginePool
from kobold_tui.services.loading import LoadingService
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.placement import PlacementService
from kobold_tui.services.telemetry import TelemetryService
from kobold_tui.services.tuning import TuningService
from kobold_tui.storage.ledger_file import LedgerFile
from kobold_tui.storage.paths import Paths

if TYPE_CHECKING:
    from kobold_tui.domain.instance import InstanceId
    from kobold_tui.engine.protocol import Engine


def loading_service(paths: Paths, workers: Workers) -> LoadingService:
    """Return the service that loads and stops models; `workers` is told of their processes."""
    pool = EnginePool(partial(_make_engine, paths), _make_remote)
    pool.watch(workers.note)
    return LoadingService(pool)


def placement_service(paths: Paths, telemetry: TelemetryService, tuning: TuningService) -> PlacementService:
    """Return the service that knows how much room there is, for all copies of the program."""
    ledger = LedgerFile(paths.ledger_dir)
    return PlacementService(ledger, OwnThread("ledger"), telemetry.sample, tuning.predict, tuning.learn)


def _make_engine(paths: Paths, instance_id: InstanceId) -> Engine:
    from kobold_tui.engine.process import ProcessEngine

    return ProcessEngine(instance_id, log_file=paths.log_dir / f"{instance_id}.log")


def _make_remote(instance_id: InstanceId) -> Engine:
    from kobold_tui.engine.remote.engine import RemoteEngine
    from kobold_tui.storage.keys import read_key

    return RemoteEngine(instance_id, read_key=read_key)
