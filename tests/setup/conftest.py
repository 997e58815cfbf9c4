"""A checkout with fake programs around it: a `uv` that records what it is asked for, a compiler, a driver."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

FAKE_UV = '''#!{python} -IS
"""Records its arguments, answers by rules, and installs what the set-up asks for in miniature."""
import json, os, pathlib, sys, time

arguments = sys.argv[1:]
checkout = pathlib.Path({checkout!r})
names = ("CMAKE_ARGS", "CUDACXX", "CMAKE_BUILD_PARALLEL_LEVEL")
variables = {{name: os.environ[name] for name in names if name in os.environ}}
with open(checkout / "calls.jsonl", "a") as calls:
    print(json.dumps([arguments, variables]), file=calls)
rules = json.loads((checkout / "rules.json").read_text())
for rule in rules:
    if rule["match"] in " ".join(arguments):
        print(rule["output"], flush=True)
        time.sleep(rule["seconds"])
        if rule["exit"]:
            sys.exit(rule["exit"])
if arguments[0] == "venv":
    base, venv = pathlib.Path(arguments[3]), pathlib.Path(arguments[4])
    version = "%d.%d" % sys.version_info[:2]
    (venv / "bin").mkdir(parents=True)
    (venv / "lib" / ("python" + version) / "site-packages").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(base)
    (venv / "pyvenv.cfg").write_text("home = %s\\nversion_info = %s.0\\n" % (base.parent, version))
    sys.exit()
packages = next((checkout / ".venv" / "lib").glob("python3*")) / "site-packages"
if any(argument.startswith("llama-cpp-python==") for argument in arguments):
    (packages / "llama_cpp" / "lib").mkdir(parents=True, exist_ok=True)
    (packages / "llama_cpp" / "llama_cpp.py").write_text((checkout / "bindings.py").read_text())
    info = packages / "llama_cpp_python-1.2.3.dist-info"
    info.mkdir(exist_ok=True)
    (info / "RECORD").write_text("")
for argument in arguments:
    if argument.startswith(("nvidia-cuda-runtime", "nvidia-cublas")):
        name, version = argument.split("==")
        folder = packages / "nvidia" / name.split("-")[1] / "lib"
        folder.mkdir(parents=True)
        stem = "libcudart" if "runtime" in name else "libcublas"
        (folder / (stem + ".so." + version.split(".")[0])).write_text("")
'''

FAKE_NVML = """
#include <stdlib.h>
#include <string.h>
static char *card(unsigned n) {
    static char text[256]; char *token;
    strncpy(text, getenv("FAKE_CARDS") ? getenv("FAKE_CARDS") : "", 255);
    for (token = strtok(text, " "); token && n; n--) token = strtok(0, " ");
    return token;
}
int nvmlInit_v2(void) { return getenv("FAKE_CUDA") ? 0 : 9; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *v) { *v = atoi(getenv("FAKE_CUDA")); return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { for (*n = 0; card(*n); ++*n); return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = (void *)(long)(i + 1); return 0; }
int nvmlDeviceGetCudaComputeCapability(void *d, int *major, int *minor) {
    char *text = card((unsigned)(long)d - 1);
    *major = atoi(text); *minor = atoi(strchr(text, '.') + 1); return 0;
}
"""

FAKE_NVCC = """#!/bin/sh
case "$1" in
    --version) echo "Cuda compilation tools, release 12.4, V12.4.131" ;;
    --list-gpu-arch) printf 'compute_75\\ncompute_89\\ncompute_90\\n' ;;
esac
"""

PYPROJECT = """
[build-system]
requires = ["hatchling"]
[project]
name = "kobold-tui"
dependencies = ["llama-cpp-python==1.2.3", "textual>=8"]
[dependency-groups]
lint = ["ruff>=1"]
dev = ["pytest>=8.4,<9", { include-group = "lint" }]
"""


class Checkout:
    """A fresh clone in which set-ups can be run; `bin` is all that its search path holds."""

    def __init__(self, root: Path, nvml_folder: Path) -> None:
        self.root = root
        self.nvml_folder = nvml_folder
        self.bin = root / "bin"
        self.environ = {
            "PATH": str(self.bin),
            "HOME": str(root / "home"),
            "CUDA_HOME": str(root / "no-toolkit"),
            "PYTHONUTF8": "1",
        }
        shutil.copytree(ROOT / "tools", root / "tools", ignore=shutil.ignore_patterns("__pycache__"))
        (root / "kobold_tui" / "hardware").mkdir(parents=True)
        shutil.copy(ROOT / "kobold_tui" / "hardware" / "cuda_build.py", root / "kobold_tui" / "hardware")
        (root / "pyproject.toml").write_text(PYPROJECT)
        (root / "constraints.txt").write_text("textual==8.2.8\n")
        (root / "rules.json").write_text("[]")
        (root / "bindings.py").write_text("def llama_supports_gpu_offload(): return True\n")
        self.bin.mkdir()
        self.program("uv", FAKE_UV.format(python=sys.executable, checkout=str(root)))
        self.program("c++", "#!/bin/sh\n")

    def program(self, name: str, text: str) -> None:
        """Put a program on the search path."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def driver(self, cuda: str, *cards: str) -> None:
        """Install an NVIDIA driver: CUDA version as NVML gives it ("12040"), compute capability a card."""
        self.environ |= {"FAKE_CUDA": cuda, "FAKE_CARDS": " ".join(cards)}
        self.environ["LD_LIBRARY_PATH"] = str(self.nvml_folder)

    def rule(self, match: str, output: str = "", exit_code: int = 1, seconds: float = 0) -> None:
        """Let the fake `uv` answer calls that contain `match`; replaces the rule before it."""
        rule = {"match": match, "output": output, "exit": exit_code, "seconds": seconds}
        (self.root / "rules.json").write_text(json.dumps([rule]))

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a set-up."""
        return [sys.executable, str(self.root / "tools" / "setup.py"), *arguments]

    def set_up(self, *arguments: str, code: int = 0) -> str:
        """Run a set-up, check its exit code and return what it printed."""
        done = subprocess.run(
            self.command(*(arguments or ("run",))),
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    def calls(self) -> list[tuple[list[str], dict[str, str]]]:
        """Return and forget the calls of `uv`: arguments, and the variables that a build reads."""
        path = self.root / "calls.jsonl"
        lines: list[Any] = (
            [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        )
        path.unlink(missing_ok=True)
        return [(arguments, variables) for arguments, variables in lines]

    def installs(self) -> list[str]:
        """Return and forget what was installed: the last argument of each call of `uv pip`."""
        return [arguments[-1] for arguments, _ in self.calls() if arguments[0] == "pip"]


@pytest.fixture(scope="session")
def nvml_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a driver library that reports what FAKE_CUDA and FAKE_CARDS say."""
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "nvml.c").write_text(FAKE_NVML)
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "a C compiler is needed"
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "nvml.c"], check=True)
    return folder


@pytest.fixture
def checkout(tmp_path: Path, nvml_folder: Path) -> Checkout:
    """A fresh clone on a machine with `uv` and a C++ compiler, without driver and nvcc."""
    return Checkout(tmp_path, nvml_folder)


@pytest.fixture
def with_nvcc(checkout: Checkout) -> Callable[[], None]:
    """Call it to put a CUDA 12.4 compiler on the search path."""
    return lambda: checkout.program(
        "nvcc", FAKE_NVCC.replace("#!/bin/sh", f"#!{os.path.realpath('/bin/sh')}")
    )
