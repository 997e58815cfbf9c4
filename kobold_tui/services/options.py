"""What the command line decides before anything is opened; it beats every file."""

from __future__ import annotations

import msgspec


class StartOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of one start: what to open and where to look; empty means: as the settings say."""

    preset: str = ""
    model: str = ""
    load: bool = False
    models_dirs: tuple[str, ...] = ()
    presets_dirs: tuple[str, ...] = ()
    theme: str = ""
    demo: bool = False
