"""What people install is whole: the wheel, in an environment of its own, far from the checkout."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LIST_BUNDLED = """
import json
from kobold_tui.storage.paths import bundled_dir
from kobold_tui.storage.themes import load_themes
themes, presets = bundled_dir("themes"), bundled_dir("presets")
loaded, failed = load_themes([themes])
print(json.dumps({
    "themes": sorted(loaded),
    "failed": [str(fault) for fault in failed],
    "presets": sorted(path.name for path in presets.glob("*.toml")),
    "folders": [str(themes), str(presets)],
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel in it; the libraries come from this environment's folder.

    A folder named in a `.pth` file is searched, but its own `.pth` files are not read: so the checkout, which
    an editable install adds by such a file, stays out of sight.
    """
    venv = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "install"]
    uv = ["uv", "pip", "install", "--python", str(venv / "bin" / "python")]
    command = [*(pip if importlib.util.find_spec("pip") else uv), "--no-deps", "--no-index", str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    packages = next((venv / "lib").glob("python3*")) / "site-packages"
    (packages / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return venv / "bin"


def ask(program: Path, home: Path, *arguments: str) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environ["KOBOLD_TUI_HOME"] = str(home)
    done = subprocess.run(
        [program, *arguments], env=environ, cwd=home, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("folder", ["themes", "presets"])
def test_the_wheel_brings_every_bundled_file(wheel: Path, folder: str) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [path.name for path in (ROOT / folder).glob("*.toml")]
    assert files, f"there are {folder} to bring"
    assert {f"kobold_tui/_bundled/{folder}/{name}" for name in files} <= names


def test_the_wheel_brings_style_sheets_and_licence_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    style_sheets = {str(path.relative_to(ROOT)) for path in (ROOT / "kobold_tui").rglob("*.tcss")}
    assert style_sheets
    assert style_sheets <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "tools/"))]


def test_the_installed_program_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    where = ask(installed / "python", tmp_path, "-c", "import kobold_tui; print(kobold_tui.__file__)")
    assert where.startswith(str(installed.parent))
    version = ask(installed / "python", tmp_path, "-c", "import kobold_tui; print(kobold_tui.__version__)")
    assert version.strip() in ask(installed / "kobold-tui", tmp_path, "--version")
    assert "models" in json.loads(ask(installed / "kobold-tui", tmp_path, "models", "--json"))


def test_the_installed_package_finds_its_themes_and_presets(installed: Path, tmp_path: Path) -> None:
    found = json.loads(ask(installed / "python", tmp_path, "-c", LIST_BUNDLED))
    assert found["failed"] == []
    assert len(found["themes"]) == len(list((ROOT / "themes").glob("*.toml")))
    assert found["presets"] == sorted(path.name for path in (ROOT / "presets").glob("*.toml"))
    assert all(folder.startswith(str(installed.parent)) for folder in found["folders"])
