"""A block of lines that is drawn again in its place, for as long as a command watches something."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from kobold_tui.cli.output import can_draw


class Block:
    """Lines on a terminal that replace the ones before them; elsewhere they follow one another."""

    def __init__(self) -> None:
        self._drawn = 0
        self._is_first = True

    def draw(self, lines: Sequence[str]) -> None:
        """Show `lines` in place of the last ones; a mark stands for those that a small screen cannot hold."""
        if can_draw(sys.stdout):
            self._replace(_cut(lines, shutil.get_terminal_size().lines - 1))
        else:
            sys.stdout.write("".join(f"{line}\n" for line in (lines if self._is_first else ("", *lines))))
        self._is_first = False
        sys.stdout.flush()

    def _replace(self, lines: Sequence[str]) -> None:
        back = f"\x1b[{self._drawn}F" if self._drawn else ""
        sys.stdout.write(back + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
        self._drawn = len(lines)


def _cut(lines: Sequence[str], height: int) -> Sequence[str]:
    if len(lines) <= height:
        return lines
    kept = max(height - 1, 0)
    return [*lines[:kept], f"… {len(lines) - kept} more lines"]
