"""Cookies that cannot be believed: forged, expired, absurd."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from session_ctx_middleware.testing import FakeEmporix

from ..support.shop import Shop
from .browser import OTHER_SECRET, Browser, page, payload, signed


def none_algorithm(cookie: str) -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{header}.{cookie.split('.')[1]}."


def older(note: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return a note as it were if it had been written so many seconds before."""
    return {**note, "m": note["m"] - round(seconds * 1_000_000)}


def with_floor(note: dict[str, Any], version: int) -> dict[str, Any]:
    """Return a note with another floor."""
    context, session = note["t"][0][0], note["b"][0][1]
    return {**note, "f": [[context, session, version, version, note["t"][0][2]]]}


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda cookie: cookie[:-4] + "AAAA", "bad signature"),
        (lambda _: "x", "bad signature"),
        (lambda cookie: signed(payload(cookie), OTHER_SECRET), "bad signature"),
        (none_algorithm, "bad signature"),
        (lambda cookie: signed(older(payload(cookie), 90_000)), "expired"),
        (lambda cookie: signed({**payload(cookie), "z": "x" * 4000}), "too large"),
        (lambda cookie: signed({**payload(cookie), "v": 2}), "unknown format"),
        (lambda cookie: signed({**payload(cookie), "f": "9"}), "unknown format"),
        (lambda cookie: signed({**payload(cookie), "f": [[0, 1, 1, None, 1]]}), "unknown format"),
        (lambda cookie: signed({**payload(cookie), "m": 10**18}), "unknown format"),
        (lambda cookie: signed({**payload(cookie), "e": -1}), "unknown format"),
        (lambda cookie: signed({**payload(cookie), "o": 1}), "unknown format"),
        (lambda _: signed({"v": 1, "f": [[9, 9, 1, 1, 1]]}), "unknown format"),
        (lambda cookie: signed({**payload(cookie), "t": [], "o": []}), "unknown format"),
    ],
)
async def test_unbelievable_cookie_is_cleared(
    workers: tuple[Shop, ...], emporix: FakeEmporix, spoil: Callable[[str], str], why: str
) -> None:
    """A cookie that cannot be believed is ignored and cleared."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(workers[0], currency="USD")
    browser.carry(spoil(browser.note))

    response = await browser.visit(workers[1], page)

    assert (response.status_code, response.text) == (200, "USD")
    assert browser.cookies == {}
    assert [event.outcome for event in workers[1].named("continuity.ignored")] == [why]


@pytest.mark.parametrize(
    "absurd",
    [
        ["currency", "JPY", "x", "now", 0],
        ["currency", "JPY", "x", 2**60, 0],
        ["currency", "JPY", "x", -(2 * 86_400_000_000), 0],
        ["currency", "JPY", "x", 1, 7],
        ["currency", "JPY", "x" * 100, 1, 0],
        ["currency", "jpy", "x", 1, 0],
        ["currency", b"JPY", "x", 1, 0],
        ["currency", "JPY", "x", 1, 0, 7, ""],
        ["currency", "JPY", "x", 1, 0, 0, 7],
        ["currency", "JPY"],
        ["colour", "red", "x", 1, 0],
        [17, "red", "x", 1, 0],
        ["._session_ctx", "red", "x", 1, 0],
        [".tier", b"{", "x", 1, 0],
        7,
    ],
    ids=lambda absurd: str(absurd)[:40],
)
async def test_absurd_changes(workers: tuple[Shop, ...], emporix: FakeEmporix, absurd: object) -> None:
    """A change that none can be, or that only a later release knows, costs itself and not the note."""
    browser, other = (Browser(emporix.new_session(currency="EUR").token) for _ in range(2))
    await browser.switch(workers[0], currency="USD")
    note = payload(browser.note)
    browser.carry(signed({**note, "o": [*note["o"], absurd]}))
    assert await browser.currency(workers[1]) == "USD"
    assert not workers[1].named("continuity.ignored")

    await browser.switch(workers[0], currency="CHF")
    assert await browser.currency(workers[1]) == "CHF"
    for code in ("USD", "GBP", "SEK"):  # the clock of this worker has come to no harm
        await other.switch(workers[0], currency=code)
        assert await other.currency(workers[1]) == code


async def test_forged_cookie_keeps_the_change(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """A forged cookie does not cost its own request the change."""
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    browser.carry("nonsense")
    await browser.switch(workers[0], currency="USD")

    assert (emporix.document(session.session_id) or {})["currency"] == "USD"
    assert payload(browser.note)["t"][0][1] == 2


async def test_floor_far_ahead(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """A floor far ahead of what is known is not believed."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(workers[0], currency="USD")
    await browser.currency(workers[0])
    browser.carry(signed(with_floor(payload(browser.note), 100_000)))
    emporix.clear_calls()

    assert [await browser.currency(workers[0]) for _ in range(5)] == ["USD"] * 5
    assert emporix.count() == 0


async def test_many_floors_never_met(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """Floors that are never met do not make every page a call."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(workers[0], currency="USD")
    known = payload(browser.note)
    emporix.clear_calls()
    for number in range(100):
        browser.carry(signed(with_floor(known, 10 + number)))
        await browser.currency(workers[0])

    assert emporix.count() < 50


async def test_one_floor_never_met(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """One floor that is never met is given up."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(workers[0], currency="USD")
    browser.carry(signed(with_floor(payload(browser.note), 10)))
    emporix.clear_calls()
    for _ in range(100):
        await browser.currency(workers[1])

    assert emporix.count() < 50
