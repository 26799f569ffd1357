"""Cookies that cannot be believed: forged, expired, absurd."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from session_ctx_middleware.testing import FakeEmporix

from ..support.shop import Shop
from .browser import NAME, OTHER_SECRET, Browser, page, payload, signed


def none_algorithm(cookie: str) -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{header}.{cookie.split('.')[1]}."


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda cookie: cookie[:-4] + "AAAA", "bad signature"),
        (lambda _: "x", "bad signature"),
        (lambda cookie: signed(payload(cookie), OTHER_SECRET), "bad signature"),
        (none_algorithm, "bad signature"),
        (lambda cookie: signed({**payload(cookie), "i": payload(cookie)["i"] - 90_000}), "expired"),
        (lambda cookie: signed({**payload(cookie), "t": "x" * 4000}), "too large"),
        (lambda cookie: signed({**payload(cookie), "v": 2}), "unknown format"),
        (lambda cookie: signed({**payload(cookie), "f": "9"}), "unknown format"),
        (lambda cookie: signed({**payload(cookie), "i": float("nan")}), "unknown format"),
        (lambda cookie: signed({**payload(cookie), "p": [["currency", "usd", "1", 1.0, -1]]}), "unknown format"),
        (lambda cookie: signed({**payload(cookie), "p": [["colour", "red", "1", 1.0, -1]]}), "unknown format"),
        (lambda _: signed({"v": 1}), "unknown format"),
    ],
)
async def test_unbelievable_cookie_is_cleared(
    workers: tuple[Shop, ...], emporix: FakeEmporix, spoil: Callable[[str], str], why: str
) -> None:
    """A cookie that cannot be believed is ignored and cleared."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(workers[0], currency="USD")
    browser.cookies[NAME] = spoil(browser.cookies[NAME])

    response = await browser.visit(workers[1], page)

    assert (response.status_code, response.text) == (200, "USD")
    assert browser.cookies == {}
    assert [event.outcome for event in workers[1].named("continuity.ignored")] == [why]


@pytest.mark.parametrize(
    "absurd",
    [
        {"i": 10**400},
        {"i": -1},
        {"p": [["currency", "USD", "x", 10**400, -1]]},
        {"p": [["currency", "USD", "x", 1e300, -1]]},
        {"p": [["currency", "USD", "x", 2e9, -1]]},
        {"a": [["t", "", [["attributes.k", "v", "x", 10**400, -1]]]]},
        {"a": [["t", "", [["attributes.k", "v", "x", 1e12, -1]]]]},
        {"a": [["t", ""]]},
        {"a": [[1, 2, 3]]},
        {"a": 1},
    ],
    ids=lambda absurd: str(absurd)[:40],
)
async def test_absurd_numbers(workers: tuple[Shop, ...], emporix: FakeEmporix, absurd: dict[str, Any]) -> None:
    """Numbers and moments that are none are not believed."""
    browser, other = (Browser(emporix.new_session(currency="EUR").token) for _ in range(2))
    await browser.switch(workers[0], currency="USD")
    browser.cookies[NAME] = cookie = signed({**payload(browser.cookies[NAME]), **absurd})
    assert await browser.currency(workers[1]) == "USD"
    assert browser.cookies == {}

    browser.cookies[NAME] = cookie
    await browser.switch(workers[0], currency="CHF")
    for code in ("USD", "GBP", "SEK"):  # the clock of this worker has come to no harm
        await other.switch(workers[0], currency=code)
        assert await other.currency(workers[1]) == code


async def test_forged_cookie_keeps_the_change(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """A forged cookie does not cost its own request the change."""
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    browser.cookies[NAME] = "nonsense"
    await browser.switch(workers[0], currency="USD")

    assert (emporix.document(session.session_id) or {})["currency"] == "USD"
    assert payload(browser.cookies[NAME])["f"] == 2


async def test_floor_far_ahead(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """A floor far ahead of what is known is not believed."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(workers[0], currency="USD")
    await browser.currency(workers[0])
    browser.cookies[NAME] = signed({**payload(browser.cookies[NAME]), "f": 100_000})
    emporix.clear_calls()

    assert [await browser.currency(workers[0]) for _ in range(5)] == ["USD"] * 5
    assert emporix.count() == 0


async def test_many_floors_never_met(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """Floors that are never met do not make every page a call."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(workers[0], currency="USD")
    known = payload(browser.cookies[NAME])
    emporix.clear_calls()
    for number in range(100):
        browser.cookies[NAME] = signed({**known, "f": 10 + number})
        await browser.currency(workers[0])

    assert emporix.count() < 50


async def test_one_floor_never_met(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """One floor that is never met is given up."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(workers[0], currency="USD")
    browser.cookies[NAME] = signed({**payload(browser.cookies[NAME]), "f": 10})
    emporix.clear_calls()
    for _ in range(100):
        await browser.currency(workers[1])

    assert emporix.count() < 50
