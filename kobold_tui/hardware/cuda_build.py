"""Which build of llama-cpp-python fits this machine's NVIDIA cards, and the one command that installs it.

The decision is a pure function of a probe, so that the installer and the `doctor` command never disagree.
Standard library only and no imports of ours: the installer loads this file by its path, before the package
itself is installed.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from typing import Literal, NamedTuple

BuildKind = Literal["cpu", "cuda-source", "cuda-wheel"]
Version = tuple[int, int]

WHEEL_INDEX = "https://abetlen.github.io/llama-cpp-python/whl"
"""llama-cpp-python's own index of CUDA wheels; a tag such as `cu124` is appended."""

SOURCE_DURATION = "an estimated 10 to 30 minutes"
"""What a build from source with CUDA may take; an estimate, for the processor decides, not the card."""

NVCC_PLACES = ("/usr/local/cuda/bin/nvcc", "/opt/cuda/bin/nvcc")


class WheelTag(NamedTuple):
    """A published CUDA wheel: the driver it needs and the compute capabilities that it has code for.

    Source: `.github/workflows/build-wheels-cuda.yaml` in llama-cpp-python (CMAKE_CUDA_ARCHITECTURES). Wheels
    with intermediate code (PTX) also run on later cards; the one for CUDA 11.8 has none.
    """

    name: str
    cuda: Version
    lowest: Version
    highest: Version | None


WHEEL_TAGS = (
    WheelTag("cu132", (13, 2), (7, 5), None),
    WheelTag("cu130", (13, 0), (7, 5), None),
    WheelTag("cu125", (12, 5), (6, 0), None),
    WheelTag("cu124", (12, 4), (6, 0), None),
    WheelTag("cu123", (12, 3), (6, 0), None),
    WheelTag("cu122", (12, 2), (6, 0), None),
    WheelTag("cu121", (12, 1), (6, 0), None),
    WheelTag("cu118", (11, 8), (6, 0), (8, 9)),
)


class BuildProbe(NamedTuple):
    """What decides about the build.

    `driver_cuda` is the newest CUDA version the driver can run, None without a driver or card;
    `compute_capabilities` holds one "9.0" a card; `nvcc` is the compiler's path, `nvcc_cuda` its version and
    `nvcc_capabilities` what it can compile for (empty when it does not say). `has_wheels` tells whether
    wheels are published for this operating system and processor at all.
    """

    driver_cuda: Version | None = None
    compute_capabilities: tuple[str, ...] = ()
    nvcc: str | None = None
    nvcc_cuda: Version | None = None
    nvcc_capabilities: tuple[str, ...] = ()
    has_wheels: bool = True


class BuildPlan(NamedTuple):
    """The build to install: why in one sentence, and the shell command that would install it by hand."""

    kind: BuildKind
    cmake_args: str
    index_tag: str | None
    reason: str
    command: str

    @property
    def index_url(self) -> str | None:
        """The wheel index of a `cuda-wheel` plan."""
        return f"{WHEEL_INDEX}/{self.index_tag}" if self.index_tag else None


def choose_build(
    probe: BuildProbe, cuda_flag: str = "", installer: str = "", requirement: str = ""
) -> BuildPlan:
    """Return the build for `probe`; `cuda_flag` "0" keeps to the CPU.

    `installer` ("…/python -m pip install") and `requirement` ("llama-cpp-python==1.2.3") go into the command;
    by default they are this interpreter's own and the installed version.
    """
    install = installer or default_installer()
    wanted = requirement or installed_requirement()
    if cuda_flag == "0":
        return _cpu("CUDA=0 keeps to the CPU.", install, wanted)
    if probe.driver_cuda is None or not probe.compute_capabilities:
        return _cpu("No NVIDIA driver with a card was found.", install, wanted)
    obstacle = nvcc_obstacle(probe)
    if obstacle is None:
        return _from_source(probe, install, wanted)
    tag = wheel_tag(probe)
    if tag is None:
        return _cpu(
            f"{obstacle} No published CUDA wheel fits either: {cards_in_words(probe)}.", install, wanted
        )
    return _from_wheel(tag, obstacle, install, wanted)


def nvcc_obstacle(probe: BuildProbe) -> str | None:
    """Return why `nvcc` cannot build for these cards, as a sentence; None when it can."""
    if probe.nvcc is None:
        return "There is no CUDA compiler (nvcc)."
    if probe.nvcc_cuda and probe.driver_cuda and probe.nvcc_cuda[0] > probe.driver_cuda[0]:
        return (
            f"{probe.nvcc} is CUDA {_dotted(probe.nvcc_cuda)}, the driver runs {_dotted(probe.driver_cuda)}."
        )
    unknown = [
        card
        for card in probe.compute_capabilities
        if probe.nvcc_capabilities and card not in probe.nvcc_capabilities
    ]
    if unknown:
        return f"{probe.nvcc} cannot compile for compute capability {', '.join(sorted(set(unknown)))}."
    return None


def wheel_tag(probe: BuildProbe) -> str | None:
    """Return the newest published wheel that the driver and every card can run, such as "cu124"."""
    if not probe.has_wheels or probe.driver_cuda is None:
        return None
    cards = [parse_version(card) for card in probe.compute_capabilities]
    for tag in WHEEL_TAGS:
        fits = all(tag.lowest <= card and (tag.highest is None or card <= tag.highest) for card in cards)
        if tag.cuda <= probe.driver_cuda and fits:
            return tag.name
    return None


def cards_in_words(probe: BuildProbe) -> str:
    """Describe driver and cards, such as "driver for CUDA 12.4, compute capability 8.9, 9.0"."""
    cards = ", ".join(sorted(set(probe.compute_capabilities), key=parse_version))
    return f"driver for CUDA {_dotted(probe.driver_cuda or (0, 0))}, compute capability {cards}"


def parse_version(text: str) -> Version:
    """Return (major, minor) of "12.4" or "9.0"; a missing part counts as 0."""
    numbers = [int(number) for number in re.findall(r"\d+", text)[:2]]
    return (numbers[0] if numbers else 0, numbers[1] if len(numbers) > 1 else 0)


def _dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def _cpu(reason: str, install: str, wanted: str) -> BuildPlan:
    return BuildPlan("cpu", "", None, reason, f"{install} {wanted}")


def _from_source(probe: BuildProbe, install: str, wanted: str) -> BuildPlan:
    cards = sorted(set(probe.compute_capabilities), key=parse_version)
    architectures = ";".join(card.replace(".", "") for card in cards)
    arguments = f"-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES={architectures}"
    variables = f'CUDACXX={shlex.quote(probe.nvcc or "nvcc")} CMAKE_ARGS="{arguments}"'
    options = f"{fresh_options(install)} --no-deps --no-binary llama-cpp-python"
    reason = f"{probe.nvcc} can build for the cards here: {cards_in_words(probe)}."
    return BuildPlan("cuda-source", arguments, None, reason, f"{variables} {install} {options} {wanted}")


def _from_wheel(tag: str, obstacle: str, install: str, wanted: str) -> BuildPlan:
    options = (
        f"{fresh_options(install)} --no-deps --only-binary llama-cpp-python --index-url {WHEEL_INDEX}/{tag}"
    )
    reason = f"{obstacle} The published wheel {tag} fits the driver."
    return BuildPlan("cuda-wheel", "", tag, reason, f"{install} {options} {wanted}")


def fresh_options(install: str) -> str:
    """Return the options that replace an installed build and look at no cached one."""
    return "--reinstall --no-cache" if install.startswith("uv ") else "--force-reinstall --no-cache-dir"


def default_installer() -> str:
    """Return the command that installs into the running interpreter; `uv` where there is no pip."""
    python = shlex.quote(sys.executable)
    if importlib.util.find_spec("pip") is None and shutil.which("uv"):
        return f"uv pip install --python {python}"
    return f"{python} -m pip install"


def installed_requirement() -> str:
    """Return "llama-cpp-python==<installed version>", without version when it is not installed."""
    try:
        return f"llama-cpp-python=={importlib.metadata.version('llama-cpp-python').split('+')[0]}"
    except importlib.metadata.PackageNotFoundError:
        return "llama-cpp-python"


def probe_machine(path: str | None = None, library: str = "libnvidia-ml.so.1") -> BuildProbe:
    """Ask the driver and the CUDA compiler; never raises, may take seconds while the driver wakes up."""
    driver_cuda, cards = read_nvml(library)
    if driver_cuda is None:
        driver_cuda, cards = read_nvidia_smi(path)
    nvcc = find_nvcc(path)
    has_wheels = sys.platform == "linux" and platform.machine() in {"x86_64", "AMD64"}
    if nvcc is None:
        return BuildProbe(driver_cuda, cards, has_wheels=has_wheels)
    release = re.search(r"release (\d+\.\d+)", output_of(nvcc, "--version"))
    virtual = re.findall(r"compute_(\d+)(\d)", output_of(nvcc, "--list-gpu-arch"))
    supported = tuple(f"{major}.{minor}" for major, minor in virtual)
    nvcc_cuda = parse_version(release.group(1)) if release else None
    return BuildProbe(driver_cuda, cards, nvcc, nvcc_cuda, supported, has_wheels)


def read_nvml(library: str) -> tuple[Version | None, tuple[str, ...]]:
    """Return the driver's CUDA version and each card's compute capability from NVIDIA's own library."""
    try:
        nvml = ctypes.CDLL(library)
        if nvml.nvmlInit_v2() != 0:
            return None, ()
    except (OSError, AttributeError):
        return None, ()
    try:
        return _nvml_facts(nvml)
    except AttributeError:
        return None, ()
    finally:
        nvml.nvmlShutdown()


def _nvml_facts(nvml: ctypes.CDLL) -> tuple[Version | None, tuple[str, ...]]:
    cuda, count = ctypes.c_int(), ctypes.c_uint()
    if nvml.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(cuda)) or nvml.nvmlDeviceGetCount_v2(
        ctypes.byref(count)
    ):
        return None, ()
    cards = []
    for index in range(count.value):
        device, major, minor = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
        if nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(device)):
            continue
        if nvml.nvmlDeviceGetCudaComputeCapability(device, ctypes.byref(major), ctypes.byref(minor)) == 0:
            cards.append(f"{major.value}.{minor.value}")
    return (cuda.value // 1000, cuda.value % 1000 // 10), tuple(cards)


def read_nvidia_smi(path: str | None = None) -> tuple[Version | None, tuple[str, ...]]:
    """Return the same facts from `nvidia-smi`, for containers that bring the tool without the library."""
    tool = shutil.which("nvidia-smi", path=path)
    if tool is None:
        return None, ()
    version = re.search(r"CUDA Version:\s*(\d+\.\d+)", output_of(tool))
    cards = re.findall(r"\d+\.\d+", output_of(tool, "--query-gpu=compute_cap", "--format=csv,noheader"))
    return (parse_version(version.group(1)), tuple(cards)) if version else (None, ())


def find_nvcc(path: str | None = None) -> str | None:
    """Return the CUDA compiler: on the search path, else under `CUDA_HOME`, else where NVIDIA installs it."""
    home = os.environ.get("CUDA_HOME")
    places = (f"{home}/bin/nvcc",) if home else NVCC_PLACES
    found = shutil.which("nvcc", path=path)
    return found or next((place for place in places if os.access(place, os.X_OK)), None)


def output_of(*command: str) -> str:
    """Return what `command` prints, or "" when it fails or does not answer within 20 seconds."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""
