"""`kobold-tui doctor`: what is wrong with this machine's set-up and what mends it."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from kobold_tui.cli.output import (
    StatusLine,
    below_home,
    has_colours,
    narrate,
    one_line,
    print_json,
    screen_width,
)

if TYPE_CHECKING:
    from kobold_tui.services.doctor import Check

NAME = "doctor"
SUMMARY = "tell what is wrong with this machine's set-up and what mends it"

EPILOG = """\
The exit status is 1 where something keeps the program from doing its work.
"""

_MARKS = {"ok": ("✓", "ok", "32"), "note": ("!", "note", "33"), "bad": ("✗", "bad", "31")}
_WIDEST = 100


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EPILOG
    what = parser.add_argument_group("what to print")
    what.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Examine the machine and print the findings."""
    from kobold_tui.cli.main import start_options
    from kobold_tui.services.doctor import examine
    from kobold_tui.services.doctor_facts import gather

    status = StatusLine()
    try:
        checks = examine(gather(os.environ, start_options(arguments), tell=status.show))
    finally:
        status.clear()
    if arguments.json:
        print_json({"checks": checks})
    else:
        print_findings(checks)
    return 0 if all(check.ok for check in checks) else 1


def print_findings(checks: tuple[Check, ...]) -> None:
    """Print one paragraph a finding and a sentence that sums them up."""
    width = min(screen_width() or _WIDEST, _WIDEST)
    name_width = max(len(check.name) for check in checks)
    for check in checks:
        for line in paragraph(check, name_width, width):
            print(line)
    narrate("")
    narrate(summary(checks))


def summary(checks: tuple[Check, ...]) -> str:
    """Return the sentence that sums the findings up."""
    bad = sum(not check.ok for check in checks)
    notes = sum(check.ok and bool(check.fix) for check in checks)
    if bad:
        return "1 problem." if bad == 1 else f"{bad} problems."
    if notes:
        return f"Everything works; {'one thing' if notes == 1 else f'{notes} things'} could be better."
    return "Everything works."


def paragraph(check: Check, name_width: int, width: int) -> list[str]:
    """Return the lines of one finding; the fix stays on one line, so that it can be copied."""
    import textwrap

    hanging = " " * (name_width + 4)
    head = f"{mark(check)} {check.name:<{name_width}}  "
    wrapper = textwrap.TextWrapper(
        max(width - len(hanging), 30), break_on_hyphens=False, break_long_words=False
    )
    words = wrapper.wrap(one_line(below_home(check.detail))) or [""]
    lines = [head + words[0], *(hanging + line for line in words[1:])]
    return [*lines, f"{hanging}→ {check.fix}"] if check.fix else lines


def mark(check: Check) -> str:
    """Return the sign in front of a finding; coloured on a terminal, plain ASCII where need be."""
    sign, word, color = _MARKS["bad" if not check.ok else "note" if check.fix else "ok"]
    if "utf" not in (sys.stdout.encoding or "").lower():
        return f"{word:<4}"
    return f"\x1b[{color}m{sign}\x1b[0m" if has_colours(sys.stdout) else sign
