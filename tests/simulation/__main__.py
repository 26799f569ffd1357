"""Play visits: ``python -m tests.simulation --setup "3 workers, notes" --situation overlap --seeds 0:200``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .campaign import Row, played
from .judge import PROMISES
from .setups import SETUPS, SITUATIONS
from .tally import Tally
from .visit import play

ALL = "all"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Play visits in virtual time, and count per promise how often it was broken.",
        epilog=f"set-ups: {'; '.join(SETUPS)}. situations: {'; '.join(SITUATIONS)}.",
    )
    parser.add_argument("--setup", action="append", choices=[*SETUPS, ALL], help="this one; several times for several")
    parser.add_argument("--situation", action="append", choices=[*SITUATIONS, ALL], help="as above; all by default")
    parser.add_argument("--seeds", default="0:20", help="of each situation: first:end, or one to replay")
    parser.add_argument("--steps", type=int, default=60, help="clicks of a visit; some are several requests")
    parser.add_argument("--jobs", type=int, default=None, help="processes, one for each core by default")
    parser.add_argument("--tally", type=Path, help="a file: go on where it says that the last run was cut off")
    parser.add_argument("--chunk", type=int, default=4, help="seeds of each situation between two entries of the tally")
    parser.add_argument("--story", action="store_true", help="tell everything that happens in one seed")
    options = parser.parse_args()
    setups = [*SETUPS] if ALL in (options.setup or [ALL]) else options.setup
    situations = [*SITUATIONS] if ALL in (options.situation or [ALL]) else options.situation
    first, _, end = options.seeds.partition(":")
    seeds = range(int(first), int(end) if end else int(first) + 1)
    if options.story:
        tell(setups[0], situations[0], seeds[0], options.steps)
        return 0
    bad = 0
    for setup in setups:
        if options.tally is not None:
            bad += keep_tally(Tally(options.tally), setup, situations, seeds, options)
            continue
        total = Row(setup)
        for situation, row in played(setup, situations, seeds, options.steps, options.jobs):
            print(f"{setup} | {situation}: {row.sentence()}", flush=True)
            for text in row.examples:
                print(f"    {text}")
            total += row
        print(f"{setup}: {total.sentence()}", flush=True)
        bad += total.counts.total()
    return 1 if bad else 0


def keep_tally(tally: Tally, setup: str, situations: list[str], seeds: range, options: argparse.Namespace) -> int:
    """Play on from where the tally stands; return how often a promise has been broken in all of it."""
    told, bad = 0, 0
    for total in tally.played(setup, situations, seeds, options.steps, jobs=options.jobs, chunk=options.chunk):
        for text in total.examples[told:]:
            print(f"    {text}")
        told, bad = len(total.examples), total.counts.total()
        print(f"{setup}, so far: {total.sentence()}", flush=True)
    return bad


def tell(setup: str, situation: str, seed: int, steps: int) -> None:
    """Print what happens in one seed."""
    story: list[str] = []
    verdict = play(seed, steps, SETUPS[setup], SITUATIONS[situation], story=story)
    print("\n".join(story))
    for promise, number in verdict.counts.items():
        print(f"{number} times {promise}: {PROMISES[promise]}, such as: {verdict.texts[promise][0]}")


if __name__ == "__main__":
    sys.exit(main())
