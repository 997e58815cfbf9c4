"""The steps of the set-up: which are due, in which order, and what is said about them.

Each step leaves a key in `.venv`, so that a second start only compares keys; the profile `dev` is `run` and
the development tools on top.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TextIO

from tools.installer import environment, machine
from tools.installer.commands import Command, Installer, find_uv
from tools.installer.diagnosis import NO_VENV, diagnose, telling_tail
from tools.installer.engine import EngineContext, EnginePlan, EngineStep, engine_plans
from tools.installer.errors import SetupError
from tools.installer.progress import Progress, clock
from tools.installer.project import ENGINE, STARTER_MODEL, read_project, short_key
from tools.installer.state import State

MODEL_TITLE = "Fetching the starter model SmolLM2-135M-Instruct (93 MB)"


class Options(NamedTuple):
    """What is asked for: the profile ("run" or "dev"), CUDA=0|1 or "", and whether Python was named."""

    profile: str
    cuda: str = ""
    this_python: bool = False


class Step(NamedTuple):
    """One phase; `work` raises `SetupError` when it fails."""

    name: str
    key: str
    title: str
    work: Callable[[], None]


class Setup:
    """Brings `.venv` from whatever state it is in to what the profile needs."""

    def __init__(self, options: Options, root: Path, environ: dict[str, str], out: TextIO) -> None:
        self.options = options
        self.environ = environ
        self.venv = root / ".venv"
        self.project = read_project(root)
        self.installer = Installer(self.venv, find_uv(environ.get("PATH")))
        self.progress = Progress(out, self.venv / "setup.log", environ)
        self.context = EngineContext(
            root, environ, options.cuda, self.project.engine_requirement, self.installer
        )
        self._clear_unusable()
        self.state = State(self.venv)

    def run(self) -> None:
        """Run the steps that are due; silent when there are none."""
        if self.venv.exists() and not self.state.exists:
            self._adopt()
        due = [step for step in self._steps() if not self.state.is_done(step.name, step.key)]
        if due:
            self._run_steps(due)

    def _run_steps(self, due: list[Step]) -> None:
        started = time.monotonic()
        self.progress.start_log()
        self.progress.say(f"Setting up kobold-tui in .venv with {self.installer.name} (log: .venv/setup.log)")
        for number, step in enumerate(due, start=1):
            self.progress.say(f"[{number}/{len(due)}] {step.title}")
            self.state.start(step.name)
            step.work()
            self.state.finish(step.name, step.key)
        self.progress.say(f"Ready after {clock(time.monotonic() - started)}.\n")

    def _steps(self) -> list[Step]:
        project, install = self.project, self.installer.install
        pins = ("--constraint", str(project.constraints))
        version = ".".join(map(str, sys.version_info[:2]))
        app = install(*pins, "--editable", str(project.root))
        steps = [
            Step("venv", "1", f"Creating the environment with Python {version}", self._create),
            self._engine_step(),
            self._command_step("app", project.app_key, "Installing kobold-tui and its libraries", app),
            self._command_step("model", STARTER_MODEL, MODEL_TITLE, install("--no-deps", STARTER_MODEL)),
        ]
        if self.options.profile == "dev":
            tools = install(*pins, *project.dev_requirements)
            steps.append(
                self._command_step("dev", project.dev_key, "Installing the development tools", tools)
            )
        return steps

    def _command_step(self, name: str, key: str, title: str, command: Command) -> Step:
        def work() -> None:
            self._execute(command)

        return Step(name, key, title, work)

    def _engine_step(self) -> Step:
        here = machine.fingerprint(self.project.root, self.environ, self.options.cuda)
        machine_key = short_key(here, self.project.engine_requirement)
        if self.state.is_done("engine", machine_key):
            return Step("engine", machine_key, "", self._install_engine)
        if self._engine_fits():
            self.state.finish("engine", machine_key)
        return Step("engine", machine_key, self._plans[0].title, self._install_engine)

    @functools.cached_property
    def _plans(self) -> list[EnginePlan]:
        return list(engine_plans(self.context))

    def _engine_fits(self) -> bool:
        """Whether the build that is installed is the best that this machine can have, as far as was found."""
        installed, wanted = self.state.noted("build"), self._plans[0].key
        settled = self.options.cuda != "1" and self.state.noted("best_build") == wanted
        return (
            bool(installed) and (installed == wanted or settled) and not self.state.was_interrupted("engine")
        )

    def _install_engine(self) -> None:
        self.state.note("build", "")
        step = EngineStep(self.context, self._execute, self.progress.say)
        installed = step.install(self._plans, fresh=self._has_engine())
        self.state.note("best_build", self._plans[0].key)
        self.state.note("build", installed.key)

    def _has_engine(self) -> bool:
        return environment.has_distribution(self.venv, ENGINE, self.project.engine_version)

    def _adopt(self) -> None:
        """Take over an environment that somebody made by hand, with the engine that it has for the CPU."""
        self.state.finish("venv", "1")
        if self._has_engine() and self._plans[0].kind == "cpu":
            self.state.note("build", self._plans[0].key)

    def _clear_unusable(self) -> None:
        if not self.venv.exists():
            return
        reason = environment.defect(self.venv, this_python=self.options.this_python)
        if reason is not None:
            self.progress.say(f"Making .venv anew: {reason}")
            environment.clear_away(self.venv)
        elif not self.installer.uv and not environment.has_pip(self.venv):
            self._execute(Command((str(self.installer.python), "-m", "ensurepip"), {}))

    def _create(self) -> None:
        if not self.installer.uv and importlib.util.find_spec("ensurepip") is None:
            raise SetupError(NO_VENV.cause, NO_VENV.advice)
        base = str(getattr(sys, "_base_executable", "") or sys.executable)
        self._execute(self.installer.create(base))

    def _execute(self, command: Command) -> str:
        code, output = self.progress.run(command)
        if code != 0:
            for line in telling_tail(output):
                self.progress.say(f"      | {line}")
            raise diagnose(output, code)
        return output
