"""Others' test suites with every application wrapped: ``python -m tests.compatibility.suites``, ``make compat-suites``.

Each suite runs as it is, and then once for each way in which the middleware is put around what it tests. What counts is
what comes out differently. The table of docs/compatibility.md is printed.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from .environment import ROOT, Environment

__all__ = ["EXPECTED", "SUITES", "WAYS", "Outcomes", "Suite", "different", "main", "outcomes", "unexpected"]

BUILD: Final = ROOT / "build" / "compatibility"
PLUGIN: Final = ROOT / "tests" / "compatibility"
UNWRAPPED: Final = "not at all"
WAYS: Final = ("untouched", "used")
OUTCOMES: Final = ("failure", "error", "skipped")


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests of a project.

    Args:
        name: of the project.
        extras: that its tests need.
        group: the dependency group that its tests need.
        options: of pytest.
    """

    name: str
    extras: str
    group: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """Tests that cannot come out the same.

    Args:
        reason: why not; docs/compatibility.md has it, too.
        tests: a regular expression of their names.
    """

    reason: str
    tests: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of the tests of a suite.

    Args:
        tests: ``passed``, ``failure``, ``error`` or ``skipped``, by test.
        answers: how many answers had headers of ours.
    """

    tests: Mapping[str, str]
    answers: int

    @property
    def passed(self) -> int:
        """How many tests passed."""
        return sum(outcome == "passed" for outcome in self.tests.values())


# A busy machine is not to look like a difference: the limit of FastAPI's own is 20 s for a test.
SUITES: Final = (
    Suite("starlette", "full", "dev"),
    Suite("fastapi", "all", "tests", ("--timeout", "300", "--numprocesses", "auto")),
)


EXPECTED: Final = (
    Expected(
        "replaces a function of the standard library's `json`, which the middleware uses, too",
        re.compile(r"test_dump_json_fast_path::|test_body\.test_tutorial001::test_other_exceptions"),
    ),
    Expected(
        "starts trio by itself",
        re.compile(r"test_app_can_be_reused_across_event_loops|test_background_task_spans\[.*-trio\]"),
    ),
    Expected(
        "cancels a request at a moment when it is not to wait for anything: one that switches waits for Emporix",
        re.compile(
            r"test_pending_cancellation_without_async_yield|test_cleanup_follows_the_overridden_dependency"
            r"|test_dependency_concurrency::test_cancel|test_shared_frontend_uses_each_inclusions_body_limit"
        ),
    ),
)


def main(arguments: list[str] | None = None) -> int:
    """Run the suites.

    Args:
        arguments: of the command line.

    Returns:
        The exit status.
    """
    names = [suite.name for suite in SUITES]
    parser = argparse.ArgumentParser(prog="python -m tests.compatibility.suites", description=main.__doc__)
    parser.add_argument("suite", nargs="*", choices=[*names, []], help=f"of {', '.join(names)}; all by default")
    chosen = parser.parse_args(arguments).suite or names
    odd = [line for suite in SUITES if suite.name in chosen for line in _differences(suite)]
    print("\n".join(odd))
    print(f"{len(odd)} differences")
    return 1 if odd else 0


def _differences(suite: Suite) -> Iterator[str]:
    """Run a suite in all ways; print a line of the table for each, and yield what is different."""
    environment = Environment(suite.name, suite.extras, suite.group, BUILD / suite.name)
    before = _run(suite, environment, UNWRAPPED)
    if not before.passed:
        yield f"{suite.name}: no test passes as it is"
    for way in WAYS:
        after = _run(suite, environment, way)
        odd = different(before, after)
        new = unexpected(odd)
        counts = before.passed, after.passed, after.answers, len(odd) - len(new), len(new)
        print(f"| {' | '.join(map(str, (f'{suite.name} {environment.version}', way, *counts)))} |", flush=True)
        yield from (f"{suite.name}, {way}: {line}" for line in new)
        if way == "used" and not after.answers:
            yield f"{suite.name}, {way}: no answer had a header of ours"


def _run(suite: Suite, environment: Environment, way: str) -> Outcomes:
    """Run a suite in one way, and what fails in it a second time: some tests depend on how busy the machine is."""
    report = BUILD / suite.name / f"{way}.xml"
    variables = {**os.environ, "EVERY_APPLICATION": way, "PYTHONPATH": str(PLUGIN)}
    options = ("-p", "wrapping.every_application", "-p", "no:session_ctx_middleware", "--quiet", "--tb", "short")
    cache = ("-o", f"cache_dir={report.with_suffix('.cache')}", f"--junitxml={report}")
    if not environment.pytest("tests", *options, *cache, *suite.options, environment=variables):
        return outcomes(report)
    first = outcomes(report)
    environment.pytest("tests", *options, *cache, "--last-failed", environment=variables)
    second = outcomes(report)
    return Outcomes({**first.tests, **second.tests}, first.answers)


def outcomes(report: Path) -> Outcomes:
    """Return what a report in JUnit's form says."""
    tests, answers = {}, 0
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        tests[name] = next((each.tag for each in case if each.tag in OUTCOMES), "passed")
        answers += sum(int(each.get("value", "0")) for each in case.iter("property"))
    return Outcomes(tests, answers)


def different(before: Outcomes, after: Outcomes) -> list[str]:
    """Return what became of the tests that come out differently."""
    return [
        f"{test}: {before.tests.get(test, 'missing')}, then {after.tests.get(test, 'missing')}"
        for test in sorted(before.tests.keys() | after.tests.keys())
        if before.tests.get(test) != after.tests.get(test)
    ]


def unexpected(lines: list[str]) -> list[str]:
    """Return the differences that no reason is known for."""
    return [line for line in lines if not any(known.tests.search(line) for known in EXPECTED)]


if __name__ == "__main__":
    sys.exit(main())
