"""Files of KoboldCpp among the user's presets: imported, opened as they are, and written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kcpps_talk import DATA

from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.preset import Preset
from kobold_tui.domain.preset_file import PresetConflict
from kobold_tui.storage.preset_exchange import PresetExchange
from kobold_tui.storage.preset_library import PresetLibrary

TAGS = {"user_start": "<u>", "assistant_start": "<a>"}


@pytest.fixture
def library(tmp_path: Path) -> PresetLibrary:
    return PresetLibrary((tmp_path / "presets",), tmp_path / "presets", tmp_path / "trash")


@pytest.fixture
def exchange(library: PresetLibrary, tmp_path: Path) -> PresetExchange:
    return PresetExchange(library, tmp_path / "templates")


def write(path: Path, values: dict[str, object]) -> Path:
    path.write_text(json.dumps(values))
    return path


def test_an_import_is_saved_with_its_companions_and_holds_no_secret(
    exchange: PresetExchange, library: PresetLibrary
) -> None:
    outcome = exchange.import_file(DATA / "05_admin_router_embed_vision.kcpps", "vision")
    assert [stored.preset.name for stored in library.list().presets] == ["vision", "vision embeddings"]
    assert outcome.stored == library.read("vision")
    text = "".join(stored.path.read_text() for stored in (outcome.stored, *outcome.companions))
    assert "adminpw" not in text
    assert "echo ready" not in text
    assert outcome.stored.path.stat().st_mode & 0o777 == 0o600


def test_an_import_replaces_nothing_without_asking(exchange: PresetExchange, library: PresetLibrary) -> None:
    path = DATA / "02_cuda_single_q8kv.kcpps"
    library.save(Preset(name="02_cuda_single_q8kv", model="mine.gguf"))
    with pytest.raises(PresetConflict):
        exchange.import_file(path)
    assert library.read("02_cuda_single_q8kv").preset.model == "mine.gguf"
    assert exchange.import_file(path, "other").stored.preset.name == "other"
    assert exchange.import_file(path, overwrite=True).stored.preset.model.startswith("/models/Qwen")


def test_a_file_in_the_users_folder_is_imported_over_itself(
    exchange: PresetExchange, library: PresetLibrary, tmp_path: Path
) -> None:
    (tmp_path / "presets").mkdir()
    path = write(tmp_path / "presets" / "tuned.kcpps", {"model_param": "m.gguf"})
    assert library.read("tuned").source == "kcpps"
    assert exchange.import_file(path).stored.source == "user"
    assert library.read("tuned").source == "user"


def test_tags_become_a_private_template_file_that_the_preset_names(
    exchange: PresetExchange, tmp_path: Path
) -> None:
    path = write(tmp_path / "tags.kcpps", {"model_param": "m.gguf", "chatcompletionsadapter": TAGS})
    template = Path(exchange.open(path).chat.template)
    assert template.parent == tmp_path / "templates"
    assert "<u>" in template.read_text()
    assert template.stat().st_mode & 0o777 == 0o600
    assert exchange.import_file(path).stored.preset.chat.template == str(template)
    assert list(template.parent.iterdir()) == [template]


def test_a_preview_writes_nothing(exchange: PresetExchange, tmp_path: Path) -> None:
    path = write(tmp_path / "tags.kcpps", {"model_param": "m.gguf", "chatcompletionsadapter": TAGS})
    assert exchange.preview(path, "x").preset.name == "x"
    assert [found.name for found in tmp_path.iterdir()] == ["tags.kcpps"]


def test_an_export_is_a_file_that_imports_again(exchange: PresetExchange, tmp_path: Path) -> None:
    preset = Preset(name="p", model="m.gguf")
    outcome = exchange.export(preset, tmp_path / "out")
    assert outcome.path == tmp_path / "out.kcpps"
    assert exchange.open(outcome.path).model == "m.gguf"
    with pytest.raises(UsageError, match="exists already"):
        exchange.export(preset, tmp_path / "out.kcpps")
    exchange.export(preset, outcome.path, overwrite=True)
