"""Runs the benchmarks whose names contain one of the arguments, without any all of them."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import tools.bench


def main(wanted: list[str]) -> int:
    """Print a table for every benchmark; exit code 1 when one fails, 2 when no name fits."""
    names = [module.name for module in pkgutil.iter_modules(tools.bench.__path__)]
    chosen = [
        name for name in names if name.startswith("bench_") and any(word in name for word in wanted or [""])
    ]
    if not chosen:
        print(f"No benchmark is called {' or '.join(wanted)}.", file=sys.stderr)
        return 2
    failed = [name for name in chosen if not report(name)]
    return 1 if failed else 0


def report(name: str) -> bool:
    """Run one benchmark and print its rows; a failure is told and does not stop the others."""
    module = importlib.import_module(f"tools.bench.{name}")
    print(f"\n{name.removeprefix('bench_')}: {(module.__doc__ or '').splitlines()[0]}")
    try:
        rows = module.run()
    except Exception as error:  # noqa: BLE001  whatever breaks one benchmark, the others still run
        print(f"  failed: {error}")
        return False
    for row, value in rows:
        print(f"  {row:40} {value}")
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
