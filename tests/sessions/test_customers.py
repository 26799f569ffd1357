"""Customers: what becomes of session, choices and cart when they log in, log out, and act for companies."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from session_ctx_middleware import ContextUnavailable, LoginRefused, TokenRejected
from session_ctx_middleware.errors import ChangeRefused, ContextSealed
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import Fault

from .customers import JANE, JOE, KIM, CustomerShop, MakeShop, platform


async def test_login_keeps_session_choices_and_cart(make_shop: MakeShop) -> None:
    """A guest who logs in has the same session and cart, and what he has chosen, whatever his preferences are."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    guest = await shop.page()
    await shop.switch(currency="CHF")
    cart = await shop.cart()

    moved = await shop.login(JANE)

    assert (moved.kind, moved.session_kept) == ("login", True)
    assert set(moved.kept) >= {"currency", "cart_id"}
    assert not moved.dropped
    seen = await shop.page()
    assert (seen["customer"], seen["session"], seen["cart_id"]) == ("C0001", guest["session"], cart)
    assert seen["currency"] == (emporix.document(guest["session"]) or {})["currency"] == "CHF"
    assert seen["is_logged_in"]
    assert [*emporix._world.sessions] == [guest["session"]]


async def test_preferences_count_where_nothing_was_chosen(make_shop: MakeShop) -> None:
    """What a guest has only seen gives way to the customer's preferences."""
    shop = CustomerShop(make_shop, platform())
    await shop.page()
    await shop.login(JANE)

    assert (await shop.page())["currency"] == "USD"


async def test_login_of_a_new_browser(make_shop: MakeShop) -> None:
    """Who logs in with the first request gets a session for it, and one cookie."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)

    moved = await shop.login(JOE)

    assert moved.kind == "login"
    assert len(shop.jar()) == 1
    assert (await shop.page())["customer"] == "C0002"
    assert emporix.count("anonymous.login") == 1


async def test_wrong_password(make_shop: MakeShop) -> None:
    """A wrong password changes nothing: session, choices and cookie are as they were."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    before, jar = await shop.page(), shop.jar()

    for password in ("wrong-password", "short", ""):
        with pytest.raises(LoginRefused):
            await shop.login((JANE[0], password))

    assert shop.jar() == jar
    assert (await shop.page())["session"] == before["session"]


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"origin": "https://evil.test"}])
async def test_another_site(make_shop: MakeShop, headers: dict[str, str]) -> None:
    """A form on another site logs nobody in, and Emporix is not asked (login CSRF)."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)

    with pytest.raises(LoginRefused, match="another site"):
        await shop.login(JANE, headers=headers)

    assert emporix.count("customer.login") == 0
    assert not shop.jar()


FAULTS = [Fault(status=500), Fault(status=429), Fault(drop="before"), Fault(hang=True), Fault(status=401, by="proxy")]


@pytest.mark.parametrize("fault", FAULTS)
async def test_outage_at_login(fault: Fault, make_shop: MakeShop) -> None:
    """While Emporix cannot be asked nobody is logged in, and the session is as it was; later it works."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    before, jar = await shop.page(), shop.jar()
    emporix.fault("customer.login", fault, times=None)

    with pytest.raises(ContextUnavailable):
        await shop.login(JANE)

    assert shop.jar() == jar
    assert (await shop.page())["session"] == before["session"]
    emporix.clear_faults()
    assert (await shop.login(JANE)).session_kept


async def test_refused_guest(make_shop: MakeShop) -> None:
    """A guest's token that Emporix refuses at a login is refreshed first, and the session stays."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    before = await shop.page()
    for token in list(emporix._world.access):
        emporix.revoke(token)

    assert (await shop.login(JANE)).kind == "login"
    assert (await shop.page())["session"] == before["session"]


async def test_logout(make_shop: MakeShop) -> None:
    """After a logout nothing of the customer is left but the four switches, in the next guest's session as well."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    await shop.page()
    await shop.login(JANE)
    await shop.note(iban="secret")
    await shop.cart()
    before = await shop.page()

    moved = await shop.logout()

    assert (moved.kind, moved.session_kept) == ("logout", False)
    assert set(moved.kept) == {"site_code", "currency", "language", "target_location"}
    assert set(moved.dropped) == {"cart_id", "attributes", "customer_id"}
    assert not shop.jar()
    assert emporix.count("anonymous.login") == 1
    seen = await shop.page()
    assert emporix.count("anonymous.login") == 2
    assert (seen["currency"], seen["attributes"], seen["cart_id"], seen["customer"]) == ("USD", {}, None, "ANONYMOUS")
    assert seen["session"] != before["session"]
    assert not (await shop.account()).is_customer


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(hang=True)])
async def test_outage_at_logout(fault: Fault, make_shop: MakeShop) -> None:
    """A logout does not wait for Emporix to be well; Emporix is told later."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    await shop.login(JANE)
    await shop.note(iban="secret")
    before = await shop.page()
    emporix.fault("customer.logout", fault)

    assert (await shop.logout()).kind == "logout"

    seen = await shop.page()
    assert (seen["attributes"], seen["customer"]) == ({}, "ANONYMOUS")
    await asyncio.sleep(20.0)
    assert shop.shop.named("logout.untold")
    assert emporix.document(before["session"]) is None


async def test_logout_of_nobody(make_shop: MakeShop) -> None:
    """Who logs out without a session begins none for it, and keeps his choices."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)

    assert (await shop.logout()).kind == "logout"
    assert emporix.count() == 0


async def test_late_answer_after_logout(make_shop: MakeShop) -> None:
    """What a slow page of before the logout sets in the browser brings nobody back."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    await shop.page()
    await shop.login(JANE)
    await asyncio.sleep(13 * 3600.0)  # so that the page refreshes the customer's tokens
    held = dict(shop.shop.browser.cookies)
    emporix.fault("customer.refresh", Fault(delay=1.0))

    async def slow() -> None:
        await shop.page()

    late = asyncio.ensure_future(slow())
    await asyncio.sleep(0.1)
    await shop.logout()
    await late

    seen = await shop.page()
    assert held
    assert (seen["customer"], seen["attributes"]) == ("ANONYMOUS", {})
    assert len(shop.jar()) == 1


async def test_late_answer_after_login(make_shop: MakeShop) -> None:
    """A slow page of before the login, that refreshes the guest's tokens, logs nobody out."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    guest = await shop.page()
    await asyncio.sleep(3500.0)
    emporix.fault("anonymous.refresh", Fault(delay_after=1.5))
    late = asyncio.ensure_future(shop.page())
    await asyncio.sleep(0.1)
    await shop.login(JANE)
    await late

    seen = await shop.page()
    assert (seen["customer"], seen["session"]) == ("C0001", guest["session"])
    assert len(shop.jar()) == 1


async def test_another_customer(make_shop: MakeShop) -> None:
    """Who logs in where another customer is logged in gets a session of his own, and nothing of the other one."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    await shop.page()
    await shop.login(JANE)
    await shop.note(iban="secret")
    await shop.switch(language="fr")
    before = await shop.page()

    moved = await shop.login(JOE)

    seen = await shop.page()
    assert (moved.kind, moved.session_kept) == ("login", False)
    assert (seen["customer"], seen["attributes"], seen["language"]) == ("C0002", {}, "fr")
    assert seen["session"] != before["session"]
    assert {"attributes", "customer_id"} <= set(moved.dropped)


async def test_once_more(make_shop: MakeShop) -> None:
    """The same customer logs in once more for a checkout, and session and attributes stay."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    await shop.page()
    await shop.login(JANE)
    await shop.note(gift="yes")
    before = await shop.page()
    assert not (await shop.account()).needs_login_for_checkout
    await asyncio.sleep(5 * 3600.0)
    assert (await shop.account()).needs_login_for_checkout

    moved = await shop.login(JANE)

    assert (moved.session_kept, (await shop.page())["session"]) == (True, before["session"])
    assert (await shop.page())["attributes"] == {"gift": "yes"}
    assert not (await shop.account()).needs_login_for_checkout
    assert [*emporix._world.sessions] == [before["session"]]


@pytest.mark.parametrize("keep", ["cookie", "store"])
async def test_once_more_after_a_wrong_password(keep: str, make_shop: MakeShop) -> None:
    """Where each refresh token is good once, the next attempt still finds the running session."""
    store = {"keep": MemoryStore()} if keep == "store" else {}
    shop = CustomerShop(make_shop, platform(refresh_reuse="refused"), sessions=store)
    await shop.login(JANE)
    session = (await shop.page())["session"]

    for _ in range(2):
        assert await shop.do(partial(refused, shop, JANE[0], "wrong"))
    moved = await shop.login(JANE)

    assert moved.session_kept
    assert (await shop.page())["session"] == session


async def refused(shop: CustomerShop, email: str, password: str, request: Any) -> bool:
    """Log in, and show the form again."""
    try:
        await shop.sessions.login(request, email, password)
    except LoginRefused:
        return True
    return False


async def test_companies(make_shop: MakeShop) -> None:
    """A customer chooses a company and acts for it from then on, also after refreshes; none of it crosses over."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    await shop.page()
    await shop.login(KIM)
    session = (await shop.page())["session"]
    found = await shop.do(shop.sessions.companies)
    assert (found.state, [each.legal_entity_id for each in found.every]) == ("unresolved", ["le-north", "le-south"])

    moved = await shop.company("le-north")

    assert (moved.kind, moved.session_kept) == ("company", True)
    assert (await shop.page())["attributes"] == {"legalEntityId": "le-north"}
    assert (await shop.do(shop.sessions.companies)).state == "b2b"
    for hours in (13, 13, 13):
        await asyncio.sleep(hours * 3600.0)
        seen = await shop.page()
        assert (seen["session"], seen["attributes"]) == (session, {"legalEntityId": "le-north"})
    assert emporix.count("customer.refresh") == 4
    assert (await shop.do(shop.sessions.validate)).legal_entity_id == "le-north"

    await shop.company("le-south")
    assert (await shop.page())["attributes"] == {"legalEntityId": "le-south"}
    await shop.company(None)
    assert (await shop.page())["attributes"] == {}
    assert (await shop.account()).legal_entity_id is None


async def test_company_of_nobody(make_shop: MakeShop) -> None:
    """Who is not logged in, has no such company, or cannot ask, keeps what he has."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    await shop.page()
    with pytest.raises(TokenRejected):
        await shop.company("le-north")
    await shop.login(KIM)
    jar = shop.jar()
    with pytest.raises(ChangeRefused):
        await shop.company("le-west")
    emporix.fault("customer.refresh", Fault(status=503))
    with pytest.raises(ContextUnavailable):
        await shop.company("le-north")

    assert shop.jar() == jar
    assert (await shop.page())["customer"] == "C0003"


async def test_too_late(make_shop: MakeShop) -> None:
    """Once the response has started nobody can be logged in or out."""
    shop = CustomerShop(make_shop, platform())
    requests: list[Any] = []

    async def keep(request: Any) -> None:
        requests.append(request)

    await shop.do(keep)
    for work in (shop.sessions.logout, lambda request: shop.sessions.login(request, *JANE)):
        with pytest.raises(ContextSealed):
            await work(requests[0])


async def test_cart_of_a_company(make_shop: MakeShop) -> None:
    """A cart does not cross companies, though Emporix goes on naming it; back in its company it is there again."""
    shop = CustomerShop(make_shop, platform())
    await shop.page()
    await shop.login(KIM)
    await shop.company("le-north")
    north = await shop.cart()
    assert (await shop.page())["cart_id"] == north

    moved = await shop.company("le-south")

    assert "cart_id" in moved.dropped
    for hours in (0.0, 13.0):
        await asyncio.sleep(hours * 3600.0)
        assert (await shop.page())["cart_id"] is None
    await shop.company(None)
    assert (await shop.page())["cart_id"] is None
    await shop.company("le-north")
    assert (await shop.page())["cart_id"] == north


@pytest.mark.parametrize("fault", [None, Fault(status=503)])
async def test_once_more_for_the_company(fault: Fault | None, make_shop: MakeShop) -> None:
    """Who logs in once more goes on to act for his company, at the latest with the next page."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    await shop.login(KIM)
    await shop.company("le-north")
    if fault is not None:
        emporix.fault("customer.refresh", fault)

    await shop.login(KIM)

    assert (await shop.account()).legal_entity_id == "le-north"
    await asyncio.sleep(3.0)
    await shop.page()
    assert (await shop.do(shop.sessions.validate)).legal_entity_id == "le-north"
    assert not (await shop.account()).needs_login_for_checkout


@pytest.mark.parametrize("keep", ["cookie", "store"])
async def test_company_takes_too_long(keep: str, make_shop: MakeShop) -> None:
    """An answer that comes too late ends no session, wherever that is kept."""
    emporix = platform()
    store = {"keep": MemoryStore()} if keep == "store" else {}
    shop = CustomerShop(make_shop, emporix, sessions=store)
    await shop.login(KIM)
    before = await shop.page()
    emporix.fault("customer.refresh", Fault(delay_after=2.5))
    with pytest.raises(ContextUnavailable):
        await shop.company("le-north")
    await asyncio.sleep(5.0)

    seen = await shop.page()
    assert (seen["customer"], seen["session"]) == ("C0003", before["session"])
    await shop.company("le-south")
    assert (await shop.page())["attributes"] == {"legalEntityId": "le-south"}


@pytest.mark.parametrize("given", [(None, "correct-horse"), ("jane@example.com", None), (b"file", "x")], ids=str)
async def test_form_without_the_fields(make_shop: MakeShop, given: tuple[Any, Any]) -> None:
    """What is no e-mail address and no password is refused as a wrong one is, and Emporix is not asked."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)

    with pytest.raises(LoginRefused, match="have to be texts"):
        await shop.login(given)

    assert emporix.count("customer.login") == 0
