"""The whole program as a user starts it, with real workers and generated models."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return how to run the program in a home of its own, with nothing on its standard input."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KOBOLD_TUI_HOME": str(tmp_path / "home")}
    environment["HF_HOME"] = str(tmp_path / "no-cache")
    environment.pop("KOBOLD_TUI_DEBUG", None)

    def run(*argv: str, piped: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kobold_tui", *argv],
            input=piped,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
            timeout=60,
        )

    return run


BROKEN = {
    "empty": b"",
    "text": b"this is not a model at all, only text " * 20,
    "web page": b"<!DOCTYPE html><html><body>Not found</body></html>" * 20,
    "wrong magic": b"GGML" + bytes(400),
    "huge header": b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60) + bytes(400),
}


@pytest.mark.parametrize("kind", [*BROKEN, "truncated"])
def test_a_broken_model_is_one_sentence_that_names_the_file(
    program: Program, tmp_path: Path, tiny_llama: Path, kind: str
) -> None:
    file = tmp_path / f"{kind.replace(' ', '-')}.gguf"
    whole = tiny_llama.read_bytes()
    file.write_bytes(BROKEN.get(kind, whole[: len(whole) // 2]))
    done = program("chat", str(file), "-p", "hello", "--json")
    assert done.returncode == 1
    assert file.name in json.loads(done.stdout)["error"]["message"]
    assert "Traceback" not in done.stderr


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


def test_models_lists_a_folder_and_what_is_broken_in_it(
    program: Program, tiny_llama: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "good.gguf").write_bytes(tiny_llama.read_bytes())
    (folder / "bad.gguf").write_bytes(b"")
    done = program("models", str(folder), "--json")
    document = json.loads(done.stdout)
    assert [Path(row["path"]).name for row in document["models"]] == ["good.gguf"]
    assert [Path(row["path"]).name for row in document["failed"]] == ["bad.gguf"]
    assert (done.returncode, done.stderr) == (0, "")


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
