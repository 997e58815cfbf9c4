"""Leaves in order when the system asks: on SIGTERM and SIGHUP answers are stored and models unloaded."""

from __future__ import annotations

import asyncio
import signal

from textual.app import App

ENDING = (signal.SIGTERM, signal.SIGHUP)


def leave_on_signals(app: App[int]) -> None:
    """Make the signals end the app as ctrl+q does; to be called on the app's loop."""
    loop = asyncio.get_running_loop()
    for number in ENDING:
        loop.add_signal_handler(number, app.exit, 128 + number)
