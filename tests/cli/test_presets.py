"""`kobold-tui presets` lists, shows and checks presets, and exchanges them with KoboldCpp."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import CommandLine
from fake_world import model
from kcpps_talk import DATA, FILES
from program import Program

SINGLE = str(DATA / "02_cuda_single_q8kv.kcpps")
VISION = str(DATA / "05_admin_router_embed_vision.kcpps")


@pytest.fixture
def presets(command_line: CommandLine, tmp_path: Path) -> Path:
    """The folder of the user's presets."""
    command_line.world.models = (model("alpha"),)
    command_line.world.keep_presets_in(tmp_path)
    (tmp_path / "presets").mkdir()
    return tmp_path / "presets"


def test_presets_are_listed_for_people_and_for_scripts(command_line: CommandLine, presets: Path) -> None:
    (presets / "a.toml").write_text('name = "mine"\ndescription = "quick"\nmodel = "alpha"')
    (presets / "r.toml").write_text('name = "recipe"')
    (presets / "broken.toml").write_text("name =")
    told = command_line.run("presets")
    assert told.status == 0
    assert ["mine" in line and "quick" in line for line in told.out.splitlines()] == [False, True, False]
    assert "any model" in told.out
    assert "broken.toml" in told.err
    document = command_line.run("presets", "list", "--json").json
    assert document["presets"][0] == {
        "name": "mine",
        "description": "quick",
        "kind": "chat",
        "model": "alpha",
        "endpoint": None,
        "source": "user",
        "path": str(presets / "a.toml"),
        "writable": True,
    }
    assert document["presets"][1]["model"] is None
    assert document["failed"][0]["title"] == "Not valid TOML"
    assert command_line.run("presets", "--json").json == document


def test_a_preset_is_shown_with_all_that_it_extends(command_line: CommandLine, presets: Path) -> None:
    (presets / "base.toml").write_text('name = "base"\n[load]\nn_ctx = 512')
    (presets / "top.toml").write_text('name = "top"\nextends = "base"\nmodel = "\\u001b[2Jm"')
    told = command_line.run("presets", "show", "top")
    assert "n_ctx = 512" in told.out
    assert "\x1b" not in told.out
    assert command_line.run("presets", "show", "top", "--json").json["preset"]["load"] == {"n_ctx": 512}
    missing = command_line.run("presets", "show", "tpo")
    assert missing.status == 2
    assert "Did you mean top" in missing.err


def test_validation_ends_with_1_where_a_file_is_wrong(command_line: CommandLine, presets: Path) -> None:
    (presets / "good.toml").write_text('name = "good"')
    assert command_line.run("presets", "validate").status == 0
    bad = presets / "bad.toml"
    bad.write_text('name = "bad"\n[load]\nn_ctxx = 5')
    told = command_line.run("presets", "validate")
    assert told.status == 1
    assert "ok     good" in told.out
    assert str(bad) in told.out
    assert "load.n_ctxx" in told.out
    assert "Did you mean n_ctx?" in told.out
    one = command_line.run("presets", "validate", str(bad), "good", SINGLE, "--json")
    assert one.status == 1
    assert [check["ok"] for check in one.json["checked"]] == [False, True, True]
    assert one.json["checked"][0]["error"]["hint"] == "Did you mean n_ctx?"


def test_an_import_saves_a_preset_and_reports_every_key(command_line: CommandLine, presets: Path) -> None:
    told = command_line.run("presets", "import", "--name", "big", SINGLE, "--json")
    assert told.status == 0
    document = told.json
    assert document["file"] == str(presets / "big.toml")
    assert document["preset"]["load"]["n_ctx"] == 32768
    keys = json.loads(Path(SINGLE).read_text("utf-8"))
    assert [row["key"] for row in document["report"]] == list(keys)
    assert {"key", "value", "status", "note"} <= set(document["report"][0])
    assert "s3cret" not in told.out + told.err
    again = command_line.run("presets", "import", SINGLE, "--name", "big")
    assert again.status == 1
    assert "holds a preset of that name already" in again.err
    assert command_line.run("presets", "import", SINGLE, "--name", "big", "--overwrite").status == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_report_is_readable_at_80_columns(command_line: CommandLine, presets: Path, path: Path) -> None:
    told = command_line.run("presets", "import", str(path), "--dry-run")
    lines = [line for line in told.out.splitlines() if "https://" not in line]
    assert max(map(len, lines)) <= 80
    order = [line.split(" ")[0] for line in lines if line and line[0] != " " and "(" in line]
    usual = ["refused", "unsupported", "approximated", "mapped", "ignored"]
    assert order == [word for word in usual if word in order]
    named = " ".join(lines).replace(",", " ").replace(":", " ").split()
    assert set(json.loads(path.read_text("utf-8"))) <= set(named)
    assert list(presets.iterdir()) == []


def test_a_report_says_what_to_fetch(command_line: CommandLine, presets: Path) -> None:
    told = command_line.run("presets", "import", VISION)
    assert "/resolve/main/gemma-3-12b-it-Q4_K_M.gguf" in told.out
    assert len(list(presets.iterdir())) == 2
    document = command_line.run("presets", "import", VISION, "--overwrite", "--json").json
    assert [offer["key"] for offer in document["downloads"]] == ["model_param", "mmproj"]
    assert document["companions"][0]["preset"]["kind"] == "embedding"


def test_an_export_writes_a_file_and_tells_what_gets_lost(
    command_line: CommandLine, presets: Path, tmp_path: Path
) -> None:
    (presets / "p.toml").write_text('name = "p"\nmodel = "alpha"\n[chat]\nsystem_prompt = "Be brief."')
    to = tmp_path / "out.kcpps"
    told = command_line.run("presets", "export", "p", "--to", str(to))
    assert told.status == 0
    assert "chat.system_prompt" in told.out
    assert json.loads(to.read_text("utf-8"))["model_param"] == "/models/alpha-Q4_1.gguf"
    again = command_line.run("presets", "export", "p", "--to", str(to), "--json")
    assert (again.status, again.json["error"]["title"]) == (2, "The file exists")
    replaced = command_line.run("presets", "export", "p", "--to", str(to), "--overwrite", "--json").json
    assert replaced["file"] == str(to)
    assert {"chat.system_prompt"} <= {row["key"] for row in replaced["report"]}


def test_what_is_no_file_of_koboldcpp_is_an_error(command_line: CommandLine, presets: Path) -> None:
    (presets / "x.kcpps").write_text("[")
    told = command_line.run("presets", "import", str(presets / "x.kcpps"), "--json")
    assert told.status == 1
    assert "line 1" in told.json["error"]["message"]


@pytest.mark.parametrize(
    "argv", [("nonsense",), ("import",), ("export", "p"), ("show",), ("list", "--to", "x")]
)
def test_wrong_usage_is_told(command_line: CommandLine, presets: Path, argv: tuple[str, ...]) -> None:
    assert command_line.run("presets", *argv).status == 2


def test_the_program_brings_presets_and_finds_a_folder_of_koboldcpps_files(program: Program) -> None:
    done = program("presets", "list", "--json", "--presets-dir", str(DATA))
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    sources = {row["name"]: row["source"] for row in document["presets"]}
    assert sources["long context"] == "bundled"
    assert sources["07_template"] == "kcpps"
    assert document["failed"] == []


def test_a_recipe_and_a_model_are_named_side_by_side(
    program: Program, tiny_llama: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "brief.toml").write_text(
        'name = "brief"\n[load]\nn_ctx = 256\n[sampling]\ntemperature = 0\n[chat]\nmax_tokens = 3'
    )
    words = ("--preset", "brief", "--model", str(tiny_llama), "--presets-dir", str(folder), "-p", "Hello")
    done = program(*words, "--cli")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    kcpps = tmp_path / "x.kcpps"
    kcpps.write_text(json.dumps({"model_param": str(tiny_llama), "contextsize": 256, "defaultgenamt": 3}))
    direct = program("--preset", str(kcpps), "-p", "Hello")
    assert direct.returncode == 0, direct.stderr
    assert direct.stdout.strip()
