"""How long commands that only print take to start, as multiples of an interpreter that does nothing."""

from __future__ import annotations

import os
import sys
import tempfile

from tools.bench.measure import Row, paired_ratio, quiet_program

COMMANDS = (("--version",), ("--help",), ("models", "--json"))


def run() -> list[Row]:
    """Return a row for every command; settings and index lie in a folder of their own."""
    with tempfile.TemporaryDirectory() as home:
        environ = {**os.environ, "KOBOLD_TUI_HOME": home}
        nothing = quiet_program((sys.executable, "-c", "pass"), environ)
        rows = []
        for arguments in COMMANDS:
            command = quiet_program((sys.executable, "-m", "kobold_tui", *arguments), environ)
            rows.append(
                Row(
                    f"kobold-tui {' '.join(arguments)}", f"{paired_ratio(command, nothing)} of python -c pass"
                )
            )
        return rows
