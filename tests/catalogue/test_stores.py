"""Models are found where each program keeps them, under the names that it gives them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kobold_tui.catalogue.ollama import OllamaStore
from kobold_tui.catalogue.places import LmStudioStore, default_stores, hugging_face_cache
from kobold_tui.catalogue.scan import scan
from kobold_tui.catalogue.stores import HuggingFaceStore, ModelStore, PackageStore
from kobold_tui.domain.model import ModelEntry, ModelFault

WriteModel = Callable[..., Path]


def entries(*stores: ModelStore) -> list[ModelEntry]:
    return [item for item in scan(stores) if isinstance(item, ModelEntry)]


def test_files_of_python_packages_are_found_by_their_records(write_model: WriteModel, tmp_path: Path) -> None:
    write_model(tmp_path / "pkg" / "shipped.gguf")
    write_model(tmp_path / "pkg" / "unlisted.gguf")
    info = tmp_path / "pkg-1.0.dist-info"
    info.mkdir()
    (info / "RECORD").write_text(
        "pkg/__init__.py,sha256=x,1\npkg/shipped.gguf,sha256=y,2\npkg/removed.gguf,,\npkg/shipped.gguf.txt,,\n"
    )
    (found,) = PackageStore([str(tmp_path), str(tmp_path / "absent.zip")]).find()
    assert (found.path, getattr(found, "source", "")) == (tmp_path / "pkg" / "shipped.gguf", "Python package")


def test_the_hugging_face_cache_is_read_by_its_snapshots(write_model: WriteModel, tmp_path: Path) -> None:
    repository = tmp_path / "models--org--name"
    blob = write_model(repository / "blobs" / "abc123")
    for revision in ("rev1", "rev2"):
        (repository / "snapshots" / revision).mkdir(parents=True)
        (repository / "snapshots" / revision / "m.gguf").symlink_to(blob)
    (tmp_path / "datasets--org--name" / "snapshots").mkdir(parents=True)
    (entry,) = entries(HuggingFaceStore(tmp_path))
    assert entry.path == str(repository / "snapshots" / "rev1" / "m.gguf")
    assert entry.copies == (str(repository / "snapshots" / "rev2" / "m.gguf"),)
    assert entry.source == "Hugging Face cache"


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({}, "/c/huggingface/hub"),
    ],
)
def test_the_hugging_face_cache_is_where_its_variables_say(environ: dict[str, str], folder: str) -> None:
    assert hugging_face_cache(environ, Path("/c")) == Path(folder)


class Ollama:
    """A store of Ollama, written as Ollama writes it."""

    def __init__(self, folder: Path, write_model: WriteModel) -> None:
        self.folder = folder
        self._write_model = write_model

    def blob(self, **metadata: str | int) -> str:
        path = self._write_model(self.folder / "blobs" / "new", **metadata)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path.rename(self.folder / "blobs" / f"sha256-{digest}")
        return f"sha256:{digest}"

    def manifest(self, name: str, **layers: str) -> Path:
        path = self.folder / "manifests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "layers": [
                {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": digest, "size": 1}
                for kind, digest in layers.items()
            ],
        }
        path.write_text(json.dumps(document))
        return path

    def path(self, digest: str) -> str:
        return str(self.folder / "blobs" / digest.replace(":", "-"))


@pytest.fixture
def ollama(tmp_path: Path, write_model: WriteModel) -> Ollama:
    """An empty store of Ollama."""
    return Ollama(tmp_path, write_model)


def test_models_of_ollama_bear_the_names_of_their_manifests(ollama: Ollama) -> None:
    llama, other = ollama.blob(general__name="a"), ollama.blob(general__name="b")
    ollama.manifest("registry.ollama.ai/library/llama3.2/3b", model=llama, license="sha256:" + "0" * 64)
    ollama.manifest("registry.ollama.ai/library/llama3.2/latest", model=llama)
    ollama.manifest("registry.ollama.ai/someone/tuned/q4", model=other)
    ollama.manifest("hf.co/org/name-GGUF/Q4_K_M", model=other)
    found = {entry.name: entry for entry in entries(OllamaStore(ollama.folder))}
    assert set(found) == {"llama3.2:3b, llama3.2:latest", "hf.co/org/name-GGUF:Q4_K_M, someone/tuned:q4"}
    assert found["llama3.2:3b, llama3.2:latest"].path == ollama.path(llama)
    assert found["llama3.2:3b, llama3.2:latest"].source == "Ollama"


def test_a_manifest_tells_which_projector_belongs_to_the_model(ollama: Ollama) -> None:
    model = ollama.blob(general__name="seer")
    projector = ollama.blob(general__architecture="clip")
    stranger = ollama.blob(general__name="stranger")
    ollama.manifest("registry.ollama.ai/library/seer/latest", model=model, projector=projector)
    ollama.manifest("registry.ollama.ai/library/blind/latest", model=stranger)
    found = {entry.name: entry for entry in entries(OllamaStore(ollama.folder))}
    assert found["seer:latest"].projectors == (ollama.path(projector),)
    assert found["seer:latest projector"].kind == "projector"
    assert found["blind:latest"].projectors == ()


def test_broken_manifests_and_missing_blobs_are_faults(ollama: Ollama) -> None:
    ollama.manifest("registry.ollama.ai/library/gone/latest", model="sha256:" + "a" * 64)
    ollama.manifest("registry.ollama.ai/library/evil/latest", model="sha256:../../../etc/passwd")
    ollama.manifest("registry.ollama.ai/library/cut/latest").write_text('{"layers": [{')
    ollama.manifest("registry.ollama.ai/library/huge/latest").write_bytes(b" " * (1024 * 1024 + 1))
    reasons = {
        Path(fault.path).parts[-2]: fault.reason
        for fault in scan([OllamaStore(ollama.folder)])
        if isinstance(fault, ModelFault)
    }
    assert "No such file" in reasons["blobs"]
    assert "damaged" in reasons["cut"]
    assert "too large" in reasons["huge"]
    assert len(reasons) == 3


def test_a_store_of_ollama_that_somebody_asked_for_is_missed(tmp_path: Path) -> None:
    assert not list(scan([OllamaStore(tmp_path / "absent")]))
    (fault,) = scan([OllamaStore(tmp_path / "absent", expected=True)])
    assert isinstance(fault, ModelFault)


def test_lm_studio_keeps_its_models_at_home_or_where_its_settings_say(
    write_model: WriteModel, tmp_path: Path
) -> None:
    home, moved, elsewhere = tmp_path / "home", tmp_path / "moved", tmp_path / "elsewhere"
    write_model(home / ".lmstudio" / "models" / "org" / "repo" / "new.gguf", general__name="new")
    write_model(home / ".cache" / "lm-studio" / "models" / "old.gguf", general__name="old")
    write_model(moved / "models" / "moved.gguf", general__name="moved")
    write_model(elsewhere / "far.gguf", general__name="far")
    (home / ".lmstudio-home-pointer").write_text(f"{moved}\n")
    (moved / "settings.json").write_text(json.dumps({"downloadsFolder": str(elsewhere), "other": [1]}))
    (home / ".lmstudio" / "settings.json").write_text("{broken")
    assert [entry.name for entry in entries(LmStudioStore(home))] == ["far", "moved", "new", "old"]


def test_every_program_has_its_place(write_model: WriteModel, tmp_path: Path) -> None:
    places = {
        "koboldcpp/k.gguf": "KoboldCpp",
        "KoboldAI/models/ai.gguf": "KoboldCpp",
        ".cache/llama.cpp/l.gguf": "llama.cpp cache",
        ".lmstudio/models/s.gguf": "LM Studio",
        "own/o.gguf": "own models",
        "mine/m.gguf": str(tmp_path / "mine"),
        ".cache/huggingface/hub/models--o--n/snapshots/r/h.gguf": "Hugging Face cache",
    }
    for place in places:
        write_model(tmp_path / place, general__name=place)
    stores = default_stores([str(tmp_path / "mine")], tmp_path / "own", {}, home=tmp_path)
    found = {entry.path: entry.source for entry in entries(*stores)}
    for place, source in places.items():
        assert found[str(tmp_path / place)] == source


def test_variables_move_the_places_of_programs(write_model: WriteModel, tmp_path: Path) -> None:
    write_model(tmp_path / "llama" / "l.gguf", general__name="l")
    write_model(tmp_path / "hf" / "hub" / "models--o--n" / "snapshots" / "r" / "h.gguf", general__name="h")
    ollama = Ollama(tmp_path / "ollama", write_model)
    ollama.manifest("registry.ollama.ai/library/o/1", model=ollama.blob(general__name="o"))
    environ = {
        "LLAMA_CACHE": str(tmp_path / "llama"),
        "HF_HOME": str(tmp_path / "hf"),
        "OLLAMA_MODELS": str(tmp_path / "ollama"),
    }
    stores = default_stores([], tmp_path / "own", environ, home=tmp_path / "home")
    assert {"l", "h", "o:1"} <= {entry.name for entry in entries(*stores)}


def test_configured_folders_come_before_all_other_stores(write_model: WriteModel, tmp_path: Path) -> None:
    mine = write_model(tmp_path / "mine" / "same.gguf")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "same.gguf").symlink_to(mine)
    stores = default_stores([str(tmp_path / "mine")], tmp_path / "own", {}, home=tmp_path / "home")
    (entry,) = [entry for entry in entries(*stores) if entry.path.startswith(str(tmp_path))]
    assert (entry.path, entry.copies) == (str(mine), (str(tmp_path / "own" / "same.gguf"),))
