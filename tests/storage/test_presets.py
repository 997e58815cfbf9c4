"""Presets are files; one broken file never keeps the others from loading."""

from __future__ import annotations

from pathlib import Path

import pytest

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.preset import ChatOptions, Preset
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.storage.paths import bundled_dir
from kobold_tui.storage.presets import load_presets, save_preset


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
    starter = next(stored for stored in loaded if stored.preset.name == "starter")
    assert starter.bundled
    assert starter.preset.model == "SmolLM2-135M-Instruct.Q4_1.gguf"


def test_broken_files_are_named_and_the_others_are_loaded(folder: Path) -> None:
    write(folder, "b.toml", 'name = "b"')
    write(folder, "a.toml", 'name = "A"')
    write(folder, "syntax.toml", "name =")
    write(folder, "unknown.toml", 'name = "x"\nmodle = "y"')
    write(folder, "notes.txt", "not a preset")
    loaded, failed = load_presets([folder, folder.parent / "absent"])
    assert [stored.preset.name for stored in loaded] == ["A", "b"]
    assert [stored.bundled for stored in loaded] == [False, False]
    assert sorted(Path(failure.message.split(":")[0]).name for failure in failed) == [
        "syntax.toml",
        "unknown.toml",
    ]
    assert any("Did you mean model?" in failure.hint for failure in failed)


def test_a_later_folder_takes_precedence(folder: Path) -> None:
    write(folder, "mine.toml", 'name = "starter"\ndescription = "mine"')
    loaded, failed = load_presets([bundled_dir("presets"), folder])
    (starter,) = [stored for stored in loaded if stored.preset.name == "starter"]
    assert (starter.preset.description, starter.bundled, failed) == ("mine", False, ())


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


def test_extending_nothing_or_oneself_is_reported(folder: Path) -> None:
    write(folder, "a.toml", 'name = "a"\nextends = "b"')
    write(folder, "b.toml", 'name = "b"\nextends = "a"')
    write(folder, "c.toml", 'name = "c"\nextends = "nobody"')
    write(folder, "d.toml", 'name = "d"')
    loaded, failed = load_presets([folder])
    assert [stored.preset.name for stored in loaded] == ["d"]
    assert len(failed) == 3
    assert any("'nobody', which does not exist" in failure.message for failure in failed)


def test_a_saved_preset_is_loaded_the_same(folder: Path) -> None:
    preset = Preset(
        name="Qwen/3 on one card!", model="~/q.gguf", chat=ChatOptions(system_prompt="a\nb", stop=("x",))
    )
    path = save_preset(folder, preset)
    assert path.name == "qwen-3-on-one-card.toml"
    (stored,), failed = load_presets([folder])
    assert (stored.preset, stored.path, failed) == (preset, path, ())


def test_saving_replaces_the_preset_of_that_name_wherever_it_stands(folder: Path) -> None:
    path = write(folder, "handmade.toml", 'name = "p"\nmodel = "old.gguf"')
    assert save_preset(folder, Preset(name="p", model="new.gguf")) == path
    assert save_preset(folder, Preset(name="P!")) == folder / "p.toml"
    assert save_preset(folder, Preset(name="P?")) == folder / "p-2.toml"
    loaded, failed = load_presets([folder])
    assert len(loaded) == 3
    assert failed == ()


def test_comments_are_not_lost_without_asking(folder: Path) -> None:
    path = write(folder, "p.toml", 'name = "p" # mine\nmodel = "#1.gguf"')
    with pytest.raises(KoboldError, match="holds comments"):
        save_preset(folder, Preset(name="p"))
    assert "# mine" in path.read_text()
    save_preset(folder, Preset(name="p", model="#2.gguf"), overwrite_comments=True)
    save_preset(folder, Preset(name="p", model="#3.gguf"))
    assert "#3.gguf" in path.read_text()
