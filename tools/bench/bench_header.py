"""How long a GGUF header with a vocabulary of 262,144 tokens takes to read, on a scale of its machine."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import gguf

from kobold_tui.gguf.header import read_header
from tools.bench.measure import Row, paired_ratio, quiet_program

TOKENS = 262_144


def run() -> list[Row]:
    """Return one row: our reader as a multiple of an interpreter that does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vocabulary.gguf")
        _write(path)
        nothing = quiet_program((sys.executable, "-c", "pass"), {})
        ratio = paired_ratio(lambda: read_header(path), nothing, pairs=9)
    return [Row(f"header with {TOKENS:,} tokens", f"{ratio} of python -c pass")]


def _write(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_token_list([f"token-{number}" for number in range(TOKENS)])
    writer.add_token_scores([0.0] * TOKENS)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
