"""What depends on real time may fail once, beside other tests; nothing else may, and nothing may fail twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECOND_CHANCE = Path(__file__).with_name("second_chance.py")
PROJECT = """
[tool.pytest.ini_options]
addopts = ["-p", "xdist", "-p", "pytest_cov"]
markers = ["network: opens sockets", "redis: starts a server"]
[tool.coverage.run]
parallel = true
source = ["."]
[tool.coverage.report]
fail_under = {covered}
"""
SAMPLE = """
import pathlib, pytest

def times(name):
    file = pathlib.Path(name)
    file.write_text(file.read_text() + "x" if file.exists() else "x")
    return len(file.read_text())

@pytest.mark.network
@pytest.mark.parametrize("what", ["a [b]::c d"])
def test_hasty(what):
    assert times("hasty") > {hasty}

def test_sure():
    assert times("sure") > {sure}
"""


def run(directory: Path, sample: str, *arguments: str, covered: int = 0) -> tuple[int, str]:
    """Return the exit code for a project of two tests, and what was printed."""
    (directory / "pyproject.toml").write_text(PROJECT.format(covered=covered), "utf-8")
    (directory / "test_sample.py").write_text(sample, "utf-8")
    command = [sys.executable, str(SECOND_CHANCE), "--numprocesses=1", *arguments]
    # Nothing else is needed there, and plugins take a second to begin with.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def runs(directory: Path, name: str) -> int:
    return len((directory / name).read_text("utf-8"))


@pytest.mark.parametrize(
    ("late", "code", "outcome", "seen"),
    [
        pytest.param((0, 0), 0, "2 passed", (1, 1), id="all is well", marks=pytest.mark.slow),
        pytest.param((2, 0), 1, "FAILED alone", (2, 1), id="late twice", marks=pytest.mark.slow),
        pytest.param((1, 1), 1, "No second chance", (1, 1), id="late, and a mistake"),
    ],
)
def test_second_chance(tmp_path: Path, late: tuple[int, int], code: int, outcome: str, seen: tuple[int, int]) -> None:
    """Only a test in real time has a second chance, and only where no other one failed."""
    returned, printed = run(tmp_path, SAMPLE.format(hasty=late[0], sure=late[1]))

    assert (returned, runs(tmp_path, "hasty"), runs(tmp_path, "sure")) == (code, *seen), printed
    assert outcome in printed


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that cannot be read is no question of time."""
    returned, printed = run(tmp_path, "import nothing_of_this_name")

    assert returned != 0
    assert "alone" not in printed


@pytest.mark.slow
@pytest.mark.parametrize(("never_run", "code"), [("", 0), ("print()", 1)], ids=["all of it", "not all of it"])
def test_coverage_is_of_both_runs(tmp_path: Path, never_run: str, code: int) -> None:
    """What the first run has measured counts, too; too little of it is too little after the second one."""
    (tmp_path / "never.py").write_text(never_run, "utf-8")

    returned, printed = run(tmp_path, SAMPLE.format(hasty=1, sure=0), "--cov", covered=100)

    assert (returned, runs(tmp_path, "hasty"), runs(tmp_path, "sure")) == (code, 2, 1), printed
    assert "PASSED alone: test_sample.py::test_hasty[a [b]::c d]" in printed
    assert not list(tmp_path.glob(".coverage.*"))


LEFT_OPEN = """
import gc, pytest

class Socket:
    def __del__(self):
        if self.is_open:
            import warnings
            warnings.warn("unclosed", ResourceWarning)

def test_leaves():
    socket = Socket()
    socket.itself, socket.is_open = socket, True
    assert {passes}

def test_next():
    gc.collect()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("passes", "blamed"), [(False, "test_leaves"), (True, "test_next")])
def test_failure_stays_alone(tmp_path: Path, passes: bool, blamed: str) -> None:
    """What a failed test has left open does not fail the next one; that of a test that passed is somebody's failure."""
    plugin = ("-p", "tests.support.after_failures", "-W", "error")
    _, printed = run(tmp_path, LEFT_OPEN.format(passes=passes), *plugin)

    assert "1 failed, 1 passed" in printed
    assert blamed in printed.rpartition("short test summary")[2]
