"""How a device lays tensors out in its buffers: alignment, and rows that are made whole.

Sources: `get_alignment` and `get_alloc_size` of ggml's buffer types; for CUDA and what shares its code
ggml-cuda.cu, `MATRIX_ROW_PADDING`.
"""

from __future__ import annotations

from typing import NamedTuple

ROW = 512


class Layout(NamedTuple):
    """What each tensor begins at a multiple of, in bytes, and whether quantised rows are padded."""

    alignment: int
    pads_rows: bool

    def padded(self, n_bytes: int) -> int:
        """Return the bytes that a tensor takes of a buffer."""
        return -(-n_bytes // self.alignment) * self.alignment


HOST = Layout(32, pads_rows=False)
CUDA = Layout(128, pads_rows=True)

_LAYOUTS = {
    "CUDA": CUDA,
    "ROCm": CUDA,
    "HIP": CUDA,
    "MUSA": CUDA,
    "SYCL": CUDA,
    "Vulkan": Layout(256, pads_rows=False),
    "Metal": HOST,
    "RPC": HOST,
    "CPU": HOST,
}


def layout_of(backend: str) -> Layout:
    """Return how a backend lays tensors out; one that is not known counts as CUDA, the largest."""
    return _LAYOUTS.get(backend, CUDA)


def is_known(backend: str) -> bool:
    """Whether the layout of a backend is exact: that of Vulkan depends on the driver."""
    return backend in _LAYOUTS and backend not in {"Vulkan", "SYCL"}


class CacheElement(NamedTuple):
    """An element type of the cache: elements and bytes of one block."""

    block_size: int
    block_bytes: int

    def row_bytes(self, width: int) -> int:
        """Return the bytes of a row; what is no whole block does not occur in a cache that loads."""
        return width // self.block_size * self.block_bytes


CACHE_ELEMENTS = {
    "f32": CacheElement(1, 4),
    "f16": CacheElement(1, 2),
    "bf16": CacheElement(1, 2),
    "q8_0": CacheElement(32, 34),
    "q5_1": CacheElement(32, 24),
    "q5_0": CacheElement(32, 22),
    "q4_1": CacheElement(32, 20),
    "q4_0": CacheElement(32, 18),
    "iq4_nl": CacheElement(32, 18),
}
"""ggml's `type_traits` of the types that a cache can have."""


def cache_tensor_bytes(element: str, width: int, n_rows: int, layout: Layout) -> int:
    """Return the bytes of a cache tensor of `n_rows` rows in a device's buffer."""
    kind = CACHE_ELEMENTS[element]
    n_bytes = kind.row_bytes(width) * n_rows
    if layout.pads_rows and kind.block_size > 1 and width % ROW:
        n_bytes += kind.row_bytes(ROW - width % ROW)
    return layout.padded(n_bytes)
