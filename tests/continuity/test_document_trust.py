"""Travelling documents that count for nothing: bent, foreign, replayed, of another shop or key."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest
from starlette.requests import Request

from session_ctx_middleware import ConfigurationError, ContinuityPolicy, SessionContext, sealing
from session_ctx_middleware.document_cookie import PURPOSE
from session_ctx_middleware.sealing import Keyring
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.shop import Shop
from ..support.virtual_time import WALL_START, VirtualClock
from .browser import OTHER_SECRET, SECRET, Browser, again, page
from .travel import DOCUMENT, in_full, stats, travelling

MakeShop = Callable[..., Shop]
BASE_URL = "https://api.emporix.io"


async def logout(ctx: SessionContext, _: Request) -> None:
    await ctx.forget()


def sealed(payload: bytes, *, secret: str = SECRET, tenant: str = "acme", purpose: str = PURPOSE) -> str:
    return Keyring([secret.encode()], tenant, BASE_URL).sealer(purpose).seal(payload, DOCUMENT)


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda value: value[:-4] + "AAAA", id="bent"),
        pytest.param(lambda value: value[: len(value) // 2], id="cut short"),
        pytest.param(lambda _: "x", id="garbage"),
        pytest.param(lambda value: value + "x" * 4096, id="too long"),
        pytest.param(lambda _: sealed(b"{}\n{}"), id="another format"),
        pytest.param(lambda _: sealed(b'{"f":1,"t":"","e":0,"a":1}\n[]'), id="no document"),
        pytest.param(lambda _: sealed(b'{"f":1,"t":"","e":0,"a":1}\n{}', secret=OTHER_SECRET), id="another key"),
        pytest.param(lambda _: sealed(b'{"f":1,"t":"","e":0,"a":1}\n{}', tenant="other"), id="another tenant"),
        pytest.param(lambda _: sealed(b'{"f":1,"t":"","e":0,"a":1}\n{}', purpose="continuity note"), id="a note"),
    ],
)
async def test_unreadable(
    make_shop: MakeShop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture, forge: Callable[[str], str]
) -> None:
    """What does not open has no effect but one call, is counted, and is replaced; the log quotes nothing of it."""
    one, two = travelling(make_shop, 2)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    emporix.edit(session.session_id, currency="USD")
    forged = browser.cookies[DOCUMENT] = forge(browser.note)
    with caplog.at_level(logging.DEBUG, "session_ctx_middleware"):
        assert (await browser.visit(two, in_full)).text == "USD"

    assert stats(two)["document_unreadable"] == 1
    assert [event.outcome for event in two.named("document.ignored")] == ["unreadable"]
    assert browser.cookies[DOCUMENT] != forged
    assert len(forged) < 8 or forged not in caplog.text
    assert session.session_id not in caplog.text


async def test_unreadable_and_no_context(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What does not open is cleared where there is nothing to replace it."""
    (shop,) = travelling(make_shop)
    browser = Browser(emporix.new_session(exists=False).token)
    browser.cookies[DOCUMENT] = "x"

    assert (await browser.visit(shop, in_full)).text == "-"
    assert browser.cookies == {}


async def test_copied_cookie(make_shop: MakeShop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """In another shopper's browser a copied cookie opens for nobody, changes nothing, and tells nothing."""
    one, two = travelling(make_shop, 2)
    victim, thief = (Browser(emporix.new_session(currency=code).token) for code in ("EUR", "USD"))
    await victim.currency(one)
    await thief.currency(one)
    copied = thief.cookies[DOCUMENT] = victim.note
    with caplog.at_level(logging.DEBUG, "session_ctx_middleware"):
        answer = await thief.visit(two, in_full)

    assert answer.text == "USD"
    assert (stats(two)["document_foreign"], stats(two)["travelled"]) == (1, 0)
    assert thief.cookies[DOCUMENT] != copied
    assert {record.levelname for record in caplog.records if "document" in record.getMessage()} == {"DEBUG"}
    assert "EUR" not in copied
    nobody = Browser(None)
    nobody.cookies[DOCUMENT] = copied
    assert (await nobody.visit(two, in_full)).text == "-"


async def test_copied_cookie_in_an_outage(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Also while Emporix is down, a copied cookie shows nothing of the shopper whose it is."""
    one, two = travelling(make_shop, 2)
    victim, thief = (Browser(emporix.new_session(currency=code).token) for code in ("EUR", "USD"))
    await victim.currency(one)
    thief.cookies[DOCUMENT] = victim.note
    emporix.fault("context.*", Fault(status=503), times=None)

    assert (await thief.visit(two, in_full)).text == "- degraded"


async def test_logout(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A logout clears the document; one that a late answer brings back is of no use any more."""
    one, two, three = travelling(make_shop, 3)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    late = await browser.send(one, page)
    kept = browser.cookies[DOCUMENT]
    await browser.visit(two, logout)
    assert DOCUMENT not in browser.cookies
    browser.receive(late)
    browser.cookies[DOCUMENT] = kept
    emporix.edit(session.session_id, currency="USD")

    assert await browser.currency(three) == "USD"
    assert stats(three)["document_replayed"] == 1
    browser.cookies[DOCUMENT] = kept
    await browser.currency(one)
    assert browser.cookies[DOCUMENT] != kept, "the same document counts again once it is sealed after the logout"


async def test_logout_here(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """After a logout the same request does not read what it brought."""
    one, two = travelling(make_shop, 2)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    emporix.edit(session.session_id, currency="USD")

    async def again(ctx: SessionContext, request: Request) -> str:
        await ctx.forget()
        return await in_full(ctx, request)

    assert (await browser.visit(two, again)).text == "-"
    assert DOCUMENT not in browser.cookies


async def test_next_customer(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """The next customer at the same browser sees nothing of the last one, and travels by himself."""
    one, two, three = travelling(make_shop, 3)
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(one)
    kept = browser.cookies[DOCUMENT]
    await browser.visit(one, logout)
    browser.token = emporix.new_session(currency="USD").token
    browser.cookies[DOCUMENT] = kept

    assert await browser.currency(two) == "USD"
    emporix.clear_calls()
    assert await browser.currency(three) == "USD"
    assert emporix.calls == []


async def test_rotated_keys(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """While keys are rotated worker by worker, documents travel on; without the old key they count for nothing."""
    (old,) = travelling(make_shop)
    (both,) = travelling(make_shop, secret_key=[OTHER_SECRET, SECRET])
    (new,) = travelling(make_shop, secret_key=OTHER_SECRET)
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(old)

    assert await browser.currency(both) == "EUR"
    assert stats(both)["travelled"] == 1
    assert await browser.currency(new) == "EUR"
    assert stats(new)["document_unreadable"] == 1


async def test_two_shops_on_one_host(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Shops of two tenants on one host neither read nor clear each other's documents."""
    other = FakeEmporix(tenant="other", now=lambda: WALL_START + asyncio.get_running_loop().time())
    one, two = travelling(make_shop, 2)
    theirs, new = travelling(make_shop, 2, emporix=other)
    browser, token = Browser(emporix.new_session(currency="EUR").token), other.new_session(currency="USD").token
    await browser.currency(one)
    mine, browser.token = browser.token, token
    await browser.currency(theirs)
    assert len(browser.cookies) == 2

    assert await browser.currency(new) == "USD"
    browser.token = mine
    assert await browser.currency(two) == "EUR"
    assert [stats(each)["travelled"] for each in (two, new)] == [1, 1]


async def test_a_refused_token(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What one worker still knows of a token that Emporix has refused another one shows there no more."""
    one, two = travelling(make_shop, 2)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    assert [await browser.currency(shop) for shop in (two, one)] == ["EUR", "EUR"]
    await asyncio.sleep(70)
    await browser.visit(one, again)
    kept = browser.cookies[DOCUMENT]
    emporix.revoke(session.token)
    browser.cookies.clear()
    assert await browser.currency(two) is None
    browser.cookies[DOCUMENT] = kept  # from an answer that was on its way
    await asyncio.sleep(60)
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await browser.currency(two) is None


async def test_a_token_that_several_have_found_refused(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """That another worker says so, too, brings nothing back that the browser still has."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two, three = (travelling(make_shop, store=each)[0] for each in (store, store.sibling(), store.sibling()))
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    for shop in (two, three, one):
        await browser.currency(shop)
    await asyncio.sleep(70)
    await browser.visit(one, again)
    kept = browser.cookies[DOCUMENT]
    emporix.revoke(session.token)
    await asyncio.sleep(70)
    for shop in (two, three):
        browser.cookies.clear()
        assert await browser.currency(shop) is None
    browser.cookies[DOCUMENT] = kept
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await browser.currency(two) is None


async def test_made_up_cookies_cost_no_memory(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Several cookies of the name are tried, and not too many; the one that opens counts."""
    one, two = travelling(make_shop, 2)
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(one)
    good = f"{DOCUMENT}={browser.note}"
    headers = {"Cookie": f"{DOCUMENT}=x; {DOCUMENT}=; other=1; {good}"}
    answer = await two.visit(in_full, token=browser.token, headers=headers)

    assert answer.text == "EUR"
    assert stats(two)["travelled"] == 1


async def test_without_the_package(make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package that encrypts, the error names the extra; without a secret, the secret."""
    with pytest.raises(ConfigurationError, match=r"document=.* needs secret_key="):
        travelling(make_shop, secret_key=None)[0].app.build_middleware_stack()
    monkeypatch.setattr(sealing, "can_encrypt", lambda: False)
    with pytest.raises(ConfigurationError, match=r"session-ctx-middleware\[encryption\]"):
        travelling(make_shop)[0].app.build_middleware_stack()


async def test_workers_are_told_one_by_one(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A worker without the option leaves the cookie alone, and reads as ever."""
    one, two = travelling(make_shop, 2)
    (plain,) = travelling(make_shop, continuity=ContinuityPolicy())
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(one)

    assert await browser.currency(plain) == "EUR"
    assert await browser.currency(two) == "EUR"
    assert stats(two)["travelled"] == 1


async def test_overlapping_logout(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A page that was asked for before a logout and answered after it brings no document back into use."""
    one, two = travelling(make_shop, 2)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)

    async def slow(ctx: SessionContext, _: Request) -> str:
        await ctx
        await asyncio.sleep(2)
        return ctx.currency or ""

    late = browser.send(one, slow)
    await asyncio.sleep(1)
    await browser.visit(one, logout)
    browser.receive(await late)
    emporix.edit(session.session_id, currency="USD")

    assert await browser.currency(two) == "USD"
    assert stats(two)["travelled"] == 0
