"""The matrix of servers and frameworks: ``python -m tests.compatibility.matrix``, or ``make compat-matrix``.

It prints the table of docs/compatibility.md, and fails where what it finds is not what `combinations` expects, or where
the code of that page does not do what it says.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from ..network.backend import Network
from .checks import check
from .combinations import COLUMNS, COMBINATIONS, Combination
from .page import check_page


def main(arguments: list[str] | None = None) -> int:
    """Run the matrix.

    Args:
        arguments: of the command line.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.compatibility.matrix", description=main.__doc__)
    parser.add_argument("-k", default="", metavar="WORDS", help="only combinations with this in their names")
    words = parser.parse_args(arguments).k.lower()
    with Network.up() as network:
        well = [_as_expected(each, network) for each in COMBINATIONS if words in each.name.lower()]
    if not words:
        well += _page_works()
    print(f"{well.count(True)} passed, {well.count(False)} failed")
    return 0 if well and all(well) else 1


def _as_expected(combination: Combination, network: Network) -> bool:
    asyncio.run(network.renew())
    with tempfile.TemporaryDirectory() as directory:
        found = dict(check(combination, network, Path(directory)))
        log = (Path(directory) / "server.log").read_text("utf-8", "replace")
    cells = tuple(found[column] for column in COLUMNS)
    print(f"| {combination.server.name} | {combination.framework} | {' | '.join(cells)} |", flush=True)
    if cells != combination.expected:
        print(log, flush=True)
    return cells == combination.expected


def _page_works() -> list[bool]:
    packages = dict.fromkeys(name for each in COMBINATIONS for name in (*each.server.packages, each.framework))
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    print(f"Measured on {platform.system()} with Python {platform.python_version()} and {versions}.")
    works = asyncio.run(check_page())
    for name, well in works.items():
        print(f"The code for {name}: {'yes' if well else 'no'}")
    return [*works.values()]


if __name__ == "__main__":
    sys.exit(main())
