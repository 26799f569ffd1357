"""The campaign as a table: ``python -m tests.simulation.table --seeds 100`` plays every set-up with the same seeds."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
from collections import Counter
from functools import partial
from multiprocessing.pool import Pool

from .checkers import violations
from .driver import play
from .history import Setup

SETUPS: dict[str, Setup] = {
    "one process": Setup(),
    "3 workers, nothing shared": Setup(workers=3),
    "3 workers, cookie": Setup(workers=3, cookie=True),
    "3 workers, cookie, clocks an hour apart": Setup(workers=3, cookie=True, skew=1800.0),
    "3 workers, shared store": Setup(workers=3, store="healthy"),
    "3 workers, cookie and shared store": Setup(workers=3, cookie=True, store="healthy"),
    "3 workers, cookie and shared store that fails": Setup(workers=3, cookie=True, store="faulty"),
}
COLUMNS = {"reads-your-writes": "reads_your_writes", "lost": "nothing_lost", "foreign": "isolation"}


def one(seed: int, operations: int, setup: Setup) -> tuple[int, int, dict[str, int]]:
    history = play(seed, operations, setup)
    return history.operations, history.faults, {name: len(texts) for name, texts in violations(history).items()}


def row(name: str, setup: Setup, seeds: int, operations: int, pool: Pool) -> str:
    """Return one line of the table."""
    done = faults = 0
    found: Counter[str] = Counter()
    for requests, struck, counts in pool.imap_unordered(partial(one, operations=operations, setup=setup), range(seeds)):
        done, faults = done + requests, faults + struck
        found.update(counts)
    known = [found.pop(checker, 0) for checker in COLUMNS.values()]
    return "| " + " | ".join([name, f"{done:,}", f"{faults:,}", *map(str, known), str(found.total())]) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.table", description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--operations", type=int, default=300)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    print("| set-up | requests | faults | " + " | ".join(COLUMNS) + " | other |")
    print("|---|" + "---:|" * (len(COLUMNS) + 3))
    with multiprocessing.Pool() as pool:
        for name, setup in SETUPS.items():
            print(row(name, setup, options.seeds, options.operations, pool), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
