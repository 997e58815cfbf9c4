"""The name of a quantization, such as Q4_K_M: what the file announces, else what its tensors are."""

from __future__ import annotations

from kobold_tui.domain.model import Header

_GUESSED = 1024

FILE_TYPES: dict[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4",
    39: "NVFP4",
    40: "Q1_0",
    41: "Q2_0",
}
"""`llama_ftype` of llama.h."""


def quantization_name(header: Header) -> str:
    """Return the name of the file's quantization; an empty string for a file without tensors."""
    announced = FILE_TYPES.get(header.integer("general.file_type", -1) & ~_GUESSED)
    return announced or _commonest_type(header)


def _commonest_type(header: Header) -> str:
    """Return the type that most weights have, of matrices where there are any."""
    weights: dict[str, int] = {}
    matrices = [tensor for tensor in header.tensors if len(tensor.dimensions) > 1]
    for tensor in matrices or header.tensors:
        weights[tensor.type_name] = weights.get(tensor.type_name, 0) + tensor.n_elements
    return max(weights, key=lambda name: weights[name]).upper() if weights else ""
