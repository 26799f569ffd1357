"""What the comparison of others' test suites notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from .suites import Outcomes, different, outcomes, unexpected
from .wrapping.only_our_headers import odd_headers, odd_parts

OWN = [(b"content-type", b"text/plain"), (b"vary", b"Accept"), (b"set-cookie", b"cart=1")]


@pytest.mark.parametrize(
    "fields",
    [
        OWN,
        [*OWN, (b"set-cookie", b"session_ctx.5fe9=x; HttpOnly")],
        [*OWN, (b"set-cookie", b"__Host-session_ctx.5fe9=x; HttpOnly")],
        [OWN[0], (b"vary", b"Accept, Authorization, Cookie"), OWN[2]],
        [*OWN, (b"cache-control", b"private")],
    ],
    ids=["nothing", "a cookie", "a cookie on https", "vary", "private"],
)
def test_headers_that_are_ours(fields: list[tuple[bytes, bytes]]) -> None:
    """Headers of ours are no difference."""
    assert odd_headers(OWN, fields) == []


@pytest.mark.parametrize(
    "fields",
    [
        OWN[1:],
        [*OWN, (b"x-session", b"1")],
        [*OWN, (b"set-cookie", b"session=1")],
        [OWN[0], (b"vary", b"Cookie"), OWN[2]],
        [*OWN, (b"vary", b"Origin")],
        [*OWN, (b"cache-control", b"no-store")],
        [OWN[0], OWN[1], (b"set-cookie", b"cart=2")],
        [OWN[2], OWN[0], OWN[1]],
    ],
    ids=["one less", "one more", "a cookie", "vary lost", "vary on more", "no-store", "another value", "another order"],
)
def test_headers_that_are_not(fields: list[tuple[bytes, bytes]]) -> None:
    """Whatever else differs is one."""
    assert odd_headers(OWN, fields)


def test_shared_caches() -> None:
    """What invites shared caches may go, and nothing else of the application's wishes."""
    before = [(b"cache-control", b"public, max-age=60")]

    assert not odd_headers(before, [(b"cache-control", b"private, max-age=60")])
    assert odd_headers(before, [(b"cache-control", b"private")])


def test_messages() -> None:
    """A message differs in its body or its status, too, and one that nobody sent differs."""
    start = {"type": "http.response.start", "status": 200, "headers": []}

    assert not odd_parts(start, {**start, "headers": [(b"cache-control", b"private")]})
    assert odd_parts(start, {**start, "status": 500})
    assert odd_parts({"type": "http.response.body", "body": b"a"}, {"type": "http.response.body", "body": b"b"})
    assert odd_parts({"type": "nothing"}, start)


def test_outcomes(tmp_path: Path) -> None:
    """A report says what became of each test, and how many answers had headers of ours."""
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuites><testsuite>"
        '<testcase classname="a" name="well"><properties><property name="answers" value="2"/></properties></testcase>'
        '<testcase classname="a" name="wrong"><failure message="no"/></testcase>'
        '<testcase classname="b" name="broken"><error message="no"/></testcase>'
        '<testcase classname="b" name="left out"><skipped message="no"/></testcase>'
        "</testsuite></testsuites>"
    )

    found = outcomes(report)

    assert dict(found.tests) == {
        "a::well": "passed",
        "a::wrong": "failure",
        "b::broken": "error",
        "b::left out": "skipped",
    }
    assert (found.passed, found.answers) == (1, 2)


def test_differences() -> None:
    """A test that fails anyhow is no difference; one that fails, or is missing, in one run alone is."""
    before = Outcomes({"a": "passed", "b": "failure", "c": "passed"}, 0)

    assert not different(before, before)
    assert different(before, Outcomes({"a": "failure", "b": "failure"}, 0)) == [
        "a: passed, then failure",
        "c: passed, then missing",
    ]


def test_differences_with_a_reason() -> None:
    """What is known to come out differently is told from the rest."""
    known = "tests.test_dump_json_fast_path::test_default_response_class_skips_json_dumps: passed, then failure"

    assert unexpected([known, "tests.test_json::test_any: passed, then failure"]) == [
        "tests.test_json::test_any: passed, then failure"
    ]
