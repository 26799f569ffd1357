"""The same candidates, and misses, counted in instructions, which no other load on the machine can disturb."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from .apps import CORE, Shop
from .figures import Effort, Figure, Section
from .in_process import BARE_GET, MISS, miss_contenders
from .servers import ROOT
from .timing import Contender, short

__all__ = ["added_by_misses", "count", "run"]

COUNTS = (20, 120)
GOALS = {"untouched": 0.10, "touched": 0.35, "cookie": 0.45}
MISS_COUNTS = (20, 140)
WARM_UP = 60
"""Requests before: after fifty answers their mean counts, too."""
TOTALS = re.compile(r"^totals: (\d+)$", re.MULTILINE)
NAMES = tuple(each.__name__ for each in CORE)
LIBRARIES = ("httpx", "httpx2")
COLUMNS = ("candidate", "instructions per request", "added", "of SessionMiddleware's")
FIRST_MISS = 1_032_000
"""What a miss with httpx2 took around its client's GET before it was halved; docs/performance.md tells how."""
METHOD = (
    f"Each candidate answers {COUNTS[0]} and then {COUNTS[1]} requests under valgrind's callgrind, with a fixed hash "
    "seed and without garbage collections; the difference is what the requests between take. A miss is a request with "
    "a token that nobody has seen, and the bare GET an endpoint that makes the same call through the same client; the "
    "upstream is a transport in the same process, so that what a miss adds is what it does around its client's GET."
)


def run(effort: Effort) -> Section:
    """Count all candidates, in one process."""
    if effort.quick or shutil.which("valgrind") is None:
        why = "left out: a quick run" if effort.quick else "left out: there is no valgrind on PATH"
        return Section("instructions", "Instructions", METHOD, COLUMNS, [(why, "", "", "")])
    per_request = count([*NAMES, *LIBRARIES])
    floor = per_request["bare"]
    yardstick = per_request["session_middleware"] - floor
    rows = [
        (name.replace("_", " "), short(per_request[name]), short(added), short(added / yardstick))
        for name in NAMES
        for added in [per_request[name] - floor]
    ]
    rows += [
        (name, short(value), short(value - per_request[f"{library}, {BARE_GET}"]), "")
        for library in LIBRARIES
        for name, value in per_request.items()
        if name.startswith(f"{library}, ")
    ]
    figures = [
        Figure(f"{name}, in instructions: added, of SessionMiddleware's", (per_request[name] - floor) / yardstick, goal)
        for name, goal in GOALS.items()
    ]
    share = added_by_misses(per_request)["httpx2"] / FIRST_MISS
    figures.append(
        Figure("miss (httpx2): instructions around its client's GET, of those of the first figure", share, 0.5)
    )
    return Section("instructions", "Instructions", METHOD, COLUMNS, rows, figures, raw={"per_request": per_request})


def added_by_misses(per_request: Mapping[str, float]) -> dict[str, float]:
    """Return how many instructions a miss takes around its client's GET, by library."""
    return {
        library: per_request[f"{library}, {MISS}"] - per_request[f"{library}, {BARE_GET}"]
        for library in LIBRARIES
        if f"{library}, {MISS}" in per_request
    }


def count(names: Sequence[str]) -> dict[str, float]:
    """Return the instructions of one request of each candidate.

    Args:
        names: of functions in `CORE`, and of HTTP libraries, whose misses are counted.
    """
    with TemporaryDirectory() as place:
        tool = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={place}/counted")
        child = (sys.executable, "-m", "benchmarks.instructions", *names)
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
        command = [*tool, f"--dump-before={MARK}", *child]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-1000:])
        return _parsed(Path(place), done.stdout.splitlines())


def _parsed(place: Path, lines: Sequence[str]) -> dict[str, float]:
    """Return what a run has counted: it has left two files for each line that it has printed, before and after."""
    found: dict[str, float] = {}
    for number, line in enumerate(lines, 1):
        name, requests = line.split("\t")
        total = TOTALS.search((place / f"counted.{2 * number}").read_text("utf-8"))
        if total is None:
            raise RuntimeError(f"nothing was counted for {name}")
        # The first part of each is subtracted: what it takes to run any number of requests.
        sign = 1 if name in found else -1
        found[name] = found.get(name, 0) + sign * int(total[1]) / int(requests)
    return found


MARK = "Py_SetRecursionLimit"
"""A function of Python's interface in C that nobody else calls: callgrind writes a file before it is entered."""


def mark() -> None:
    """Have callgrind write down what it has counted since the last mark."""
    sys.setrecursionlimit(sys.getrecursionlimit())


async def _contenders(names: Sequence[str], stack: AsyncExitStack) -> list[tuple[Contender, tuple[int, int]]]:
    builders = {each.__name__: each for each in CORE}
    hits = [((await builders[name](Shop.open(stack))).contender(), COUNTS) for name in names if name in builders]
    misses = [(each, MISS_COUNTS) for name in names if name not in builders for each in miss_contenders(name)]
    return [*hits, *misses]


def main(names: Sequence[str]) -> None:
    """Let candidates answer requests, and print what callgrind has counted, in the order of its files."""
    loop = asyncio.new_event_loop()
    stack = AsyncExitStack()
    contenders = loop.run_until_complete(_contenders(names, stack))
    hits = [name for name in names if name in NAMES]
    labels = [*hits, *(contender.name for contender, _ in contenders[len(hits) :])]
    for label, (contender, counts) in zip(labels, contenders, strict=True):
        loop.run_until_complete(_answer(contender, WARM_UP))
        gc.collect()
        gc.disable()
        low, high = counts
        for requests in (low, high):
            mark()
            loop.run_until_complete(_answer(contender, requests))
            mark()
            print(f"{label}\t{high - low}")
        gc.enable()
    loop.run_until_complete(stack.aclose())
    loop.close()


async def _answer(contender: Contender, requests: int) -> None:
    for _ in range(requests):
        await contender.call(contender.prepare())


if __name__ == "__main__":
    main(sys.argv[1:])
