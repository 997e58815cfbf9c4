"""Takes the README's pictures from the demonstration: the cards, and an answer beside the models.

Run as `python -m tools.screenshot docs/img`; where Chromium is installed PNGs are made too. The clock of the
cards stands still, so that a picture changes only where the program does.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from textual.pilot import Pilot

from kobold_tui.bootstrap import open_services, open_settings
from kobold_tui.bootstrap.demo import demo_options
from kobold_tui.domain.instance import Ready
from kobold_tui.services.backend_thread import BackendThread
from kobold_tui.services.options import StartOptions
from kobold_tui.services.registry import Services
from kobold_tui.tui.panes.chat import ChatPane
from kobold_tui.tui.panes.gpus import GpusPane
from kobold_tui.tui.screens.workbench import Workbench
from kobold_tui.tui.start import build_app

SIZE = (120, 40)
OPTIONS = demo_options(StartOptions(demo=True))
QUESTION = "What is there to see?"
MODELS = 2

Story = Callable[[Pilot[int], Workbench], Awaitable[None]]


async def take(target: Path, story: Story) -> None:
    """Run the demonstration without a terminal and save its screen."""
    open_demo = partial(open_services, OPTIONS, clock=lambda: 0.0)
    backend: BackendThread[Services] = BackendThread(open_demo)
    backend.start()
    try:
        app = build_app(backend, OPTIONS, *open_settings(OPTIONS))
        async with app.run_test(size=SIZE) as pilot:
            workbench = pilot.app.screen
            assert isinstance(workbench, Workbench)
            while sum(isinstance(each.state, Ready) for each in workbench.instances) < MODELS:
                await pilot.pause(0.1)
            await story(pilot, workbench)
            app.save_screenshot(str(target))
    finally:
        await backend.close()
    to_png(target)


async def gauge(pilot: Pilot[int], workbench: Workbench) -> None:
    """Show the cards while an answer is given."""
    await pilot.press("f4", *QUESTION, "enter")
    await pilot.press("f3")
    while "GiB" not in "".join(pane.text for pane in workbench.query(GpusPane)):
        await pilot.pause(0.1)
    await pilot.pause(2.5)


async def answer(pilot: Pilot[int], workbench: Workbench) -> None:
    """Show an answer to its end."""
    await pilot.press("f4", *QUESTION, "enter")
    chat = workbench.query_one(ChatPane)
    while not chat.replying:
        await pilot.pause(0.05)
    while chat.replying:
        await pilot.pause(0.1)
    await pilot.pause(0.5)


def to_png(svg: Path) -> None:
    """Draw the SVG with Chromium, where there is one."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("No Chromium here: the PNG was not made.")
        return
    match = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg.read_text())
    assert match is not None
    size = f"{int(float(match[1])) + 1},{int(float(match[2])) + 1}"
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={size}"]
        flags += ["--disable-background-networking", f"--user-data-dir={profile}"]
        picture = f"--screenshot={svg.with_suffix('.png')}"
        subprocess.run([browser, *flags, picture, svg.absolute().as_uri()], check=True, timeout=120)


def main() -> None:
    """Take the pictures."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, story in {"workbench": answer, "gauge": gauge}.items():
        asyncio.run(take(folder / f"{name}.svg", story))


if __name__ == "__main__":
    main()
