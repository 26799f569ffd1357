"""All tests beside each other; those in real time that fail once more, alone: ``python -m tests.second_chance``.

Takes the arguments of pytest for the first run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

REAL_TIME: Final = "network or redis or browser"
COVERAGE: Final = ("--cov", "--cov-append", "--cov-report=term-missing")


def main(arguments: Sequence[str]) -> int:
    """Return the exit code of the first run, or that of the second where there may be one."""
    first, failed = _pytest(*arguments)
    if first != pytest.ExitCode.TESTS_FAILED or not failed:
        return first
    if not _all_in_real_time(failed):
        _tell(f"No second chance: not all of these are marked {REAL_TIME}.", failed)
        return first
    _tell("FAILED beside other tests, and now run once more, alone:", failed)
    coverage = COVERAGE if any(each.startswith("--cov") for each in arguments) else ()
    second, again = _pytest("--numprocesses=0", "-m", REAL_TIME, *coverage, *failed)
    outcomes = [f"{'FAILED' if each in again else 'PASSED'} alone: {each}" for each in failed]
    _tell("FAILED beside other tests, and", outcomes)
    return second


def _pytest(*arguments: str) -> tuple[int, list[str]]:
    """Return the exit code of a run, the tests that failed in it, and the files that could not be read."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "pytest", *arguments, "-o", f"cache_dir={cache}"]
        code = subprocess.run(command, check=False).returncode
        file = Path(cache) / "v" / "cache" / "lastfailed"
        return code, sorted(json.loads(file.read_text("utf-8"))) if file.exists() else []


def _all_in_real_time(failed: Sequence[str]) -> bool:
    others, _ = _pytest("--numprocesses=0", "--collect-only", "-qq", "-m", f"not ({REAL_TIME})", *failed)
    return others == pytest.ExitCode.NO_TESTS_COLLECTED


def _tell(what: str, failed: Sequence[str]) -> None:
    print(f"\n{what}", *(f"  {each}" for each in failed), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
