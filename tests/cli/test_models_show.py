"""`kobold-tui models show` tells everything that a model file says, and `models` knows its verbs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import CommandLine
from fake_world import World, model

from kobold_tui.bootstrap import open_services
from kobold_tui.cli import main as cli
from kobold_tui.cli.frame import guarded
from kobold_tui.cli.output import cell_width


class RealCommandLine:
    """Commands over the real catalogue, with a home and places of the test's own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def run(self, *argv: str) -> tuple[int, str, str]:
        status = guarded(lambda: cli.run(cli.parse(argv), open_services), as_json="--json" in argv)
        captured = self._capsys.readouterr()
        return status, captured.out, captured.err


@pytest.fixture
def real(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RealCommandLine:
    """The command line with empty places."""
    monkeypatch.setenv("KOBOLD_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    for name in ("HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS", "LLAMA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return RealCommandLine(capsys)


def test_a_person_reads_what_matters_first(real: RealCommandLine, tiny_llama: Path) -> None:
    status, out, err = real.run("models", "show", str(tiny_llama))
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == ["tiny-llama", "  chat · llama · F32 · 590 KiB"]
    for line in (
        "  layers           2, 160 KiB each",
        "  KV cache f16   512 B a token, 1.00 MiB at full context",
        "  chat template  default (134 characters)",
        "  vocabulary     512 tokens",
        "  f32        21     148k  577 KiB  100.0%",
        "  tokenizer.ggml.tokens            512 × string",
        "  attention.head_count              4",
    ):
        assert line in lines, f"{line!r} is not in\n{out}"


def test_the_width_of_a_terminal_is_kept(
    real: RealCommandLine, tiny_moe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kobold_tui.cli.commands.models.screen_width", lambda: 60)
    _, out, _ = real.run("models", "show", str(tiny_moe))
    assert max(cell_width(line) for line in out.splitlines()) <= 60
    assert "used by a token" in out
    assert "of the weights" in out


def test_scripts_get_everything_as_json(real: RealCommandLine, tiny_llama: Path) -> None:
    import json

    status, out, _ = real.run("models", "show", str(tiny_llama), "--json")
    document = json.loads(out)
    assert status == 0
    assert document["entry"]["name"] == "tiny-llama"
    assert document["paths"] == [str(tiny_llama)]
    assert document["n_vocab"] == 512
    assert document["kv_costs"][0] == {
        "type_name": "f16",
        "bytes_per_token": 512,
        "bytes_per_old_token": 512,
    }
    sections = {section["title"]: section["values"] for section in document["sections"]}
    assert sections["general"]["general.name"] == "tiny-llama"
    assert sections["tokenizer"]["tokenizer.ggml.tokens"] == {"length": 512, "element_type": "string"}


@pytest.fixture
def alone(tiny_llama: Path, tmp_path: Path) -> Path:
    """The model in a folder of its own."""
    path = tmp_path / "alone" / tiny_llama.name
    path.parent.mkdir()
    shutil.copy(tiny_llama, path)
    return path


def test_a_model_can_be_named_and_its_folder_given_after_the_verb(real: RealCommandLine, alone: Path) -> None:
    status, out, _ = real.run("models", "show", "tiny-llama", "--models-dir", str(alone.parent))
    assert status == 0
    assert out.startswith("tiny-llama\n")


def test_a_broken_file_is_the_works_failure(real: RealCommandLine, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    status, out, err = real.run("models", "show", str(broken))
    assert (status, out) == (1, "")
    assert "ends inside its header" in err


def test_with_a_folder_nothing_else_is_looked_through(real: RealCommandLine, alone: Path) -> None:
    status, out, _ = real.run("models", str(alone.parent), "--json")
    assert status == 0
    assert f'"path":"{alone}"' in out
    assert "Python package" not in out


@pytest.mark.parametrize(
    "argv",
    [
        ("models", "--json"),
        ("models", "list", "--json"),
        ("models", "--json", "list"),
        ("models", "--models-dir", "list", "--json"),
        ("models", "--models-dir=/x", "list", "--json"),
    ],
)
def test_without_a_verb_the_models_are_listed(command_line: CommandLine, argv: tuple[str, ...]) -> None:
    command_line.world = World([model("tiny")])
    assert [row["name"] for row in command_line.run(*argv).json["models"]] == ["tiny"]


def test_a_folder_with_the_name_of_a_verb_can_be_listed(
    command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "show").mkdir()
    monkeypatch.chdir(tmp_path)
    command_line.run("models", "list", "show", "--json")
    assert command_line.options.models_dirs == (str(tmp_path / "show"),)


def test_a_show_without_a_model_is_wrong_usage(command_line: CommandLine) -> None:
    outcome = command_line.run("models", "show")
    assert outcome.status == 2
    assert "MODEL" in outcome.err


def test_help_names_the_verbs(command_line: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    for argv, words in (
        (("models", "-h"), ("list", "show")),
        (("models", "show", "-h"), ("MODEL", "--json")),
    ):
        with pytest.raises(SystemExit) as ended:
            command_line.run(*argv)
        assert ended.value.code == 0
        out = capsys.readouterr().out
        assert all(word in out for word in words)
