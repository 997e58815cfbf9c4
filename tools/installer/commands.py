"""The command lines of `uv` and of `venv` with `pip`, which differ in a few options only."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from tools.installer.project import ENGINE


class Command(NamedTuple):
    """A program with its arguments, and what it needs in its environment beside ours."""

    arguments: tuple[str, ...]
    environment: dict[str, str]


class Installer(NamedTuple):
    """Makes the environment `venv` and installs into it: with `uv` if given, else with pip."""

    venv: Path
    uv: str | None

    @property
    def python(self) -> Path:
        """The interpreter of the environment."""
        return self.venv / "bin" / "python"

    @property
    def name(self) -> str:
        """What does the work, for messages."""
        return "uv" if self.uv else "pip"

    def create(self, base_python: str) -> Command:
        """Create the environment with the interpreter `base_python`; keeps what lies in its folder."""
        if self.uv:
            return _plain(self.uv, "venv", "--allow-existing", "--python", base_python, str(self.venv))
        return _plain(base_python, "-m", "venv", str(self.venv))

    def install(self, *arguments: str, fresh: bool = False) -> Command:
        """Install; `fresh` replaces what is there even where the version is the same."""
        replace = ("--reinstall" if self.uv else "--force-reinstall",) if fresh else ()
        return _plain(*self.program, *replace, *arguments)

    @property
    def program(self) -> tuple[str, ...]:
        """The words before a requirement."""
        if self.uv:
            return (self.uv, "pip", "install", "--no-progress", "--python", str(self.python))
        pip = (str(self.python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check")
        return (*pip, "--progress-bar", "off")


class EngineBuild(NamedTuple):
    """How llama-cpp-python gets into the environment; a `cache` of its own keeps different builds apart.

    pip and uv remember a wheel that they built by name and version alone: without a cache of its own a build
    with CUDA would be answered with the one for the CPU.
    """

    requirement: str
    cmake_args: str = ""
    nvcc: str | None = None
    index_url: str | None = None
    cache: Path | None = None
    jobs: int = 0

    def command(self, installer: Installer, *, fresh: bool) -> Command:
        """Return the command that installs this build."""
        arguments = ["--verbose", "--no-deps"]
        if self.index_url:
            arguments += ["--only-binary", ENGINE, "--index-url", self.index_url]
        elif self.cmake_args:
            arguments += ["--no-binary", ENGINE]
        if self.cache:
            arguments += ["--cache-dir", str(self.cache)]
        return installer.install(*arguments, self.requirement, fresh=fresh)._replace(
            environment=self._variables()
        )

    def _variables(self) -> dict[str, str]:
        variables = {"CMAKE_ARGS": self.cmake_args} if self.cmake_args else {}
        if self.nvcc:
            variables["CUDACXX"] = self.nvcc
        if self.jobs:
            variables["CMAKE_BUILD_PARALLEL_LEVEL"] = str(self.jobs)
        return variables


def find_uv(path: str | None) -> str | None:
    """Return the path of `uv`, None when it is not there."""
    return shutil.which("uv", path=path)


def _plain(*arguments: str) -> Command:
    return Command(arguments, {})
