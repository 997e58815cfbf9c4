"""Commands that only print stay light: they load neither the screen nor the engine nor numpy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("textual", "llama_cpp", "numpy", "kobold_tui.engine.worker")

LIST_MODULES = """
import atexit, json, os, sys
report = os.dup(1)

@atexit.register
def list_modules():
    sys.stdout.flush()
    os.write(report, ("\\n" + json.dumps(sorted(sys.modules))).encode())

from kobold_tui.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def run(tmp_path: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in an interpreter of its own, with settings and caches in an empty folder."""
    environ = {**os.environ, "KOBOLD_TUI_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)


def modules_loaded_by(tmp_path: Path, *arguments: str) -> set[str]:
    done = run(tmp_path, LIST_MODULES, *arguments)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 1, "the command printed something before the list"
    return set(json.loads(done.stdout.splitlines()[-1]))


def heavy(modules: set[str]) -> list[str]:
    return [
        name for name in HEAVY if any(module == name or module.startswith(f"{name}.") for module in modules)
    ]


LIGHT = (
    ("--help",),
    ("--version",),
    ("models",),
    ("models", "--json"),
    ("gpus",),
    ("gpus", "--json"),
    ("presets",),
    ("presets", "--json"),
)


@pytest.mark.parametrize("arguments", LIGHT)
def test_commands_that_only_print_stay_light(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    modules = modules_loaded_by(tmp_path, *arguments)
    assert "kobold_tui.cli" in modules
    assert heavy(modules) == []


def test_planning_stays_light_also_where_llama_cpp_is_asked(tmp_path: Path, tiny_llama: Path) -> None:
    modules = modules_loaded_by(tmp_path, "fit", str(tiny_llama), "--free", "1G", "--exact")
    assert "kobold_tui.cli.fitting" in modules
    assert heavy(modules) == []


def importing(tmp_path: Path, name: str) -> set[str]:
    code = f"import json, sys, {name}; print(); print(json.dumps(sorted(sys.modules)))"
    done = run(tmp_path, code)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def rings(modules: set[str]) -> set[str]:
    return {module.split(".")[1] for module in modules if module.startswith("kobold_tui.")}


@pytest.mark.parametrize(
    ("ring", "below"),
    [
        ("domain", set()),
        ("gguf", {"domain"}),
        ("engine", {"domain", "gguf"}),
        ("catalogue", {"domain", "gguf"}),
        ("hardware", {"domain", "gguf"}),
        ("storage", {"domain", "gguf"}),
    ],
)
def test_a_ring_loads_only_what_lies_below_it(tmp_path: Path, ring: str, below: set[str]) -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "kobold_tui" / ring).rglob("*.py"))
        if "worker" not in path.parts and path.stem != "__init__"
    ]
    modules = importing(tmp_path, ", ".join(names))
    assert rings(modules) <= {ring} | below
    assert heavy(modules - {"numpy"}) in ([], ["numpy"]) if ring == "domain" else heavy(modules) == []


def test_the_engine_starts_the_worker_without_importing_it(tmp_path: Path) -> None:
    modules = importing(tmp_path, "kobold_tui.engine.process")
    assert not [module for module in modules if module.startswith("kobold_tui.engine.worker")]


def test_the_supervisor_loads_nothing_of_ours(tmp_path: Path) -> None:
    assert rings(importing(tmp_path, "kobold_tui.supervisor")) == {"supervisor"}


def test_services_know_no_front_end(tmp_path: Path) -> None:
    names = [
        f"kobold_tui.services.{path.stem}" for path in (ROOT / "kobold_tui" / "services").glob("[a-z]*.py")
    ]
    modules = importing(tmp_path, ", ".join(names))
    assert not {"tui", "cli", "bootstrap"} & rings(modules)
    assert heavy(modules) == []
