"""The memory of a model before it is loaded: llama.cpp places weights, cache and graph and allocates nothing.

It also works while another model is loaded. Recurrent state is the one thing that is really allocated, except
in a planner for virtual cards; it is bounded by the RAM that there is.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import psutil

from kobold_tui.domain.instance import LoadSpec
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.engine.worker import bindings, failures, host, load_params
from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.memory_breakdown import breakdown
from kobold_tui.engine.worker.memory_log import memory_in_log
from kobold_tui.engine.worker.weights import Weights, load_weights

__all__ = ["breakdown", "measure"]


def measure(spec: LoadSpec, file: Path | None = None, *, by_log: bool = False) -> MemoryEstimate:
    """Return what loading `spec` would take on the devices of this process. Raises as a load would.

    `file` is read in place of the model's own: a ghost of it. `by_log` is for builds whose exact figures are
    not understood: the figures then lack weights and cache and are not marked as exact.
    """
    weights = load_weights(spec, lambda _fraction: None, lambda: False, dry_run=True, file=file)
    try:
        return _measure_context(spec, weights, by_log=by_log)
    finally:
        weights.close()


def _measure_context(spec: LoadSpec, weights: Weights, *, by_log: bool) -> MemoryEstimate:
    shape = weights.shape(spec)
    params = load_params.context_params(spec.options, shape)
    limited = _limited_memory() if weights.is_recurrent else contextlib.nullcontext()
    with bindings.NATIVE_LOG.record_all() as lines, bindings.NATIVE_LOG.record_errors() as errors, limited:
        context = C.llama_init_from_model(weights.handle, params.native)
    if not context:
        raise failures.context_failure(weights.path, spec.options, shape.n_ctx, errors)
    try:
        return MemoryEstimate(
            n_gpu_layers=weights.gpu_layers(load_params.requested_gpu_layers(spec.options)),
            n_layer=weights.n_layer,
            devices=memory_in_log(lines) if by_log else breakdown(context),
            exact=not by_log,
        )
    finally:
        C.llama_free(context)


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    """Let allocations fail meanwhile that the system would promise and then end the process for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = psutil.Process().memory_info().vms + host.available_memory_bytes()
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    if soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    except (OSError, ValueError):  # a system without such a limit
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
