"""Saving loses nothing unasked: no comment, no later change, no other preset, no order of keys."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import PRESETS

from kobold_tui.domain.errors import KoboldError, UsageError
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.preset import ChatOptions, Preset
from kobold_tui.domain.preset_file import PresetConflict, PresetFile
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.storage.paths import bundled_dir
from kobold_tui.storage.preset_library import PresetLibrary
from kobold_tui.storage.preset_text import has_comments


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "presets").mkdir()
    return tmp_path / "presets"


@pytest.fixture
def library(folder: Path, tmp_path: Path) -> PresetLibrary:
    return PresetLibrary((bundled_dir("presets"), folder), folder, tmp_path / "trash")


def changed(stored: PresetFile, **values: object) -> Preset:
    return msgspec.structs.replace(stored.preset, **values)


def test_a_saved_preset_is_loaded_the_same(library: PresetLibrary, folder: Path) -> None:
    preset = Preset(
        name="Qwen/3 on one card!", model="~/q.gguf", chat=ChatOptions(system_prompt="a\nb", stop=("x",))
    )
    stored = library.save(preset)
    assert (stored.preset, stored.path, stored.source) == (preset, folder / "qwen-3-on-one-card.toml", "user")
    assert library.read(preset.name) == stored
    assert stored.path.stat().st_mode & 0o777 == 0o600


@given(PRESETS)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_preset_is_loaded_as_it_was_saved(
    tmp_path_factory: pytest.TempPathFactory, preset: Preset
) -> None:
    folder = tmp_path_factory.mktemp("any")
    library = PresetLibrary((folder,), folder, folder / "trash")
    stored = library.save(preset)
    assert stored.preset == preset
    assert library.save(stored.preset, stored).preset == preset


def test_keys_keep_the_order_of_the_file(library: PresetLibrary, folder: Path) -> None:
    path = folder / "p.toml"
    path.write_text(
        'model = "m.gguf"\nname = "p"\n[chat]\nmax_tokens = 9\n[load]\nuse_mmap = true\nn_ctx = 512\n'
    )
    stored = library.read("p")
    load = msgspec.structs.replace(stored.preset.load, n_ctx=1024, n_batch=64)
    library.save(changed(stored, load=load, sampling=SamplingOptions(top_k=3)), stored)
    keys = [line.split(" =")[0] for line in path.read_text().splitlines() if line]
    assert keys == [
        "model",
        "name",
        "[chat]",
        "max_tokens",
        "[load]",
        "use_mmap",
        "n_ctx",
        "n_batch",
        "[sampling]",
        "top_k",
    ]
    assert "use_mmap = true" in path.read_text(), "what was stated stays stated, though it is the default"


def test_a_value_that_is_set_to_none_leaves_the_file(library: PresetLibrary, folder: Path) -> None:
    (folder / "p.toml").write_text('name = "p"\n[sampling]\nseed = 5\ntop_k = 3\n')
    stored = library.read("p")
    again = library.save(changed(stored, sampling=SamplingOptions(top_k=3)), stored)
    assert again.preset.sampling.seed is None
    assert "seed" not in (folder / "p.toml").read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('name = "p" # mine', True),
        ("# mine\nname = 'p'", True),
        ('name = "p"\nmodel = "#1.gguf"', False),
        ("name = 'p'\nmodel = '#1.gguf'", False),
        ('name = "p"\ndescription = """a\n# b"""', False),
        ('name = "p"\ndescription = """a\\"""# b"""', False),
        ("name = 'p'\ndescription = '''# ''''''", False),
        ('name = "p"\ndescription = "\\"" # mine', True),
        ('name = "p"\ndescription = "\\u0023" # mine', True),
    ],
)
def test_a_comment_is_told_from_a_number_sign_in_a_text(text: str, expected: bool) -> None:
    assert has_comments(text) is expected


def test_comments_are_not_lost_without_asking(library: PresetLibrary, folder: Path) -> None:
    path = folder / "p.toml"
    path.write_text('name = "p" # mine\nmodel = "#1.gguf"')
    stored = library.read("p")
    with pytest.raises(PresetConflict, match="has comments") as caught:
        library.save(changed(stored, model="#2.gguf"), stored)
    assert caught.value.reasons == ("comments",)
    assert "# mine" in path.read_text()
    again = library.save(changed(stored, model="#2.gguf"), stored, overwrite=True)
    library.save(changed(again, model="#3.gguf"), again)
    assert "#3.gguf" in path.read_text()


def test_a_change_by_hand_is_not_lost_without_asking(library: PresetLibrary, folder: Path) -> None:
    path = folder / "p.toml"
    path.write_text('name = "p"\nmodel = "old.gguf"')
    stored = library.read("p")
    path.write_text('name = "p"\nmodel = "by-hand.gguf"')
    with pytest.raises(PresetConflict, match="changed on disk") as caught:
        library.save(changed(stored, model="mine.gguf"), stored)
    assert caught.value.reasons == ("changed",)
    assert "by-hand" in path.read_text()
    copy = library.save_copy(changed(stored, model="mine.gguf"))
    assert (copy.preset.name, copy.preset.model) == ("p copy", "mine.gguf")


def test_another_preset_of_that_name_is_not_lost_without_asking(library: PresetLibrary, folder: Path) -> None:
    path = folder / "handmade.toml"
    path.write_text('name = "p"\nmodel = "old.gguf"')
    with pytest.raises(PresetConflict, match="of that name already"):
        library.save(Preset(name="p", model="new.gguf"))
    assert library.save(Preset(name="p", model="new.gguf"), overwrite=True).path == path


def test_names_never_share_a_file_and_never_leave_the_folder(library: PresetLibrary, folder: Path) -> None:
    names = [
        "P!",
        "P?",
        "p",
        "../../etc/passwd",
        "..",
        "a" * 200,
        "漢" * 190,
        "𠀀" * 100,
        "é",
        "e\u0301",
        "CON",
        "😀",
    ]
    paths = [library.save(Preset(name=name)).path for name in names]
    assert len({str(path).casefold() for path in paths}) == len(names)
    assert all(path.parent == folder for path in paths)
    assert [library.read(name).preset.name for name in names] == names


@pytest.mark.parametrize("name", ["", " ", " p", "a\nb", "a\x1b[2J", "x" * 201, "p.toml", "q.KCPPS"])
def test_a_name_that_cannot_be_shown_or_typed_is_refused(library: PresetLibrary, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        library.save(Preset(name=name))


def test_a_preset_that_extends_another_states_only_what_differs(library: PresetLibrary, folder: Path) -> None:
    (folder / "base.toml").write_text('name = "base"\nmodel = "m.gguf"\n[load]\nn_ctx = 1024\nn_batch = 64\n')
    load = LoadOptions(n_ctx=2048)
    preset = Preset(name="top", extends="base", model="m.gguf", load=load)
    stored = library.save(preset)
    assert stored.preset == preset
    text = stored.path.read_text()
    assert "model" not in text
    assert "n_ctx = 2048" in text
    assert "n_batch = 512" in text, "a default that the base has changed must be stated"


def test_what_a_base_sets_cannot_be_left_out_by_a_save(library: PresetLibrary, folder: Path) -> None:
    (folder / "base.toml").write_text('name = "base"\n[sampling]\nseed = 5\n')
    with pytest.raises(KoboldError, match="'base' sets something"):
        library.save(Preset(name="top", extends="base"))
    with pytest.raises(KoboldError, match="'nobody', which does not exist"):
        library.save(Preset(name="top", extends="nobody"))


def test_a_preset_of_the_program_is_saved_among_the_users_own(library: PresetLibrary, folder: Path) -> None:
    starter = library.read("starter")
    stored = library.save(changed(starter, description="mine"), starter)
    assert stored.path == folder / "starter.toml"
    assert library.read("starter").preset.description == "mine"
    assert starter.path.read_text() == (bundled_dir("presets") / "starter.toml").read_text()


def test_a_full_disk_leaves_the_old_file(
    library: PresetLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = library.save(Preset(name="p", model="old.gguf"))

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KoboldError, match="No space left"):
        library.save(changed(stored, model="new.gguf"), stored)
    assert "old.gguf" in stored.path.read_text()
    assert [path.name for path in folder.iterdir()] == ["p.toml"]


def test_a_value_out_of_range_is_not_written(library: PresetLibrary, folder: Path) -> None:
    with pytest.raises(KoboldError, match=r"load\.n_ctx"):
        library.save(Preset(name="p", load=LoadOptions(n_ctx=1)))
    with pytest.raises(KoboldError, match="TOML"):
        library.save(Preset(name="p", description="\ud800"))
    assert list(folder.iterdir()) == []
