"""All benchmarks: ``python -m benchmarks [--only hit_path,memory] [--quick] [--out DIR]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from .figures import Effort, Section
from .report import machine, table, verdict, write

MODULES = (
    "hit_path",
    "instructions",
    "miss_path",
    "l2",
    "document",
    "memory",
    "burst",
    "known",
    "end_to_end",
    "failure",
    "calls",
    "sizing",
)
"""Each has a function ``run(effort) -> Section``."""

FULL, QUICK = Effort(), Effort(rounds=5, scale=0.1, quick=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run benchmarks, print what they found, and write it down.

    Args:
        arguments: of the command line.

    Returns:
        The exit status: 1 where a figure does not reach its goal.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what the middleware costs.")
    parser.add_argument("--only", type=_modules, default=MODULES, metavar="NAMES", help=", ".join(MODULES))
    parser.add_argument("--quick", action="store_true", help="see that everything runs; the numbers mean little")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), metavar="DIR")
    options = parser.parse_args(arguments)
    effort = QUICK if options.quick else FULL
    line = machine()
    print(line, end="\n\n")
    sections = [_run(name, effort) for name in options.only]
    write(sections, options.out, line)
    figures = [figure for section in sections for figure in section.figures]
    for figure in figures:
        print(verdict(figure))
    return 0 if options.quick or all(figure.passed for figure in figures) else 1


def _run(name: str, effort: Effort) -> Section:
    section: Section = import_module(f"{__package__}.{name}").run(effort)
    print(section.title, section.method, table(section), sep="\n\n", end="\n\n", flush=True)
    return section


def _modules(names: str) -> list[str]:
    chosen = names.split(",")
    unknown = [name for name in chosen if name not in MODULES]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
