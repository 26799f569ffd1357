"""Answers that are not Emporix' own, or are not what its API promises: nobody loses a session or a choice by them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Literal

import pytest
from starlette.requests import Request

from session_ctx_middleware import ContextDefaults, SessionContext, TokenRejected
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop, held, patches

DEFAULTS = ContextDefaults(currency="CHF")
Foreign = Literal["gateway", "proxy"]

foreign = pytest.mark.parametrize(
    ("status", "by"), [(404, "gateway"), (404, "proxy"), (403, "gateway"), (403, "proxy"), (401, "proxy")]
)


async def state(shop: Shop, token: str) -> str:
    """Return what a page sees of its context."""

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        flags = (name for name in ("stale", "degraded", "rejected", "loaded") if getattr(ctx, f"is_{name}"))
        return " ".join([ctx.currency or "none", f"exists={ctx.exists}", *flags])

    return (await shop.visit(page, token=token)).text


# Only Emporix' own word counts


@foreign
async def test_known_session_is_served_stale(
    status: int, by: Foreign, make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    """A gateway's or a firewall's answer takes no cart and no customer from a session that is known."""
    shop = make_shop(defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR")
    await state(shop, session.token)
    await asyncio.sleep(300)
    emporix.fault("context.get", Fault(status=status, by=by), times=None)

    assert await state(shop, session.token) == "EUR exists=True stale loaded"
    emporix.clear_faults()
    await asyncio.sleep(8)
    assert await state(shop, session.token) == "EUR exists=True loaded"


@foreign
async def test_new_session_is_degraded(
    status: int, by: Foreign, make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    """For a session that nobody knows it is an outage: neither "no context" nor a refused token."""
    shop = make_shop(defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(status=status, by=by), times=1)

    assert await state(shop, session.token) == "CHF exists=False degraded loaded"
    await asyncio.sleep(8)
    assert await state(shop, session.token) == "EUR exists=True loaded"


@foreign
@pytest.mark.parametrize("known", [True, False])
async def test_switch_is_parked(status: int, by: Foreign, known: bool, shop: Shop, emporix: FakeEmporix) -> None:
    """A switch that something on the way refuses is parked, and sent when Emporix can be reached again."""
    session = emporix.new_session(currency="EUR")
    if known:
        await state(shop, session.token)
    emporix.fault("context.*", Fault(status=status, by=by), times=None)

    await shop.switch(session.token, currency="USD")

    assert [event.name for event in shop.events if event.name.startswith("commit.")] == ["commit.parked"]
    assert (await state(shop, session.token)).startswith("USD")
    emporix.clear_faults()
    await asyncio.sleep(100)
    assert await state(shop, session.token) == "USD exists=True loaded"
    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_lost_answer_behind_a_proxy(shop: Shop, emporix: FakeEmporix) -> None:
    """A PATCH that Emporix took, and a proxy answered with its own 404, is settled by a GET."""
    session = emporix.new_session(currency="EUR")
    await state(shop, session.token)
    emporix.fault("context.patch", Fault(status=404, by="proxy", apply=True), times=1)

    await shop.switch(session.token, currency="USD")

    assert [event.name for event in shop.events if event.name.startswith("commit.")] == ["commit.applied"]
    assert len(patches(emporix)) == 1


@pytest.mark.parametrize("status", [200, 201])
async def test_page_that_says_success(status: int, shop: Shop, emporix: FakeEmporix) -> None:
    """A firewall's page is no success, though some firewalls say so: the switch is parked, and sent afterwards."""
    session = emporix.new_session(currency="EUR")
    await state(shop, session.token)
    emporix.fault(
        "context.patch", Fault(status=status, body=b"\n<html>The requested URL was rejected.</html>"), times=9
    )

    await shop.switch(session.token, currency="USD")

    assert [event.name for event in shop.events if event.name.startswith("commit.")] == ["commit.parked"]
    assert {event.outcome for event in shop.named("upstream.failed")} == {"foreign answer"}
    emporix.clear_faults()
    await asyncio.sleep(150)
    assert await state(shop, session.token) == "USD exists=True loaded"
    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_pause_that_emporix_has_not_asked_for(shop: Shop, emporix: FakeEmporix) -> None:
    """A ``Retry-After`` of whoever is on the way keeps no other session from Emporix."""
    emporix.fault("context.get", Fault(status=403, by="proxy", retry_after=60), times=1)
    await state(shop, emporix.new_session().token)

    assert await state(shop, emporix.new_session(currency="EUR").token) == "EUR exists=True loaded"


async def test_own_word_still_counts(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What Emporix itself says is believed as before."""
    shop = make_shop(defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR")
    assert await state(shop, "garbage") == "CHF exists=False rejected loaded"
    assert await state(shop, emporix.new_session(exists=False).token) == "CHF exists=False loaded"
    emporix.fault("context.get", Fault(status=403), times=1)
    assert await state(shop, session.token) == "CHF exists=False rejected loaded"


async def test_wrong_path_in_base_url(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong path in `base_url` is no "no context yet": it is told at once, with the remedy, and told once."""
    caplog.set_level("WARNING", "session_ctx_middleware")
    shop = make_shop(base_url="https://emporix.test/v1", defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR")

    for _ in range(3):
        assert await state(shop, session.token) == "CHF exists=False degraded loaded"

    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("upstream.failed foreign answer (context.get, 404): ")
    assert "Check base_url=... (its path, too)" in line


async def test_required_load_behind_a_firewall(shop: Shop, emporix: FakeEmporix) -> None:
    """A page that insists on a context is not told that the token was refused."""
    emporix.fault("context.get", Fault(status=403, by="proxy"), times=None)

    async def page(ctx: SessionContext, _: Request) -> str:
        try:
            await ctx.load(required=True)
        except TokenRejected:
            return "rejected"
        except Exception as error:
            return type(error).__name__
        return "loaded"

    assert (await shop.visit(page, token=emporix.new_session().token)).text == "ContextUnavailable"


@foreign
async def test_breaker_opens(status: int, by: Foreign, shop: Shop, emporix: FakeEmporix) -> None:
    """Whoever answers so for many sessions is asked no more for a while, and that is told."""
    emporix.fault("context.get", Fault(status=status, by=by), times=None)
    for _ in range(30):
        await state(shop, emporix.new_session().token)

    assert emporix.count("context.get") < 15
    assert len(shop.named("upstream.unavailable")) == 1


# An odd value costs itself


def deep(levels: int) -> object:
    value: object = "bottom"
    for _ in range(levels):
        value = {"a": value}
    return value


ODD_FIELDS: dict[str, Any] = {
    "number as customer": {"customerId": 31746755},
    "number as session": {"sessionId": 7},
    "number as currency": {"currency": 5},
    "lone surrogate": {"currency": "\ud800"},
    "infinite number": {"loyalty": float("inf")},
    "huge number": {"loyalty": 10**400},
    "deep": {"loyalty": deep(70)},
    "list of attributes": {"context": ["a"]},
    "odd attribute": {"context": {"bad": deep(70), "good": "1"}},
    "text that is no Unicode": {"context": {"bad": "\ud800", "good": "1"}},
    "list as cart": {"cartId": ["c"]},
    "no times": {"metadata": {"version": 1, "createdAt": 5, "modifiedAt": None}},
    "everything": dict.fromkeys(["customerId", "currency", "siteCode", "cartId", "targetLocation"], True),
}


@pytest.mark.parametrize("odd", ODD_FIELDS.values(), ids=ODD_FIELDS)
async def test_session_with_an_odd_value(odd: dict[str, Any], shop: Shop, emporix: FakeEmporix) -> None:
    """A session with an odd value is read, switched, and given attributes like any other."""
    session = emporix.new_session(currency="EUR", language="en")
    emporix.rewrite_context(session.session_id, {**held(emporix, session.session_id), **odd})

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        json.dumps([ctx.to_dict(), dict(ctx.attributes)], ensure_ascii=False).encode()
        return f"{ctx.exists} {ctx.is_degraded} {ctx.language}"

    async def change(ctx: SessionContext, _: Request) -> None:
        ctx.switch(currency="USD")
        ctx.set_attribute("new", {"a": "1"})

    assert (await shop.visit(page, token=session.token)).text == "True False en"
    await shop.visit(change, token=session.token)
    assert [event.name for event in shop.events if event.name.startswith("commit.")] == ["commit.applied"]
    assert (await shop.visit(page, token=session.token)).text == "True False en"

    document = held(emporix, session.session_id)
    assert document["currency"] == "USD"
    before = odd.get("context", {})
    assert document["context"] == {**(before if isinstance(before, dict) else {}), "new": {"a": "1"}}
    untouched = odd.keys() - {"currency", "context", "metadata"}
    assert {key: document[key] for key in untouched} == {key: odd[key] for key in untouched}


@pytest.mark.parametrize("repair", ["set", "remove"])
@pytest.mark.parametrize("bad", [deep(70), "\ud800", 10**400, [1]], ids=["deep", "surrogate", "huge", "list"])
async def test_odd_attribute_is_repaired(repair: str, bad: object, shop: Shop, emporix: FakeEmporix) -> None:
    """An odd attribute can be replaced and removed, and the other ones stay."""
    session = emporix.new_session(attributes={"bad": bad, "good": "1"})

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        await ctx
        if repair == "set":
            ctx.set_attribute("bad", "2")
        else:
            ctx.remove_attribute("bad")

    await shop.visit(endpoint, token=session.token)

    assert held(emporix, session.session_id)["context"] == {"good": "1"} | ({"bad": "2"} if repair == "set" else {})


@pytest.mark.parametrize(("number", "back"), [(b"1e400", 10**400), (b"1" * 5000, None), (b"NaN", None)])
async def test_number_that_python_does_not_hold(number: bytes, back: object, shop: Shop, emporix: FakeEmporix) -> None:
    """What an answer alone can say is read, too, and sent back in the map of attributes, where it has a form."""
    session = emporix.new_session()
    raw = b'{"metadata": {"version": "1"}, "currency": "EUR", "context": {"bad": %b, "good": "1"}}' % number
    emporix.fault("context.get", Fault(body=raw), times=None)

    async def endpoint(ctx: SessionContext, _: Request) -> str:
        await ctx
        ctx.set_attribute("new", "1")
        return f"{ctx.currency} {ctx.attributes['bad']} {ctx.attributes['good']}"

    assert (await shop.visit(endpoint, token=session.token)).text == "EUR None 1"
    (body,) = patches(emporix)
    assert body == {"context": {"bad": back, "good": "1", "new": "1"}, "metadata": {"version": 1}}


async def test_odd_value_is_told_once(shop: Shop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """Operators hear of the field once, with the remedy, and not of its value."""
    caplog.set_level("WARNING", "session_ctx_middleware")
    for _ in range(3):
        session = emporix.new_session()
        emporix.edit(session.session_id, customerId=4711)
        await state(shop, session.token)

    assert [event.outcome for event in shop.named("document.odd")] == ["customerId"] * 3
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("document.odd customerId (context.get): ")
    assert "repairs it" in line
    assert "4711" not in line


# What is no context is never kept

NO_CONTEXT: dict[str, Fault] = {
    "html": Fault(body=b"<html>maintenance</html>"),
    "html that says JSON": Fault(body=b"<html>", headers={"content-type": "application/json"}),
    "nothing": Fault(body=b""),
    "blanks": Fault(body=b"  \n"),
    "no object": Fault(body=b"[]"),
    "no version": Fault(body={"currency": "NO"}),
    "null as version": Fault(body={"currency": "NO", "metadata": {"version": None}}),
    "negative version": Fault(body={"currency": "NO", "metadata": {"version": -1}}),
    "half a version": Fault(body={"currency": "NO", "metadata": {"version": 1.5}}),
    "endless version": Fault(body=b'{"currency": "NO", "metadata": {"version": 1e400}}'),
    "metadata as a list": Fault(body={"currency": "NO", "metadata": [{"version": 1}]}),
    "cut off": Fault(body=b'{"currency": "NO", "metadata": {"version": 1}'),
    "two documents": Fault(body=b'{"metadata": {"version": 1}}{"metadata": {"version": 2}}'),
    "too large": Fault(body=b'{"currency": "NO", "metadata": {"version": 1}}' + b" " * 2**18),
    "201": Fault(status=201, body={"currency": "NO", "metadata": {"version": 9}}),
    "202": Fault(status=202, body={"currency": "NO", "metadata": {"version": 9}}),
    "203": Fault(status=203, body={"currency": "NO", "metadata": {"version": 9}}),
    "204": Fault(status=204),
    "206": Fault(status=206, body={"currency": "NO", "metadata": {"version": 9}}),
    "304": Fault(status=304),
    "moved": Fault(status=302, headers={"location": "/session-context/acme/me/context"}),
    "moved away": Fault(status=301, headers={"location": "https://elsewhere.test/"}),
}


@pytest.mark.parametrize("fault", NO_CONTEXT.values(), ids=NO_CONTEXT)
async def test_what_is_no_context(fault: Fault, make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """An answer that is no context is an outage: not shown, not cached, not followed; a known session goes on."""
    shop = make_shop(defaults=DEFAULTS)
    known, new = emporix.new_session(currency="EUR"), emporix.new_session(currency="EUR")
    await state(shop, known.token)
    await asyncio.sleep(300)
    emporix.fault("context.get", fault, times=2)

    assert await state(shop, known.token) == "EUR exists=True stale loaded"
    assert await state(shop, new.token) == "CHF exists=False degraded loaded"
    assert emporix.count() == 3
    await asyncio.sleep(8)
    for session in (known, new):
        assert await state(shop, session.token) == "EUR exists=True loaded"


OTHER_WAYS: dict[str, dict[str, str]] = {
    "text": {"content-type": "text/plain"},
    "html": {"content-type": "text/html"},
    "another charset": {"content-type": "application/json; charset=latin-1"},
    "none": {},
    "vendor": {"content-type": "application/vnd.emporix+json"},
}


@pytest.mark.parametrize("headers", OTHER_WAYS.values(), ids=OTHER_WAYS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "byte order mark"])
async def test_ways_to_send_a_context(headers: dict[str, str], mark: bytes, shop: Shop, emporix: FakeEmporix) -> None:
    """What is a context is one, whatever its type is said to be, and with a byte order mark in front."""
    session = emporix.new_session()
    raw = mark + b'{"currency": "EUR", "metadata": {"version": 1}}'
    emporix.fault("context.get", Fault(body=raw, headers=headers), times=1)

    assert await state(shop, session.token) == "EUR exists=True loaded"
