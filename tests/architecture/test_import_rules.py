"""The import rules of `pyproject.toml` hold, and each of them would notice a breach."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"


def broken_contracts(folder: Path) -> list[str]:
    command = [sys.executable, "-c", LINT, "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "Contracts: " in done.stdout, done.stdout + done.stderr
    return [
        line.removesuffix("BROKEN").strip() for line in done.stdout.splitlines() if line.endswith("BROKEN")
    ]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and its rules, to break them in."""
    folder = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "kobold_tui", folder / "kobold_tui", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_all_import_rules_hold(tree: Path) -> None:
    assert broken_contracts(tree) == []


def test_each_breach_is_noticed(tree: Path) -> None:
    breaches = {
        "engine/breach.py": "import kobold_tui.storage",
        "hardware/breach.py": "import llama_cpp",
        "services/breach.py": "import kobold_tui.engine.worker.backend, textual, kobold_tui.supervisor",
        "tui/panes/breach.py": "import kobold_tui.tui.panes.chat",
        "domain/breach.py": "import psutil",
    }
    for name, text in breaches.items():
        (tree / "kobold_tui" / name).write_text(text)
    try:
        broken = broken_contracts(tree)
    finally:
        for name in breaches:
            (tree / "kobold_tui" / name).unlink()
    assert [contract.split(":")[0] for contract in broken] == [
        "Rings",
        "llama.cpp is loaded in a model's own process alone",
        "The worker is started, never imported",
        "Only the terminal front end knows Textual",
        "Panes know nothing of each other",
        "The domain is values and arithmetic",
        "Only the entry point starts the supervisor",
    ]
