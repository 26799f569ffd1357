"""The same candidates counted in instructions, which no other load on the machine can disturb."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

from .apps import CORE, Shop
from .figures import Effort, Figure, Section
from .servers import ROOT
from .timing import short

COUNTS = (200, 700)
GOALS = {"untouched": 0.10, "touched": 0.35, "cookie": 0.45}
COLLECTED = re.compile(r"Collected\s*:\s*(\d+)")
NAMES = tuple(each.__name__ for each in CORE)
COLUMNS = ("candidate", "instructions per request", "added", "of SessionMiddleware's")
METHOD = (
    "Each candidate answers 200 and then, in another process, 700 requests under valgrind's callgrind, with a fixed "
    "hash seed and without garbage collections; the difference by 500 is what one request takes."
)


def run(effort: Effort) -> Section:
    """Count all candidates, two processes at a time."""
    valgrind = shutil.which("valgrind")
    if valgrind is None or effort.quick:
        why = "left out: a quick run" if effort.quick else "left out: there is no valgrind on PATH"
        return Section("instructions", "Instructions", METHOD, COLUMNS, [(why, "", "", "")])
    tasks = [(name, count) for name in NAMES for count in COUNTS]
    with ThreadPoolExecutor(2) as pool:
        counted = dict(zip(tasks, pool.map(lambda task: _count(valgrind, *task), tasks), strict=True))
    low, high = COUNTS
    per_request = {name: (counted[name, high] - counted[name, low]) / (high - low) for name in NAMES}
    floor = per_request["bare"]
    yardstick = per_request["session_middleware"] - floor
    rows = [
        (name.replace("_", " "), short(value), short(value - floor), short((value - floor) / yardstick))
        for name, value in per_request.items()
    ]
    figures = [
        Figure(
            f"{name.replace('_', ' ')}, in instructions: added, of SessionMiddleware's",
            (per_request[name] - floor) / yardstick,
            goal,
        )
        for name, goal in GOALS.items()
    ]
    return Section("instructions", "Instructions", METHOD, COLUMNS, rows, figures, raw={"per_request": per_request})


def _count(valgrind: str, name: str, requests: int) -> int:
    tool = (valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null")
    child = (sys.executable, "-m", "benchmarks.instructions", name, str(requests))
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*tool, *child], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    found = COLLECTED.search(done.stderr)
    if found is None:
        raise RuntimeError(done.stderr[-500:])
    return int(found.group(1))


async def answer_requests(name: str, requests: int) -> None:
    """Let one candidate answer some requests, after a few that fill its caches."""
    async with AsyncExitStack() as stack:
        build = next(each for each in CORE if each.__name__ == name)
        contender = (await build(Shop.open(stack))).contender()
        for _ in range(5):
            await contender.call(contender.prepare())
        gc.collect()
        gc.disable()
        for _ in range(requests):
            await contender.call(contender.prepare())


if __name__ == "__main__":
    asyncio.run(answer_requests(sys.argv[1], int(sys.argv[2])))
