"""Play seeds from the command line: ``python -m tests.simulation --seeds 0:2000 --operations 500``."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import time
from functools import partial

from .checkers import violations
from .driver import play
from .history import Setup


def one(seed: int, operations: int, setup: Setup) -> tuple[int, int, int, dict[str, list[str]]]:
    history = play(seed, operations, setup)
    return seed, history.operations, history.faults, violations(history)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=main.__doc__)
    parser.add_argument("--seeds", default="0:200", help="first:end, or one seed to replay")
    parser.add_argument("--operations", type=int, default=500, help="requests per seed")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cookie", action="store_true", help="with the continuity cookie")
    parser.add_argument("--store", choices=("none", "healthy", "faulty"), default="none", help="that workers share")
    parser.add_argument("--skew", type=float, default=0.0, metavar="SECONDS", help="between the clocks of the workers")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    options = parser.parse_args()
    first, _, end = options.seeds.partition(":")
    seeds = range(int(first), int(end) if end else int(first) + 1)
    setup = Setup(options.workers, options.cookie, options.store, options.skew)
    replay = " ".join(sys.argv[1:]).replace(options.seeds, "SEED")
    logging.disable(logging.CRITICAL)
    began, operations, faults, failed = time.monotonic(), 0, 0, 0
    with multiprocessing.Pool(options.jobs) as pool:
        for seed, done, struck, found in pool.imap_unordered(
            partial(one, operations=options.operations, setup=setup), seeds
        ):
            operations, faults = operations + done, faults + struck
            for name, texts in found.items():
                failed += len(texts)
                print(f"seed {seed}: {name}: {len(texts)}, such as: {texts[0]}")
                print(f"  replay: python -m tests.simulation {replay.replace('SEED', str(seed))}")
    seconds = time.monotonic() - began
    print(f"{len(seeds)} seeds, {operations} operations, {faults} faults, {failed} violations, {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
