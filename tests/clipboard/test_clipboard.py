"""A copy arrives by the way that works in the place where the program runs, and says which."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from kobold_tui.domain.errors import KoboldError
from kobold_tui.services.clipboard import OSC52_LIMIT_BYTES, Clipboard

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="the programs of X11 and Wayland")


class Place:
    """A machine with programs of our own making; each stores its arguments and what it was fed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.terminal = ""

    def install(self, name: str, status: int = 0) -> None:
        program = self.programs / name
        program.write_text(f'#!/bin/sh\necho "$@" > "$0.args"\n/bin/cat > "$0.fed"\nexit {status}\n')
        program.chmod(0o755)

    def fed(self, name: str) -> str:
        return (self.programs / f"{name}.fed").read_text()

    def arguments(self, name: str) -> str:
        return (self.programs / f"{name}.args").read_text().strip()

    def clipboard(
        self, environ: Mapping[str, str] = MappingProxyType({}), *, terminal: bool = True
    ) -> Clipboard:
        def write(sequence: str) -> None:
            self.terminal += sequence

        return Clipboard(
            {"PATH": str(self.programs), **environ},
            write if terminal else None,
            fallback_dir=self.folder / "data",
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_inside_tmux_the_copy_goes_through_tmux_even_over_ssh(place: Place) -> None:
    place.install("tmux")
    clipboard = place.clipboard({"TMUX": "/run/tmux,1,0", "SSH_CONNECTION": "a b c d"})
    assert clipboard.route == "tmux"
    assert clipboard.copy("naïve ☕").route == "tmux"
    assert place.arguments("tmux") == "load-buffer -w -"
    assert place.fed("tmux") == "naïve ☕"
    assert place.terminal == ""


def test_an_old_tmux_that_refuses_leaves_the_copy_to_the_terminal(place: Place) -> None:
    place.install("tmux", status=1)
    assert place.clipboard({"TMUX": "/run/tmux,1,0"}).copy("text").route == "osc52"


def test_over_ssh_the_terminal_at_the_other_end_takes_it(place: Place) -> None:
    place.install("xclip")
    result = place.clipboard({"SSH_CONNECTION": "a b c d", "DISPLAY": ":10"}).copy("far away")
    assert result.route == "osc52"
    start, payload = place.terminal.removesuffix("\x07").rsplit(";", 1)
    assert start == "\x1b]52;c"
    assert base64.b64decode(payload) == b"far away"


@pytest.mark.parametrize(
    ("program", "variable", "arguments"),
    [
        ("wl-copy", "WAYLAND_DISPLAY", ""),
        ("xclip", "DISPLAY", "-selection clipboard"),
        ("xsel", "DISPLAY", "--clipboard --input"),
    ],
)
def test_on_a_desktop_its_own_program_is_fed(
    place: Place, program: str, variable: str, arguments: str
) -> None:
    place.install(program)
    result = place.clipboard({variable: ":0"}).copy("near")
    assert result.route == "local"
    assert program in result.detail
    assert place.fed(program) == "near"
    assert place.arguments(program) == arguments


def test_a_desktop_program_without_a_desktop_is_not_tried(place: Place) -> None:
    place.install("xclip")
    assert place.clipboard().copy("text").route == "osc52"


def test_what_is_too_long_for_the_terminal_goes_to_a_private_file(place: Place) -> None:
    text = "x" * (OSC52_LIMIT_BYTES * 3 // 4 + 3)
    result = place.clipboard().copy(text)
    file = place.folder / "data" / "clipboard.txt"
    assert result.route == "file"
    assert str(file) in result.detail
    assert file.read_text() == text
    assert file.stat().st_mode & 0o777 == 0o600
    assert place.terminal == ""


def test_the_longest_text_that_a_terminal_takes_goes_there(place: Place) -> None:
    assert place.clipboard().copy("x" * (OSC52_LIMIT_BYTES * 3 // 4 - 3)).route == "osc52"


def test_without_a_terminal_a_file_remains(place: Place) -> None:
    clipboard = place.clipboard(terminal=False)
    assert clipboard.route == "file"
    assert clipboard.copy("kept").route == "file"


def test_a_program_that_hangs_is_given_up(place: Place) -> None:
    place.install("xclip")

    def hang(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        assert options["timeout"]
        raise subprocess.TimeoutExpired(command, 1.0)

    clipboard = Clipboard(
        {"PATH": str(place.programs), "DISPLAY": ":0"}, None, fallback_dir=place.folder, run=hang
    )
    assert clipboard.copy("text").route == "file"


def test_a_file_that_cannot_be_written_is_told_in_words(place: Place) -> None:
    (place.folder / "data").write_text("not a folder")
    with pytest.raises(KoboldError, match=r"clipboard\.txt: A file is in the way"):
        place.clipboard(terminal=False).copy("text")


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[str]:
    """Start a real tmux server with no configuration; returns its socket."""
    program = shutil.which("tmux")
    if program is None:
        pytest.skip("tmux is not installed")
    socket = str(tmp_path / "socket")
    subprocess.run([program, "-S", socket, "-f", "/dev/null", "new-session", "-d", "cat"], check=True)
    yield socket
    subprocess.run([program, "-S", socket, "kill-server"], check=False)


def test_a_real_tmux_holds_the_text_in_its_buffer(tmux: str, tmp_path: Path) -> None:
    clipboard = Clipboard({"PATH": os.environ["PATH"], "TMUX": f"{tmux},1,0"}, None, fallback_dir=tmp_path)
    assert clipboard.copy("by way of tmux\n").route == "tmux"
    shown = subprocess.run(["tmux", "-S", tmux, "show-buffer"], capture_output=True, check=True)
    assert shown.stdout == b"by way of tmux\n"
