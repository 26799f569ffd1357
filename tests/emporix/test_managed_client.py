"""The managed client together with its service token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from session_ctx_middleware.emporix import ManagedContextClient, ServiceToken
from session_ctx_middleware.errors import (
    ConfigurationError,
    TokenRejected,
)

from .clock import VirtualClock
from .oauth import OAuth


def context_manager(oauth: OAuth, statuses: list[int]) -> tuple[ManagedContextClient, list[str]]:
    """A managed client whose calls answer with `statuses` in turn; the tokens it used are the second value."""
    used: list[str] = []

    def handle(request: Any) -> Any:
        used.append(request.headers["authorization"])
        return oauth.library.Response(statuses.pop(0), json={"metadata": {"version": 1}})

    client = oauth.library.AsyncClient(transport=oauth.library.MockTransport(handle))
    return ManagedContextClient("acme", service_token=oauth.token, http_client=client, clock=oauth.clock), used


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
async def test_refused_token_is_replaced(
    call: Callable[[ManagedContextClient], Awaitable[object]], oauth: OAuth
) -> None:
    """A refused service token is replaced once."""
    managed, used = context_manager(oauth, [401, 200])
    await call(managed)
    assert used == ["Bearer token-1", "Bearer token-2"]

    managed, used = context_manager(oauth, [401, 401, 200])
    with pytest.raises(TokenRejected):
        await call(managed)
    assert len(used) == 2


async def test_new_tokens_do_not_help(oauth: OAuth, clock: VirtualClock) -> None:
    """Where a new service token is refused as well, a hundred calls in ten seconds make few requests for one."""
    managed, used = context_manager(oauth, [401] * 200)
    for _ in range(100):
        with pytest.raises(TokenRejected):
            await managed.get("s")
        clock.now += 0.1

    assert len(oauth.requests) <= 5
    assert len(used) <= 104


@pytest.mark.parametrize("status", [400, 403, 404, 409, 429, 500, 503])
async def test_no_other_status_repeats_a_call(status: int, oauth: OAuth) -> None:
    """No other status repeats a call."""
    managed, used = context_manager(oauth, [status, 200])
    with pytest.raises(Exception, match=f"managed.put: status {status}"):
        await managed.put("s", {})
    assert len(used) == 1


async def test_one_token_request(oauth: OAuth) -> None:
    """Managed calls wait for one token request."""
    managed, used = context_manager(oauth, [200] * 50)
    await asyncio.gather(*(managed.get("s") for _ in range(50)))
    assert len(oauth.requests) == 1
    assert set(used) == {"Bearer token-1"}


@pytest.mark.parametrize("token", [None, "token", object()])
def test_needs_a_service_token(token: Any) -> None:
    """A managed client needs a service token."""
    with pytest.raises(ConfigurationError, match="ServiceToken"):
        ManagedContextClient("acme", service_token=token)


def test_token_of_another_tenant() -> None:
    """A service token of another tenant is a configuration error."""
    token = ServiceToken("other", client_id="i", client_secret="s")
    with pytest.raises(ConfigurationError, match="another tenant"):
        ManagedContextClient("acme", service_token=token)
