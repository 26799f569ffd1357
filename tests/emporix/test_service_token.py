from __future__ import annotations

import asyncio
import gc
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from session_ctx_middleware.emporix import ManagedContextClient, ServiceToken
from session_ctx_middleware.errors import (
    ConfigurationError,
    EmporixError,
    EmporixFailed,
    EmporixUnreachable,
    MalformedAnswer,
    TokenRejected,
    TooManyRequests,
)

from .conftest import VirtualClock

SCOPE = "tenant=acme sessioncontext.context_manage"


class OAuth:
    """The token endpoint: answers what a test says, when the test says so."""

    def __init__(self, library: Any, clock: VirtualClock) -> None:
        self.library = library
        self.requests: list[Any] = []
        self.open = asyncio.Event()
        self.open.set()
        self.fields: dict[str, object] = {"expires_in": 3600, "scope": SCOPE}
        self.failure: Any = None
        self.token = ServiceToken(
            "acme",
            client_id="shop",
            client_secret="s&cret=1",
            http_client=library.AsyncClient(transport=library.MockTransport(self.handle)),
            clock=clock,
        )

    async def handle(self, request: Any) -> Any:
        self.requests.append(request)
        number = len(self.requests)
        await self.open.wait()
        if isinstance(self.failure, Exception):
            raise self.failure
        if self.failure is not None:
            return self.failure
        return self.library.Response(200, json={"access_token": f"token-{number}", **self.fields})


@pytest.fixture
async def oauth(library: Any, clock: VirtualClock) -> OAuth:
    return OAuth(library, clock)


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_client_credentials_are_sent_as_a_form(oauth: OAuth) -> None:
    assert await oauth.token.value() == "token-1"
    (request,) = oauth.requests
    assert (request.method, str(request.url)) == ("POST", "https://api.emporix.io/oauth/token")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in request.headers
    assert parse_qs(request.content.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["shop"],
        "client_secret": ["s&cret=1"],
        "scope": [SCOPE],
    }


async def test_a_token_is_kept_until_shortly_before_its_end(oauth: OAuth, clock: VirtualClock) -> None:
    await oauth.token.value()
    clock.now += 3539
    assert await oauth.token.value() == "token-1"
    await settle()
    assert len(oauth.requests) == 1


async def test_a_hundred_callers_share_one_request(oauth: OAuth) -> None:
    oauth.open.clear()
    callers = [asyncio.ensure_future(oauth.token.value()) for _ in range(100)]
    await settle()
    assert len(oauth.requests) == 1
    oauth.open.set()
    assert set(await asyncio.gather(*callers)) == {"token-1"}
    assert len(oauth.requests) == 1


async def test_the_first_callers_cancellation_does_not_reach_the_others(oauth: OAuth) -> None:
    oauth.open.clear()
    callers = [asyncio.ensure_future(oauth.token.value()) for _ in range(10)]
    await settle()
    for caller in callers[:5]:
        caller.cancel()
    await settle()
    assert all(caller.cancelled() for caller in callers[:5])
    oauth.open.set()
    assert await asyncio.gather(*callers[5:]) == ["token-1"] * 5
    assert len(oauth.requests) == 1


async def test_the_request_goes_on_when_everybody_has_left(oauth: OAuth) -> None:
    oauth.open.clear()
    caller = asyncio.ensure_future(oauth.token.value())
    await settle()
    caller.cancel()
    await settle()
    gc.collect()
    oauth.open.set()
    await settle()
    assert await oauth.token.value() == "token-1"
    assert len(oauth.requests) == 1
    assert len(oauth.token._tasks) == 0


async def test_a_token_near_its_end_is_served_while_one_request_renews_it(oauth: OAuth, clock: VirtualClock) -> None:
    await oauth.token.value()
    clock.now += 3550
    oauth.open.clear()
    assert [await oauth.token.value() for _ in range(20)] == ["token-1"] * 20
    await settle()
    assert len(oauth.requests) == 2
    oauth.open.set()
    await settle()
    assert await oauth.token.value() == "token-2"
    assert len(oauth.requests) == 2


async def test_a_token_past_its_end_is_not_served(oauth: OAuth, clock: VirtualClock) -> None:
    await oauth.token.value()
    clock.now += 3600
    assert await oauth.token.value() == "token-2"


async def test_the_life_of_a_token_is_counted_from_when_it_was_asked_for(oauth: OAuth, clock: VirtualClock) -> None:
    oauth.open.clear()
    caller = asyncio.ensure_future(oauth.token.value())
    await settle()
    clock.now += 100
    oauth.open.set()
    await caller
    clock.now += 3500
    assert await oauth.token.value() == "token-2"


async def test_a_failed_renewal_is_no_error_while_the_token_is_valid(
    oauth: OAuth, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await oauth.token.value()
    clock.now += 3545
    oauth.failure = oauth.library.Response(503)
    with caplog.at_level(logging.WARNING, "session_ctx_middleware"):
        for _ in range(20):
            assert await oauth.token.value() == "token-1"
            await settle()
    assert len(oauth.requests) == 2, "a failing renewal is not repeated at once"
    assert "status 503" in caplog.text
    clock.now += 6
    await oauth.token.value()
    await settle()
    assert len(oauth.requests) == 3
    oauth.failure = None
    clock.now += 6
    await oauth.token.value()
    await settle()
    assert await oauth.token.value() == "token-4"


async def test_without_a_valid_token_each_caller_gets_an_error_of_its_own(oauth: OAuth) -> None:
    oauth.failure = oauth.library.Response(429, headers={"retry-after": "30"})
    results = await asyncio.gather(*(oauth.token.value() for _ in range(10)), return_exceptions=True)
    assert {type(result) for result in results} == {TooManyRequests}
    assert len({id(result) for result in results}) == 10
    assert {getattr(result, "retry_after", None) for result in results} == {30.0}
    assert {str(result) for result in results} == {"oauth.token: status 429"}
    assert len(oauth.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, TokenRejected),
        (401, TokenRejected),
        (403, TokenRejected),
        (404, EmporixFailed),
        (302, EmporixFailed),
        (201, EmporixFailed),
        (429, TooManyRequests),
        (500, EmporixFailed),
    ],
)
async def test_every_status_of_the_token_endpoint_has_its_error(
    status: int, kind: type[EmporixError], oauth: OAuth
) -> None:
    oauth.failure = oauth.library.Response(
        status, json={"fault": {"faultstring": "Invalid ApiKey", "detail": {"errorcode": "oauth.v2.InvalidApiKey"}}}
    )
    with pytest.raises(kind) as caught:
        await oauth.token.value()
    assert caught.value.operation == "oauth.token"
    assert caught.value.status == status


async def test_an_unreachable_token_endpoint_shows_no_credentials(oauth: OAuth) -> None:
    oauth.failure = oauth.library.ConnectError("s&cret=1")
    with pytest.raises(EmporixUnreachable) as caught:
        await oauth.token.value()
    text = "".join(traceback.format_exception(caught.value))
    assert "cret=1" not in text
    oauth.failure = None
    assert await oauth.token.value() == "token-2"


async def test_whatever_fails_the_waiters_are_told(oauth: OAuth) -> None:
    oauth.failure = KeyError("s&cret=1")
    results = await asyncio.gather(*(oauth.token.value() for _ in range(3)), return_exceptions=True)
    assert [str(result) for result in results] == ["oauth.token: no answer, unexpected KeyError"] * 3


@pytest.mark.parametrize(
    "scope",
    ["", "tenant=acme", "tenant=acme cart.cart_manage", "tenant=acme session_context.context_manage", 7, ["x"]],
)
async def test_a_scope_that_was_not_granted_is_named(scope: object, oauth: OAuth) -> None:
    oauth.fields["scope"] = scope
    results = await asyncio.gather(oauth.token.value(), oauth.token.value(), return_exceptions=True)
    for result in results:
        assert isinstance(result, ConfigurationError)
        assert "sessioncontext.context_manage" in str(result)
        assert "token-1" not in str(result)
    assert results[0] is not results[1]


async def test_only_the_scopes_that_are_missing_are_named(library: Any, clock: VirtualClock) -> None:
    oauth = OAuth(library, clock)
    oauth.fields["scope"] = "tenant=acme cart.cart_read"
    token = ServiceToken(
        "acme",
        client_id="i",
        client_secret="s",
        scope="cart.cart_read price.price_read",
        http_client=oauth.token._http._clients.current(),
    )
    with pytest.raises(ConfigurationError, match=r"the scope price\.price_read\."):
        await token.value()


async def test_more_scopes_than_asked_for_and_no_scope_at_all_are_fine(oauth: OAuth) -> None:
    oauth.fields["scope"] = f"a.b {SCOPE} c.d"
    assert await oauth.token.value() == "token-1"
    oauth.token.drop("token-1")
    del oauth.fields["scope"]
    assert await oauth.token.value() == "token-2"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"<html>",
        b'{"access_token": ""}',
        b'{"access_token": 7}',
        b'{"access_token": "a b"}',
        b"[" * 99_999,
    ],
    ids=range(8),
)
async def test_an_answer_without_a_usable_token_is_malformed(body: bytes, oauth: OAuth) -> None:
    oauth.failure = oauth.library.Response(200, content=body)
    with pytest.raises(MalformedAnswer):
        await oauth.token.value()


NONSENSE: list[object] = ["missing", None, True, -5, 0, "", "soon", "NaN", "-1", [], {}, "inf"]


@pytest.mark.parametrize("expires_in", NONSENSE, ids=str)
async def test_a_nonsense_life_is_a_short_one(expires_in: object, oauth: OAuth, clock: VirtualClock) -> None:
    oauth.fields["expires_in"] = expires_in
    if expires_in == "missing":
        del oauth.fields["expires_in"]
    await oauth.token.value()
    clock.now += 29
    assert await oauth.token.value() == "token-1"
    await settle()
    assert len(oauth.requests) == 1
    clock.now += 31
    assert await oauth.token.value() == "token-2"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1" + b"0" * 400])
async def test_a_life_that_is_no_number_of_seconds_is_a_short_one(
    number: bytes, oauth: OAuth, clock: VirtualClock
) -> None:
    oauth.failure = oauth.library.Response(200, content=b'{"access_token": "t", "expires_in": %s}' % number)
    assert await oauth.token.value() == "t"
    oauth.failure = None
    clock.now += 60
    assert await oauth.token.value() == "token-2"


@pytest.mark.parametrize("expires_in", ["3600", 3600.0, 3600])
async def test_a_life_may_be_a_number_in_a_string(expires_in: object, oauth: OAuth, clock: VirtualClock) -> None:
    oauth.fields["expires_in"] = expires_in
    await oauth.token.value()
    clock.now += 3530
    assert await oauth.token.value() == "token-1"
    await settle()
    assert len(oauth.requests) == 1


async def test_a_token_shorter_than_the_renewal_lead_is_kept_for_half_its_life(
    oauth: OAuth, clock: VirtualClock
) -> None:
    oauth.fields["expires_in"] = 40
    await oauth.token.value()
    clock.now += 19
    await oauth.token.value()
    await settle()
    assert len(oauth.requests) == 1
    clock.now += 1
    await oauth.token.value()
    await settle()
    assert len(oauth.requests) == 2


async def test_drop_forgets_only_the_token_it_names(oauth: OAuth) -> None:
    await oauth.token.value()
    oauth.token.drop("another")
    assert await oauth.token.value() == "token-1"
    oauth.token.drop("token-1")
    assert await oauth.token.value() == "token-2"
    oauth.token.drop("token-1")
    assert await oauth.token.value() == "token-2"


def test_one_token_serves_several_event_loops(library: Any, clock: VirtualClock) -> None:
    oauth = OAuth(library, clock)

    async def once() -> Any:
        oauth.open = asyncio.Event()
        oauth.open.set()
        values = await asyncio.gather(*(oauth.token.value() for _ in range(5)))
        oauth.token.drop(values[0])
        return values[0]

    assert [asyncio.run(once()) for _ in range(3)] == ["token-1", "token-2", "token-3"]


def test_a_loop_that_ends_in_the_middle_leaves_nothing_behind(library: Any, clock: VirtualClock) -> None:
    oauth = OAuth(library, clock)

    async def leave() -> None:
        oauth.open.clear()
        caller = asyncio.ensure_future(oauth.token.value())
        await settle()
        assert not caller.done()

    async def ask() -> str:
        oauth.open = asyncio.Event()
        oauth.open.set()
        return await oauth.token.value()

    asyncio.run(leave())
    assert len(oauth.token._tasks) == 0
    assert asyncio.run(ask()) == "token-2"


async def test_aclose_waits_for_a_request_in_the_air(oauth: OAuth) -> None:
    oauth.open.clear()
    caller = asyncio.ensure_future(oauth.token.value())
    await settle()
    closing = asyncio.ensure_future(oauth.token.aclose())
    await settle()
    assert not closing.done()
    oauth.open.set()
    await closing
    assert await caller == "token-1"


@pytest.mark.parametrize(
    "options",
    [
        {"client_id": ""},
        {"client_id": None},
        {"client_secret": " "},
        {"client_secret": "tö"},
        {"client_secret": "a\nb"},
        {"scope": ""},
        {"renew_before": -1},
        {"renew_before": float("nan")},
        {"renew_before": "60"},
        {"tenant": "ACME"},
    ],
)
def test_credentials_that_cannot_work_are_a_configuration_error(options: dict[str, Any]) -> None:
    values = {"tenant": "acme", "client_id": "i", "client_secret": "hunter2", **options}
    with pytest.raises(ConfigurationError) as caught:
        ServiceToken(values.pop("tenant"), **values)
    assert "hunter2" not in str(caught.value)


# The managed client with it


def context_manager(oauth: OAuth, statuses: list[int]) -> tuple[ManagedContextClient, list[str]]:
    """A managed client whose calls answer with `statuses` in turn; the tokens it used are the second value."""
    used: list[str] = []

    def handle(request: Any) -> Any:
        used.append(request.headers["authorization"])
        return oauth.library.Response(statuses.pop(0), json={"metadata": {"version": 1}})

    client = oauth.library.AsyncClient(transport=oauth.library.MockTransport(handle))
    return ManagedContextClient("acme", service_token=oauth.token, http_client=client), used


@pytest.mark.parametrize(
    "call",
    [
        lambda managed: managed.get("s"),
        lambda managed: managed.put("s", {}),
        lambda managed: managed.add_attribute("s", "k", "v"),
        lambda managed: managed.remove_attribute("s", "k"),
    ],
    ids=["get", "put", "add", "remove"],
)
async def test_a_refused_service_token_is_replaced_once(
    call: Callable[[ManagedContextClient], Awaitable[object]], oauth: OAuth
) -> None:
    managed, used = context_manager(oauth, [401, 200])
    await call(managed)
    assert used == ["Bearer token-1", "Bearer token-2"]

    managed, used = context_manager(oauth, [401, 401, 200])
    with pytest.raises(TokenRejected):
        await call(managed)
    assert len(used) == 2


@pytest.mark.parametrize("status", [400, 403, 404, 409, 429, 500, 503])
async def test_no_other_status_repeats_a_call(status: int, oauth: OAuth) -> None:
    managed, used = context_manager(oauth, [status, 200])
    with pytest.raises(Exception, match=f"managed.put: status {status}"):
        await managed.put("s", {})
    assert len(used) == 1


async def test_managed_calls_wait_for_one_token_request(oauth: OAuth) -> None:
    managed, used = context_manager(oauth, [200] * 50)
    await asyncio.gather(*(managed.get("s") for _ in range(50)))
    assert len(oauth.requests) == 1
    assert set(used) == {"Bearer token-1"}


@pytest.mark.parametrize("token", [None, "token", object()])
def test_a_managed_client_needs_a_service_token(token: Any) -> None:
    with pytest.raises(ConfigurationError, match="ServiceToken"):
        ManagedContextClient("acme", service_token=token)


def test_a_service_token_of_another_tenant_is_a_configuration_error() -> None:
    token = ServiceToken("other", client_id="i", client_secret="s")
    with pytest.raises(ConfigurationError, match="another tenant"):
        ManagedContextClient("acme", service_token=token)
