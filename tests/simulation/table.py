"""The campaign as a table: ``python -m tests.simulation.table --seeds 100`` plays every set-up with the same seeds."""

from __future__ import annotations

import argparse
import sys

from .campaign import Row, played
from .judge import PROMISES
from .setups import SETUPS, SITUATIONS

COLUMNS = ("wrong", "lost", "twice", "leaks", "diverged", "stale")


def line(row: Row) -> str:
    """Return one line of the table."""
    other = sum(row.counts[promise] for promise in PROMISES if promise not in COLUMNS)
    figures = [f"{row.requests:,}", f"{row.faults:,}", *(str(row.counts[name]) for name in COLUMNS), str(other)]
    return "| " + " | ".join([row.name, *figures]) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.table", description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="of each situation")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=None)
    options = parser.parse_args()
    print("| set-up | requests | faults | " + " | ".join(COLUMNS) + " | other |")
    print("|---|" + "---:|" * (len(COLUMNS) + 3))
    for setup in SETUPS:
        total = Row(setup)
        for _, row in played(setup, [*SITUATIONS], range(options.seeds), options.steps, options.jobs):
            total += row
        print(line(total), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
