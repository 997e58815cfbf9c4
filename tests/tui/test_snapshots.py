"""What the screen looks like, at three sizes, in the states that people see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fake_world import GIB, World, model
from textual.pilot import Pilot

from kobold_tui.domain.gpu import GpuProcess, GpuSnapshot
from kobold_tui.domain.model import ModelEntry, ModelFault
from kobold_tui.engine.script import Fault, Script
from kobold_tui.services import answer
from kobold_tui.tui.panes.memory import MemoryPane
from kobold_tui.tui.widgets.banner import Banner
from tests.tui.conftest import Driver

if TYPE_CHECKING:
    from tests.tui.conftest import MakeApp

SIZES = [(80, 24), (120, 40), (200, 60)]
MODELS: list[ModelEntry | ModelFault] = [
    model("SmolLM2 135M Instruct"),
    model("Qwen3 30B A3B Instruct 2507", size_bytes=18_600_000_000, parameters=30_500_000_000),
    model("all-MiniLM-L6-v2", "embedding", size_bytes=46_000_000, parameters=22_700_000),
    ModelFault(path="/models/half-a-download.gguf", reason="The file is truncated."),
]
REPLY = """\
## Why the sky is blue

Sunlight is scattered by *air molecules*; short waves **much more** than long ones.

1. Light enters the atmosphere
2. Blue is scattered about `(700/450)^4` times as much
   - violet even more, but we see less of it

```python
def rayleigh(wavelength_nm: float) -> float:
    return (550 / wavelength_nm) ** 4
```

| colour | nm | scattered |
|---|--:|--:|
| blue | 450 | 2.2 |
| red | 700 | 0.4 |

> At sunset the path is longer, so the blue is gone.
"""
CARDS = tuple(
    GpuSnapshot(
        index=index,
        uuid=f"GPU-{index}",
        name="NVIDIA A100-SXM4-80GB",
        memory_total_bytes=80 * GIB,
        memory_used_bytes=used * GIB,
        utilization_percent=37,
        temperature_c=54,
        processes=(GpuProcess(pid=1, memory_bytes=used * GIB // 2, instance="ours"),),
    )
    for index, used in [(0, 46), (1, 12)]
)

Compare = Callable[..., bool]
Story = Callable[[Driver], Awaitable[None]]


async def started(driver: Driver) -> None:
    await driver.until(lambda: driver.rows)
    await driver.until(lambda: driver.workbench.reading is not None)


async def answered(driver: Driver) -> None:
    await started(driver)
    await driver.pilot.press("home", "down", "down")
    await driver.load()
    await driver.say("Why is the sky blue?")
    await driver.until_answered()
    await driver.pilot.press("ctrl+end")  # where the view stands must not depend on when frames came


async def streaming(driver: Driver) -> None:
    await started(driver)
    await driver.pilot.press("home", "down", "down")
    await driver.load()
    await driver.say("Why is the sky blue?")
    await driver.until(
        lambda: driver.transcript.items and driver.transcript.items[-1].text.endswith("short waves")
    )


async def crashed(driver: Driver) -> None:
    await started(driver)
    await driver.pilot.press("home", "down", "down")
    await driver.load()
    await driver.say("Why is the sky blue?")
    await driver.until_state("Failed")
    await driver.until_answered()
    await driver.until(lambda: driver.workbench.query_one(Banner).is_shown)


async def helped(driver: Driver) -> None:
    await started(driver)
    await driver.pilot.press("f4")
    await driver.until(lambda: driver.workbench.pane == "chat")
    await driver.pilot.press("f1")
    await driver.until(lambda: driver.pilot.app.screen.query("MarkdownParagraph"))


async def carded(driver: Driver) -> None:
    await started(driver)
    pane = driver.workbench.query_one(MemoryPane)
    await driver.until(lambda: "GPU 1" in pane.text or "GPU 0" in pane.text)


STORIES: dict[str, tuple[Story, Script, dict[str, Any]]] = {
    "models": (started, Script(), {}),
    "answer": (answered, Script(reply=REPLY), {}),
    "streaming": (streaming, Script(reply=REPLY, hold_answer_after=14), {}),
    "crash": (crashed, Script(reply=REPLY, at_answer=Fault(kind="kill"), after_tokens=14), {}),
    "help": (helped, Script(), {}),
    "cards": (carded, Script(), {"gpus": CARDS}),
}


@pytest.fixture(autouse=True)
def standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the measured times out of the picture."""
    monkeypatch.setattr(answer, "time", SimpleNamespace(monotonic=lambda: 0.0))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", STORIES)
def test_the_screen(make_app: MakeApp, snap_compare: Compare, name: str, size: tuple[int, int]) -> None:
    story, script, hardware = STORIES[name]
    world = World(MODELS, script, slow=True, **hardware)
    world.accelerators = ("CUDA",)

    async def tell(pilot: Pilot[int]) -> None:
        driver = Driver(pilot)
        await story(driver)
        await driver.until_still()

    assert snap_compare(make_app(world), terminal_size=size, run_before=tell)


def test_the_light_theme(make_app: MakeApp, snap_compare: Compare) -> None:
    async def tell(pilot: Pilot[int]) -> None:
        driver = Driver(pilot)
        await answered(driver)
        await driver.until_still()

    world = World(MODELS, Script(reply=REPLY), slow=True)
    assert snap_compare(make_app(world, theme="paper"), terminal_size=(120, 40), run_before=tell)
