"""Nothing grows beyond what a reader can hold: files, functions, and the class that tends to absorb all."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ("kobold_tui", "tools")
FILE_LINES = 300
FUNCTION_LINES = 40
APP_LINES = 150


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def definitions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """Lines from `def` or `class` to the end, docstring included; `end_lineno` is set by the parser."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_file_is_longer_than_300_lines() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in sources(*CODE, "tests")}
    assert len(lengths) > 50, "the sources are where this test looks"
    assert {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > FILE_LINES} == {}


def test_no_function_is_longer_than_40_lines() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": lines_of(node)
        for path in sources(*CODE)
        for node in definitions(path)
        if not isinstance(node, ast.ClassDef) and lines_of(node) > FUNCTION_LINES
    }
    assert long == {}


def test_the_app_stays_small() -> None:
    apps = [
        node for path in sources("kobold_tui/tui") for node in definitions(path) if node.name == "KoboldApp"
    ]
    assert len(apps) == 1
    assert lines_of(apps[0]) <= APP_LINES


@pytest.mark.parametrize("folder", CODE)
def test_every_file_says_what_it_is_for(folder: str) -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources(folder)
        if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert silent == []
