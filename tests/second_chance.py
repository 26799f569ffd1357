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

REAL_TIME: Final = "network or redis"
COVERAGE: Final = ("--cov", "--cov-append", "--cov-report=term-missing")


def main(arguments: Sequence[str]) -> int:
    """Return the exit code of the first run, or that of the second where there may be one."""
    with tempfile.TemporaryDirectory() as cache:
        first = _pytest(*arguments, "-o", f"cache_dir={cache}")
        failed = _failed(Path(cache))
    if first != pytest.ExitCode.TESTS_FAILED or not failed:
        return first
    if not _all_in_real_time(failed):
        _tell("No second chance: not all of these are marked network or redis.", failed)
        return first
    _tell("FAILED beside other tests, and now run once more, alone:", failed)
    coverage = COVERAGE if any(each.startswith("--cov") for each in arguments) else ()
    second = _pytest("--numprocesses=0", "-m", REAL_TIME, *coverage, *failed)
    _tell(f"FAILED beside other tests; alone: {'PASSED' if second == pytest.ExitCode.OK else 'FAILED'}", failed)
    return second


def _pytest(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


def _failed(cache: Path) -> list[str]:
    """Return the tests that failed, and the files that could not be read."""
    file = cache / "v" / "cache" / "lastfailed"
    return sorted(json.loads(file.read_text("utf-8"))) if file.exists() else []


def _all_in_real_time(failed: Sequence[str]) -> bool:
    others = _pytest("--numprocesses=0", "--collect-only", "-qq", "-m", f"not ({REAL_TIME})", *failed)
    return others == pytest.ExitCode.NO_TESTS_COLLECTED


def _tell(what: str, failed: Sequence[str]) -> None:
    print(f"\n{what}", *(f"  {each}" for each in failed), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
