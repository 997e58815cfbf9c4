"""The workbench is there at once: its model rows, not only an empty frame."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tools.bench.bench_startup import workbench_until
from tools.bench.measure import paired_ratio, quiet_program

ROOT = Path(__file__).resolve().parents[2]
MOST_INTERPRETER_STARTS = 40


def test_model_rows_are_on_screen_within_40_starts_of_a_bare_interpreter(
    tmp_path: Path, tiny_llama: Path
) -> None:
    environ = {**os.environ, "KOBOLD_TUI_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    workbench = workbench_until(("--models-dir", str(tiny_llama.parent)), b"tiny-llama", environ)
    nothing = quiet_program((sys.executable, "-c", "pass"), environ)
    ratio = paired_ratio(workbench, nothing, pairs=5)
    assert ratio.low <= MOST_INTERPRETER_STARTS, f"the best of 5 starts is {ratio}"
