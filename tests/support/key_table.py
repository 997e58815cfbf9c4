"""The key table of docs/presets.md, made from the table that the importer reads.

Run as a program it writes the table into the documentation: `python tests/support/key_table.py`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "presets.md"
BEGIN, END = "<!-- keys: made by tests/support/key_table.py -->\n", "<!-- end of keys -->"


def table() -> str:
    """Return the rows of all keys as Markdown."""
    from kobold_tui.storage.kcpps.keymap import RULES, in_words

    head = "| key | what becomes of it | in the preset | why, or how |\n|---|---|---|---|\n"
    return head + "".join(f"| {' | '.join(in_words(rule))} |\n" for rule in RULES.values())


def in_docs() -> str:
    """Return the table that stands in the documentation."""
    found = re.search(f"{re.escape(BEGIN)}(.*?){re.escape(END)}", DOCS.read_text("utf-8"), re.DOTALL)
    assert found is not None, "docs/presets.md has lost the marks of its table"
    return found[1]


def main() -> None:
    before, _, rest = DOCS.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCS.write_text(f"{before}{BEGIN}{table()}{END}{after}", "utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
