"""A BERT encoder in numpy, written from the paper and read from a GGUF file: the reference for vectors.

Token types are all 0, as llama.cpp has them. Devlin et al., "BERT", section 3; GELU with erf, as in the
original code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
_erf = np.vectorize(math.erf)


class NumpyBert:
    """Weights of a float32 GGUF file of architecture bert."""

    def __init__(self, path: Path, n_head: int = 2) -> None:
        reader = gguf.GGUFReader(path)
        self._tensors = {tensor.name: tensor.data.astype(np.float64) for tensor in reader.tensors}
        self._n_head = n_head

    def pooled(self, tokens: Sequence[int], pooling: str) -> Array:
        """Return the vector of length one of a text."""
        states = self._encode(tokens)
        vector = {"mean": states.mean(axis=0), "cls": states[0], "last": states[-1]}[pooling]
        return np.asarray(vector / np.linalg.norm(vector))

    def score(self, tokens: Sequence[int]) -> float:
        """Return the classifier's output for a pair of texts."""
        hidden = np.tanh(self._linear("cls", self._encode(tokens)[0]))
        return float(self._linear("cls.output", hidden)[0])

    def _encode(self, tokens: Sequence[int]) -> Array:
        get = self._tensors
        x = get["token_embd.weight"][list(tokens)] + get["position_embd.weight"][: len(tokens)]
        x = self._norm("token_embd_norm", x + get["token_types.weight"][0])
        layers = {int(name.split(".")[1]) for name in get if name.startswith("blk.")}
        for layer in sorted(layers):
            x = self._block(f"blk.{layer}.", x)
        return x

    def _block(self, block: str, x: Array) -> Array:
        x = self._norm(f"{block}attn_output_norm", x + self._attention(block, x))
        up = self._linear(f"{block}ffn_up", x)
        gelu = 0.5 * up * (1 + _erf(up / math.sqrt(2)))
        return self._norm(f"{block}layer_output_norm", x + self._linear(f"{block}ffn_down", gelu))

    def _attention(self, block: str, x: Array) -> Array:
        n_head, size = self._n_head, x.shape[1] // self._n_head
        q, k, v = (
            self._linear(f"{block}attn_{name}", x).reshape(-1, n_head, size).transpose(1, 0, 2)
            for name in "qkv"
        )
        weights = np.exp(q @ k.transpose(0, 2, 1) / math.sqrt(size))
        weights /= weights.sum(axis=-1, keepdims=True)
        joined = (weights @ v).transpose(1, 0, 2).reshape(x.shape)
        return self._linear(f"{block}attn_output", joined)

    def _linear(self, name: str, x: Array) -> Array:
        return np.asarray(x @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"])

    def _norm(self, name: str, x: Array) -> Array:
        x = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-12)
        return np.asarray(x * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"])
