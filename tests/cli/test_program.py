"""The whole program as a user starts it, with real workers and generated models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from program import Program

ROOT = Path(__file__).parents[2]


def test_a_real_model_answers_in_json(program: Program, tiny_llama: Path) -> None:
    arguments = ("--raw", "-p", "hello", "--temperature", "0", "--max-tokens", "8", "--threads", "1")
    first, second = (program("chat", str(tiny_llama), *arguments, "--json") for _ in range(2))
    document = json.loads(first.stdout)
    assert first.returncode == 0, first.stderr
    assert document["completion_tokens"] <= 8
    assert document["finish_reason"] in {"stop", "length"}
    assert document["prompt_tokens"] > 0
    assert json.loads(second.stdout)["text"] == document["text"]
    assert first.stderr == ""


def test_options_and_a_pipe_without_a_command_are_a_chat(program: Program, tiny_llama: Path) -> None:
    done = program("--model", str(tiny_llama), piped="hello\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\n")


def test_a_one_shot_answer_leaves_no_conversation_behind(
    program: Program, tiny_llama: Path, tmp_path: Path
) -> None:
    program("chat", str(tiny_llama), "-p", "hello", "--max-tokens", "4")
    assert not list((tmp_path / "home" / "data").glob("conversations.db*"))


def test_models_loads_nothing_heavy(program: Program, tmp_path: Path) -> None:
    code = (
        "import sys; from kobold_tui.__main__ import main; main(['models', '--json'])\n"
        "print({'textual', 'llama_cpp', 'numpy', 'jinja2'} & sys.modules.keys(), file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KOBOLD_TUI_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stderr == "set()\n"


def test_doctor_finds_a_working_worker(program: Program) -> None:
    checks = {row["name"]: row for row in json.loads(program("doctor", "--json").stdout)["checks"]}
    assert checks["llama-cpp-python"]["ok"]
    assert checks["python"]["ok"]
    assert checks["folders"]["ok"]
