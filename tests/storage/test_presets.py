"""Presets are files; one broken file never keeps the others from loading."""

from __future__ import annotations

from pathlib import Path

import pytest

from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.storage.paths import bundled_dir
from kobold_tui.storage.presets import load_presets

KCPPS = Path(__file__).resolve().parents[1] / "data" / "kcpps"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "presets").mkdir()
    return tmp_path / "presets"


def write(folder: Path, file: str, text: str) -> Path:
    path = folder / file
    path.write_text(text)
    return path


def test_the_shipped_presets_are_sound(folder: Path) -> None:
    loaded, failed = load_presets([bundled_dir("presets"), folder])
    assert failed == ()
    presets = {stored.preset.name: stored.preset for stored in loaded}
    assert presets["starter"].model == "SmolLM2-135M-Instruct.Q4_1.gguf"
    recipes = {name for name, preset in presets.items() if preset.is_recipe}
    assert recipes == {
        "CPU only",
        "one big card",
        "two cards",
        "long context",
        "MoE, experts in RAM",
        "embedding",
        "story writing",
    }
    assert all(preset.description for preset in presets.values())
    assert all(stored.bundled and not stored.writable for stored in loaded)


def test_broken_files_are_named_and_the_others_are_loaded(folder: Path) -> None:
    write(folder, "b.toml", 'name = "b"')
    write(folder, "a.toml", 'name = "A"')
    write(folder, "syntax.toml", "name =")
    write(folder, "unknown.toml", 'name = "x"\nmodle = "y"')
    write(folder, "digits.toml", f'name = "x"\n[load]\nn_ctx = {"9" * 5000}')
    write(folder, "odd.kcpps", "[]")
    write(folder, "notes.txt", "not a preset")
    loaded, failed = load_presets([folder, folder.parent / "absent"])
    assert [stored.preset.name for stored in loaded] == ["A", "b"]
    assert [stored.source for stored in loaded] == ["folder", "folder"]
    named = sorted(Path(failure.message.split()[0].rstrip(":")).name for failure in failed)
    assert named == ["digits.toml", "odd.kcpps", "syntax.toml", "unknown.toml"]
    assert any("Did you mean model?" in failure.hint for failure in failed)
    assert all(failure.hint for failure in failed)


def test_a_section_that_does_not_exist_is_an_error_that_names_those_that_do(folder: Path) -> None:
    write(folder, "s.toml", 'name = "s"\n[server]\nport = 1')
    _, (failure,) = load_presets([folder])
    assert "no key server" in failure.message
    assert "sampling" in failure.hint


def test_a_later_folder_takes_precedence(folder: Path) -> None:
    write(folder, "mine.toml", 'name = "starter"\ndescription = "mine"')
    loaded, failed = load_presets([bundled_dir("presets"), folder], own=folder)
    (starter,) = [stored for stored in loaded if stored.preset.name == "starter"]
    assert (starter.preset.description, starter.source, starter.writable) == ("mine", "user", True)
    assert failed == ()


def test_two_presets_of_one_name_in_a_folder_are_reported(folder: Path) -> None:
    first = write(folder, "1.toml", 'name = "same"')
    second = write(folder, "2.toml", 'name = "same"')
    loaded, (failure,) = load_presets([folder])
    assert [stored.path for stored in loaded] == [first]
    assert str(first) in failure.message
    assert str(second) in failure.message


def test_a_preset_has_what_it_does_not_say_from_the_one_it_extends(folder: Path) -> None:
    write(
        folder,
        "base.toml",
        'name = "base"\ndescription = "d"\nmodel = "m.gguf"\n[load]\nn_ctx = 1024\nn_batch = 64\n',
    )
    write(folder, "mid.toml", 'name = "mid"\nextends = "base"\n[load]\nn_ctx = 2048\n')
    write(folder, "top.toml", 'name = "top"\nextends = "mid"\n[sampling]\ntop_k = 5\n')
    loaded, failed = load_presets([folder])
    top = {stored.preset.name: stored.preset for stored in loaded}["top"]
    assert failed == ()
    assert (top.description, top.model, top.extends) == ("", "m.gguf", "mid")
    assert top.load == LoadOptions(n_ctx=2048, n_batch=64)
    assert top.sampling == SamplingOptions(top_k=5)


def test_a_preset_may_extend_the_one_whose_place_it_takes(folder: Path) -> None:
    write(folder, "starter.toml", 'name = "starter"\nextends = "starter"\n[load]\nn_ctx = 512')
    loaded, failed = load_presets([bundled_dir("presets"), folder])
    starter = {stored.preset.name: stored.preset for stored in loaded}["starter"]
    assert failed == ()
    assert (starter.load.n_ctx, starter.model) == (512, "SmolLM2-135M-Instruct.Q4_1.gguf")
    assert starter.sampling.temperature == 0.3


def test_extending_nothing_or_oneself_is_reported(folder: Path) -> None:
    write(folder, "a.toml", 'name = "a"\nextends = "b"')
    write(folder, "b.toml", 'name = "b"\nextends = "a"')
    write(folder, "c.toml", 'name = "c"\nextends = "nobody"')
    write(folder, "d.toml", 'name = "d"')
    write(folder, "e.toml", 'name = "e"\nextends = "e"')
    write(folder, "f.toml", 'name = "f"\nextends = "a"')
    loaded, failed = load_presets([folder])
    assert [stored.preset.name for stored in loaded] == ["d"]
    assert len(failed) == 5
    assert any("'nobody', which does not exist" in failure.message for failure in failed)
    assert any("extends itself" in failure.message for failure in failed)
    assert all("a.toml" in f.message or "b.toml" in f.message for f in failed if "in the end" in f.message)


def test_a_chain_that_is_too_long_is_reported(folder: Path) -> None:
    write(folder, "p0.toml", 'name = "p0"')
    for number in range(1, 20):
        write(folder, f"p{number}.toml", f'name = "p{number}"\nextends = "p{number - 1}"')
    loaded, failed = load_presets([folder])
    assert {f"p{number}" for number in range(17)} <= {stored.preset.name for stored in loaded}
    assert len(loaded) + len(failed) == 20
    assert "more than 16" in failed[0].message


def test_koboldcpps_files_are_listed_beside_ours_and_are_not_writable(folder: Path) -> None:
    write(folder, "tuned.kcpps", '{"model_param": "m.gguf", "gpulayers": 7}')
    write(folder, "shared.kcppt", '{"istemplate": true, "contextsize": 4096}')
    write(folder, "on-top.toml", 'name = "on top"\nextends = "tuned"\n[load]\nn_ctx = 512')
    loaded, failed = load_presets([folder], own=folder)
    assert failed == ()
    assert [(s.preset.name, s.source, s.writable) for s in loaded] == [
        ("on top", "user", True),
        ("shared", "kcpps", False),
        ("tuned", "kcpps", False),
    ]
    assert loaded[0].preset.load.n_gpu_layers == 7
    assert loaded[0].preset.load.n_ctx == 512


def test_an_imported_preset_takes_the_place_of_its_file(folder: Path) -> None:
    write(folder, "tuned.kcpps", '{"model_param": "m.gguf"}')
    write(folder, "tuned.toml", 'name = "tuned"\ndescription = "ours"')
    (stored,), failed = load_presets([folder])
    assert (stored.preset.description, failed) == ("ours", ())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('api_key_env = "sk-abcdefghijklmnopqrst"', "api_key_env looks like a key"),
        ('api_key_env = "hf_AbCdEfGhIjKlMnOp"', "api_key_env looks like a key"),
        ('api_key_env = "0123456789abcdef0123456789abcdef"', "api_key_env looks like a key"),
        ('api_key_env = "not a name"', "environment variable"),
        ('endpoint_model = "sk-abcdefghijklmnopqrst"', "endpoint_model looks like a key"),
        ('endpoint = "host:8000"', "no address of a server"),
        ('endpoint = "http://me:pw@host/v1"', "password"),
        ('endpoint = "http://host/v1"\nmodel = "m.gguf"', "both model and endpoint"),
        ("[sampling]\npresence_penalty = nan", "sampling.presence_penalty is nan"),
    ],
)
def test_values_that_make_no_sense_together_are_told_without_repeating_a_key(
    folder: Path, text: str, reason: str
) -> None:
    path = write(folder, "e.toml", f'name = "e"\n{text}')
    loaded, (failure,) = load_presets([folder])
    assert loaded == ()
    assert str(path) in failure.message
    assert reason in failure.message
    assert "sk-abc" not in str(failure)


def test_a_preset_may_name_a_server_in_place_of_a_file(folder: Path) -> None:
    write(
        folder,
        "e.toml",
        'name = "e"\nendpoint = "http://10.0.0.5:8000/v1"\nendpoint_model = "big"\napi_key_env = "BIG_KEY"',
    )
    (stored,), failed = load_presets([folder])
    assert failed == ()
    remote = stored.preset.remote
    assert remote is not None
    assert (remote.url, remote.model, remote.api_key_env) == ("http://10.0.0.5:8000/v1", "big", "BIG_KEY")
