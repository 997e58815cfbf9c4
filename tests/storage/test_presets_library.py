"""Presets are renamed, copied, deleted and taken back without losing a byte of what a person wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from kobold_tui.domain.errors import KoboldError, UsageError
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_file import PresetConflict
from kobold_tui.storage import preset_trash
from kobold_tui.storage.paths import bundled_dir
from kobold_tui.storage.preset_library import PresetLibrary

TEXT = '# my notes\nname   = "old name"   # a name\nmodel = "m.gguf"\n\n[load] # sizes\nn_ctx = 512\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "presets").mkdir()
    return tmp_path / "presets"


@pytest.fixture
def library(folder: Path, tmp_path: Path) -> PresetLibrary:
    return PresetLibrary((bundled_dir("presets"), folder), folder, tmp_path / "trash")


def test_renaming_keeps_comments_and_all_else(library: PresetLibrary, folder: Path) -> None:
    (folder / "old-name.toml").write_text(TEXT)
    stored = library.rename("old name", 'new "name"')
    assert stored.path.name == "new-name.toml"
    assert stored.path.read_text() == TEXT.replace('"old name"', '"new \\"name\\""')
    assert not (folder / "old-name.toml").exists()


def test_renaming_leaves_a_file_name_that_a_person_chose(library: PresetLibrary, folder: Path) -> None:
    (folder / "chosen.toml").write_text(TEXT)
    assert library.rename("old name", "new").path == folder / "chosen.toml"


def test_renaming_changes_no_name_inside_a_table_or_text(library: PresetLibrary, folder: Path) -> None:
    text = 'description = """\nname = "x"\n"""\nname = \'p\'\n[load.override_kv]\nname = "y"\n'
    (folder / "p.toml").write_text(text)
    with pytest.raises(KoboldError, match="no line of its own"):
        library.rename("p", "q")
    assert (folder / "p.toml").read_text() == text


def test_a_name_that_is_taken_is_not_given_again(library: PresetLibrary, folder: Path) -> None:
    (folder / "old-name.toml").write_text(TEXT)
    library.save(Preset(name="other"))
    with pytest.raises(PresetConflict):
        library.rename("old name", "other")
    assert library.rename("old name", "Old Name").preset.name == "Old Name"


def test_what_others_extend_is_neither_renamed_nor_deleted(library: PresetLibrary, folder: Path) -> None:
    library.save(Preset(name="base"))
    library.save(Preset(name="top", extends="base"))
    with pytest.raises(KoboldError, match=r"'top' extends 'base'"):
        library.rename("base", "other")
    with pytest.raises(KoboldError, match=r"'top' extends 'base'"):
        library.delete("base")


def test_what_is_not_the_users_is_not_changed(library: PresetLibrary, folder: Path) -> None:
    (folder / "k.kcpps").write_text("{}")
    with pytest.raises(KoboldError, match="came with the program"):
        library.delete("starter")
    with pytest.raises(KoboldError, match="file of KoboldCpp"):
        library.rename("k", "l")


def test_a_deletion_is_taken_back_byte_by_byte(library: PresetLibrary, folder: Path) -> None:
    path = folder / "p.toml"
    path.write_text(TEXT)
    path.chmod(0o640)
    deleted = library.delete("old name")
    assert not path.exists()
    assert library.find("old name") is None
    assert library.undelete(deleted).preset.name == "old name"
    assert path.read_text() == TEXT
    assert path.stat().st_mode & 0o777 == 0o640


def test_taking_back_takes_no_others_place(library: PresetLibrary, folder: Path) -> None:
    deleted = library.delete(library.save(Preset(name="p", model="1.gguf")).preset.name)
    library.save(Preset(name="p", model="2.gguf"))
    with pytest.raises(PresetConflict):
        library.undelete(deleted)
    assert library.read("p").preset.model == "2.gguf"
    library.delete("p")
    assert library.undelete(deleted).preset.model == "1.gguf"


def test_the_trash_keeps_the_newest(
    library: PresetLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preset_trash, "MAX_KEPT", 2)
    for name in ("a", "b", "c"):
        library.delete(library.save(Preset(name=name)).preset.name)
    assert [path.name.split("-")[1] for path in sorted((tmp_path / "trash").iterdir())] == [
        "b.toml",
        "c.toml",
    ]


def test_copies_get_names_of_their_own(library: PresetLibrary) -> None:
    first = library.save(Preset(name="p"))
    names = [library.save_copy(first.preset).preset.name for _ in range(2)]
    assert names == ["p copy", "p copy 2"]
    assert library.save_copy(library.read("p copy").preset).preset.name == "p copy 3"
    assert library.save_copy(first.preset, "mine").preset.name == "mine"


def test_presets_are_found_by_name_whatever_the_capitals_and_by_file(
    library: PresetLibrary, folder: Path
) -> None:
    library.save(Preset(name="Big Model"))
    assert library.read("big model").preset.name == "Big Model"
    assert library.read(str(folder / "big-model.toml")).preset.name == "Big Model"
    with pytest.raises(UsageError, match="No preset is called 'bog model'") as caught:
        library.read("bog model")
    assert "Big Model" in caught.value.hint


def test_a_file_elsewhere_extends_what_stands_beside_it_and_in_the_usual_folders(
    library: PresetLibrary, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "base.toml").write_text('name = "near"\nextends = "starter"\n[load]\nn_batch = 64')
    path = elsewhere / "top.toml"
    path.write_text('name = "top"\nextends = "near"\n[load]\nn_ctx = 300')
    load = library.read(str(path)).preset.load
    assert (load.n_ctx, load.n_batch) == (300, 64)
    path.write_text('name = "top"\nextends = "far"')
    with pytest.raises(KoboldError, match="'far', which does not exist"):
        library.read(str(path))
