"""Completes what the log tells with what is predicted, for builds whose exact figures are not understood."""

from __future__ import annotations

import msgspec

from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.memory import Device, MemoryEstimate, predict, shape_of
from kobold_tui.domain.model import Header

NOTE = "Weights and cache are predicted and the rest is read from the log, rounded to 10 KiB."


def with_predicted_weights(logged: MemoryEstimate, header: Header, spec: LoadSpec) -> MemoryEstimate:
    """Return an estimate by the log with the weights and the cache that it lacks."""
    devices = [
        Device(
            name=row.name,
            free_bytes=row.free_bytes,
            is_host=row.is_host,
            backend="CPU" if row.is_host else row.name.rstrip("0123456789"),
        )
        for row in logged.devices
    ]
    predicted = predict(shape_of(header), spec.options, devices, embedding=spec.embedding)
    rows = (
        msgspec.structs.replace(row, compute_bytes=told.compute_bytes)
        for row, told in zip(predicted.devices, logged.devices, strict=False)
    )
    return msgspec.structs.replace(
        predicted, devices=tuple(rows), n_layer=logged.n_layer, notes=(*predicted.notes, NOTE)
    )
