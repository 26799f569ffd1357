from __future__ import annotations

from typing import Any

import pytest

from session_ctx_middleware.testing import FakeEmporix

from .conftest import ME, Platform, open_platform


@pytest.mark.parametrize(("lag", "seen_from"), [(0.0, 0.5), (2.0, 2.5)])
async def test_appears_when_due(lag: float, seen_from: float, http_library: Any) -> None:
    """A context appears when it is due, not when somebody looks."""
    for looked_at, status in ((seen_from - 0.1, 404), (seen_from, 200), (60.0, 200)):
        emporix = FakeEmporix(context_at="login", context_delay=0.5, replica_lag=lag, now=lambda: 1000.0)
        async with open_platform(emporix, http_library) as platform:
            token = (await platform.anonymous())["access_token"]
            emporix.now = lambda moment=1000.0 + looked_at: moment  # type: ignore[misc]
            assert (await platform.call("GET", ME, token)).status_code == status


async def test_creation_time_unseen(http_library: Any) -> None:
    """A context that appeared unseen tells its own creation time."""
    emporix = FakeEmporix(context_at="login", context_delay=0.5, now=lambda: 1000.0)
    async with open_platform(emporix, http_library) as platform:
        token = (await platform.anonymous())["access_token"]
        emporix.now = lambda: 1060.0
        assert (await platform.context(token))["metadata"]["createdAt"] == "1970-01-01T00:16:40.500Z"
        await platform.patch(token, 1, currency="USD")
        metadata = (await platform.context(token))["metadata"]
        assert metadata["createdAt"] == "1970-01-01T00:16:40.500Z"
        assert metadata["modifiedAt"] == "1970-01-01T00:17:40.000Z"


async def test_origin_is_not_shown(platform: Platform) -> None:
    """What a context was made from is not part of it."""
    attributes = {"a": {"b": "1"}}
    session = platform.emporix.new_session(attributes=attributes)
    attributes["a"]["b"] = "changed"
    assert (await platform.context(session.token))["context"] == {"a": {"b": "1"}}
    platform.emporix.edit(session.session_id, context=attributes)
    attributes["a"]["b"] = "again"
    assert (await platform.context(session.token))["context"] == {"a": {"b": "changed"}}


async def test_recorded_call_is_not_shown(platform: Platform) -> None:
    """A recorded call is not part of the context."""
    session = platform.emporix.new_session()
    await platform.patch(session.token, 1, context={"a": {"b": "1"}})
    body: Any = platform.emporix.calls[-1].body
    body["context"]["a"]["b"] = "changed"
    assert (await platform.context(session.token))["context"] == {"a": {"b": "1"}}
