"""Finding the model a person means."""

from __future__ import annotations

from pathlib import Path

import pytest

from kobold_tui.domain.errors import ModelFileError, UsageError
from kobold_tui.domain.model import Kind, ModelEntry, ModelFault
from kobold_tui.services.models import ModelsService
from kobold_tui.services.own_thread import OwnThread


def entry(name: str, kind: Kind = "chat") -> ModelEntry:
    return ModelEntry(
        path=f"/models/{name}.gguf",
        name=name,
        architecture="llama",
        kind=kind,
        parameters=1,
        quantization="Q4_0",
        size_bytes=1,
        n_layer=1,
        n_ctx_train=1,
        n_embd=1,
        chat_template=True,
        shards=1,
        source="test",
    )


def read(path: Path, source: str) -> ModelEntry:
    if not path.exists():
        raise ModelFileError("Not found", f"{path} does not exist.")
    return entry(f"read {path.name} for {source}")


def service(*items: ModelEntry | ModelFault, default: str = "") -> ModelsService:
    return ModelsService(lambda: items, read, OwnThread("files"), default)


QWEN, SMOL, MINI = entry("Qwen3-8B"), entry("SmolLM2-135M"), entry("MiniLM", "embedding")


async def test_models_are_sorted_and_faults_are_apart() -> None:
    fault = ModelFault(path="/models/broken.gguf", reason="truncated")
    models, faults = await service(SMOL, fault, QWEN).list_models()
    assert models == (QWEN, SMOL)
    assert faults == (fault,)


@pytest.mark.parametrize("reference", ["Qwen3-8B", "qwen3-8b", "Qwen3-8B.gguf", "qwen"])
async def test_a_name_or_a_part_of_it_finds_the_model(reference: str) -> None:
    assert await service(QWEN, SMOL).resolve(reference) == QWEN


async def test_a_path_is_read_even_if_no_store_holds_it(tmp_path: Path) -> None:
    file = tmp_path / "own.gguf"
    file.touch()
    found = await service(QWEN).resolve(str(file))
    assert found.name == "read own.gguf for command line"


async def test_a_path_that_is_not_there_is_the_files_own_error() -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        await service(QWEN).resolve("/nowhere/model.gguf")


async def test_a_file_name_that_nothing_bears_is_the_files_own_error() -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        await service(QWEN).resolve("missing.gguf")


async def test_without_a_name_the_only_chat_model_is_meant() -> None:
    assert await service(MINI, SMOL).resolve(None) == SMOL


async def test_without_a_name_the_default_of_the_settings_wins() -> None:
    assert await service(QWEN, SMOL, default="smol").resolve(None) == SMOL


@pytest.mark.parametrize(
    ("models", "reference", "words"),
    [
        ((), None, "no GGUF model"),
        ((QWEN, SMOL), None, "There are 2 models"),
        ((QWEN, entry("Qwen3-30B")), "qwen3", "fits Qwen3-30B.gguf, Qwen3-8B.gguf"),
        ((QWEN, SMOL), "smollm3", "No model is called"),
    ],
)
async def test_none_or_several_are_an_error_that_lists_them(
    models: tuple[ModelEntry, ...], reference: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        await service(*models).resolve(reference)


async def test_a_near_miss_is_offered() -> None:
    with pytest.raises(UsageError) as caught:
        await service(QWEN, SMOL).resolve("SmolLM3-135M")
    assert "SmolLM2-135M.gguf" in caught.value.hint
