"""Emporix' time: what the dates of its answers tell, and what is not believed of them."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate

import pytest

from session_ctx_middleware.platform_time import PlatformTime, http_date

from .support.virtual_time import VirtualClock

EMPORIX = 1_800_000_000.0


async def told(platform: PlatformTime, moment: float, took: float = 0.0) -> float:
    """Hear an answer that was made at a moment of Emporix, and return what time it is there, beside what it is."""
    now = asyncio.get_running_loop().time()
    platform.told(formatdate(moment, usegmt=True), now - took)
    return (platform.at(now) or 0.0) - EMPORIX - now


async def test_unknown_until_an_answer_comes() -> None:
    """Nobody knows Emporix' time before an answer has told it; then no answer is looked at for ten seconds."""
    platform = PlatformTime(VirtualClock())
    assert platform.at(0.0) is None
    assert platform.wants_date

    assert abs(await told(platform, EMPORIX + 0.7)) <= 1.0
    wanted = [platform.wants_date]
    await asyncio.sleep(10)
    assert [*wanted, platform.wants_date] == [False, True]


async def test_answers_tell_more_together() -> None:
    """Several answers tell the time better than the seconds of each of them, however long they took."""
    platform = PlatformTime(VirtualClock())
    off = 1.0
    for part in (0.0, 0.25, 0.5, 0.75, 0.95):
        moment = asyncio.get_running_loop().time()
        off = await told(platform, EMPORIX + moment - 0.1, took=0.2)
        await asyncio.sleep(10 + part)

    assert abs(off) <= 0.5


@pytest.mark.parametrize("date", [None, "", "yesterday", "Fri, 99 Nov 2026 00:00:00 GMT", "Fri, 27 Nov 99999 0:0:0"])
async def test_what_is_no_date(date: str | None) -> None:
    """What is no date counts as nothing, and the next answer is looked at."""
    platform = PlatformTime(VirtualClock())

    platform.told(date, 0.0)

    assert platform.at(0.0) is None
    assert platform.wants_date


async def test_one_answer_that_contradicts() -> None:
    """One answer that contradicts all others may be that of a cache; two that agree are believed."""
    platform = PlatformTime(VirtualClock())
    await told(platform, EMPORIX)

    assert abs(await told(platform, EMPORIX - 3600)) <= 1.0
    assert platform.wants_date
    assert abs(await told(platform, EMPORIX)) <= 1.0
    await told(platform, EMPORIX - 3600)
    assert abs(await told(platform, EMPORIX - 3600) + 3600) <= 1.0


@pytest.mark.parametrize(
    "text", ["Fri, 15 Jan 2027 08:00:00 GMT", "Friday, 15-Jan-27 08:00:00 GMT", "Fri Jan 15 08:00:00 2027"]
)
def test_three_forms_of_a_date(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """All forms of RFC 9110 are UTC, whatever zone the host is in."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert http_date(text) == EMPORIX
    finally:
        monkeypatch.undo()
        time.tzset()
