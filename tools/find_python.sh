#!/bin/sh
# Print the Python that sets up the environment: the first one given that is new enough, else the first that
# runs at all (tools/setup.py then says that it is too old). Says what to install when there is none.
for candidate in "$@"; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        echo "$candidate"
        exit 0
    fi
done
for candidate in "$@"; do
    if "$candidate" -c '' >/dev/null 2>&1; then
        echo "$candidate"
        exit 0
    fi
done
cat >&2 <<MESSAGE
kobold-tui needs Python 3.11 or newer, and none was found (looked for: $*).
  Debian, Ubuntu:  sudo apt install python3 python3-venv
  Fedora:          sudo dnf install python3
  macOS:           brew install python@3.13
Or name one that is somewhere else: make run PYTHON=/path/to/python3.12
MESSAGE
exit 1
