"""Installs llama-cpp-python: for the GPU where there is one, and for the CPU where that does not work out.

A build for the GPU counts only when the installed library then really sees a GPU; else the next best build is
tried, and the reader is told what would mend it. `CUDA=1` asks for the GPU or nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tools.installer import cuda_libraries, machine
from tools.installer.commands import Command, EngineBuild, Installer
from tools.installer.diagnosis import COMPILER_ADVICE, NO_COMPILER
from tools.installer.errors import SetupError
from tools.installer.project import short_key

CPU_DURATION = "4 to 7 minutes the first time"


class EnginePlan(NamedTuple):
    """A build to try: its kind, what is said about it, how it is done, and the command that mends it."""

    kind: str
    title: str
    build: EngineBuild
    index_tag: str | None = None
    reason: str = ""
    mend: str = ""

    @property
    def key(self) -> str:
        """What must be the same for an installed build to be kept."""
        build = self.build
        return f"{self.kind}:{short_key(build.requirement, build.cmake_args, build.nvcc, self.index_tag)}"

    @property
    def needs_compiler(self) -> bool:
        """Whether anything is compiled."""
        return self.kind != "cuda-wheel"


class EngineContext(NamedTuple):
    """What the plans are made from: checkout, environment variables, CUDA=0|1 and the pinned requirement."""

    root: Path
    environ: dict[str, str]
    cuda_flag: str
    requirement: str
    installer: Installer


def engine_plans(context: EngineContext) -> Iterator[EnginePlan]:
    """Yield the builds to try, best first; the last one is for the CPU unless CUDA=1 forbids it."""
    own = context.environ.get("CMAKE_ARGS", "").strip()
    if own and context.cuda_flag != "0":
        yield custom_plan(context, own)
        return
    rules = machine.load_cuda_build(context.root)
    probe = (
        rules.BuildProbe() if context.cuda_flag == "0" else rules.probe_machine(context.environ.get("PATH"))
    )
    words = " ".join(context.installer.program)

    def chosen(probe: Any) -> EnginePlan:
        plan = rules.choose_build(probe, context.cuda_flag, words, context.requirement)
        return _engine_plan(context, plan, probe, rules.SOURCE_DURATION)

    first = chosen(probe)
    if first.kind == "cpu" and context.cuda_flag == "1":
        raise SetupError(
            f"CUDA=1 asks for a GPU build. {first.reason}", "Install the driver, or leave CUDA=1 out."
        )
    yield first
    if first.kind == "cuda-source":
        second = chosen(probe._replace(nvcc=None))
        yield from (second,) if second.kind == "cuda-wheel" else ()
    if first.kind != "cpu" and context.cuda_flag != "1":
        yield cpu_plan(context, first.reason)


def cpu_plan(context: EngineContext, reason: str) -> EnginePlan:
    """Return the build without any GPU; it shares the installer's usual cache."""
    build = EngineBuild(context.requirement)
    return EnginePlan("cpu", f"Building llama-cpp-python for the CPU: {CPU_DURATION}", build, reason=reason)


def custom_plan(context: EngineContext, arguments: str) -> EnginePlan:
    """Return a build with the reader's own CMAKE_ARGS (ROCm, Vulkan and others)."""
    cache = machine.build_cache(context.environ, f"custom-{short_key(arguments)}")
    build = EngineBuild(context.requirement, cmake_args=arguments, cache=cache)
    return EnginePlan("custom", f"Building llama-cpp-python with your CMAKE_ARGS ({arguments})", build)


def _engine_plan(context: EngineContext, plan: Any, probe: Any, duration: str) -> EnginePlan:
    if plan.kind == "cpu":
        return cpu_plan(context, plan.reason)
    if plan.kind == "cuda-wheel":
        title = f"Fetching llama-cpp-python with CUDA, the published wheel {plan.index_tag}"
        cache = machine.build_cache(context.environ, plan.index_tag)
        build = EngineBuild(context.requirement, index_url=plan.index_url, cache=cache)
        return EnginePlan("cuda-wheel", title, build, plan.index_tag, plan.reason, plan.command)
    cards = ", ".join(sorted(set(probe.compute_capabilities)))
    title = f"Building llama-cpp-python with CUDA for compute capability {cards}: {duration}"
    tag = f"cuda-{'.'.join(map(str, probe.nvcc_cuda or ()))}-{short_key(plan.cmake_args)[:8]}"
    cache, jobs = machine.build_cache(context.environ, tag), machine.build_jobs(context.environ)
    build = EngineBuild(context.requirement, plan.cmake_args, probe.nvcc, None, cache, jobs)
    return EnginePlan("cuda-source", title, build, None, plan.reason, plan.command)


class EngineStep:
    """Runs plans until one works; `run` executes a command and raises `SetupError` when it fails."""

    def __init__(
        self, context: EngineContext, run: Callable[[Command], str], say: Callable[[str], None]
    ) -> None:
        self.context = context
        self.run = run
        self.say = say

    def install(self, plans: Iterable[EnginePlan], *, fresh: bool) -> EnginePlan:
        """Install the first plan that works and return it; raises the last failure when none does."""
        failure: SetupError | None = None
        mend = ""
        for number, plan in enumerate(plans):
            if failure is not None:
                self.say(f"      {failure.cause}")
                self.say(f"      Going on with the next best: {plan.title}")
            try:
                self._install(plan, fresh=fresh or number > 0)
            except SetupError as error:
                failure, mend = error, mend or plan.mend
                continue
            if mend and plan.kind == "cpu":
                self.say("      The GPU stays unused for now. This would mend it once its cause is gone:")
                self.say(f"      {mend}")
            return plan
        raise failure or SetupError(
            "There is no build for this machine.", "See the README for the requirements."
        )

    def _install(self, plan: EnginePlan, *, fresh: bool) -> None:
        if plan.needs_compiler and machine.find_compiler(self.context.environ) is None:
            raise SetupError(NO_COMPILER, COMPILER_ADVICE)
        try:
            self.run(plan.build.command(self.context.installer, fresh=fresh))
        except SetupError as error:
            if plan.index_tag is None:
                raise
            cause = f"The index of CUDA wheels ({plan.index_tag}) gave none for {plan.build.requirement}."
            raise SetupError(f"{cause} {error.cause}", error.advice) from error
        if plan.kind.startswith("cuda"):
            self._prove_gpu(plan)

    def _prove_gpu(self, plan: EnginePlan) -> None:
        check = Command((str(self.context.installer.python), "-c", cuda_libraries.CHECK), {})
        with contextlib.suppress(SetupError):
            self.run(check)
            return
        venv = self.context.installer.venv
        cuda_libraries.link_libraries(venv, plan.build.nvcc)
        if plan.index_tag is not None:
            packages = cuda_libraries.runtime_packages(plan.index_tag)
            self.say(f"      Fetching CUDA's run-time libraries: {', '.join(packages)}")
            self.run(self.context.installer.install("--no-deps", *packages))
            cuda_libraries.link_libraries(venv, None)
        try:
            self.run(check)
        except SetupError as error:
            cause = "The build with CUDA is installed, but sees no GPU."
            raise SetupError(cause, "The log says why; `kobold-tui doctor` looks closer.") from error
