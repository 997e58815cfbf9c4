"""Predictions are what llama.cpp itself says, to the byte; its figures were stored by `tests/data`."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from model_shapes import SHAPES, header_of

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.memory import (
    MAX_PROBES,
    Calibration,
    Device,
    DeviceMemory,
    MemoryEstimate,
    ModelShape,
    Probe,
    predict,
    shape_of,
)

STORED: dict[str, Any] = json.loads(
    Path(__file__).parents[1].joinpath("data", "memory_dry_runs.json").read_text()
)
SWEEPS: list[dict[str, Any]] = STORED["sweeps"]
CLOSE_BYTES = 64 << 20


@functools.cache
def shape(model: str) -> ModelShape:
    return shape_of(header_of(model))


def cards_of(row: dict[str, Any]) -> list[Device]:
    return [Device(name=f"CUDA{index}", free_bytes=size) for index, size in enumerate(row["free"])]


def options_of(row: dict[str, Any], **changes: Any) -> LoadOptions:
    return msgspec.structs.replace(msgspec.convert(row["options"], LoadOptions), **changes)


def calibrated(row: dict[str, Any]) -> tuple[Calibration, list[Probe]]:
    """Let a calibration ask for all that it wants, and answer with what is stored."""
    answers = {
        (probe["n_gpu_layers"], tuple(probe["tensor_split"]), probe["n_cards"]): probe["compute"]
        for probe in row["probes"]
    }
    calibration = Calibration(shape(row["model"]), options_of(row), cards_of(row))
    asked = []
    while (probe := calibration.next_probe()) is not None:
        key = (probe.options.n_gpu_layers, probe.options.tensor_split, len(probe.cards))
        assert key in answers, "other dry runs are asked for: run tests/data/make_memory_dry_runs.py again"
        calibration.add(probe, answer(answers[key]))
        asked.append(probe)
    return calibration, asked


def answer(compute: list[int]) -> MemoryEstimate:
    rows = [DeviceMemory(name="RAM", compute_bytes=compute[0], is_host=True)]
    rows += [DeviceMemory(name=f"CUDA{index}", compute_bytes=size) for index, size in enumerate(compute[1:])]
    return MemoryEstimate(n_gpu_layers=0, n_layer=0, devices=tuple(rows), exact=True)


@pytest.mark.parametrize("model", SHAPES)
def test_weights_and_cache_are_exact_on_every_device(model: str) -> None:
    rows = [row for row in STORED["placements"] if row["model"] == model]
    assert len(rows) >= 8
    for row in rows:
        found = predict(shape(model), options_of(row), cards_of(row)).devices
        assert [device.weights_bytes for device in found] == row["weights"], row["options"]
        assert [device.kv_bytes for device in found] == row["kv"], row["options"]


def held_out(row: dict[str, Any]) -> tuple[int, int]:
    """Return at how many positions that were not asked for compute buffers are exact, and how many there are.

    All others are close.
    """
    calibration, asked = calibrated(row)
    assert len(asked) <= MAX_PROBES
    seen = {probe.options.n_gpu_layers for probe in asked if not probe.is_arranged}
    positions = [n for n in range(len(row["compute"])) if n not in seen]
    exact = 0
    for n_gpu_layers in positions:
        options = options_of(row, n_gpu_layers=n_gpu_layers)
        found = predict(shape(row["model"]), options, cards_of(row), levels=calibration.levels).devices
        true = row["compute"][n_gpu_layers]
        exact += [device.compute_bytes for device in found] == true
        for device, size in zip(found, true, strict=True):
            assert abs(device.compute_bytes - size) <= max(CLOSE_BYTES, 0.02 * device.total_bytes)
    return exact, len(positions)


def test_a_few_dry_runs_make_nearly_the_whole_slider_exact() -> None:
    found = [held_out(row) for row in SWEEPS]
    assert all(total - exact <= max(2, 0.1 * total) for exact, total in found), found
    assert sum(exact for exact, _ in found) >= 0.95 * sum(total for _, total in found), found


def test_dry_runs_of_one_setting_say_nothing_about_another() -> None:
    row = SWEEPS[0]
    calibration, _ = calibrated(row)
    larger = options_of(row, n_ctx=16_384, n_gpu_layers=20)
    model = shape(row["model"])
    assert predict(model, larger, cards_of(row), levels=calibration.levels) == predict(
        model, larger, cards_of(row)
    )


def test_real_cards_are_asked_about_positions_of_the_slider_alone() -> None:
    row = SWEEPS[1]
    calibration = Calibration(shape(row["model"]), options_of(row), cards_of(row), can_arrange=False)
    probe = calibration.next_probe()
    assert probe is not None
    assert not probe.is_arranged
    assert [card.name for card in probe.cards] == [card.name for card in cards_of(row)]


def test_a_calibration_that_was_given_up_asks_for_nothing_more() -> None:
    calibration = Calibration(shape("llama-8b"), LoadOptions(), cards_of(SWEEPS[0]))
    calibration.give_up()
    assert calibration.next_probe() is None


def test_the_first_figure_is_close_before_any_dry_run() -> None:
    close = total = 0
    for row in SWEEPS:
        for n_gpu_layers, true in enumerate(row["compute"]):
            options = options_of(row, n_gpu_layers=n_gpu_layers)
            found = predict(shape(row["model"]), options, cards_of(row)).devices
            for device, size in zip(found, true, strict=True):
                total += 1
                close += abs(device.compute_bytes - size) <= max(CLOSE_BYTES, 0.02 * device.total_bytes)
    assert close >= 0.9 * total
