from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import pytest

from session_ctx_middleware.testing import Call, FakeEmporix, FakeSession, Fault

from .conftest import JANE, ME, Platform, open_platform

UNAVAILABLE = Fault(status=503)


async def timed(awaitable: Any) -> tuple[Any, float]:
    """Return what something answers, and how long that took."""
    start = asyncio.get_running_loop().time()
    return await awaitable, asyncio.get_running_loop().time() - start


async def test_status_without_effect(platform: Platform) -> None:
    """A status stands in for the effect."""
    session = platform.emporix.new_session()
    platform.emporix.fault("context.patch", UNAVAILABLE)
    answer = await platform.patch(session.token, 1, currency="USD")
    assert (answer.status_code, answer.content) == (503, b"")
    assert (await platform.context(session.token))["currency"] == "EUR"


async def test_applied_status(platform: Platform) -> None:
    """An applied status hides the effect."""
    session = platform.emporix.new_session()
    platform.emporix.fault("context.patch", Fault(status=504, apply=True))
    assert (await platform.patch(session.token, 1, currency="USD")).status_code == 504
    assert (await platform.context(session.token))["currency"] == "USD"


@pytest.mark.parametrize(
    ("body", "content"),
    [(b"<html>", b"<html>"), (b"", b""), ({"fault": {"a": 1}}, b'{"fault": {"a": 1}}')],
    ids=["text", "empty", "json"],
)
async def test_body(body: Any, content: bytes, platform: Platform) -> None:
    """A body takes the place of the real one."""
    session = platform.emporix.new_session()
    platform.emporix.fault("context.get", Fault(body=body))
    answer = await platform.call("GET", ME, session.token)
    assert (answer.status_code, answer.content) == (200, content)
    platform.emporix.fault("context.get", Fault(body=body, status=500))
    answer = await platform.call("GET", ME, session.token)
    assert (answer.status_code, answer.content) == (500, content)


@pytest.mark.parametrize(
    ("status", "by", "content"),
    [
        (404, "emporix", b"Session not found"),
        (401, "emporix", b"oauth.v2.InvalidAccessToken"),
        (403, "emporix", b"steps.oauth.v2.InsufficientScope"),
        (404, "gateway", b"messaging.adaptors.http.flow.ApplicationNotFound"),
        (403, "gateway", b"steps.accesscontrol.IPDeniedAccess"),
        (503, "gateway", b"messaging.adaptors.http.flow.Failed"),
        (404, "proxy", b"<h1>404 Not Found</h1>"),
        (403, "proxy", b"<h1>403 Forbidden</h1>"),
    ],
)
@pytest.mark.parametrize("apply", [False, True])
async def test_who_answers(
    status: int, by: Literal["emporix", "gateway", "proxy"], content: bytes, apply: bool, platform: Platform
) -> None:
    """A status comes in the form of who answers it, whether something happened or not."""
    session = platform.emporix.new_session()
    platform.emporix.fault("context.patch", Fault(status=status, by=by, apply=apply))
    answer = await platform.patch(session.token, 1, currency="USD")
    assert answer.status_code == status
    assert content in answer.content
    assert (await platform.context(session.token))["currency"] == ("USD" if apply else "EUR")


async def test_headers_and_retry_after(platform: Platform) -> None:
    """Headers and Retry-After are added."""
    session = platform.emporix.new_session()
    platform.emporix.fault("context.get", Fault(status=429, retry_after=7, headers={"X-Request-Id": "r"}))
    answer = await platform.call("GET", ME, session.token)
    assert (answer.headers["retry-after"], answer.headers["x-request-id"]) == ("7", "r")
    platform.emporix.fault("context.get", Fault(retry_after="Fri, 31 Dec 2027 23:59:59 GMT"))
    answer = await platform.call("GET", ME, session.token)
    assert answer.headers["retry-after"] == "Fri, 31 Dec 2027 23:59:59 GMT"
    assert (answer.status_code, answer.json()["currency"]) == (200, "EUR")


async def test_delays(platform: Platform) -> None:
    """A delay is before the effect, and a late answer after it."""
    session = platform.emporix.new_session()
    for fault, between in ((Fault(delay=5), 1), (Fault(delay_after=5), 2)):
        platform.emporix.recreate_context(session.session_id)
        platform.emporix.fault("context.patch", fault)
        change = asyncio.ensure_future(timed(platform.patch(session.token, 1, currency="USD")))
        await asyncio.sleep(4)
        assert not change.done()
        document = platform.emporix.document(session.session_id)
        assert document is not None
        assert document["metadata"]["version"] == between
        answer, seconds = await change
        assert (answer.status_code, seconds) == (204, 5)


async def test_every_call_takes_the_latency(http_library: Any) -> None:
    """Every call takes the latency."""
    emporix = FakeEmporix(latency=0.25)
    token = emporix.new_session().token
    emporix.fault("context", Fault(delay=1))
    async with open_platform(emporix, http_library) as platform:
        assert (await timed(platform.context(token)))[1] == 1.25
        assert (await timed(platform.context(token)))[1] == 0.25


async def test_hung_call(platform: Platform) -> None:
    """A hung call is never answered, and is counted once it is given up."""
    session = platform.emporix.new_session()
    platform.emporix.fault("context.patch", Fault(hang=True))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1000):
            await platform.patch(session.token, 1, currency="USD")
    assert [(call.operation, call.status) for call in platform.emporix.calls] == [("context.patch", None)]
    assert (await platform.context(session.token))["currency"] == "EUR"


@pytest.mark.parametrize(("drop", "error", "version"), [("before", "ConnectError", 1), ("after", "ReadError", 2)])
async def test_dropped_connection(
    drop: Literal["before", "after"], error: str, version: int, platform: Platform, http_library: Any
) -> None:
    """A dropped connection is an error of the library."""
    session = platform.emporix.new_session()
    platform.emporix.fault("context.patch", Fault(drop=drop))
    with pytest.raises(getattr(http_library, error), match=f"connection dropped {drop} the effect") as caught:
        await platform.patch(session.token, 1, currency="USD")
    assert caught.value.request.method == "PATCH"
    assert platform.emporix.calls[-1].status is None
    assert (await platform.context(session.token))["metadata"]["version"] == version


async def _statuses(platform: Platform, session: FakeSession, count: int = 4) -> list[int]:
    return [(await platform.call("GET", ME, session.token)).status_code for _ in range(count)]


@pytest.mark.parametrize(
    ("times", "statuses"),
    [(0, [200] * 4), (1, [503, 200, 200, 200]), (3, [503] * 3 + [200]), (None, [503] * 4)],
)
async def test_times(times: int | None, statuses: list[int], platform: Platform) -> None:
    """A fault strikes as often as it was told."""
    platform.emporix.fault("context.get", UNAVAILABLE, times=times)
    assert await _statuses(platform, platform.emporix.new_session()) == statuses


async def test_order(platform: Platform) -> None:
    """Faults strike in the order in which they were given."""
    for status in (500, 502):
        platform.emporix.fault("context.get", Fault(status=status))
    assert await _statuses(platform, platform.emporix.new_session()) == [500, 502, 200, 200]


async def test_faults_are_cleared(platform: Platform) -> None:
    """Faults are cleared."""
    platform.emporix.fault("*", UNAVAILABLE, times=None)
    platform.emporix.clear_faults()
    assert await _statuses(platform, platform.emporix.new_session()) == [200] * 4


@pytest.mark.parametrize(
    ("pattern", "hit"),
    [
        ("*", True),
        ("context", True),
        ("context.*", True),
        ("context.get", True),
        ("context.patch", False),
        ("managed", False),
    ],
)
async def test_scope_of_a_fault(pattern: str, hit: bool, platform: Platform) -> None:
    """A fault is for an operation, a service, or all."""
    platform.emporix.fault(pattern, UNAVAILABLE)
    assert await _statuses(platform, platform.emporix.new_session(), 1) == [503 if hit else 200]


async def test_probability(http_library: Any) -> None:
    """A fault strikes with its probability, and the same way each time."""
    runs = []
    for _ in range(2):
        emporix = FakeEmporix(seed=7)
        emporix.fault("context.get", Fault(status=503, probability=0.25), times=None)
        async with open_platform(emporix, http_library) as platform:
            runs.append(await _statuses(platform, emporix.new_session(), 200))
    assert runs[0] == runs[1]
    assert 30 < runs[0].count(503) < 70


async def test_zero_probability(platform: Platform) -> None:
    """A probability of nothing never strikes."""
    platform.emporix.fault("*", Fault(status=503, probability=0))
    assert await _statuses(platform, platform.emporix.new_session()) == [200] * 4


# What was called


async def test_calls_are_recorded_in_order(platform: Platform) -> None:
    """Calls are recorded in order."""
    session = platform.emporix.new_session()
    await platform.patch(session.token, 1, currency="USD")
    await platform.call("GET", ME, "unknown", params={"q": "1"})
    token = await platform.service_token()
    await platform.call("GET", f"/session-context/acme/context/{session.session_id}", token)
    body = {"currency": "USD", "metadata": {"version": 1}}
    assert platform.emporix.calls == [
        Call(operation="context.patch", method="PATCH", path=ME, status=204, session_id=session.session_id, body=body),
        Call(operation="context.get", method="GET", path=ME, status=401),
        Call(operation="oauth.token", method="POST", path="/oauth/token", status=200),
        Call(
            operation="managed.get",
            method="GET",
            path=f"/session-context/acme/context/{session.session_id}",
            status=200,
            session_id=session.session_id,
        ),
    ]


async def test_counting(platform: Platform) -> None:
    """Calls are counted by operation, by service, or all together."""
    session = platform.emporix.new_session()
    await _statuses(platform, session, 2)
    await platform.patch(session.token, 1)
    await platform.anonymous()
    count = platform.emporix.count
    assert (count("context.get"), count("context.patch"), count("context"), count("context.*")) == (2, 1, 3, 3)
    assert (count(), count("*"), count("cart")) == (4, 4, 0)
    platform.emporix.clear_calls()
    assert count() == 0


async def test_nothing_shown_is_secret(platform: Platform) -> None:
    """Nothing that is shown holds a secret."""
    session = platform.emporix.new_session(attributes={"note": "hush"})
    await platform.login(JANE, session.token)
    await platform.patch(session.token, 2, context={"note": "hush"})
    shown = repr(session) + repr(platform.emporix.calls) + repr(platform.emporix) + str(platform.emporix.calls[0])
    for secret in (session.token, session.refresh_token, session.session_id, JANE["password"], "hush"):
        assert secret not in shown
    assert "FakeSession" in shown
    assert "customer.login" in shown


# The world around


async def test_replica_lag(http_library: Any) -> None:
    """A replica answers what was before a write."""
    emporix = FakeEmporix(replica_lag=2, now=lambda: asyncio.get_running_loop().time())
    async with open_platform(emporix, http_library) as platform:
        session = emporix.new_session(exists=False)
        assert (await platform.call("GET", ME, session.token)).status_code == 404
        emporix.create_context(session.session_id, currency="EUR")
        assert (await platform.call("GET", ME, session.token)).status_code == 404
        await asyncio.sleep(2)
        assert (await platform.context(session.token))["currency"] == "EUR"
        assert (await platform.patch(session.token, 1, currency="USD")).status_code == 204
        assert (await platform.patch(session.token, 1, currency="CHF")).status_code == 404, "writes know the truth"
        assert (await platform.context(session.token))["currency"] == "EUR"
        assert (emporix.document(session.session_id) or {})["currency"] == "USD"
        await asyncio.sleep(1.9)
        assert (await platform.context(session.token))["metadata"]["version"] == 1
        await asyncio.sleep(0.1)
        assert (await platform.context(session.token))["metadata"]["version"] == 2
        for version in range(2, 42):
            await platform.patch(session.token, version)
        assert (await platform.context(session.token))["metadata"]["version"] < 42
        emporix.delete_context(session.session_id)
        assert (await platform.call("GET", ME, session.token)).status_code == 200
        await asyncio.sleep(2)
        assert (await platform.call("GET", ME, session.token)).status_code == 404


async def test_edits_from_outside(platform: Platform) -> None:
    """A context is edited, deleted and made anew from outside."""
    session = platform.emporix.new_session(attributes={"a": "1"})
    assert platform.emporix.edit(session.session_id, currency="CHF", language=None, news=[1]) == 2
    context = await platform.context(session.token)
    assert (context["currency"], context["news"], "language" in context) == ("CHF", [1], False)

    platform.emporix.delete_context(session.session_id)
    assert platform.emporix.document(session.session_id) is None
    assert (await platform.call("GET", ME, session.token)).status_code == 404
    with pytest.raises(LookupError, match="no context"):
        platform.emporix.edit(session.session_id, currency="USD")

    await asyncio.sleep(1)
    platform.emporix.create_context(session.session_id, site_code="us")
    first = await platform.context(session.token)
    await asyncio.sleep(1)
    platform.emporix.recreate_context(session.session_id, customer_id="C9")
    second = await platform.context(session.token)
    assert (first["siteCode"], second["customerId"]) == ("us", "C9")
    assert first["metadata"]["version"] == second["metadata"]["version"] == 1
    assert first["metadata"]["createdAt"] < second["metadata"]["createdAt"]


async def test_rewritten_context(platform: Platform) -> None:
    """A context that is rewritten is what it was given, until somebody changes it."""
    session = platform.emporix.new_session()
    await platform.patch(session.token, 1, currency="USD")
    backup = {"currency": "CHF", "customerId": 7, "metadata": {"version": 1}}
    platform.emporix.rewrite_context(session.session_id, backup)
    assert await platform.context(session.token) == backup
    assert (await platform.patch(session.token, 2, currency="USD")).status_code == 404
    assert (await platform.patch(session.token, 1, currency="USD")).status_code == 204
    assert (await platform.context(session.token))["customerId"] == 7
    assert backup["metadata"] == {"version": 1}


async def test_deleted_stays_deleted(http_library: Any) -> None:
    """A deleted context does not appear by itself again."""
    emporix = FakeEmporix(context_at="login", context_delay=1, now=lambda: asyncio.get_running_loop().time())
    async with open_platform(emporix, http_library) as platform:
        session = await platform.anonymous()
        emporix.delete_context(session["sessionId"])
        await asyncio.sleep(10)
        assert (await platform.call("GET", ME, session["access_token"])).status_code == 404


async def test_a_document_is_a_copy(platform: Platform) -> None:
    """A document is a copy."""
    session = platform.emporix.new_session(attributes={"a": {"b": "c"}})
    document = platform.emporix.document(session.session_id)
    assert document is not None
    document["context"]["a"]["b"] = "changed"
    assert (await platform.context(session.token))["context"] == {"a": {"b": "c"}}
    assert platform.emporix.document("unknown") is None


def test_seed_decides_ids() -> None:
    """A seed decides the ids and tokens."""
    first, again, other = (FakeEmporix(seed=seed).new_session() for seed in (1, 1, 2))
    assert (first.token, first.session_id) == (again.token, again.session_id)
    assert first.token != other.token


# As an application


async def test_lifespan() -> None:
    """The application takes part in the lifespan."""
    sent: list[str] = []
    received = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(received)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await FakeEmporix()({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_other_connections() -> None:
    """Other connections are left alone."""

    async def never(*_: Any) -> Any:
        raise AssertionError

    await FakeEmporix()({"type": "websocket"}, never, never)


async def test_no_raw_path_and_body_in_parts(emporix: FakeEmporix) -> None:
    """A server that gives no raw path and a body in parts works."""
    session = emporix.new_session()
    body = json.dumps({"key": "gift", "value": "yes"}).encode()
    parts = [body[:5], body[5:]]
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"Authorization", f"Bearer {session.token}".encode())]
    scope = {"type": "http", "method": "POST", "path": f"{ME}/attributes", "query_string": b"", "headers": headers}
    await emporix(scope, receive, send)
    assert (sent[0]["status"], sent[1]["body"]) == (201, b'"gift"')


async def test_hung_call_ends(emporix: FakeEmporix) -> None:
    """A hung call ends when the caller leaves."""
    messages = [{"type": "http.request"}, {"type": "http.request"}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        raise AssertionError("answered")

    emporix.fault("site", Fault(hang=True))
    scope = {"type": "http", "method": "GET", "path": "/site/acme/sites", "query_string": b"", "headers": []}
    with pytest.raises(Exception, match="dropped"):
        await emporix(scope, receive, send)
    assert emporix.count("site") == 1
