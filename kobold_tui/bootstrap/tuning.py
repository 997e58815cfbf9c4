"""Puts together what predicts memory: headers, hardware, dry runs, and what earlier loads have taught."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from kobold_tui.domain.model import Header
from kobold_tui.engine.planner import DryRunner
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.telemetry import TelemetryService
from kobold_tui.services.tuning import TuningService
from kobold_tui.storage.dry_runs import DryRunFile
from kobold_tui.storage.overheads import OverheadFile
from kobold_tui.storage.paths import Paths


def tuning_service(
    paths: Paths, telemetry: TelemetryService, files: OwnThread, accelerators: Callable[[], tuple[str, ...]]
) -> TuningService:
    """Return the service; model files are read in the thread `files`."""
    return TuningService(
        _read_header,
        files,
        telemetry.sample,
        DryRunner(),
        OverheadFile(paths.overheads),
        can_offload=lambda: bool(accelerators()),
        results=DryRunFile(paths.cache_dir / "dry_runs.json"),
        library=cache(_library),
    )


def _read_header(path: Path) -> Header:
    from kobold_tui.gguf.header import read_header

    return read_header(path)


def _library() -> str:
    """Return the version of the installed llama-cpp-python, empty where there is none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("llama-cpp-python")
    except PackageNotFoundError:
        return ""
