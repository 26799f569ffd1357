from __future__ import annotations

from typing import Any

import pytest

from session_ctx_middleware.testing import FakeEmporix

from .conftest import ME, Platform, open_platform


@pytest.mark.parametrize(("lag", "seen_from"), [(0.0, 0.5), (2.0, 2.5)])
async def test_a_context_appears_when_it_is_due_not_when_somebody_looks(
    lag: float, seen_from: float, http_library: Any
) -> None:
    for looked_at, status in ((seen_from - 0.1, 404), (seen_from, 200), (60.0, 200)):
        emporix = FakeEmporix(context_at="login", context_delay=0.5, replica_lag=lag, now=lambda: 1000.0)
        async with open_platform(emporix, http_library) as platform:
            token = (await platform.anonymous())["access_token"]
            emporix.now = lambda moment=1000.0 + looked_at: moment  # type: ignore[misc]
            assert (await platform.call("GET", ME, token)).status_code == status


async def test_a_context_that_appeared_unseen_tells_its_own_creation_time(http_library: Any) -> None:
    emporix = FakeEmporix(context_at="login", context_delay=0.5, now=lambda: 1000.0)
    async with open_platform(emporix, http_library) as platform:
        token = (await platform.anonymous())["access_token"]
        emporix.now = lambda: 1060.0
        assert (await platform.context(token))["metadata"]["createdAt"] == "1970-01-01T00:16:40.500Z"
        await platform.patch(token, 1, currency="USD")
        metadata = (await platform.context(token))["metadata"]
        assert metadata["createdAt"] == "1970-01-01T00:16:40.500Z"
        assert metadata["modifiedAt"] == "1970-01-01T00:17:40.000Z"


async def test_what_a_context_was_made_from_is_not_part_of_it(platform: Platform) -> None:
    attributes = {"a": {"b": "1"}}
    session = platform.emporix.new_session(attributes=attributes)
    attributes["a"]["b"] = "changed"
    assert (await platform.context(session.token))["context"] == {"a": {"b": "1"}}
    platform.emporix.edit(session.session_id, context=attributes)
    attributes["a"]["b"] = "again"
    assert (await platform.context(session.token))["context"] == {"a": {"b": "changed"}}


async def test_a_recorded_call_is_not_part_of_the_context(platform: Platform) -> None:
    session = platform.emporix.new_session()
    await platform.patch(session.token, 1, context={"a": {"b": "1"}})
    body: Any = platform.emporix.calls[-1].body
    body["context"]["a"]["b"] = "changed"
    assert (await platform.context(session.token))["context"] == {"a": {"b": "1"}}
