"""Set up `.venv` for `make run` (profile `run`) or `make test` and `make check` (profile `dev`).

This file also parses on old versions of Python, so that they can say in words that they are too old;
everything else stands in `tools/installer/` and may assume a new one.
"""

import sys
from pathlib import Path

MINIMUM = (3, 11)


def main() -> int:
    """Check the Python version, then hand over; returns the exit code."""
    if tuple(sys.version_info[:2]) < MINIMUM:
        version = ".".join(map(str, sys.version_info[:2]))
        print(f"Python too old: {sys.executable} is Python {version}; kobold-tui needs 3.11 or newer.")
        print("Install a newer one, or name one: make run PYTHON=/path/to/python3.12")
        return 1
    root = str(Path(__file__).resolve().parent.parent)
    sys.path.insert(0, root)
    from tools.installer.main import run_setup

    return run_setup(sys.argv[1:], root)


if __name__ == "__main__":
    sys.exit(main())
