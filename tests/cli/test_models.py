"""`kobold-tui models` lists what there is, for people in columns and for scripts as JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from command_line import CommandLine
from fake_world import World, model

from kobold_tui.cli.output import cell_width
from kobold_tui.domain.model import ModelEntry, ModelFault


def entry(name: str, path: str) -> ModelEntry:
    return msgspec.structs.replace(model(name), path=path)


def test_json_has_models_and_failed_files(command_line: CommandLine) -> None:
    fault = ModelFault(path="/models/broken.gguf", reason="It is cut off.")
    command_line.world = World([model("tiny"), fault])
    document = command_line.run("models", "--json").json
    assert document["failed"] == [{"path": "/models/broken.gguf", "reason": "It is cut off."}]
    (row,) = document["models"]
    assert row["name"] == "tiny"
    assert row["chat_template"] is True
    assert list(row) == [
        *("path", "name", "architecture", "kind", "parameters", "quantization", "size_bytes"),
        *("n_layer", "n_ctx_train", "n_embd", "chat_template", "shards", "source"),
        *("family", "base_model", "modified_at", "copies", "projectors"),
    ]


def test_list_is_what_models_does_alone(command_line: CommandLine) -> None:
    command_line.world = World([model("tiny")])
    assert command_line.run("models", "list", "--json").out == command_line.run("models", "--json").out


def test_failed_files_are_told_apart_from_the_list(command_line: CommandLine) -> None:
    command_line.world = World([model("tiny"), ModelFault(path="/m/broken.gguf", reason="It is cut off.")])
    outcome = command_line.run("models")
    assert outcome.status == 0
    assert "broken" not in outcome.out
    assert "Not usable: /m/broken.gguf: It is cut off." in outcome.err


def test_columns_are_aligned_whatever_the_width_of_the_characters(command_line: CommandLine) -> None:
    command_line.world = World([model("中文模型"), model("plain"), model("e\u0301tude")])
    lines = command_line.run("models").out.splitlines()
    ends = {cell_width(line[: line.index("llama")]) for line in lines[1:]}
    assert len(ends) == 1


def test_a_name_cannot_steer_the_terminal(command_line: CommandLine) -> None:
    command_line.world = World([model("evil\x1b]0;title\x07\u202ename")])
    outcome = command_line.run("models")
    assert "\x1b" not in outcome.out
    assert "\u202e" not in outcome.out


def test_a_narrow_terminal_marks_what_it_cuts(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kobold_tui.cli.commands.models.screen_width", lambda: 80)
    command_line.world = World([entry("a" * 60, "/models/deep/folder/" + "b" * 60 + ".gguf")])
    lines = command_line.run("models").out.splitlines()
    assert all(cell_width(line) <= 80 for line in lines)
    assert "…" in lines[1]
    assert lines[1].endswith("b.gguf")


def test_with_a_folder_only_what_lies_in_it_is_listed(command_line: CommandLine, tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    command_line.world = World(
        [entry("in", f"{inside}/in.gguf"), entry("out", f"{outside}/out.gguf")],
    )
    document = command_line.run("models", str(inside), "--json").json
    assert [row["name"] for row in document["models"]] == ["in"]
    assert command_line.options.models_dirs == (str(inside),)


def test_a_folder_that_is_not_there_is_wrong_usage(command_line: CommandLine) -> None:
    outcome = command_line.run("models", "list", "/no/such/place", "--json")
    assert outcome.status == 2
    assert "/no/such/place" in outcome.json["error"]["message"]


def test_where_there_is_nothing_the_person_learns_what_to_do(command_line: CommandLine) -> None:
    outcome = command_line.run("models")
    assert (outcome.status, outcome.out) == (0, "")
    assert "kobold-tui models DIR" in outcome.err
