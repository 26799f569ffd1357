"""The continuity cookie: what one worker knows, the next one knows too."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx2
import jwt
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from session_ctx_middleware import CachePolicy, Commit, ConfigurationError, SessionContext, SessionContextMiddleware
from session_ctx_middleware import continuity as module
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Handler, Shop
from .support.virtual_time import VirtualClock

SECRET = "s" * 32
OTHER_SECRET = "o" * 32
NAME = "__Host-session_ctx"
LATE = CachePolicy(stale_while_revalidate=0)


class Browser:
    """Carries cookies from one worker to the next."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.cookies: dict[str, str] = {}
        self.last = ""

    async def visit(self, shop: Shop, handler: Handler) -> httpx2.Response:
        shop.browser.cookies.clear()
        sent = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        response = await shop.visit(handler, token=self.token, headers={"Cookie": sent} if sent else None)
        self.last = response.headers.get("set-cookie", "")
        if self.last:
            name, _, value = self.last.partition(";")[0].partition("=")
            if value:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        return response

    async def currency(self, shop: Shop) -> str | None:
        return (await self.visit(shop, page)).text or None

    async def switch(self, shop: Shop, **values: str) -> None:
        async def endpoint(ctx: SessionContext, _: Request) -> None:
            ctx.switch(**values)

        await self.visit(shop, endpoint)


async def page(ctx: SessionContext, _: Request) -> str:
    return (await ctx).currency or ""


async def again(ctx: SessionContext, _: Request) -> None:
    await ctx.refresh()


async def attribute(ctx: SessionContext, _: Request) -> None:
    ctx.set_attribute("tier", "gold")


async def tier(ctx: SessionContext, _: Request) -> str:
    return str((await ctx).attributes.get("tier", ""))


def named(key: str, value: str) -> Handler:
    """Return an endpoint that sets an attribute."""

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute(key, value)

    return endpoint


@pytest.fixture
def workers(make_shop: Callable[..., Shop]) -> tuple[Shop, Shop, Shop]:
    """Three processes of one shop that share nothing but a secret."""
    return make_shop(secret_key=SECRET), make_shop(secret_key=SECRET), make_shop(secret_key=SECRET)


def payload(cookie: str) -> dict[str, Any]:
    part = cookie.split(".")[1]
    data: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return data


def signed(data: dict[str, Any], secret: str = SECRET) -> str:
    import hmac

    key = hmac.digest(secret.encode(), module.PURPOSE, "sha256")
    return jwt.PyJWS().encode(json.dumps(data).encode(), key, "HS256")


# What goes out


async def test_on_https_the_cookie_is_bound_to_the_host(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(workers[0], currency="USD")

    name, *attributes = browser.last.split("; ")
    assert name.startswith(f"{NAME}=")
    assert attributes == ["Path=/", "Max-Age=86400", "HttpOnly", "SameSite=Lax", "Secure"]


@pytest.mark.parametrize(
    ("options", "name", "secure"),
    [
        ({}, "session_ctx", False),
        ({"https_only": True}, "__Host-session_ctx", True),
        ({"cookie_name": "shop_ctx"}, "shop_ctx", False),
    ],
)
async def test_on_http_the_cookie_has_no_prefix_unless_a_proxy_speaks_https(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, options: dict[str, Any], name: str, secure: bool
) -> None:
    shop = make_shop(secret_key=SECRET, **options)
    shop.browser.base_url = "http://shop.test"
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(shop, currency="USD")

    assert browser.last.startswith(f"{name}=")
    assert browser.last.endswith("; Secure") is secure


async def test_a_page_that_only_reads_sets_no_cookie(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(workers[0])
    assert browser.last == ""

    await browser.switch(workers[0], currency="USD")
    for shop in workers:
        await browser.currency(shop)
        assert browser.last == ""


async def test_without_a_secret_there_is_no_cookie(shop: Shop, emporix: FakeEmporix) -> None:
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(shop, currency="USD")
    assert browser.last == ""


async def test_a_response_with_the_cookie_is_for_one_shopper(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        ctx.switch_currency("USD")
        return PlainTextResponse("", headers={"Cache-Control": "public, max-age=60"})

    response = await Browser(emporix.new_session(currency="EUR").token).visit(workers[0], endpoint)

    assert "private" in response.headers["cache-control"]
    assert "public" not in response.headers["cache-control"]
    assert "Cookie" in response.headers["vary"]


async def test_the_cookie_gives_neither_token_nor_session_away(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.switch(workers[0], currency="USD")

    text = json.dumps(payload(browser.cookies[NAME]))
    assert session.token not in text
    assert session.session_id not in text


# What the next worker does with it


async def test_what_was_switched_on_one_worker_is_read_on_every_other(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    browser = Browser(emporix.new_session(currency="EUR").token)
    for shop in workers:
        assert await browser.currency(shop) == "EUR"  # and keeps it for a minute
    await browser.switch(workers[0], currency="USD")
    emporix.clear_calls()

    assert [await browser.currency(shop) for shop in workers * 3] == ["USD"] * 9
    assert emporix.count("context.get") == 3


async def test_f11_two_workers_with_different_versions_both_win(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR", language="en")
    one, two = Browser(session.token), Browser(session.token)
    for shop in workers:
        await one.currency(shop)
    await asyncio.gather(one.switch(workers[0], currency="USD"), two.switch(workers[1], language="fr"))

    document = emporix.document(session.session_id) or {}
    assert (document["currency"], document["language"], document["metadata"]["version"]) == ("USD", "fr", 3)


async def test_a_choice_before_the_cart_follows_the_shopper_and_is_sent_once(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    await browser.switch(workers[0], currency="USD")
    assert [await browser.currency(shop) for shop in workers] == ["USD"] * 3

    emporix.create_context(session.session_id, currency="EUR")
    await asyncio.sleep(3)
    assert [await browser.currency(shop) for shop in (*workers[1:], *workers)] == ["USD"] * 5

    assert (emporix.document(session.session_id) or {})["currency"] == "USD"
    assert [call.status for call in emporix.calls if call.operation == "context.patch"] == [204]
    assert payload(browser.cookies[NAME])["p"] == []


async def test_while_emporix_is_down_the_next_worker_shows_what_the_last_one_has_sent(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(two)
    await browser.switch(one, currency="USD")
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await browser.currency(two) == "USD"


async def test_a_document_that_may_lack_own_changes_is_not_shown_when_emporix_is_down(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(two)
    emporix.edit(session.session_id, currency="CHF")
    await browser.switch(one, language="fr")  # made over a version that the other worker has never seen
    emporix.fault("context.*", Fault(status=503), times=None)

    async def endpoint(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.currency} {ctx.language} {ctx.is_degraded}"

    assert (await browser.visit(two, endpoint)).text == "None None True"


class DeafStore(MemoryStore):
    """A shared store that this worker cannot tell anything for now."""

    deaf = False

    async def invalidate(self, names: Sequence[str], identity: str, floor: int, *, lifetime: float) -> None:
        if self.deaf:
            raise OSError("the store is away")
        await super().invalidate(names, identity, floor, lifetime=lifetime)


async def test_a_busy_shopper_is_not_shown_what_the_store_still_has_from_before_the_own_change(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    store = DeafStore(shared=True, clock=VirtualClock())
    one, two, three = (make_shop(secret_key=SECRET, store=each) for each in (store, store.sibling(), store.sibling()))
    browser = Browser(emporix.new_session(currency="EUR").token)
    for number in range(15):  # more than Emporix is asked for one cookie after the other
        await browser.switch(one, currency=("CHF", "GBP")[number % 2])
        await browser.currency(two)
    await browser.switch(one, currency="SEK")
    assert await browser.currency(three) == "SEK"  # and the store has it from here
    store.deaf = True
    await browser.switch(one, currency="USD")

    assert await browser.currency(two) == "USD"
    assert await browser.currency(two) == "USD"


async def test_a_late_change_that_had_to_wait_is_carried_by_the_next_response(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)

    async def stream(ctx: SessionContext, _: Request) -> Response:
        async def later() -> None:
            async with ctx.late_changes():
                ctx.switch_currency("USD")

        from starlette.background import BackgroundTask

        return PlainTextResponse("", background=BackgroundTask(later))

    await browser.visit(workers[0], stream)
    assert browser.cookies == {}
    assert await browser.currency(workers[0]) == "USD"
    assert await browser.currency(workers[1]) == "USD"


async def test_logging_out_takes_the_cookie_away(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    async def logout(ctx: SessionContext, _: Request) -> None:
        await ctx.forget()

    browser = Browser(emporix.new_session(exists=False).token)
    await browser.switch(workers[0], currency="USD")
    await browser.visit(workers[1], logout)

    assert browser.cookies == {}
    assert "Max-Age=0" in browser.last


async def test_an_explicit_commit_before_a_failing_response_is_carried(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(workers[1])

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        ctx.switch_currency("USD")
        assert await ctx.commit() is Commit.APPLIED
        return PlainTextResponse("", status_code=500)

    await browser.visit(workers[0], endpoint)
    assert await browser.currency(workers[1]) == "USD"


# Another session in the same browser


async def test_to_another_session_only_the_switches_go_along(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    guest, customer = emporix.new_session(exists=False), emporix.new_session(currency="EUR")
    browser = Browser(guest.token)

    async def choose(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        ctx.set_attribute("tier", "gold")

    await browser.visit(workers[0], choose)
    browser.token = customer.token
    assert await browser.currency(workers[1]) == "USD"
    assert (await browser.visit(workers[2], tier)).text == ""

    document = emporix.document(customer.session_id) or {}
    assert (document["currency"], document.get("context")) == ("USD", None)


async def test_a_refreshed_token_of_the_same_session_takes_everything_along(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(workers[0])
    emporix.fault("context.patch", Fault(status=503), times=None)
    await browser.visit(workers[0], attribute)
    browser.token = emporix.new_token(session.session_id)

    assert (await browser.visit(workers[1], tier)).text == "gold"


async def test_an_attribute_follows_the_shopper_before_anybody_knows_whose_session_the_token_is_of(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.switch(workers[0], currency="USD")  # this is what the cookie is bound to
    emporix.fault("context.*", Fault(status=503), times=None)
    await browser.visit(workers[0], named("size", "XL"))
    browser.token = emporix.new_token(session.session_id)
    await browser.visit(workers[0], attribute)

    assert (await browser.visit(workers[1], tier)).text == "gold"

    emporix.clear_faults()
    await asyncio.sleep(15)
    assert (await browser.visit(workers[2], tier)).text == "gold"
    assert (emporix.document(session.session_id) or {})["context"] == {"tier": "gold", "size": "XL"}
    assert payload(browser.cookies[NAME])["p"] == []
    assert payload(browser.cookies[NAME])["a"] == []


async def test_an_attribute_of_an_unknown_session_goes_to_its_own_session_alone(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    guest, customer = emporix.new_session(currency="EUR"), emporix.new_session(currency="EUR")
    browser = Browser(guest.token)
    await browser.switch(workers[0], currency="USD")
    emporix.fault("context.*", Fault(status=503), times=None)
    await browser.visit(workers[0], named("size", "XL"))
    browser.token = customer.token
    await browser.visit(workers[0], attribute)
    emporix.clear_faults()
    await asyncio.sleep(15)

    browser.token = guest.token
    assert (await browser.visit(workers[1], tier)).text == ""
    browser.token = customer.token
    assert (await browser.visit(workers[2], tier)).text == "gold"
    assert (emporix.document(guest.session_id) or {})["context"] == {"size": "XL"}
    assert (emporix.document(customer.session_id) or {})["context"] == {"tier": "gold"}


async def test_what_waits_under_a_token_that_never_told_its_session_outlives_the_next_token(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    first, second = emporix.new_session(currency="EUR"), emporix.new_session(currency="EUR")
    browser = Browser(first.token)
    emporix.fault("context.*", Fault(status=503), times=None)
    await browser.visit(workers[0], attribute)
    emporix.clear_faults()
    await asyncio.sleep(15)
    browser.token = second.token
    await browser.switch(workers[1], currency="USD")
    assert (await browser.visit(workers[1], tier)).text == ""

    browser.token = first.token
    assert (await browser.visit(workers[2], tier)).text == "gold"
    assert (emporix.document(first.session_id) or {})["context"] == {"tier": "gold"}
    assert (emporix.document(second.session_id) or {}).get("context") is None


async def test_attributes_of_any_number_of_unknown_tokens_find_their_session(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    tokens = [session.token, emporix.new_token(session.session_id), emporix.new_token(session.session_id)]
    browser = Browser(session.token)
    emporix.fault("context.*", Fault(status=503), times=None)
    for number, token in enumerate(tokens):
        browser.token = token
        await browser.visit(workers[0], named(f"a{number}", "yes"))
    emporix.clear_faults()
    await asyncio.sleep(15)

    async def sent_after(token: str) -> list[str]:
        browser.token = token
        await browser.currency(workers[1])
        return sorted((emporix.document(session.session_id) or {}).get("context") or {})

    assert await sent_after(tokens[2]) == ["a2"]
    assert await sent_after(tokens[0]) == ["a0", "a2"]
    assert await sent_after(tokens[1]) == ["a0", "a1", "a2"]


async def test_what_was_brought_along_has_the_room_before_attributes_of_an_unknown_token(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    emporix.fault("context.*", Fault(status=503), times=None)
    await browser.visit(workers[0], named("size", "x" * 1000))
    browser.token = emporix.new_token(session.session_id)
    await browser.visit(workers[0], named("tier", "g" * 1500))

    assert len(browser.cookies[NAME]) <= 3 * 1024
    assert len(workers[0].named("continuity.overflow")) == 1

    emporix.clear_faults()
    await asyncio.sleep(15)
    assert len((await browser.visit(workers[0], tier)).text) == 1500
    browser.token = session.token
    await browser.currency(workers[1])
    assert sorted((emporix.document(session.session_id) or {})["context"]) == ["size", "tier"]


async def test_what_a_lost_answer_would_have_told_is_carried_by_the_next_one_of_another_token(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    session = emporix.new_session(currency="EUR")
    other = emporix.new_token(session.session_id)
    browser = Browser(other)
    emporix.fault("context.patch", Fault(status=503), times=None)
    await browser.switch(one, language="fr")  # so this worker remembers the session longer than the context
    emporix.clear_faults()
    await asyncio.sleep(1000)
    browser.token = session.token
    assert await browser.currency(two) == "EUR"
    emporix.fault("context.patch", Fault(status=503), times=None)
    await browser.switch(two, currency="USD")
    emporix.clear_faults()
    await asyncio.sleep(15)
    before = dict(browser.cookies)
    assert await browser.currency(one) == "USD"
    assert (emporix.document(session.session_id) or {})["currency"] == "USD"
    browser.cookies = before  # that answer never arrived
    emporix.fault("context.*", Fault(status=503), times=None)
    browser.token = other
    await browser.currency(one)

    browser.token = session.token
    assert await browser.currency(two) == "USD"


@pytest.mark.parametrize("reads", [True, False])
async def test_a_cookie_that_tells_of_the_last_context_does_not_bring_it_back_once_it_was_created_anew(
    workers: tuple[Shop, ...], emporix: FakeEmporix, reads: bool
) -> None:
    one, two, three = workers
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    for shop in (two, three):
        await browser.currency(shop)
    await browser.switch(one, currency="USD")
    await browser.currency(one)
    await asyncio.sleep(1)
    emporix.recreate_context(session.session_id, currency="CHF")
    await browser.visit(one, again)
    emporix.fault("context.*", Fault(status=503), times=None)
    await browser.switch(two, language="fr")  # this worker knows of the last context only

    if reads:
        assert await browser.currency(one) == "CHF"
    await browser.switch(one, target_location="CH")
    assert await browser.currency(three) is None


async def test_a_cookie_does_not_vouch_for_a_change_that_another_process_has_told_of(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(secret_key=SECRET, store=each) for each in (store, store.sibling()))
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(two)
    await browser.switch(one, language="fr")
    await one.switch(session.token, currency="USD")  # by something that carries no cookie, such as a job
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await browser.currency(two) is None


async def test_what_is_shown_after_a_commit_that_had_to_wait_says_that_it_is_stale(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(two)
    await asyncio.sleep(200)
    await browser.switch(one, currency="USD")
    emporix.fault("context.*", Fault(status=429), times=None)
    await browser.currency(two)

    async def endpoint(ctx: SessionContext, _: Request) -> str:
        ctx.switch_language("fr")
        outcome = await ctx.commit()
        return f"{outcome.value} {ctx.currency} {ctx.is_stale}"

    assert (await browser.visit(two, endpoint)).text == "parked USD True"


async def test_attributes_that_wait_for_a_session_are_there_when_the_shopper_comes_back_to_it(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    one, two = emporix.new_session(currency="EUR"), emporix.new_session(currency="EUR")
    browser = Browser(one.token)
    await browser.switch(workers[0], currency="USD")
    emporix.fault("context.patch", Fault(status=503), times=None)
    await browser.visit(workers[0], attribute)
    emporix.clear_faults()
    browser.token = two.token
    assert (await browser.visit(workers[1], tier)).text == ""
    await asyncio.sleep(15)

    browser.token = emporix.new_token(one.session_id)
    assert (await browser.visit(workers[2], tier)).text == "gold"
    assert (emporix.document(one.session_id) or {})["context"] == {"tier": "gold"}
    assert (emporix.document(two.session_id) or {}).get("context") is None


async def test_an_attribute_that_waits_apart_does_not_undo_a_later_one(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    one, two, three = workers
    session, other = emporix.new_session(currency="EUR"), emporix.new_session(currency="EUR")
    refreshed = emporix.new_token(session.session_id)
    browser = Browser(session.token)
    emporix.fault("context.*", Fault(status=503), times=None)
    await browser.switch(one, currency="USD")
    browser.token = refreshed
    await browser.visit(one, named("tier", "old"))
    browser.token = session.token
    await browser.visit(one, named("tier", "new"))
    emporix.clear_faults()
    await asyncio.sleep(15)
    assert (await browser.visit(two, tier)).text == "new"
    browser.token = other.token
    await browser.currency(three)

    browser.token = refreshed
    assert (await browser.visit(three, tier)).text == "new"
    assert (emporix.document(session.session_id) or {})["context"] == {"tier": "new"}


async def test_what_two_cookies_say_is_not_taken_for_what_was_between_them(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.visit(workers[1], named("tier", "old"))
    await browser.visit(workers[2], named("tier", "new"))
    await browser.visit(workers[0], named("size", "g" * 2500))  # takes so much room that the cookie forgets the tier
    emporix.fault("context.*", Fault(status=503), times=None)

    assert (await browser.visit(workers[1], tier)).text != "old"


async def test_a_floor_of_another_session_costs_no_call(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    one, two = emporix.new_session(currency="EUR"), emporix.new_session(currency="CHF")
    browser = Browser(two.token)
    await browser.currency(workers[1])
    browser.token = one.token
    for code in ("USD", "GBP", "SEK"):
        await browser.switch(workers[0], currency=code)
    browser.token = two.token
    emporix.clear_calls()

    assert await browser.currency(workers[1]) == "CHF"
    assert emporix.count() == 0


# What cannot be believed


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
async def test_a_cookie_that_cannot_be_believed_is_ignored_and_cleared(
    workers: tuple[Shop, ...], emporix: FakeEmporix, spoil: Callable[[str], str], why: str
) -> None:
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
async def test_numbers_and_moments_that_are_none_are_not_believed(
    workers: tuple[Shop, ...], emporix: FakeEmporix, absurd: dict[str, Any]
) -> None:
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


async def test_a_forged_cookie_does_not_cost_its_own_request_the_change(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    browser.cookies[NAME] = "nonsense"
    await browser.switch(workers[0], currency="USD")

    assert (emporix.document(session.session_id) or {})["currency"] == "USD"
    assert payload(browser.cookies[NAME])["f"] == 2


async def test_a_floor_far_ahead_of_what_is_known_is_not_believed(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(workers[0], currency="USD")
    await browser.currency(workers[0])
    browser.cookies[NAME] = signed({**payload(browser.cookies[NAME]), "f": 100_000})
    emporix.clear_calls()

    assert [await browser.currency(workers[0]) for _ in range(5)] == ["USD"] * 5
    assert emporix.count() == 0


async def test_floors_that_are_never_met_do_not_make_every_page_a_call(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(workers[0], currency="USD")
    known = payload(browser.cookies[NAME])
    emporix.clear_calls()
    for number in range(100):
        browser.cookies[NAME] = signed({**known, "f": 10 + number})
        await browser.currency(workers[0])

    assert emporix.count() < 50


async def test_one_floor_that_is_never_met_is_given_up(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(workers[0], currency="USD")
    browser.cookies[NAME] = signed({**payload(browser.cookies[NAME]), "f": 10})
    emporix.clear_calls()
    for _ in range(100):
        await browser.currency(workers[1])

    assert emporix.count() < 50


async def test_a_crowd_behind_one_switch_makes_one_call(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    browser = Browser(emporix.new_session(currency="EUR").token)
    for shop in workers:
        await browser.currency(shop)
    await browser.switch(workers[0], currency="USD")
    emporix.clear_calls()
    emporix.latency = 0.1
    cookie = {"Cookie": f"{NAME}={browser.cookies[NAME]}"}

    pages = [workers[number % 3].visit(page, token=browser.token, headers=cookie) for number in range(300)]
    assert {response.text for response in await asyncio.gather(*pages)} == {"USD"}
    assert emporix.count("context.get") == 3


async def test_a_signature_is_checked_once_for_all_requests_of_a_browser(
    workers: tuple[Shop, ...], emporix: FakeEmporix, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(workers[0], currency="USD")
    checked: list[object] = []
    original = module.ContinuityCookie._parsed

    def parsed(self: module.ContinuityCookie, value: bytes) -> module.Found:
        checked.append(value)
        return original(self, value)

    monkeypatch.setattr(module.ContinuityCookie, "_parsed", parsed)
    for _ in range(20):
        await browser.currency(workers[1])

    assert len(checked) == 1


async def test_garbage_cookies_take_a_bounded_amount_of_memory(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    browser = Browser(emporix.new_session(currency="EUR").token)
    for number in range(module.REMEMBERED + 50):
        browser.cookies[NAME] = f"garbage-{number}"
        await browser.currency(workers[0])
    shop: Any = workers[0].app.middleware_stack
    while not isinstance(shop, SessionContextMiddleware):
        shop = shop.app
    cookie = shop._deps.cookie
    assert cookie is not None
    assert len(cookie._known) <= module.REMEMBERED


# Keys


async def test_keys_are_rotated_without_losing_a_cookie(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    old, both, new = (
        make_shop(secret_key=OTHER_SECRET),
        make_shop(secret_key=[SECRET, OTHER_SECRET]),
        make_shop(secret_key=SECRET),
    )
    browser = Browser(emporix.new_session(currency="EUR").token)
    for shop in (old, both, new):
        await browser.currency(shop)
    await browser.switch(old, currency="USD")
    assert await browser.currency(both) == "USD"
    await browser.switch(both, currency="GBP")
    assert await browser.currency(new) == "GBP"


@pytest.mark.parametrize("name", ["", "a b", "a;b", "__Host-x", "né"])
def test_a_name_that_no_cookie_can_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cookie_name"):
        SessionContextMiddleware(page, tenant="acme", secret_key=SECRET, cookie_name=name)  # type: ignore[arg-type]


# Room


async def test_attributes_that_do_not_fit_are_kept_by_the_store_and_reported(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)

    async def choose(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        ctx.set_attribute("tier", "g" * 5000)

    await browser.visit(workers[0], choose)

    assert len(browser.cookies[NAME]) <= 3 * 1024
    assert len(workers[0].named("continuity.overflow")) == 1
    assert await browser.currency(workers[1]) == "USD"
    for _ in range(3):
        assert len((await browser.visit(workers[0], tier)).text) == 5000
        assert not browser.last, "it would say the same again"
    assert len(workers[0].named("continuity.overflow")) == 1


async def test_large_attributes_that_emporix_took_do_not_fill_the_cookie(
    workers: tuple[Shop, ...], emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    for shop in workers:
        await browser.currency(shop)

    async def choose(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        ctx.set_attribute("tier", "g" * 5000)

    await browser.visit(workers[0], choose)

    assert len(browser.cookies[NAME]) <= 3 * 1024
    assert len((await browser.visit(workers[1], tier)).text) == 5000
    assert await browser.currency(workers[2]) == "USD"


# Clocks


@pytest.mark.parametrize("offset", [-3600.0, 3600.0])
async def test_f40_the_order_of_choices_does_not_depend_on_the_clocks_of_the_workers(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, offset: float
) -> None:
    one, two, three = (make_shop(secret_key=SECRET) for _ in range(3))
    two.clock.wall_offset = offset
    browser = Browser(emporix.new_session(exists=False).token)
    for shop, code in ((one, "USD"), (two, "GBP"), (three, "CHF"), (two, "SEK"), (one, "NOK")):
        await browser.switch(shop, currency=code)
        for each in (one, two, three):
            assert await browser.currency(each) == code
