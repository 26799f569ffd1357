"""A small part of the matrix, in the environment of the tests; and the page says what the matrix expects."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..network.backend import Network
from .checks import check
from .combinations import COLUMNS, COMBINATIONS, Combination
from .page import PAGE, SECTION
from .suites import EXPECTED, SUITES, WAYS
from .wrapping.only_our_headers import ADDED, GONE, OUR_COOKIE

SMALL = ("uvicorn, h11", "hypercorn, HTTP/1.1", "hypercorn, HTTP/2", "granian, HTTP/1.1", "gunicorn, uvicorn's worker")


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """Emporix for these tests."""
    with Network.up() as network:
        yield network


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize(
    "combination",
    [each for each in COMBINATIONS if each.server.name in SMALL and each.framework == "Starlette"],
    ids=lambda combination: combination.name,
)
def test_server(combination: Combination, network: Network, tmp_path: Path) -> None:
    """A shop behind a real server reads, switches, streams, keeps a WebSocket, and finishes a change at SIGTERM."""
    asyncio.run(network.renew())

    found = dict(check(combination, network, tmp_path))

    assert found == dict(zip(COLUMNS, combination.expected, strict=True))


def rows(heading: str) -> list[tuple[str, ...]]:
    """Return the cells of a table of the page, without its heading."""
    lines = PAGE.read_text("utf-8").partition(f"| {heading} |")[2].splitlines()[2:]
    table = lines[: next(number for number, line in enumerate(lines) if not line.startswith("|"))]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table]


def test_table_of_the_page() -> None:
    """The page has the table that the matrix expects."""
    expected = [(each.server.name, each.framework, *each.expected) for each in COMBINATIONS]

    assert rows("server") == expected


def test_frameworks_of_the_page() -> None:
    """The page shows, and the matrix runs, the code for each framework that is not tested anyhow."""
    others = {each.framework for each in COMBINATIONS} - {"Starlette", "FastAPI"}

    assert {name for name, _ in SECTION.findall(PAGE.read_text("utf-8"))} == others


def test_headers_of_the_page() -> None:
    """The page names the headers that may differ, as the comparison has them."""
    cells = {name.strip("`"): {*come.replace("`", "").split(", ")} - {""} for name, come, _ in rows("header")}
    gone = {name.strip("`"): {*go.replace("`", "").split(", ")} - {""} for name, _, go in rows("header")}

    assert cells.pop("set-cookie") == {"cookies whose name begins with session_ctx."}
    assert OUR_COOKIE.match(b"session_ctx.tag=value")
    assert cells == {name.decode(): {each.decode() for each in added} for name, added in ADDED.items()}
    assert gone == {"set-cookie": set(), **{name.decode(): {each.decode() for each in GONE[name]} for name in GONE}}


def test_suites_of_the_page() -> None:
    """The page has what the suites print: each in every way, and no difference without a reason that it names."""
    table = rows("suite")

    assert [(name.split()[0], way) for name, way, *_ in table] == [(each.name, way) for each in SUITES for way in WAYS]
    assert all(int(before) - int(after) == int(known) and odd == "0" for _, _, before, after, _, known, odd in table)
    assert all(known.reason in " ".join(PAGE.read_text("utf-8").split()) for known in EXPECTED)
