"""A planner finds out at its start whether this build of llama.cpp is laid out as it needs, and says so."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.virtual_card import VirtualCard
from kobold_tui.engine.worker import (
    bindings,
    memory_breakdown,
    memory_self_test,
    virtual_gpu,
    virtual_gpu_answers,
    virtual_gpu_layout,
)
from kobold_tui.engine.worker.planner import PlannerBackend
from kobold_tui.engine.worker.virtual_gpu_layout import Tensor

CARD = VirtualCard(name="card", free_bytes=2**30)


@pytest.fixture
def planner(monkeypatch: pytest.MonkeyPatch) -> Callable[..., PlannerBackend]:
    """Make planners in this process, whose log stays as it is."""
    monkeypatch.setattr(bindings.NATIVE_LOG, "write_errors_only", lambda: None)
    monkeypatch.setattr(virtual_gpu, "_PLANNING", [])
    return PlannerBackend


@pytest.fixture
def spec(tiny_llama: Path) -> LoadSpec:
    return LoadSpec(path=str(tiny_llama), options=LoadOptions(n_gpu_layers=2))


def replaced_field(structure: type[ctypes.Structure], name: str) -> type[ctypes.Structure]:
    """The structure with one more field in front of `name`."""
    fields = list(structure._fields_)
    index = [field[0] for field in fields].index(name)
    fields.insert(index, ("surprise", ctypes.c_uint64))
    return type("Changed", (ctypes.Structure,), {"_fields_": fields})


def test_this_build_passes() -> None:
    able = memory_self_test.examine(virtual_cards=True)
    assert able.exact
    assert not able.reason
    assert not bindings.gpus_are_replaced()


def test_without_the_function_nothing_is_exact(
    planner: Callable[..., PlannerBackend], spec: LoadSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_breakdown, "_SYMBOL", "_Z7nothingv")
    able = planner("virtual").hello().planner
    assert able is not None
    assert (able.breakdown, able.virtual_cards) == (False, False)
    assert "no function _Z7nothingv" in able.reason


def test_figures_of_another_layout_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Swapped(ctypes.Structure):
        """Model and context have changed places."""

        _fields_ = tuple(
            (name, ctypes.c_uint64)
            for name in ("color", "parent", "left", "right", "buffer_type", "context", "model", "compute")
        )

    monkeypatch.setattr(memory_breakdown, "_Node", Swapped)
    able = memory_self_test.examine(virtual_cards=True)
    assert not able.breakdown
    assert "bytes on RAM for a model of" in able.reason


@pytest.mark.parametrize(
    ("structure", "field", "words"),
    [
        ("Tensor", "ne", "a tensor has another size"),
        ("Graph", "nodes", "a graph is laid out differently"),
        ("Buffer", "buffer_type", "a buffer is laid out differently"),
        ("BufferType", "get_alignment", "a buffer type is laid out differently"),
        ("Device", "registry", "a device is laid out differently"),
    ],
)
def test_each_struct_is_compared(
    monkeypatch: pytest.MonkeyPatch, structure: str, field: str, words: str
) -> None:
    changed = replaced_field(getattr(virtual_gpu_layout, structure), field)
    monkeypatch.setattr(virtual_gpu_layout, structure, changed)
    assert virtual_gpu_layout.check_layout() == words


def test_fields_of_a_tensor_that_changed_places_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = list(Tensor._fields_)
    fields[2:4] = [fields[3], fields[2]]
    changed = type("Changed", (ctypes.Structure,), {"_fields_": fields})
    monkeypatch.setattr(virtual_gpu_layout, "Tensor", changed)
    assert virtual_gpu_layout.check_layout() == "a tensor is laid out differently"


def test_another_version_of_the_interface_takes_no_virtual_cards(
    planner: Callable[..., PlannerBackend], spec: LoadSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(virtual_gpu_layout, "API_VERSION", 3)
    backend = planner("virtual")
    able = backend.hello().planner
    assert able is not None
    assert (able.breakdown, able.virtual_cards) == (True, False)
    assert "interface has version 2 instead of 3" in able.reason
    with pytest.raises(EngineError, match="has version 2 instead of 3") as refused:
        backend.dry_run(spec, (CARD,))
    assert "prediction without a dry run" in refused.value.hint
    assert backend.dry_run(spec).exact


def test_cards_that_count_wrongly_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_gpu_answers, "ALIGNMENT", 2048)
    able = memory_self_test.examine(virtual_cards=True)
    assert (able.breakdown, able.virtual_cards) == (True, False)
    assert "bytes on CUDA0 for a model of" in able.reason


def test_cards_that_compute_are_refused_where_the_layout_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(virtual_gpu.VARIABLE, "1G")
    monkeypatch.setattr(virtual_gpu_layout, "API_VERSION", 3)
    with pytest.raises(EngineError, match="takes no virtual cards"):
        virtual_gpu.install_from_environment()
    assert not bindings.gpus_are_replaced()


def test_cards_are_called_what_the_caller_calls_them(
    planner: Callable[..., PlannerBackend], spec: LoadSpec
) -> None:
    cards = (CARD, VirtualCard(name="card", free_bytes=2**20, total_bytes=2**31))
    devices = planner("virtual").dry_run(spec, cards).devices
    assert [(device.name, device.free_bytes) for device in devices[1:]] == [("card", 2**30), ("card", 2**20)]
    assert [device.is_host for device in devices] == [True, False, False]


def test_more_cards_than_the_scheduler_takes_are_refused(
    planner: Callable[..., PlannerBackend], spec: LoadSpec
) -> None:
    with pytest.raises(EngineError, match="16 cards are named; 15 are possible"):
        planner("virtual").dry_run(spec, (CARD,) * 16)
    assert len(planner("virtual").dry_run(spec, (CARD,) * 15).devices) == 16


def test_a_worker_with_a_model_plans_for_no_other_hardware(backend: Any, spec: LoadSpec) -> None:
    with pytest.raises(EngineError, match="plans for no other hardware"):
        backend.dry_run(spec, (CARD,))


def test_a_planner_ends_with_the_program(worker_process: Callable[..., Any]) -> None:
    worker = worker_process("--planner", "virtual")
    worker.socket.close()
    assert worker.wait() == 0
