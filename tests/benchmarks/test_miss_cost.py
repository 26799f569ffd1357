"""The regression guard of a miss, and of instructions: what was halved must not grow again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.in_process import BARE_GET, MISS, MISS_WITH_COOKIE
from benchmarks.instructions import FIRST_MISS, added_by_misses, count

ROOT = Path(__file__).parents[2]
# Of the bare GET of the same client: a tenth above what is measured today (0.54 and 0.56); before a miss was made
# cheaper it was 1.04. Lower them when it gets cheaper again.
CALLS, CALLS_WITH_NOTES = 0.60, 0.62
# Of what SessionMiddleware adds, and of what a miss took first: a tenth above what is measured today. Lower them when
# something gets cheaper.
HITS = {"untouched": 0.11, "touched": 0.40, "cookie": 0.51}
INSTRUCTIONS, INSTRUCTIONS_WITH_NOTES = 0.53, 0.55


def calls() -> dict[str, float]:
    """Count in a process of its own, where neither coverage nor BlockBuster is called."""
    child = (sys.executable, "-m", "benchmarks.in_process", "httpx2")
    done = subprocess.run(child, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    found: dict[str, float] = json.loads(done.stdout)
    return {name.removeprefix("httpx2, "): value for name, value in found.items()}


def test_calls_of_a_miss() -> None:
    """A miss calls no more functions around its client's GET than it did: they are most of what it costs."""
    found = calls()

    assert found[MISS] - found[BARE_GET] <= CALLS * found[BARE_GET]
    assert found[MISS_WITH_COOKIE] - found[BARE_GET] <= CALLS_WITH_NOTES * found[BARE_GET]


def above(found: dict[str, float]) -> list[str]:
    """Return what takes more instructions than it did."""
    yardstick = found["session_middleware"] - found["bare"]
    misses = {
        "a miss": (added_by_misses(found)["httpx2"], INSTRUCTIONS * FIRST_MISS),
        "a miss with notes": (
            found[f"httpx2, {MISS_WITH_COOKIE}"] - found[f"httpx2, {BARE_GET}"],
            INSTRUCTIONS_WITH_NOTES * FIRST_MISS,
        ),
    }
    hits = {name: (found[name] - found["bare"], share * yardstick) for name, share in HITS.items()}
    return [f"{name}: {took / limit:.2f}" for name, (took, limit) in {**hits, **misses}.items() if took > limit]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind counts the instructions")
def test_instructions() -> None:
    """Neither a hit nor a miss takes more instructions than it did: no other load on the machine disturbs that.

    But for what the event loop does at certain times: on a slow machine that falls into what is counted. So what is
    above its limit is counted once more, and the smaller number counts.
    """
    names = ["bare", "session_middleware", *HITS, "httpx2"]
    found = count(names)
    if above(found):
        again = count(names)
        found = {name: min(value, again[name]) for name, value in found.items()}

    assert above(found) == []
