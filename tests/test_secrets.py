"""One canary over everything: nothing personal ever reaches a log, a repr, an event, a span, a metric or an error."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Callable, Iterator

import pytest
from starlette.requests import Request

from session_ctx_middleware import (
    CookieToken,
    InvalidChange,
    SessionContext,
    SessionContextError,
    StorefrontToken,
    UpstreamPolicy,
)
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop
from .support.telemetry import Recorder, everything

CANARIES = ("tokencanary", "SessionCanary", "valuecanary", "KeyCanary", "cookiecanary", "customercanary")


def leaks(lines: list[str]) -> list[str]:
    text = "\n".join(lines).lower()
    return [canary for canary in CANARIES if canary.lower() in text]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    built = Recorder()
    yield built
    built.close()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Everything that is logged, at every level, by every logger, with all extra fields."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "httpx2", "httpcore2", "session_ctx_middleware"):
        caplog.set_level(logging.DEBUG, name)
    lines: list[str] = []
    yield lines
    lines += [str(vars(record)) + record.getMessage() for record in caplog.records]
    assert lines
    assert leaks(lines) == []


@pytest.fixture
def watched(said: list[str], recorder: Recorder) -> tuple[list[str], Recorder]:
    """Everything that is said, and everything that telemetry is told."""
    return said, recorder


Case = tuple[str, Fault | None]
OPERATIONS = ("context.get", "context.patch")
FAULTS = [
    None,
    Fault(status=401),
    Fault(status=403, body={"fault": {"faultstring": "valuecanary", "detail": {"errorcode": "valuecanary secret"}}}),
    Fault(status=404, body={"message": "The context with sessionId SessionCanary and version 1 has not been found."}),
    Fault(status=409, body={"message": "SessionCanary"}),
    Fault(status=422, body={"message": "valuecanary", "details": ["KeyCanary"]}),
    Fault(status=429, retry_after="valuecanary"),
    Fault(status=302, headers={"location": "https://evil.example/?t=SessionCanary"}),
    Fault(status=500, body=b"valuecanary"),
    Fault(body=b"valuecanary not json"),
    Fault(body=b'{"sessionId": "SessionCanary", "metadata": {"version": "valuecanary"}}'),
    Fault(drop="before"),
    Fault(drop="after"),
    Fault(hang=True),
]


@pytest.mark.parametrize("case", [(operation, fault) for operation in OPERATIONS for fault in FAULTS])
async def test_nothing_personal_is_ever_said(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, watched: tuple[list[str], Recorder], case: Case
) -> None:
    """Nothing personal is ever said."""
    (said, recorder), (operation, fault) = watched, case
    token = "tokencanary" + "x" * 20
    session = emporix.new_session(customer_id="customercanary", attributes={"KeyCanary": "valuecanary"})
    world = emporix._world
    world.sessions["SessionCanary"] = held = world.sessions.pop(session.session_id)
    held.session_id = "SessionCanary"
    emporix.edit("SessionCanary", sessionId="SessionCanary", siteCode="valuecanary")
    world.access[token] = world.access[session.token]
    shop = make_shop(
        token=[CookieToken("cookiecanary-name"), lambda _: StorefrontToken(token, session_id="SessionCanary")],
        upstream=UpstreamPolicy(deadline=0.5, commit_deadline=1.0, max_attempts=2),
        telemetry=recorder.telemetry,
        server_timing=True,
    )
    if fault is not None:
        emporix.fault(operation, fault, times=None)

    async def page(ctx: SessionContext, _: Request) -> None:
        said.append(repr(ctx))
        for step in (_required, _switch, ctx.refresh, lambda: ctx.cart_created("cookiecanary"), ctx.forget):
            try:
                await (step(ctx) if step in {_required, _switch} else step())  # type: ignore[call-arg]
            except SessionContextError as error:
                said.append(repr(error) + "".join(traceback.format_exception(error)))
                said.append(json.dumps({k: v for k, v in vars(error).items() if k != "session_id"}, default=repr))
        said.append(repr((ctx.document, ctx._changes, ctx._known, ctx._token, ctx)))

    for _ in range(2):
        answer = await shop.visit(page, headers={"Cookie": "other=cookiecanary"})
        said.append(answer.headers["server-timing"])
    await asyncio.sleep(60)
    said += [repr(event) for event in shop.events]
    assert recorder.spans
    said.append(everything(recorder))


async def _required(ctx: SessionContext) -> None:
    await ctx.load(required=True)


async def _switch(ctx: SessionContext) -> None:
    ctx.switch(site_code="valuecanary", currency="USD")
    ctx.set_attribute("KeyCanary", "valuecanary-2")
    with pytest.raises(InvalidChange) as refused:
        ctx.set_attribute("KeyCanary", {"valuecanary": float("nan")})
    assert leaks([str(refused.value)]) == []
    await ctx.commit()


def test_a_leak_would_be_noticed() -> None:
    """A leak would be noticed."""
    assert leaks(["harmless", "GET /context/SESSIONCANARY"]) == ["SessionCanary"]
