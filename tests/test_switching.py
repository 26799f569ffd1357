"""The write protocol: one PATCH, versioned, rebased, never blind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response

from session_ctx_middleware import (
    ChangeRefused,
    Commit,
    CommitConflict,
    ContextSealed,
    ContextUnavailable,
    InvalidChange,
    SessionContext,
    StorefrontToken,
    TokenRejected,
    UpstreamPolicy,
)
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop


def patches(emporix: FakeEmporix) -> list[Any]:
    return [call.body for call in emporix.calls if call.operation == "context.patch"]


def held(emporix: FakeEmporix, session_id: str) -> dict[str, Any]:
    document = emporix.document(session_id)
    assert document is not None
    return document


async def test_all_changes_of_a_request_leave_as_one_patch_before_the_response(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(attributes={"kept": "yes"})
    order: list[str] = []

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        await ctx
        ctx.switch_site("us", currency="USD")
        ctx.switch_language("es")
        ctx.switch_location("US")
        ctx.set_attribute("tier", {"name": "gold"})
        order.append(f"patches so far {emporix.count('context.patch')}")
        return PlainTextResponse("done")

    response = await shop.visit(endpoint, token=session.token, method="POST")

    assert response.text == "done"
    assert order == ["patches so far 0"]
    assert patches(emporix) == [
        {
            "siteCode": "us",
            "currency": "USD",
            "language": "es",
            "targetLocation": "US",
            "context": {"kept": "yes", "tier": {"name": "gold"}},
            "metadata": {"version": 1},
        }
    ]
    assert emporix.count("context.get") == 1


async def test_a_change_shows_at_once_and_after(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    seen: list[object] = []

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        await ctx
        ctx.switch_currency("USD")
        seen.append((ctx.currency, ctx.source("currency"), dict(ctx.pending)))
        seen.append(await ctx.commit())
        seen.append((ctx.currency, ctx.source("currency"), dict(ctx.pending)))

    await shop.visit(endpoint, token=session.token)

    assert seen == [
        ("USD", "change", {"currency": "USD"}),
        Commit.APPLIED,
        ("USD", "document", {}),
    ]
    assert await shop.currency(session.token) == "USD"
    assert emporix.count("context.patch") == 1


async def test_after_a_commit_the_next_read_asks_emporix(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.switch(session.token, currency="USD")
    emporix.edit(session.session_id, language="fr")
    emporix.clear_calls()

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.currency} {ctx.language}"

    assert (await shop.visit(page, token=session.token)).text == "USD fr"
    assert emporix.count("context.get") == 1


async def test_the_attribute_map_is_merged_because_emporix_replaces_it(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(attributes={"a": "1", "b": "2", "c": "3"})

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute("a", "new")
        ctx.remove_attribute("b")

    await shop.visit(endpoint, token=session.token)

    assert held(emporix, session.session_id)["context"] == {"a": "new", "c": "3"}


async def test_f15_a_stale_version_is_a_conflict_and_rebased(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR", language="en")
    await shop.currency(session.token)
    emporix.edit(session.session_id, language="fr")

    await shop.switch(session.token, currency="USD")

    assert [body["metadata"]["version"] for body in patches(emporix)] == [1, 2]
    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"]) == ("USD", "fr")
    assert shop.named("commit.applied")[0].attempts == 2


async def test_f17_a_foreign_attribute_written_in_between_survives(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(attributes={"mine": "old"})

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        await ctx
        emporix.edit(session.session_id, context={"mine": "old", "theirs": "x"})
        ctx.set_attribute("mine", "new")

    await shop.visit(endpoint, token=session.token)

    assert held(emporix, session.session_id)["context"] == {"mine": "new", "theirs": "x"}


async def test_f11_two_requests_that_switch_different_fields_at_once_both_win(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session()

    await asyncio.gather(
        shop.switch(session.token, currency="USD"),
        shop.switch(session.token, language="fr"),
        shop.switch(session.token, target_location="FR"),
    )

    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"], document["targetLocation"]) == ("USD", "fr", "FR")


async def test_f11_two_workers_that_switch_different_fields_both_win(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    one, two = make_shop(), make_shop()
    session = emporix.new_session()
    await asyncio.gather(one.currency(session.token), two.currency(session.token))

    await asyncio.gather(one.switch(session.token, currency="USD"), two.switch(session.token, language="fr"))

    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"]) == ("USD", "fr")


async def test_f12_of_two_workers_that_switch_one_field_one_wins(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    one, two = make_shop(), make_shop()
    session = emporix.new_session(currency="EUR")
    await asyncio.gather(one.currency(session.token), two.currency(session.token))

    await asyncio.gather(one.switch(session.token, currency="USD"), two.switch(session.token, currency="CHF"))

    assert held(emporix, session.session_id)["currency"] in {"USD", "CHF"}
    assert held(emporix, session.session_id)["metadata"]["version"] == 3


async def test_on_conflict_decides_where_both_changed_the_same_field(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    asked = []

    def theirs_wins(field: str, base: Any, ours: Any, theirs: Any) -> Any:
        asked.append((field, base, ours, theirs))
        return theirs

    shop = make_shop(upstream=UpstreamPolicy(on_conflict=theirs_wins))
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.edit(session.session_id, currency="CHF")

    await shop.switch(session.token, currency="USD")

    assert asked == [("currency", "EUR", "USD", "CHF")]
    assert held(emporix, session.session_id)["currency"] == "CHF"
    assert shop.named("commit.already")


async def test_f13_a_lost_answer_is_settled_by_a_get_and_applied_once(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(drop="after"))
    outcome = []

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        outcome.append(await ctx.commit())

    await shop.visit(endpoint, token=session.token)

    assert outcome == [Commit.APPLIED]
    assert emporix.count("context.patch") == 1
    assert held(emporix, session.session_id)["metadata"]["version"] == 2


@pytest.mark.parametrize("fault", [Fault(drop="before"), Fault(status=500), Fault(status=502), Fault(status=503)])
async def test_f14_what_did_not_arrive_is_sent_again_only_after_a_get(
    shop: Shop, emporix: FakeEmporix, fault: Fault
) -> None:
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", fault)

    await shop.switch(session.token, currency="USD")

    assert [call.operation for call in emporix.calls] == [
        "context.get",
        "context.patch",
        "context.get",
        "context.patch",
    ]
    assert held(emporix, session.session_id)["metadata"]["version"] == 2


async def test_a_server_error_after_the_effect_counts_as_applied(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(status=500, apply=True))

    await shop.switch(session.token, currency="USD")

    assert emporix.count("context.patch") == 1
    assert shop.named("commit.applied")


async def test_f8_a_get_that_began_before_a_patch_is_not_cached(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    await asyncio.sleep(121)
    emporix.fault("context.get", Fault(delay_after=1.0), times=1)

    slow = asyncio.create_task(shop.currency(session.token))
    await asyncio.sleep(0.5)
    await shop.switch(session.token, currency="USD")
    await slow

    assert await shop.currency(session.token) == "USD"


async def test_f9_a_get_that_ran_while_a_patch_was_on_its_way_is_not_cached(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.patch", Fault(delay=1.0), times=1)

    switching = asyncio.create_task(shop.switch(session.token, currency="USD"))
    await asyncio.sleep(0.2)

    async def page(ctx: SessionContext, _: Request) -> None:
        await ctx.refresh()

    await shop.visit(page, token=session.token)
    await switching

    assert await shop.currency(session.token) == "USD"


async def test_f10_a_request_after_the_acknowledgement_does_not_join_an_older_get(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    await asyncio.sleep(121)
    emporix.fault("context.get", Fault(delay_after=1.5), times=1)
    slow = asyncio.create_task(shop.currency(session.token))
    await asyncio.sleep(0.5)
    await shop.switch(session.token, currency="USD")

    assert await shop.currency(session.token) == "USD"
    await slow


async def test_f18_a_lagging_replica_does_not_hide_the_own_change(
    make_shop: Callable[..., Shop], http_library: Any
) -> None:
    emporix = FakeEmporix(replica_lag=0.3, now=lambda: asyncio.get_running_loop().time() + 1.79e9)
    shop = make_shop(emporix=emporix)
    session = emporix.new_session(currency="EUR")
    await asyncio.sleep(1)
    await shop.currency(session.token)
    await shop.switch(session.token, currency="USD")

    assert await shop.currency(session.token) == "USD"
    await asyncio.sleep(1)
    assert await shop.currency(session.token) == "USD"


async def test_f19_a_session_created_anew_is_accepted_at_once(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    for currency in ("USD", "CHF", "USD"):
        await shop.switch(session.token, currency=currency)
        await shop.currency(session.token)
    await asyncio.sleep(1)
    emporix.recreate_context(session.session_id)
    await asyncio.sleep(200)
    version = []

    async def page(ctx: SessionContext, _: Request) -> None:
        version.append((await ctx).version)

    await shop.visit(page, token=session.token)

    assert version == [1]
    assert emporix.count("context.get") == 5


async def test_f20_a_refreshed_token_of_the_session_sees_the_change_at_once(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    other = emporix.new_token(session.session_id)
    await shop.currency(session.token)
    await shop.currency(other)

    await shop.switch(other, currency="USD")

    assert await shop.currency(session.token) == "USD"


@pytest.mark.parametrize("language", ["de", "fr", None], ids=["sent", "there already", "only read"])
async def test_f20_what_one_token_knows_of_a_session_created_anew_ends_its_last_context_for_the_others(
    shop: Shop, emporix: FakeEmporix, language: str | None
) -> None:
    session = emporix.new_session(currency="EUR", language="en")
    other = emporix.new_token(session.session_id)
    await shop.currency(session.token)
    await shop.currency(other)
    await asyncio.sleep(1)
    emporix.recreate_context(session.session_id, currency="CHF", language="fr")

    async def switch(ctx: SessionContext, _: Request) -> None:
        await ctx.refresh()
        ctx.switch(language=language)
        await ctx.commit()

    await shop.visit(switch, token=other)
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await shop.currency(session.token) is None
    assert await shop.currency(other) == "CHF"


async def test_a_value_that_is_known_to_be_there_already_costs_no_patch(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    outcome = []

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("EUR")
        await asyncio.sleep(0.001)
        outcome.append(await ctx.commit())

    await shop.visit(endpoint, token=session.token)

    assert outcome == [Commit.ALREADY]
    assert emporix.count("context.patch") == 0


async def test_a_cached_document_does_not_prove_that_a_value_is_there(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.edit(session.session_id, currency="USD")

    await shop.switch(session.token, currency="EUR")

    assert held(emporix, session.session_id)["currency"] == "EUR"


@pytest.mark.parametrize("status", [400, 403, 422])
async def test_a_refused_change_is_dropped_and_reported(shop: Shop, emporix: FakeEmporix, status: int) -> None:
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(status=status))

    response = await shop.switch(session.token, currency="USD")

    assert response.status_code == 200
    assert [(event.status, event.outcome) for event in shop.named("commit.refused")] == [(status, "ChangeRefused")]
    assert await shop.currency(session.token) == "EUR"
    assert emporix.count("context.patch") == 1


async def test_an_explicit_commit_raises_what_went_wrong(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    raised = []

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        with pytest.raises((ChangeRefused, TokenRejected, ContextUnavailable)) as caught:
            await ctx.commit()
        raised.append((caught.type, dict((await ctx).pending)))

    emporix.fault("context.patch", Fault(status=422))
    await shop.visit(endpoint, token=session.token)
    emporix.fault("context.patch", Fault(status=401))
    await shop.visit(endpoint, token=session.token)
    await asyncio.sleep(4)
    emporix.fault("context.*", Fault(status=500), times=None)
    await shop.visit(endpoint, token=session.token)

    assert raised == [(ChangeRefused, {}), (TokenRejected, {}), (ContextUnavailable, {"currency": "USD"})]
    assert shop.named("commit.parked")


async def test_endless_conflicts_end_in_a_conflict_error(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    shop = make_shop(upstream=UpstreamPolicy(max_attempts=3))
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(status=409), times=None)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        with pytest.raises(CommitConflict, match="max_attempts"):
            await ctx.commit()

    await shop.visit(endpoint, token=session.token)

    assert emporix.count("context.patch") == 3
    assert shop.named("commit.parked")


async def test_one_patch_per_session_at_a_time_in_order(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=0.1), times=None)

    first = asyncio.create_task(shop.switch(session.token, currency="USD"))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(shop.switch(session.token, currency="CHF"))
    await asyncio.gather(first, second)

    assert [body["currency"] for body in patches(emporix)] == ["USD", "CHF"]
    assert [call.status for call in emporix.calls if call.operation == "context.patch"] == [204, 204]


async def test_tokens_that_an_app_takes_for_two_sessions_take_turns_once_emporix_tells_that_they_are_one(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR", language="en")
    tokens = session.token, emporix.new_token(session.session_id)

    def source(connection: HTTPConnection) -> StorefrontToken:
        value = connection.headers["authorization"].removeprefix("Bearer ")
        return StorefrontToken(value, session_id=f"guess-{tokens.index(value)}")

    shop = make_shop(token=source)
    emporix.fault("context.patch", Fault(delay=0.1), times=None)

    await asyncio.gather(shop.switch(tokens[0], currency="USD"), shop.switch(tokens[1], language="de"))

    assert [call.status for call in emporix.calls if call.operation == "context.patch"] == [204, 204]


@pytest.mark.parametrize("status", [500, 503])
async def test_an_error_response_discards_the_changes(shop: Shop, emporix: FakeEmporix, status: int) -> None:
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        ctx.switch_currency("USD")
        return Response(status_code=status)

    await shop.visit(endpoint, token=session.token)

    assert emporix.count("context.patch") == 0
    assert shop.named("changes.discarded")


async def test_an_exception_discards_the_changes(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await shop.visit(endpoint, token=session.token)

    assert emporix.count("context.patch") == 0
    assert shop.named("changes.discarded")


@pytest.mark.parametrize("status", [200, 303, 404, 422])
async def test_every_other_response_commits(shop: Shop, emporix: FakeEmporix, status: int) -> None:
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        ctx.switch_currency("USD")
        return Response(status_code=status)

    await shop.visit(endpoint, token=session.token)

    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_a_client_that_goes_away_does_not_stop_the_commit(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=0.5))

    leaving = asyncio.create_task(shop.switch(session.token, currency="USD"))
    await asyncio.sleep(0.2)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await asyncio.sleep(1)

    assert held(emporix, session.session_id)["currency"] == "USD"
    assert await shop.currency(session.token) == "USD"


async def test_discard_forgets_the_changes_of_this_request(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> str:
        await ctx
        ctx.switch_currency("USD")
        ctx.discard()
        return f"{ctx.currency} {await ctx.commit()}"

    assert (await shop.visit(endpoint, token=session.token)).text == "EUR Commit.NOTHING"
    assert emporix.count("context.patch") == 0


BAD_CHANGES: list[Callable[[SessionContext], None]] = [
    lambda ctx: ctx.switch(currency="usd"),
    lambda ctx: ctx.switch(currency="EURO"),
    lambda ctx: ctx.switch(currency="EUR\n"),
    lambda ctx: ctx.switch_currency(None),  # type: ignore[arg-type]
    lambda ctx: ctx.switch(target_location="Germany"),
    lambda ctx: ctx.switch(language="english please"),
    lambda ctx: ctx.switch(language="x"),
    lambda ctx: ctx.switch(site_code="a b"),
    lambda ctx: ctx.switch(site_code="a#b"),
    lambda ctx: ctx.switch(site_code="x" * 65),
    lambda ctx: ctx.switch(site_code=""),
    lambda ctx: ctx.switch_site(3),  # type: ignore[arg-type]
    lambda ctx: ctx.set_attribute("", "x"),
    lambda ctx: ctx.set_attribute("k" * 65, "x"),
    lambda ctx: ctx.set_attribute("a\nb", "x"),
    lambda ctx: ctx.set_attribute("k", 3),  # type: ignore[arg-type]
    lambda ctx: ctx.set_attribute("k", ["x"]),  # type: ignore[arg-type]
    lambda ctx: ctx.set_attribute("k", {"x": float("nan")}),
    lambda ctx: ctx.set_attribute("k", {"x": object()}),
    lambda ctx: ctx.set_attribute("k", {1: "x"}),  # type: ignore[dict-item]
    lambda ctx: ctx.set_attribute("k", "x" * 9000),
    lambda ctx: ctx.remove_attribute(""),
]


@pytest.mark.parametrize("change", BAD_CHANGES)
async def test_a_bad_value_is_refused_when_recorded_and_nothing_else_is_lost(
    shop: Shop, emporix: FakeEmporix, change: Callable[[SessionContext], None]
) -> None:
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch(language="fr")
        with pytest.raises(InvalidChange):
            change(ctx)

    await shop.visit(endpoint, token=session.token)

    assert patches(emporix) == [{"language": "fr", "metadata": {"version": 1}}]


async def test_a_switch_with_one_bad_value_records_none(shop: Shop, emporix: FakeEmporix) -> None:
    async def endpoint(ctx: SessionContext, _: Request) -> None:
        with pytest.raises(InvalidChange):
            ctx.switch(currency="USD", target_location="nowhere")

    await shop.visit(endpoint, token=emporix.new_session().token)

    assert emporix.count() == 0


async def test_at_most_64_attributes(shop: Shop, emporix: FakeEmporix) -> None:
    async def endpoint(ctx: SessionContext, _: Request) -> None:
        for number in range(64):
            ctx.set_attribute(f"k{number}", "v")
        with pytest.raises(InvalidChange, match="64"):
            ctx.set_attribute("one more", "v")

    session = emporix.new_session()
    await shop.visit(endpoint, token=session.token)

    assert len(held(emporix, session.session_id)["context"]) == 64


async def test_an_attribute_is_copied_when_recorded(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session()

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        value = {"list": ["a"]}
        ctx.set_attribute("k", value)
        value["list"].append("b")

    await shop.visit(endpoint, token=session.token)

    assert held(emporix, session.session_id)["context"] == {"k": {"list": ["a"]}}


async def test_a_change_after_the_response_has_started_is_refused_with_the_remedy(
    shop: Shop, emporix: FakeEmporix
) -> None:
    from starlette.responses import StreamingResponse

    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        async def body() -> AsyncIterator[Any]:
            yield "a"
            with pytest.raises(ContextSealed, match="late_changes"):
                ctx.switch_currency("USD")
            async with ctx.late_changes():
                ctx.switch_currency("CHF")
            yield "b"

        return StreamingResponse(body())

    assert (await shop.visit(endpoint, token=session.token)).text == "ab"
    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_late_changes_of_a_background_task_are_committed(shop: Shop, emporix: FakeEmporix) -> None:
    from starlette.background import BackgroundTask

    session = emporix.new_session()

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        async def work() -> None:
            async with ctx.late_changes():
                ctx.set_attribute("seen", "yes")

        return PlainTextResponse("ok", background=BackgroundTask(work))

    await shop.visit(endpoint, token=session.token)
    await asyncio.sleep(1)

    assert held(emporix, session.session_id)["context"] == {"seen": "yes"}


async def test_late_changes_are_discarded_when_the_block_raises(shop: Shop, emporix: FakeEmporix) -> None:
    async def endpoint(ctx: SessionContext, _: Request) -> None:
        with pytest.raises(KeyError):
            async with ctx.late_changes():
                ctx.switch_currency("CHF")
                raise KeyError

    await shop.visit(endpoint, token=emporix.new_session().token)

    assert emporix.count("context.patch") == 0


async def test_changes_without_a_token_are_reported(shop: Shop, emporix: FakeEmporix) -> None:
    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")

    response = await shop.visit(endpoint)

    assert response.status_code == 200
    assert emporix.count() == 0
    assert [event.outcome for event in shop.named("commit.failed")] == ["ContextUnavailable"]
