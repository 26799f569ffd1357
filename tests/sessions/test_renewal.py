"""One refresh per refresh token, its successor for late holders, and no storm of failing ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from session_ctx_middleware.emporix import TokenAnswer
from session_ctx_middleware.errors import EmporixError, EmporixUnreachable, TokenRejected, TooManyRequests
from session_ctx_middleware.sessions.kept import KeptSession
from session_ctx_middleware.sessions.renewal import Failed, Renewals

from ..support.virtual_time import WALL_START, VirtualClock

KEPT = KeptSession.granted(TokenAnswer("access-1", 3600.0, "refresh-1", 86_400.0, "session-1"), WALL_START)


class Platform:
    """Hands out the next tokens, a second after it was asked."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Callable[[], EmporixError] | None = None

    async def refresh(self, kept: KeptSession) -> KeptSession:
        self.calls += 1
        number = self.calls + 1
        await asyncio.sleep(1.0)
        if self.error is not None:
            raise self.error()
        return kept.renewed(TokenAnswer(f"access-{number}", 3600.0, f"refresh-{number}"), WALL_START)


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def renewals(platform: Platform) -> Renewals:
    return Renewals(platform.refresh, VirtualClock())


async def test_one_call_for_all(platform: Platform, renewals: Renewals) -> None:
    """However many requests hold a refresh token, it is used once, and late ones get its successor for a minute."""
    found = await asyncio.gather(*(renewals.of(KEPT, 2.0) for _ in range(20)))
    await asyncio.sleep(59.0)
    late = await renewals.of(KEPT, 2.0)

    assert platform.calls == 1
    assert all(each is found[0] for each in (*found, late))
    assert isinstance(late, KeptSession)
    assert late.refresh_token == "refresh-2"

    await asyncio.sleep(2.0)
    assert await renewals.of(KEPT, 2.0) != late
    assert platform.calls == 2


async def test_waiter_leaves(platform: Platform, renewals: Renewals) -> None:
    """Who cannot wait goes on without, and the call goes on for the next one."""
    assert await renewals.of(KEPT, 0.5) is None
    leaving = asyncio.create_task(renewals.of(KEPT, 2.0))
    await asyncio.sleep(0.1)
    leaving.cancel()
    await asyncio.sleep(1.0)

    assert isinstance(await renewals.of(KEPT, 0.0), KeptSession)
    assert platform.calls == 1


@pytest.mark.parametrize(
    ("error", "pause", "definite"),
    [
        (lambda: EmporixUnreachable("anonymous.refresh"), 2.0, False),
        (lambda: TooManyRequests("anonymous.refresh", 429, retry_after=20.0), 20.0, False),
        (lambda: TooManyRequests("anonymous.refresh", 429, retry_after=9999.0), 60.0, False),
        (lambda: TokenRejected("anonymous.refresh", 401), 30.0, True),
    ],
)
async def test_failures_are_not_repeated(
    error: Callable[[], EmporixError], pause: float, definite: bool, platform: Platform, renewals: Renewals
) -> None:
    """After a failure nobody asks for a while, as long as Emporix wants; then somebody does."""
    platform.error = error
    first = await renewals.of(KEPT, 2.0)
    await asyncio.sleep(pause - 0.1)
    again = await renewals.of(KEPT, 2.0)

    assert isinstance(first, Failed)
    assert again is first
    assert first.is_definite is definite
    assert platform.calls == 1

    platform.error = None
    await asyncio.sleep(0.2)
    assert isinstance(await renewals.of(KEPT, 2.0), KeptSession)


async def test_unexpected_error(platform: Platform, renewals: Renewals) -> None:
    """Whatever a client raises, those who wait get an answer, and no definite one."""

    def surprise() -> EmporixError:
        raise LookupError("a secret")

    platform.error = surprise
    found = await renewals.of(KEPT, 2.0)

    assert isinstance(found, Failed)
    assert not found.is_definite
    assert "secret" not in str(found.error)


async def test_shutdown_waits(platform: Platform, renewals: Renewals) -> None:
    """A refresh that is on its way ends before the process does: its tokens would be lost."""
    waiting = asyncio.create_task(renewals.of(KEPT, 2.0))
    await asyncio.sleep(0.1)
    await renewals.aclose(5.0)

    assert isinstance(await waiting, KeptSession)
