"""Turns theme files into Textual themes and gives every variable of the app a value under every theme.

The style sheets use variables beyond Textual's own (`$quiet`, `$gauge-model`, …); one that no theme defines
would stop the app. So each has a default here, mixed from the colours that a theme is sure to have, and
the app hands `variable_defaults` of its current theme to Textual.
"""

from __future__ import annotations

from typing import NamedTuple

from textual.color import Color
from textual.theme import Theme

from kobold_tui.storage.themes import ThemeFile

CODE_STYLE_VARIABLE = "code-style"
"""The variable that holds the name of the Pygments style of code blocks."""

DEFAULT_DARK_CODE_STYLE = "one-dark"
DEFAULT_LIGHT_CODE_STYLE = "xcode"


class Tone(NamedTuple):
    """A colour of the theme, of which `fade` (0 to 1) is given over to the background."""

    color: str
    fade: float = 0.0


DEFAULT_VARIABLES: dict[str, Tone] = {
    "quiet": Tone("foreground", 0.3),
    "faint": Tone("foreground", 0.78),
    "chat-user": Tone("primary"),
    "chat-assistant": Tone("foreground"),
    "chat-label": Tone("foreground", 0.25),
    "chat-reasoning": Tone("foreground", 0.3),
    "chat-heading": Tone("primary"),
    "chat-code": Tone("accent"),
    "chat-code-background": Tone("surface"),
    "chat-link": Tone("secondary"),
    "chat-quote": Tone("foreground", 0.25),
    "chat-rule": Tone("foreground", 0.7),
    "chat-selected": Tone("accent"),
    "chat-interrupted": Tone("warning"),
    "gauge-model": Tone("primary"),
    "gauge-instance-2": Tone("secondary"),
    "gauge-instance-3": Tone("success"),
    "gauge-instance-4": Tone("accent", 0.3),
    "gauge-load": Tone("secondary", 0.2),
    "card-border": Tone("foreground", 0.78),
    "card-stale": Tone("foreground", 0.6),
    "gauge-kv": Tone("secondary"),
    "gauge-compute": Tone("success"),
    "gauge-overhead": Tone("foreground", 0.5),
    "gauge-other": Tone("foreground", 0.65),
    "gauge-predicted": Tone("accent"),
    "gauge-free": Tone("foreground", 0.8),
    "gauge-reserve": Tone("warning"),
    "gauge-warn": Tone("warning"),
    "gauge-critical": Tone("error"),
}
"""Every colour variable that the app's style sheets use beyond Textual's own."""


def to_textual(theme_file: ThemeFile) -> Theme:
    """Return the Textual theme of a theme file, complete with a value for each variable of the app."""
    colors = theme_file.colors
    theme = Theme(
        name=theme_file.name,
        dark=theme_file.dark,
        primary=colors.primary,
        secondary=colors.secondary,
        accent=colors.accent,
        foreground=colors.foreground,
        background=colors.background,
        surface=colors.surface,
        panel=colors.panel,
        success=colors.success,
        warning=colors.warning,
        error=colors.error,
        variables=dict(theme_file.variables),
    )
    if theme_file.code is not None:
        theme.variables.setdefault(CODE_STYLE_VARIABLE, theme_file.code)
    theme.variables = {**variable_defaults(theme), **theme.variables}
    return theme


def variable_defaults(theme: Theme) -> dict[str, str]:
    """Return a value for every variable of the app under `theme`, whichever theme that is.

    Meant for `App.get_theme_variable_defaults`; values of the theme itself win over these.
    """
    generated = theme.to_color_system().generate()
    background = Color.parse(generated["background"])
    values = {
        name: _mix(Color.parse(getattr(theme, tone.color) or generated[tone.color]), background, tone.fade)
        for name, tone in DEFAULT_VARIABLES.items()
    }
    values[CODE_STYLE_VARIABLE] = DEFAULT_DARK_CODE_STYLE if theme.dark else DEFAULT_LIGHT_CODE_STYLE
    return values


def _mix(color: Color, background: Color, fade: float) -> str:
    """Blend towards the background; the terminal's own colours have no numbers, so grey stands in."""
    if color.ansi is not None or background.ansi is not None:
        return "ansi_bright_black" if fade else color.css
    return background.blend(color, 1 - fade, alpha=1).hex6 if fade else color.hex6
