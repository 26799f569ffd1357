"""How a service token is asked for, kept, shared and renewed."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any
from urllib.parse import parse_qs

import pytest

from session_ctx_middleware.emporix import ServiceToken
from session_ctx_middleware.errors import (
    ConfigurationError,
    EmporixFailed,
    SessionContextError,
    TooManyRequests,
)

from .clock import VirtualClock
from .oauth import SCOPE, OAuth, settle


async def test_client_credentials_form(oauth: OAuth) -> None:
    """Client credentials are sent as a form."""
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


async def test_kept_until_near_its_end(oauth: OAuth, clock: VirtualClock) -> None:
    """A token is kept until shortly before its end."""
    await oauth.token.value()
    clock.now += 3539
    assert await oauth.token.value() == "token-1"
    await settle()
    assert len(oauth.requests) == 1


async def test_one_request_for_all(oauth: OAuth) -> None:
    """A hundred callers share one request."""
    oauth.open.clear()
    callers = [asyncio.ensure_future(oauth.token.value()) for _ in range(100)]
    await settle()
    assert len(oauth.requests) == 1
    oauth.open.set()
    assert set(await asyncio.gather(*callers)) == {"token-1"}
    assert len(oauth.requests) == 1


async def test_cancellation_stays_with_one(oauth: OAuth) -> None:
    """The first caller's cancellation does not reach the others."""
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


async def test_request_outlives_its_callers(oauth: OAuth) -> None:
    """The request goes on when everybody has left."""
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
    assert len(oauth.token._kept._tasks) == 0


async def test_renewed_in_the_background(oauth: OAuth, clock: VirtualClock) -> None:
    """A token near its end is served while one request renews it."""
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


async def test_not_served_after_its_end(oauth: OAuth, clock: VirtualClock) -> None:
    """A token past its end is not served."""
    await oauth.token.value()
    clock.now += 3600
    assert await oauth.token.value() == "token-2"


async def test_life_counts_from_the_request(oauth: OAuth, clock: VirtualClock) -> None:
    """The life of a token is counted from when it was asked for."""
    oauth.open.clear()
    caller = asyncio.ensure_future(oauth.token.value())
    await settle()
    clock.now += 100
    oauth.open.set()
    await caller
    clock.now += 3500
    assert await oauth.token.value() == "token-2"


async def test_failed_renewal_is_no_error(oauth: OAuth, clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    """A failed renewal is no error while the token is valid."""
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


async def test_errors_are_one_each(oauth: OAuth) -> None:
    """Without a valid token, each caller gets an error of its own."""
    oauth.failure = oauth.library.Response(429, headers={"retry-after": "30"})
    results = await asyncio.gather(*(oauth.token.value() for _ in range(10)), return_exceptions=True)
    assert {type(result) for result in results} == {TooManyRequests}
    assert len({id(result) for result in results}) == 10
    assert {getattr(result, "retry_after", None) for result in results} == {30.0}
    assert {str(result) for result in results} == {"oauth.token: status 429"}
    assert len(oauth.requests) == 1


def refusals(library: Any) -> list[tuple[Any, int]]:
    """Ways in which no token is given out, and how often that is asked for in ten seconds at most."""
    return [
        (library.Response(401, json={"error": "invalid_client"}), 4),
        (library.Response(400), 4),
        (library.Response(429), 10),
        (library.Response(429, headers={"retry-after": "30"}), 1),
        (library.Response(503, headers={"retry-after": "5"}), 2),
        (library.Response(503), 5),
        (library.Response(500), 5),
        (library.Response(200, json={}), 5),
        (library.Response(200, json={"access_token": "t", "scope": "another"}), 4),
        (library.ConnectError("broken"), 6),
        (KeyError("a hook of the application"), 5),
    ]


@pytest.mark.parametrize("index", range(11))
async def test_refusal_is_remembered(index: int, oauth: OAuth, clock: VirtualClock) -> None:
    """However no token is given out, a hundred callers in ten seconds make few requests, and each gets the error."""
    oauth.failure, at_most = refusals(oauth.library)[index]
    errors = []
    for _ in range(100):
        with pytest.raises(SessionContextError) as caught:
            await oauth.token.value()
        errors.append(caught.value)
        clock.now += 0.1

    assert len(oauth.requests) <= at_most
    assert len({type(error) for error in errors}) == 1
    assert len({id(error) for error in errors}) == 100
    oauth.failure = None
    clock.now += 60
    assert (await oauth.token.value()).startswith("token-")


async def test_time_to_wait_runs_down(oauth: OAuth, clock: VirtualClock) -> None:
    """Who asks later is told how long there is still to wait."""
    oauth.failure = oauth.library.Response(429, headers={"retry-after": "30"})
    left = []
    for _ in range(3):
        with pytest.raises(TooManyRequests) as caught:
            await oauth.token.value()
        left.append(caught.value.retry_after)
        clock.now += 10

    assert left == [30.0, 20.0, 10.0]


async def test_longest_pause(oauth: OAuth, clock: VirtualClock) -> None:
    """A minute is the longest that anybody waits, whatever the token endpoint asks for."""
    oauth.failure = oauth.library.Response(503, headers={"retry-after": "86400"})
    with pytest.raises(EmporixFailed):
        await oauth.token.value()
    oauth.failure = None
    clock.now += 60

    assert await oauth.token.value() == "token-2"


async def test_renewal_waits_as_it_is_asked_to(oauth: OAuth, clock: VirtualClock) -> None:
    """A renewal that is told to wait does so, and the token is used meanwhile."""
    await oauth.token.value()
    clock.now += 3545
    oauth.failure = oauth.library.Response(429, headers={"retry-after": "30"})
    for _ in range(20):
        assert await oauth.token.value() == "token-1"
        await settle()
        clock.now += 1

    assert len(oauth.requests) == 2


async def test_short_life_is_halved(oauth: OAuth, clock: VirtualClock) -> None:
    """A token shorter than the renewal lead is kept for half its life."""
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


async def test_drop_names_a_token(oauth: OAuth) -> None:
    """`drop` forgets only the token it names."""
    await oauth.token.value()
    oauth.token.drop("another")
    assert await oauth.token.value() == "token-1"
    oauth.token.drop("token-1")
    assert await oauth.token.value() == "token-2"
    oauth.token.drop("token-1")
    assert await oauth.token.value() == "token-2"


def test_several_event_loops(library: Any, clock: VirtualClock) -> None:
    """One token serves several event loops."""
    oauth = OAuth(library, clock)

    async def once() -> Any:
        oauth.open = asyncio.Event()
        oauth.open.set()
        values = await asyncio.gather(*(oauth.token.value() for _ in range(5)))
        oauth.token.drop(values[0])
        return values[0]

    assert [asyncio.run(once()) for _ in range(3)] == ["token-1", "token-2", "token-3"]


def test_loop_ends_in_the_middle(library: Any, clock: VirtualClock) -> None:
    """A loop that ends in the middle leaves nothing behind."""
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
    assert len(oauth.token._kept._tasks) == 0
    assert asyncio.run(ask()) == "token-2"


async def test_aclose_waits(oauth: OAuth) -> None:
    """`aclose` waits for a request in the air."""
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
def test_bad_credentials(options: dict[str, Any]) -> None:
    """Credentials that cannot work are a configuration error."""
    values = {"tenant": "acme", "client_id": "i", "client_secret": "hunter2", **options}
    with pytest.raises(ConfigurationError) as caught:
        ServiceToken(values.pop("tenant"), **values)
    assert "hunter2" not in str(caught.value)
