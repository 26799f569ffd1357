"""The matrix of servers and frameworks: ``python -m tests.compatibility.matrix``, or ``make compat-matrix``.

It prints the table of docs/compatibility.md, and fails where what it finds is not what `combinations` expects.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from ..network.backend import Network
from .checks import check
from .combinations import COLUMNS, COMBINATIONS, Combination


def main(arguments: list[str] | None = None) -> int:
    """Run the matrix.

    Args:
        arguments: of the command line.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.compatibility.matrix", description=main.__doc__)
    parser.add_argument("-k", default="", metavar="WORDS", help="only combinations with this in their names")
    options = parser.parse_args(arguments)
    chosen = [each for each in COMBINATIONS if options.k.lower() in each.name.lower()]
    odd = 0
    with Network.up() as network:
        for combination in chosen:
            asyncio.run(network.renew())
            odd += not _as_expected(combination, network)
    print(f"{len(chosen) - odd} passed, {odd} failed")
    return 1 if odd or not chosen else 0


def _as_expected(combination: Combination, network: Network) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        found = dict(check(combination, network, Path(directory)))
        log = (Path(directory) / "server.log").read_text("utf-8", "replace")
    cells = [found[column] for column in COLUMNS]
    print(f"| {combination.server.name} | {combination.framework} | {' | '.join(cells)} |", flush=True)
    if tuple(cells) != combination.expected:
        print(log, flush=True)
    return tuple(cells) == combination.expected


if __name__ == "__main__":
    sys.exit(main())
