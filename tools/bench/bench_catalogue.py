"""How long a thousand model files take to list, cold and warm, on a scale of its machine.

The base is an interpreter that does nothing: `python -c pass`. Every file has a vocabulary of its own; the
commands run as a user runs them, start of the program included. Cold means an empty index.
"""

from __future__ import annotations

import os
import statistics
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tools.bench.measure import Row, alternate, quiet_program, seconds

FILES = 1000
FOLDERS = 25
TOKENS = 4000
TENSORS = 150
PAIRS = 5


def run() -> list[Row]:
    """Return rows for the whole command, cold and warm, and for a pass of those who follow changes."""
    with tempfile.TemporaryDirectory() as folder:
        models, home = Path(folder, "models"), Path(folder, "home")
        write_models(models)
        environ = {**os.environ, "KOBOLD_TUI_HOME": str(home), "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        nothing = quiet_program((sys.executable, "-c", "pass"), environ)
        program = (sys.executable, "-m", "kobold_tui", "models", "list", str(models), "--json")
        listing = quiet_program(program, environ)
        index = home / "cache" / "catalogue.json"

        def cold() -> None:
            index.unlink(missing_ok=True)
            listing()

        return [
            _row(f"cold list of {FILES:,} files", cold, nothing),
            _row(f"warm list of {FILES:,} files", listing, nothing),
            _row("a pass that follows changes", _follower(models, index), nothing),
        ]


def write_models(folder: Path) -> None:
    """Write small files, each a model of its own, in several folders."""
    for number in range(FILES):
        place = folder / f"publisher-{number % FOLDERS}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"model-{number}-Q8_0.gguf").write_bytes(_model(number))


def _model(number: int) -> bytes:
    tokens = b"".join(_string(f"token-{number}-{token}") for token in range(TOKENS))
    metadata = (
        _string("general.architecture") + struct.pack("<I", 8) + _string("llama"),
        _string("general.name") + struct.pack("<I", 8) + _string(f"Model {number}"),
        _string("llama.block_count") + struct.pack("<II", 4, 2),
        _string("tokenizer.chat_template") + struct.pack("<I", 8) + _string("{{ messages }}" * 200),
        _string("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, TOKENS) + tokens,
    )
    tensors = (
        _string(f"blk.{index}.attn_q.weight") + struct.pack("<IQIQ", 1, 32, 0, 128 * index)
        for index in range(TENSORS)
    )
    start = b"GGUF" + struct.pack("<IQQ", 3, TENSORS, len(metadata))
    header = start + b"".join(metadata) + b"".join(tensors)
    return header + b"\0" * (-len(header) % 32) + number.to_bytes(4, "little") * 32 * TENSORS


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _follower(folder: Path, index: Path) -> Callable[[], None]:
    """Return a function that looks through the folder again, as is done every few seconds."""
    from kobold_tui.catalogue.index import CatalogueIndex
    from kobold_tui.catalogue.scan import look_through
    from kobold_tui.catalogue.stores import FolderStore

    known = CatalogueIndex(index)

    def look() -> None:
        found = sum(1 for _ in look_through(FolderStore(folder, "bench"), known.read))
        if found != FILES:
            raise RuntimeError(f"{found} of {FILES} files were found")

    return look


def _row(name: str, work: Callable[[], None], nothing: Callable[[], None]) -> Row:
    pairs = alternate(lambda: seconds(work), lambda: seconds(nothing), PAIRS)
    ratio = statistics.median(own / base for own, base in pairs)
    own = statistics.median(own for own, _ in pairs)
    base = statistics.median(base for _, base in pairs)
    return Row(name, f"{ratio:.1f}x of python -c pass  ({own:.3f} s against {base:.3f} s)")
