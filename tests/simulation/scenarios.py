"""Cases too rare for a campaign, each made for one guard: they hold with it, and must fail without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate

import httpx2
from starlette.requests import Request

from session_ctx_middleware import CachePolicy, SessionContext, UpstreamPolicy
from session_ctx_middleware.stores import Attachment, ContextStoreUnavailable, Listener, MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..continuity.browser import SECRET, Browser, choosing, everything, payload
from ..support.outage import Way
from ..support.shop import Shop, held
from ..support.terse import Terse
from ..support.virtual_time import VirtualClock


@asynccontextmanager
async def shop_with(**options: object) -> AsyncIterator[tuple[FakeEmporix, Shop]]:
    emporix = FakeEmporix(now=lambda: 1.79e9 + asyncio.get_running_loop().time())
    shop = Shop(emporix, httpx2, **options)
    try:
        yield emporix, shop
    finally:
        await shop.browser.aclose()
        await shop.upstream_client.aclose()


@asynccontextmanager
async def shop_on_a_way(**options: object) -> AsyncIterator[tuple[FakeEmporix, Way, Shop]]:
    emporix = FakeEmporix(now=lambda: 1.79e9 + asyncio.get_running_loop().time())
    way = Way(emporix, httpx2)
    shop = Shop(emporix, httpx2, http_client=way.client, **options)
    try:
        yield emporix, way, shop
    finally:
        await shop.browser.aclose()
        await way.client.aclose()


class HardOfHearing(MemoryStore):
    """A store whose notices get lost at times."""

    deaf = False

    def attach(self, listener: Listener) -> Attachment:
        attachment = super().attach(lambda notice: None if self.deaf else listener(notice))
        self.attachments = [attachment]
        return attachment


async def forget(ctx: SessionContext, _: Request) -> None:
    await ctx.forget()


async def refresh(ctx: SessionContext, _: Request) -> str:
    await ctx.refresh()
    return ctx.currency or ""


async def a_read_in_the_air_does_not_undo_a_logout() -> None:
    async with shop_with() as (emporix, shop):
        session = emporix.new_session(currency="EUR")
        await shop.currency(session.token)
        await asyncio.sleep(130)
        emporix.fault("context.get", Fault(delay_after=1.0), times=1)
        reading = asyncio.create_task(shop.currency(session.token))
        await asyncio.sleep(0.5)
        await shop.visit(forget, token=session.token)
        await reading
        emporix.fault("context.get", Fault(status=500), times=None)
        assert await shop.currency(session.token) is None


async def a_cached_value_does_not_prove_that_emporix_has_it() -> None:
    async with shop_with() as (emporix, shop):
        session = emporix.new_session(currency="EUR")
        await shop.currency(session.token)
        emporix.edit(session.session_id, currency="USD")
        await shop.switch(session.token, currency="EUR")
        assert (emporix.document(session.session_id) or {})["currency"] == "EUR"


async def a_page_shows_no_less_than_the_one_before_though_a_write_overlapped() -> None:
    async with shop_with() as (emporix, shop):
        session = emporix.new_session(currency="EUR")
        await shop.currency(session.token)
        emporix.fault("context.patch", Fault(delay=2.0), times=1)
        switching = asyncio.create_task(shop.switch(session.token, language="fr"))
        await asyncio.sleep(0.5)
        emporix.edit(session.session_id, currency="USD")
        assert (await shop.visit(refresh, token=session.token)).text == "USD"
        assert await shop.currency(session.token) == "USD"
        await switching


async def what_was_told_while_nobody_listened_is_asked_for() -> None:
    store = HardOfHearing(shared=True, clock=VirtualClock())
    async with shop_with(store=store) as (emporix, shop):
        other = Shop(emporix, httpx2, store=store.sibling())
        session = emporix.new_session(currency="EUR")
        assert await shop.currency(session.token) == "EUR"
        store.deaf = True
        await other.switch(session.token, currency="USD")
        store.deaf = False
        store.attachments[0].epoch += 1
        assert await shop.currency(session.token) == "USD"
        await other.browser.aclose()
        await other.upstream_client.aclose()


class Mute(MemoryStore):
    """A store that others hear nothing from: what is written is refused, and what is there stays as it was."""

    def __init__(self, memory: MemoryStore) -> None:
        self._open(memory._memory)

    async def invalidate(self, *_: object, **__: object) -> None:
        raise ContextStoreUnavailable("no memory left")


async def nothing_is_believed_that_nobody_could_deny() -> None:
    store = HardOfHearing(shared=True, clock=VirtualClock())
    async with shop_with(store=store) as (emporix, shop):
        other = Shop(emporix, httpx2, store=Mute(store))
        session = emporix.new_session(currency="EUR")
        assert await shop.currency(session.token) == "EUR"
        await other.switch(session.token, currency="USD")
        await asyncio.sleep(2.1)
        for attachment in store.attachments:
            attachment.lost()
            attachment.missed()
        assert await shop.currency(session.token) == "USD"
        await other.browser.aclose()
        await other.upstream_client.aclose()


async def instances_of_one_process_show_the_same() -> None:
    store = MemoryStore(clock=VirtualClock())
    async with shop_with(store=store) as (emporix, shop):
        other = Shop(emporix, httpx2, store=store)
        session = emporix.new_session(currency="EUR")
        assert [await each.currency(session.token) for each in (shop, other)] == ["EUR", "EUR"]
        assert emporix.count("context.get") == 1
        await other.switch(session.token, currency="USD")
        assert await shop.currency(session.token) == "USD"
        await other.browser.aclose()
        await other.upstream_client.aclose()


async def garbage_tokens_do_not_push_out_good_entries() -> None:
    async with shop_with(cache=CachePolicy(max_entries=5)) as (emporix, shop):
        session = emporix.new_session(currency="EUR")
        await shop.currency(session.token)
        for number in range(20):
            await shop.currency(f"garbage-{number}")
        emporix.clear_calls()
        assert await shop.currency(session.token) == "EUR"
        assert emporix.count() == 0


async def an_old_flight_does_not_remove_a_newer_one() -> None:
    async with shop_with() as (emporix, shop):
        session = emporix.new_session(currency="EUR")
        emporix.fault("context.get", Fault(delay=1.0), times=1)
        emporix.fault("context.get", Fault(delay=1.5), times=1)
        first = asyncio.create_task(shop.currency(session.token))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(shop.visit(refresh, token=session.token))
        await asyncio.sleep(1.0)
        third = asyncio.create_task(shop.currency(session.token))
        await asyncio.gather(first, second, third)
        assert emporix.count("context.get") == 2


async def a_choice_shows_though_the_one_who_asked_has_left() -> None:
    async with shop_with() as (emporix, shop):
        session = emporix.new_session(exists=False)
        await shop.switch(session.token, currency="USD")
        await asyncio.sleep(3)
        emporix.create_context(session.session_id, currency="EUR")
        emporix.fault("context.get", Fault(delay=0.5), times=1)
        other = emporix.new_token(session.session_id)
        leaving = asyncio.create_task(shop.currency(other))
        await asyncio.sleep(0.2)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await asyncio.sleep(0.5)
        assert await shop.currency(other) == "USD"


async def broken_sessions_hide_emporix_from_nobody() -> None:
    async with shop_on_a_way() as (emporix, way, shop):
        broken = [emporix.new_session().token for _ in range(3)]
        way.broken = set(broken)
        for _ in range(30):
            for token in broken:
                await shop.currency(token)
            await asyncio.sleep(0.5)
        assert await shop.currency(emporix.new_session(currency="EUR").token) == "EUR"


async def whoever_was_turned_away_is_served_next_time() -> None:
    async with shop_with(upstream=UpstreamPolicy(max_concurrency=1, deadline=0.1)) as (emporix, shop):
        emporix.latency = 0.05
        tokens = [emporix.new_session(currency="EUR").token for _ in range(10)]
        shown = await asyncio.gather(*(shop.currency(token) for token in tokens))
        assert None in shown
        await asyncio.sleep(0.3)
        for token in tokens:
            assert await shop.currency(token) == "EUR"


async def a_crowd_at_an_empty_process_sees_its_own_values() -> None:
    async with shop_with(upstream=UpstreamPolicy(max_concurrency=10)) as (emporix, shop):
        emporix.latency = 0.05
        tokens = [emporix.new_session(currency="EUR").token for _ in range(200)]
        assert set(await asyncio.gather(*(shop.currency(token) for token in tokens))) == {"EUR"}


async def answers_that_drip_take_no_permit_for_good() -> None:
    async with shop_on_a_way(upstream=UpstreamPolicy(max_concurrency=4)) as (emporix, way, shop):
        way.fails = "dripping"
        tokens = [emporix.new_session(currency="EUR").token for _ in range(8)]
        await asyncio.gather(*(shop.currency(token) for token in tokens))
        way.fails = ""
        await asyncio.sleep(5)
        for token in tokens:
            assert await shop.currency(token) == "EUR"


async def the_earlier_of_two_answers_tells_of_the_later_one() -> None:
    async with shop_with(secret_key=SECRET) as (emporix, shop):
        other = Shop(emporix, httpx2, secret_key=SECRET)
        session = emporix.new_session(currency="EUR")
        browser, still_waiting = Browser(session.token), Browser(session.token)
        for worker in (shop, other):
            assert await browser.currency(worker) == "EUR"

        async def slow(ctx: SessionContext, _: Request) -> None:
            ctx.switch(currency="USD")
            await asyncio.sleep(1)

        slowly = asyncio.create_task(browser.visit(shop, slow))
        await asyncio.sleep(0.5)
        await still_waiting.switch(shop, currency="CHF")
        await slowly
        try:
            assert await browser.currency(other) == "CHF"
        finally:
            await other.browser.aclose()
            await other.upstream_client.aclose()


async def a_choice_follows_a_token_whose_session_was_told_long_ago() -> None:
    async with shop_with() as (emporix, shop):
        session = emporix.new_session(exists=False)
        await shop.currency(session.token)
        await asyncio.sleep(100)
        emporix.fault("context.*", Fault(status=503), times=None)
        await shop.switch(session.token, currency="USD")
        emporix.clear_faults()
        await asyncio.sleep(100)
        assert await shop.currency(emporix.new_token(session.session_id)) == "USD"


async def pages_that_overlap_pile_up_no_cookies() -> None:
    async with shop_with(secret_key=SECRET) as (emporix, shop):
        browser = Browser(emporix.new_session(exists=False).token)
        await browser.visit(shop, choosing(currency="USD"))
        await browser.visit(shop, choosing(language="fr"))
        assert len(browser.cookies) == 2
        other = Shop(emporix, httpx2, secret_key=SECRET)
        try:
            for answer in await asyncio.gather(*(browser.send(each, everything) for each in [shop, other] * 4)):
                browser.receive(answer)
        finally:
            await other.browser.aclose()
            await other.upstream_client.aclose()
        assert len(browser.cookies) == 1


async def pages_between_choices_pile_up_no_joined_notes() -> None:
    async with shop_with(secret_key=SECRET) as (emporix, shop):
        browser = Browser(emporix.new_session(exists=False).token)
        choices = [await browser.send(shop, choosing(**{f"k{number}": "x"})) for number in range(4)]
        pages = []
        for choice in choices:
            browser.receive(choice)
            pages.append(await browser.send(shop, everything))
        for page in pages:
            browser.receive(page)
        joined = [each for each in browser.cookies.values() if len(payload(each)["o"]) > 1]
        assert len(joined) == 1


async def choices_that_overlap_pile_up_no_cookies() -> None:
    async with shop_with(secret_key=SECRET) as (emporix, shop):
        browser = Browser(emporix.new_session(exists=False).token)
        answers = [await browser.send(shop, choosing(currency=f"AA{letter}")) for letter in "BCDEFGHIJKLM"]
        for answer in answers:
            browser.receive(answer)
        assert len(browser.cookies) == 1


async def a_version_that_fell_is_believed_after_a_while() -> None:
    async with shop_with() as (emporix, shop):
        session = emporix.new_session(currency="EUR")
        backup = held(emporix, session.session_id)
        for value in ("USD", "GBP", "CHF"):
            emporix.edit(session.session_id, currency=value)
        assert await shop.currency(session.token) == "CHF"
        emporix.rewrite_context(session.session_id, backup)
        await asyncio.sleep(100)
        await shop.currency(session.token)
        await asyncio.sleep(1)
        assert await shop.currency(session.token) == "EUR"


async def a_swallowed_change_is_sent_again_though_others_write() -> None:
    async with shop_with() as (emporix, shop):
        session = emporix.new_session(currency="EUR")
        await shop.currency(session.token)
        emporix.fault("context.patch", Fault(status=204), times=1)
        await shop.switch(session.token, currency="USD")
        emporix.edit(session.session_id, language="fr")
        for _ in range(3):
            await asyncio.sleep(100)
            await shop.currency(session.token)
        assert held(emporix, session.session_id)["currency"] == "USD"


async def a_swallowed_change_is_sent_though_another_worker_is_asked() -> None:
    async with two_workers(terse=True) as (emporix, shop, other):
        session = emporix.new_session(currency="EUR")
        for worker in (shop, other):
            await worker.currency(session.token)
        emporix.fault("context.patch", Fault(status=204), times=1)
        await shop.switch(session.token, currency="USD")
        await asyncio.sleep(12)
        assert await other.currency(session.token) == "USD"


async def a_swallowed_change_shows_on_every_worker() -> None:
    async with two_workers() as (emporix, shop, other):
        session = emporix.new_session(currency="EUR", language="en")
        for worker in (shop, other):
            await worker.currency(session.token)
        emporix.fault("context.patch", Fault(status=204), times=1)
        await shop.switch(session.token, currency="USD")
        emporix.edit(session.session_id, language="fr")
        assert await other.currency(session.token) == "USD"


async def what_was_seen_beside_a_choice_is_seen_on_the_next_worker() -> None:
    async with shop_with(secret_key=SECRET) as (emporix, shop):
        other = Shop(emporix, httpx2, secret_key=SECRET)
        session = emporix.new_session(currency="EUR")
        browser = Browser(session.token)
        await browser.currency(other)
        emporix.edit(session.session_id, currency="USD")
        assert await browser.currency(shop) == "USD"
        await browser.switch(shop, language="fr")
        try:
            assert await browser.currency(other) == "USD"
        finally:
            await other.browser.aclose()
            await other.upstream_client.aclose()


async def language(ctx: SessionContext, _: Request) -> str:
    return (await ctx).language or ""


async def what_is_known_shows_while_emporix_is_down() -> None:
    async with shop_with(secret_key=SECRET) as (emporix, shop):
        other = Shop(emporix, httpx2, secret_key=SECRET)
        session = emporix.new_session(currency="EUR", language="en")
        browser = Browser(session.token)
        for worker in (shop, other):
            await browser.currency(worker)
        await browser.switch(shop, currency="USD")
        emporix.fault("context.*", Fault(status=503), times=None)
        try:
            assert (await browser.visit(other, language)).text == "en"
        finally:
            await other.browser.aclose()
            await other.upstream_client.aclose()


@asynccontextmanager
async def two_workers(*, terse: bool = False) -> AsyncIterator[tuple[FakeEmporix, Shop, Shop]]:
    """Two workers that share a store, and no cookie."""
    store = MemoryStore(shared=True, clock=VirtualClock())
    one, two = (Terse(store), Terse(store.sibling())) if terse else (store, store.sibling())
    async with shop_with(store=one) as (emporix, shop):
        other = Shop(emporix, httpx2, store=two)
        try:
            yield emporix, shop, other
        finally:
            await other.browser.aclose()
            await other.upstream_client.aclose()


async def what_waits_shows_where_emporix_has_told_nothing() -> None:
    async with two_workers() as (emporix, shop, other):
        session = emporix.new_session(exists=False)
        await shop.switch(session.token, currency="USD")
        emporix.fault("context.*", Fault(status=503), times=None)
        assert await other.currency(session.token) == "USD"


async def an_outlived_choice_does_not_show_over_a_later_one() -> None:
    async with two_workers(terse=True) as (emporix, shop, other):
        session = emporix.new_session(currency="EUR")
        await other.currency(session.token)
        await shop.switch(session.token, currency="USD")
        anew = {"version": 1, "createdAt": "2026-10-01T00:00:00.000Z"}
        emporix.rewrite_context(session.session_id, {**held(emporix, session.session_id), "metadata": anew})
        await asyncio.sleep(15)
        await other.switch(session.token, currency="GBP")
        await asyncio.sleep(3)
        assert (await shop.visit(refresh, token=session.token)).text == "GBP"


@asynccontextmanager
async def shops_an_hour_apart() -> AsyncIterator[tuple[FakeEmporix, Shop, Shop]]:
    async with shop_with(secret_key=SECRET) as (emporix, shop):
        other = Shop(emporix, httpx2, secret_key=SECRET)
        other.clock.wall_offset = 3600.0
        try:
            yield emporix, shop, other
        finally:
            await other.browser.aclose()
            await other.upstream_client.aclose()


async def what_was_seen_elsewhere_shows_whatever_the_time_is() -> None:
    async with shops_an_hour_apart() as (emporix, shop, other):
        session = emporix.new_session(currency="EUR", language="en")
        browser = Browser(session.token)
        await browser.currency(other)
        emporix.edit(session.session_id, language="fr")
        await browser.switch(shop, currency="USD")
        await browser.currency(shop)
        assert (await browser.visit(other, language)).text == "fr"


async def a_choice_counts_though_one_that_was_replaced_seems_to_be_later() -> None:
    async with shops_an_hour_apart() as (emporix, shop, other):
        browser = Browser(emporix.new_session(currency="EUR").token)
        slow = await browser.send(other, choosing(currency="USD"))
        await browser.switch(shop, currency="CHF")
        last = browser.send(shop, choosing(3, currency="GBP"))
        await asyncio.sleep(1)
        browser.receive(slow)
        await browser.currency(shop)
        browser.receive(await last)
        assert await browser.currency(shop) == "GBP"


async def what_two_choices_have_replaced_shows_no_more() -> None:
    async with shops_an_hour_apart() as (emporix, shop, other):
        browser = Browser(emporix.new_session(currency="EUR").token)
        slow = await browser.send(other, choosing(currency="USD"))
        await browser.switch(shop, currency="CHF")
        third = Shop(emporix, httpx2, secret_key=SECRET)
        async with third.browser, third.upstream_client:
            assert await browser.currency(third) == "CHF"
            await browser.switch(shop, currency="GBP")
            browser.receive(slow)
            emporix.fault("context.get", Fault(status=503), times=None)
            assert await browser.currency(third) in {"GBP", "USD"}


async def what_was_dated_ahead_hides_nothing_later() -> None:
    async with shops_an_hour_apart() as (emporix, shop, other):
        session = emporix.new_session(currency="EUR")
        browser = Browser(session.token)
        ahead = Fault(headers={"date": formatdate(shop.clock.time() + 3600, usegmt=True)})
        emporix.fault("context.get", ahead)
        emporix.fault("context.patch", ahead)
        await browser.switch(shop, currency="USD")
        await asyncio.sleep(90)
        emporix.edit(session.session_id, currency="GBP")
        assert await browser.currency(other) == "GBP"


async def a_choice_that_waits_is_sent_though_a_lost_one_seems_to_be_later() -> None:
    async with shops_an_hour_apart() as (emporix, shop, other):
        session = emporix.new_session(currency="EUR")
        browser = Browser(session.token)
        await browser.send(other, choosing(currency="USD"))
        emporix.edit(session.session_id, currency="GBP")
        await asyncio.sleep(15)
        for each in (other, shop):
            assert await browser.currency(each) == "GBP"
        emporix.fault("context.patch", Fault(status=503), times=None)
        await browser.switch(shop, currency="CHF")
        emporix.clear_faults()
        await asyncio.sleep(15)
        assert await browser.currency(other) == "CHF"
        assert held(emporix, session.session_id)["currency"] == "CHF"


async def a_choice_that_was_taken_after_all_does_not_undo_a_later_one() -> None:
    async with shops_an_hour_apart() as (emporix, shop, other):
        session = emporix.new_session(currency="EUR")
        browser = Browser(session.token)
        await browser.currency(shop)
        emporix.fault("context.patch", Fault(delay=3.5))
        slow = browser.send(shop, choosing(currency="USD"))
        await asyncio.sleep(5)
        await browser.send(shop, choosing(currency="CHF"))
        browser.receive(await slow)
        await browser.switch(other, language="fr")
        assert held(emporix, session.session_id)["currency"] == "CHF"


async def a_swallowed_change_is_sent_though_another_token_believes_it_taken() -> None:
    async with shop_with() as (emporix, shop):
        session = emporix.new_session(currency="EUR")
        other = emporix.new_token(session.session_id)
        for token in (session.token, other):
            await shop.currency(token)
        emporix.fault("context.patch", Fault(status=204), times=1)
        await shop.switch(session.token, currency="USD")
        for token in (session.token, other, session.token):
            await asyncio.sleep(100)
            await shop.currency(token)
        assert held(emporix, session.session_id)["currency"] == "USD"


async def a_choice_shows_though_a_replica_has_no_context_yet() -> None:
    async with shop_with() as (emporix, shop):
        session = emporix.new_session(currency="EUR")
        await shop.switch(session.token, currency="USD")
        emporix.fault("context.get", Fault(status=404), times=1)
        assert await shop.currency(session.token) == "USD"


async def what_a_browser_knows_shows_over_the_next_document_too() -> None:
    async with shop_with(secret_key=SECRET) as (emporix, shop):
        other = Shop(emporix, httpx2, secret_key=SECRET)
        session = emporix.new_session(currency="EUR")
        browser, backup = Browser(session.token), held(emporix, session.session_id)
        await browser.switch(other, currency="USD")
        assert await browser.currency(shop) == "USD"
        await asyncio.sleep(20)
        emporix.rewrite_context(session.session_id, backup)
        await asyncio.sleep(50)
        try:
            for _ in range(3):  # the first one is renewed in the background
                assert await browser.currency(shop) == "USD"
                await asyncio.sleep(1)
        finally:
            await other.browser.aclose()
            await other.upstream_client.aclose()


async def a_patch_is_taken_as_a_whole_or_not_at_all() -> None:
    async with two_workers() as (emporix, shop, other):
        session = emporix.new_session(currency="EUR", language="en")
        for worker in (shop, other):
            await worker.currency(session.token)
        emporix.fault("context.patch", Fault(delay_after=0.1), times=1)
        emporix.fault("context.patch", Fault(status=204), times=1)
        first = asyncio.create_task(other.switch(session.token, language="fr"))
        await asyncio.sleep(0.02)
        await shop.switch(session.token, currency="USD", language="de")
        await first
        await asyncio.sleep(1)
        assert await shop.currency(session.token) == "USD"
        await asyncio.sleep(1)
        document = held(emporix, session.session_id)
        assert (document["currency"], document["language"]) == ("USD", "de")
