"""The backend of a planner: a worker that never holds a model and answers dry runs alone.

A planner for virtual cards stays warm and keeps ghosts of the models that it was asked about; it is started
with the real cards hidden. One for real cards holds a context on each and is ended after its answer.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.domain.virtual_card import MAX_CARDS, PlannerCapabilities, VirtualCard
from kobold_tui.engine import wire
from kobold_tui.engine.worker import bindings, dry_run, failures, memory_self_test, virtual_gpu
from kobold_tui.engine.worker.backend import Role
from kobold_tui.engine.worker.ghost_file import GhostFiles
from kobold_tui.engine.worker.llama_backend import LlamaBackend
from kobold_tui.engine.worker.memory_fallback import with_predicted_weights
from kobold_tui.engine.worker.virtual_gpu_answers import questions_about
from kobold_tui.engine.worker.virtual_gpu_memory import large_host_buffers_without_memory

UNTESTED = PlannerCapabilities(
    breakdown=False, virtual_cards=False, reason="The self-test of exact memory figures ended its process."
)
_NOT_EXACT = "The prediction without a dry run still works; `kobold-tui doctor` says more."
_VOCABULARY = ("tokenizer.", "vocab_size")


class PlannerBackend(LlamaBackend):
    """Implements `Backend` for dry runs; `role` is "log" where the self-test is known to be fatal."""

    def __init__(self, role: Role) -> None:
        super().__init__()
        bindings.NATIVE_LOG.write_errors_only()
        self._ghosts = GhostFiles()
        tested = role != "log"
        self._can = memory_self_test.examine(virtual_cards=role == "virtual") if tested else UNTESTED

    def hello(self) -> wire.Hello:
        """Return the first frame, with what the self-test found."""
        return msgspec.structs.replace(super().hello(), planner=self._can)

    def dry_run(self, spec: LoadSpec, cards: tuple[VirtualCard, ...] | None = None) -> MemoryEstimate:
        """Return the memory that `spec` would take on `cards`, or on the real devices."""
        path = Path(spec.path).expanduser()
        failures.check_file(path)
        ghost = self._ghosts.of(path)
        spec = _without_vocabulary(spec)
        if cards is None and self._can.breakdown:
            return dry_run.measure(spec, ghost.path)
        if cards is None:
            logged = dry_run.measure(spec, ghost.path, by_log=True)
            return with_predicted_weights(logged, ghost.header, spec)
        self._check_cards(cards)
        gpus = virtual_gpu.planning_gpus(cards, questions_about(ghost.header, spec.options))
        with bindings.other_gpus(gpus), large_host_buffers_without_memory():
            return _under_their_names(dry_run.measure(spec, ghost.path), cards)

    def unload(self) -> None:
        """Free everything."""
        self._ghosts.close()
        super().unload()

    def _check_cards(self, cards: tuple[VirtualCard, ...]) -> None:
        if not self._can.virtual_cards:
            raise EngineError("No exact memory figures", self._can.reason, _NOT_EXACT)
        if len(cards) > MAX_CARDS:
            raise EngineError(
                "Too many cards", f"{len(cards)} cards are named; {MAX_CARDS} are possible.", "Name fewer."
            )


def _without_vocabulary(spec: LoadSpec) -> LoadSpec:
    """Leave out what overrides the vocabulary, which a ghost has not."""
    kept = {
        key: value
        for key, value in spec.options.override_kv.items()
        if not key.startswith(_VOCABULARY[0]) and not key.endswith(f".{_VOCABULARY[1]}")
    }
    return msgspec.structs.replace(spec, options=msgspec.structs.replace(spec.options, override_kv=kept))


def _under_their_names(estimate: MemoryEstimate, cards: tuple[VirtualCard, ...]) -> MemoryEstimate:
    """Call the cards what the caller calls them; llama.cpp numbers them and needs each name once."""
    host, *devices = estimate.devices
    named = [
        msgspec.structs.replace(device, name=card.name) for device, card in zip(devices, cards, strict=False)
    ]
    rest = devices[len(cards) :]
    return msgspec.structs.replace(estimate, devices=(host, *named, *rest))
