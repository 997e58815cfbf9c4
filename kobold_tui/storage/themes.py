"""Theme files: colours by name, read from the bundled and the user's folders.

A theme is read strictly and checked colour by colour, but a broken one only lands in the list of failures:
it never keeps the program from starting. What the colours mean on screen is the front end's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from kobold_tui.domain.errors import KoboldError
from kobold_tui.storage.toml_file import read_toml

_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_ANSI_COLORS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_ANSI_NAMES = frozenset(
    ["ansi_default", *(f"ansi_{name}" for name in _ANSI_COLORS), *(f"ansi_bright_{n}" for n in _ANSI_COLORS)]
)
_VARIABLE_NAME = re.compile(r"[a-z][a-z0-9-]*")
_VARIABLE_VALUE = re.compile(r"[#\w][\w#%. -]*")
_CODE_STYLE = re.compile(r"[a-z][a-z0-9_-]*")


class ThemeColors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The colours that every theme names, each `#rrggbb` or the name of a terminal colour (`ansi_red`)."""

    primary: Annotated[str, Meta(description="What is active or marked.")]
    secondary: Annotated[str, Meta(description="A second tone beside primary.")]
    accent: Annotated[str, Meta(description="Keys and small marks that should catch the eye.")]
    foreground: Annotated[str, Meta(description="Text.")]
    background: Annotated[str, Meta(description="The screen.")]
    surface: Annotated[str, Meta(description="Fields and raised areas.")]
    panel: Annotated[str, Meta(description="Bars and side panels.")]
    success: Annotated[str, Meta(description="Done, fits.")]
    warning: Annotated[str, Meta(description="Tight, needs a look.")]
    error: Annotated[str, Meta(description="Failed, does not fit.")]


class ThemeFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One theme as it stands in its file; `variables` override single parts of the screen by name.

    `code` names the Pygments style of code blocks; None leaves it to the brightness of the theme.
    """

    name: Annotated[str, Meta(min_length=1, max_length=40)]
    dark: bool
    colors: ThemeColors
    variables: dict[str, str] = {}
    code: str | None = None


class FailedTheme(msgspec.Struct, frozen=True, kw_only=True):
    """A theme file that was left out, and why."""

    path: str
    error: KoboldError


def load_themes(directories: Iterable[Path]) -> tuple[dict[str, ThemeFile], list[FailedTheme]]:
    """Return the themes of all folders by name, and the files that could not be used.

    A theme in a later folder replaces one of the same name; folders that do not exist are skipped.
    """
    loaded: dict[str, ThemeFile] = {}
    failed: list[FailedTheme] = []
    for directory in directories:
        for path in sorted(directory.glob("*.toml")):
            try:
                theme = read_theme(path)
            except KoboldError as error:
                failed.append(FailedTheme(path=str(path), error=error))
            else:
                loaded[theme.name] = theme
    return loaded, failed


def read_theme(path: Path) -> ThemeFile:
    """Read and check one theme file; raises KoboldError that names the file and the key."""
    theme = read_toml(path, ThemeFile)
    for problem in _problems(theme):
        raise KoboldError("Theme not usable", f"{path}: {problem}", "Mend that line or remove the file.")
    return theme


def is_color(value: str) -> bool:
    """Whether a theme may use `value` as one of its colours."""
    return _HEX.fullmatch(value) is not None or value in _ANSI_NAMES


def _problems(theme: ThemeFile) -> Iterator[str]:
    for name in ThemeColors.__struct_fields__:
        value: str = getattr(theme.colors, name)
        if not is_color(value):
            yield f"colors.{name} is {value!r}, but a colour is #rrggbb or a name such as ansi_red."
    for name, value in theme.variables.items():
        if not _VARIABLE_NAME.fullmatch(name):
            yield f"variables.{name!r} is no variable name: use small letters, digits and hyphens."
        elif not _VARIABLE_VALUE.fullmatch(value) or (value.startswith("#") and not _is_tinted(value)):
            yield f"variables.{name} is {value!r}, but a value is #rrggbb, a share of it, or a word."
    if theme.code is not None and not _CODE_STYLE.fullmatch(theme.code):
        yield f"code is {theme.code!r}, but it must name a Pygments style, such as monokai."


def _is_tinted(value: str) -> bool:
    return re.fullmatch(r"#[0-9a-fA-F]{6}( \d{1,3}%)?", value) is not None
