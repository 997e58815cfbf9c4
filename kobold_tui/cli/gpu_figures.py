"""The gauge's figures as a JSON document and as lines for people; what nobody knows is null or `n/a`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from kobold_tui.cli.output import Column, one_line, table
from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot, HostSnapshot, MigInstance, Telemetry
from kobold_tui.domain.units import format_bytes, format_gib, format_seconds

UNKNOWN = "n/a"

CARD_COLUMNS = (
    Column(title="GPU", align="right"),
    Column(title="NAME", flexible=True),
    Column(title="MEMORY GiB", align="right"),
    Column(title="UTIL", align="right"),
    Column(title="TEMP", align="right"),
    Column(title="POWER W", align="right"),
    Column(title="FAN", align="right"),
    Column(title="MHz", align="right"),
)
PROCESS_COLUMNS = (
    Column(title="GPU", align="right"),
    Column(title="PID", align="right"),
    Column(title="PROCESS", flexible=True),
    Column(title="USER", flexible=True),
    Column(title="MEMORY", align="right"),
    Column(title="UTIL", align="right"),
)


def document(telemetry: Telemetry, now: float | None = None) -> dict[str, object]:
    """Return the JSON form; `stale_seconds` is the age of figures of a card that does not answer."""
    moment = time.monotonic() if now is None else now
    return {
        "driver": telemetry.driver,
        "gpus": [_gpu_document(gpu, moment) for gpu in telemetry.gpus],
        "host": _host_document(telemetry.host),
        "cuda_version": telemetry.cuda_version,
        "notice": telemetry.notice,
    }


def _host_document(host: HostSnapshot) -> dict[str, object]:
    return {
        "memory_total_bytes": host.memory_total_bytes,
        "memory_available_bytes": host.memory_available_bytes,
        "cpu_percent": host.cpu_percent,
        "swap_total_bytes": host.swap_total_bytes,
        "swap_used_bytes": host.swap_used_bytes,
    }


def _gpu_document(gpu: GpuSnapshot, now: float) -> dict[str, object]:
    values = msgspec.structs.asdict(gpu)
    first = {name: values.pop(name) for name in _FIRST}
    known = [_process_document(process) for process in gpu.processes] if gpu.are_processes_known else None
    since = values.pop("stale_since")
    del values["processes"], values["are_processes_known"]
    return {
        **first,
        "uuid": gpu.uuid or None,
        "processes": known,
        **values,
        "mig_instances": [_slice_document(found) for found in gpu.mig_instances],
        "stale_seconds": None if since is None else round(max(now - since, 0.0), 3),
    }


_FIRST = (
    *("index", "uuid", "name", "memory_total_bytes", "memory_used_bytes", "memory_free_bytes"),
    *("utilization_percent", "temperature_c", "power_w", "power_limit_w", "fan_percent", "clock_sm_mhz"),
)
"""The fields that scripts are promised, in this order and before all others; `processes` is the last."""


def _slice_document(found: MigInstance) -> dict[str, object]:
    return msgspec.structs.asdict(found) | {
        "processes": [_process_document(process) for process in found.processes]
    }


def _process_document(process: GpuProcess) -> dict[str, object]:
    return {
        "pid": process.pid,
        "name": process.name,
        "memory_bytes": process.memory_bytes,
        "instance": process.instance,
        "user": process.user,
        "utilization_percent": process.utilization_percent,
        "is_verified": process.is_verified,
    }


def lines(telemetry: Telemetry, width: int | None, now: float | None = None) -> list[str]:
    """Return what a person reads: cards, processes with ours first, what is wrong, and the machine."""
    moment = time.monotonic() if now is None else now
    blocks = [
        table(CARD_COLUMNS, list(_card_rows(telemetry)), width) if telemetry.gpus else [],
        _process_lines(telemetry, width),
        [one_line(line) for gpu in telemetry.gpus for line in _remarks(gpu, moment)],
        [*([one_line(telemetry.notice)] if telemetry.notice else []), *_machine_lines(telemetry)],
    ]
    return [line for block in blocks if block for line in ("", *block)][1:]


def _card_rows(telemetry: Telemetry) -> Iterator[tuple[str, ...]]:
    for gpu in telemetry.gpus:
        yield (
            label(gpu),
            gpu.name,
            _pair(_gib(gpu.memory_used_bytes), _gib(gpu.memory_total_bytes)),
            _with_unit(gpu.utilization_percent, "%"),
            _with_unit(gpu.temperature_c, " °C"),
            _pair(_with_unit(gpu.power_w, ""), _with_unit(gpu.power_limit_w, "")),
            _with_unit(gpu.fan_percent, "%"),
            _with_unit(gpu.clock_sm_mhz, ""),
        )
        for found in gpu.mig_instances:
            memory = _pair(_gib(found.memory_used_bytes), _gib(found.memory_total_bytes))
            name = (found.name or "").removeprefix(gpu.name).strip() or "MIG instance"
            yield (f"{label(gpu)}:{found.index}", f"  {name}", memory, *[""] * 5)


def _process_lines(telemetry: Telemetry, width: int | None) -> list[str]:
    found = [(gpu, process) for gpu in telemetry.gpus for process in gpu.processes]
    found.sort(key=lambda pair: (pair[1].instance is None, not pair[0].is_visible, pair[0].index))
    rows = [
        (
            label(gpu),
            str(process.pid),
            process.instance or process.name or "unknown process",
            process.user or UNKNOWN,
            UNKNOWN if process.memory_bytes is None else format_bytes(process.memory_bytes),
            _with_unit(process.utilization_percent, "%"),
        )
        for gpu, process in found
    ]
    return table(PROCESS_COLUMNS, rows, width) if rows else []


def _remarks(gpu: GpuSnapshot, now: float) -> Iterator[str]:
    if gpu.stale_since is not None:
        why = (gpu.fault or "It does not answer").rstrip(".")
        age = f" Its figures are {format_seconds(max(now - gpu.stale_since, 0))} old."
        yield f"GPU {label(gpu)}: {why}.{age if gpu.memory_total_bytes is not None else ''}"
    if not gpu.is_visible and gpu.stale_since is None:
        yield f"GPU {label(gpu)} is hidden from our models by CUDA_VISIBLE_DEVICES."
    if gpu.throttle_reasons:
        yield f"GPU {label(gpu)} is slowed down: {', '.join(gpu.throttle_reasons)}."
    if gpu.ecc_uncorrected:
        yield f"GPU {label(gpu)} has {gpu.ecc_uncorrected} memory errors that ECC could not correct."
    if not gpu.are_processes_known:
        yield f"GPU {label(gpu)}: the driver does not tell its processes."


def _machine_lines(telemetry: Telemetry) -> list[str]:
    host = telemetry.host
    parts = [f"RAM {_pair(format_gib(host.memory_used_bytes), format_gib(host.memory_total_bytes))} GiB"]
    if host.swap_total_bytes:
        parts.append(f"swap {_pair(format_gib(host.swap_used_bytes), format_gib(host.swap_total_bytes))} GiB")
    parts.append(f"CPU {_with_unit(host.cpu_percent, '%')}")
    if telemetry.driver:
        parts.append(f"driver {telemetry.driver}")
    if telemetry.cuda_version:
        parts.append(f"CUDA {telemetry.cuda_version}")
    return [one_line("   ".join(parts))]


def label(gpu: GpuSnapshot) -> str:
    """Return the number of a card; in brackets where llama.cpp does not see it."""
    return str(gpu.index) if gpu.is_visible else f"({gpu.index})"


def _gib(n_bytes: int | None) -> str:
    return UNKNOWN if n_bytes is None else format_gib(n_bytes)


def _pair(value: str, limit: str) -> str:
    return UNKNOWN if value == limit == UNKNOWN else f"{value}/{limit}"


def _with_unit(value: float | None, unit: str) -> str:
    return UNKNOWN if value is None else f"{value:.0f}{unit}"
