"""What a dry run writes into llama.cpp's log about memory: the way out where nothing more exact works.

Of a dry run's lines those about the graph, recurrent state and outputs are right, rounded to hundredths of
a mebibyte; those about weights and cache say 0, because nothing is allocated (llama-model.cpp,
llama-kv-cache.cpp).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from kobold_tui.domain.memory import HOST_NAME, DeviceMemory
from kobold_tui.domain.units import MIB
from kobold_tui.engine.worker import bindings, host

_LINE = re.compile(r":\s*(\S+)\s+(compute|RS) buffer size =\s*(\d+(?:\.\d+)?) MiB")


def memory_in_log(lines: Iterable[str]) -> tuple[DeviceMemory, ...]:
    """Return compute and recurrent state by device, the host first; weights and cache are left at 0."""
    cards = {device.name: device for device in bindings.devices() if device.is_gpu}
    compute = dict.fromkeys((HOST_NAME, *cards), 0)
    state = dict(compute)
    for line in lines:
        if found := _LINE.search(line):
            name = found[1] if found[1] in cards else HOST_NAME
            column = compute if found[2] == "compute" else state
            column[name] += round(float(found[3]) * MIB)
    return tuple(
        DeviceMemory(
            name=name,
            kv_bytes=state[name],
            compute_bytes=compute[name],
            free_bytes=cards[name].free_bytes if name in cards else host.available_memory_bytes(),
            is_host=name == HOST_NAME,
        )
        for name in compute
    )
