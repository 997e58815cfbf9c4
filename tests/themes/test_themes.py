"""Theme files: the bundled ones are readable, broken ones are named and stop nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.color import Color
from textual.theme import BUILTIN_THEMES
from textual.widgets import Static

from kobold_tui.domain.errors import KoboldError
from kobold_tui.storage.themes import load_themes, read_theme
from kobold_tui.tui.theming import DEFAULT_VARIABLES, to_textual, variable_defaults

BUNDLED = Path(__file__).resolve().parents[2] / "themes"
NAMES = ["ember", "paper"]
TEXTS = ["foreground", "quiet", "primary", "accent", "success", "warning", "error"]
CHAT_TEXTS = [name for name in DEFAULT_VARIABLES if name.startswith("chat-")]
NO_TEXTS = {"chat-rule", "chat-code-background"}
GAUGE_FILLS = [name for name in DEFAULT_VARIABLES if name.startswith("gauge-") and name != "gauge-free"]

MINIMAL = """
name = "mine"
dark = true
[colors]
primary = "#ff0000"
secondary = "ansi_blue"
accent = "#00ff00"
foreground = "#ffffff"
background = "#000000"
surface = "#111111"
panel = "#222222"
success = "#00ff00"
warning = "#ffff00"
error = "#ff0000"
"""


def luminance(color: Color) -> float:
    """Relative luminance as WCAG 2 defines it."""

    def channel(value: int) -> float:
        share = value / 255
        return share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4

    return 0.2126 * channel(color.r) + 0.7152 * channel(color.g) + 0.0722 * channel(color.b)


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(Color.parse(one)), luminance(Color.parse(other))), reverse=True)
    return (high + 0.05) / (low + 0.05)


def variables(name: str) -> dict[str, str]:
    theme = to_textual(load_themes([BUNDLED])[0][name])
    return {**theme.to_color_system().generate(), **theme.variables}


def test_the_bundled_themes_load() -> None:
    loaded, failed = load_themes([BUNDLED])
    assert failed == []
    assert sorted(loaded) == NAMES
    assert (loaded["ember"].dark, loaded["paper"].dark) == (True, False)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ground", ["background", "surface", "panel"])
def test_text_is_readable_on_every_ground(name: str, ground: str) -> None:
    values = variables(name)
    texts = [*TEXTS, *(text for text in CHAT_TEXTS if text not in NO_TEXTS)]
    poor = {text: round(contrast(values[text], values[ground]), 2) for text in texts}
    assert {text: ratio for text, ratio in poor.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_of_the_gauge_stand_out(name: str) -> None:
    values = variables(name)
    ratios = {fill: round(contrast(values[fill], values["background"]), 2) for fill in GAUGE_FILLS}
    assert {fill: ratio for fill, ratio in ratios.items() if ratio < 3} == {}


@pytest.mark.parametrize("name", NAMES)
def test_the_bundled_code_styles_exist(name: str) -> None:
    from pygments.styles import get_all_styles  # type: ignore[import-untyped]  # ships no types

    assert variables(name)["code-style"] in set(get_all_styles())


@pytest.mark.parametrize("name", sorted(BUILTIN_THEMES))
def test_every_variable_has_a_colour_under_every_theme(name: str) -> None:
    values = variable_defaults(BUILTIN_THEMES[name])
    assert set(DEFAULT_VARIABLES) < set(values)
    assert all(Color.parse(values[variable]) for variable in DEFAULT_VARIABLES)


async def test_an_incomplete_theme_never_stops_the_app(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(MINIMAL)

    class Themed(App[None]):
        CSS = "".join(f".{name} {{ color: ${name}; }}\n" for name in DEFAULT_VARIABLES)

        def get_theme_variable_defaults(self) -> dict[str, str]:
            return variable_defaults(self.current_theme)

        def compose(self) -> ComposeResult:
            yield Static("text", classes="gauge-model")

    app = Themed()
    async with app.run_test() as pilot:
        app.register_theme(to_textual(read_theme(tmp_path / "mine.toml")))
        app.theme = "mine"
        await pilot.pause()
        assert app.query_one(Static).styles.color == Color.parse("#ff0000")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('primary = "#ff0000"', 'primary = "reddish"'), ["colors.primary", "reddish", "#rrggbb"]),
        (('primary = "#ff0000"', 'primary = "#f00"'), ["colors.primary", "#f00"]),
        (('primary = "#ff0000"\n', ""), ["primary"]),
        (("dark = true", "dark = true\nglow = 1"), ["glow"]),
        (("dark = true", 'dark = true\ncode = "a b"'), ["code", "Pygments"]),
        (("[colors]", '[variables]\nquiet = "x; y"\n[colors]'), ["variables.quiet"]),
        (("[colors]", '[variables]\n"Quiet!" = "#000000"\n[colors]'), ["Quiet!"]),
        (("[colors]", "[colors"), []),
    ],
)
def test_a_broken_theme_is_named_with_its_key(
    tmp_path: Path, change: tuple[str, str], words: list[str]
) -> None:
    (tmp_path / "broken.toml").write_text(MINIMAL.replace(*change))
    (tmp_path / "good.toml").write_text(MINIMAL)
    loaded, failed = load_themes([tmp_path])
    assert list(loaded) == ["mine"]
    (failure,) = failed
    assert failure.path == str(tmp_path / "broken.toml")
    assert all(word in failure.error.message for word in ["broken.toml", *words])


def test_a_theme_of_the_user_replaces_a_bundled_one(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(MINIMAL.replace('"mine"', '"ember"'))
    loaded, _ = load_themes([BUNDLED, tmp_path, tmp_path / "missing"])
    assert loaded["ember"].colors.primary == "#ff0000"


def test_a_missing_file_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(KoboldError, match=r"none\.toml"):
        read_theme(tmp_path / "none.toml")
