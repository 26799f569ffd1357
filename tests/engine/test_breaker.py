"""When Emporix is left alone, for whom, and how it is found out that it is back."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from session_ctx_middleware.breaker import Change
from session_ctx_middleware.engine.breaker import REMEMBERED, SessionBreaker

from ..support.virtual_time import VirtualClock


class Calls:
    """Calls of sessions through one breaker."""

    def __init__(self) -> None:
        self.breaker = SessionBreaker(VirtualClock())
        self._names = itertools.count()

    def make(self, session: object, *, fails: bool) -> bool:
        """Make one call if that is allowed, and tell whether it was."""
        call = self.breaker.admit(session)
        if call is None:
            return False
        if fails:
            self.breaker.failed(call)
        else:
            self.breaker.answered(call)
        return True

    def open(self) -> None:
        """Let it fail for as many sessions as it takes."""
        while not self.breaker.is_open:
            assert self.make(self.stranger(), fails=True)

    def stranger(self) -> str:
        return f"session-{next(self._names)}"


async def test_five_sessions_open_it() -> None:
    """Five different sessions that fail open it, and one that fails a hundred times does not."""
    calls = Calls()
    for session in ("a", "b", "c", "d"):
        for _ in range(25):
            assert calls.make(session, fails=True)
    assert not calls.breaker.is_open

    last = calls.breaker.admit("e")
    assert last is not None

    assert calls.breaker.failed(last) is Change.OPENED
    assert not calls.make("f", fails=False)


async def test_slow_failures_open_it() -> None:
    """Failures need not be close to each other: a call that hangs takes its time, and the next page comes later."""
    calls = Calls()
    for _ in range(5):
        assert calls.make(calls.stranger(), fails=True)
        await asyncio.sleep(10)

    assert calls.breaker.is_open


async def test_answers_keep_it_closed() -> None:
    """While any other session gets an answer at least every five seconds, it stays closed."""
    calls = Calls()
    for _ in range(20):
        assert calls.make("healthy", fails=False)
        for _ in range(10):
            assert calls.make(calls.stranger(), fails=True)
        await asyncio.sleep(4.9)
    assert not calls.breaker.is_open

    await asyncio.sleep(0.2)
    calls.make(calls.stranger(), fails=True)

    assert calls.breaker.is_open


async def test_broken_sessions_count_once() -> None:
    """Sessions that fail on and on while others get answers never open it, however rarely others come."""
    calls = Calls()
    assert calls.make("healthy", fails=False)
    for session in range(10):
        assert calls.make(session, fails=True)
    assert calls.make("healthy", fails=False)

    for _ in range(200):
        await asyncio.sleep(1)
        for session in range(10):
            assert calls.make(session, fails=True)

    assert not calls.breaker.is_open


async def test_session_that_had_an_answer_counts_again() -> None:
    """A session that has had an answer is as good a witness as a new one."""
    calls = Calls()
    for _ in range(2):
        for session in range(5):
            assert calls.make(session, fails=True)
        assert not calls.make("stranger", fails=True)
        await asyncio.sleep(1)
        for session in range(5):
            assert calls.make(session, fails=False)
        await asyncio.sleep(6)


@pytest.mark.parametrize("fixed", [False, True], ids=["strangers", "those who failed"])
async def test_pauses_double(fixed: bool) -> None:
    """One probe after about one second, two, and then every four."""
    calls, loop = Calls(), asyncio.get_running_loop()
    calls.open()
    probes = [loop.time()]
    while loop.time() < 30:
        await asyncio.sleep(0.05)
        if calls.make("session-0" if fixed else calls.stranger(), fails=True):
            probes.append(loop.time())

    pauses = [later - earlier for earlier, later in itertools.pairwise(probes)]
    for pause, expected in zip(pauses, [1, 2, 4, 4, 4, 4], strict=False):
        assert 0.8 * expected <= pause <= expected + 0.06


async def test_one_probe_at_a_time() -> None:
    """While a probe is on its way nobody else calls, and after its answer everybody does."""
    calls = Calls()
    calls.open()
    await asyncio.sleep(1)
    probe = calls.breaker.admit("probe")
    assert probe is not None
    assert [calls.breaker.admit(calls.stranger()) for _ in range(100)] == [None] * 100

    assert calls.breaker.answered(probe) is Change.CLOSED

    assert all(calls.make(calls.stranger(), fails=False) for _ in range(100))


async def test_pause_counts_from_the_beginning() -> None:
    """A probe that takes long has made its pause: the next one begins no later than after one that failed at once."""
    calls = Calls()
    calls.open()
    await asyncio.sleep(1)
    probe = calls.breaker.admit("probe")
    assert probe is not None
    await asyncio.sleep(2)
    calls.breaker.failed(probe)

    assert calls.make(calls.stranger(), fails=True)


async def test_failing_sessions_do_not_keep_others_from_probing() -> None:
    """Sessions that have failed probe as well, but it is another one that finds out first that all is well."""
    calls = Calls()
    calls.open()
    for _ in range(100):
        await asyncio.sleep(0.1)
        for number in range(5):
            calls.make(f"session-{number}", fails=True)

    assert calls.make("healthy", fails=False)
    assert not calls.breaker.is_open


async def test_probe_that_says_nothing() -> None:
    """A probe without a result keeps it open, and the next one comes after the same pause."""
    calls = Calls()
    calls.open()
    for _ in range(5):
        await asyncio.sleep(1)
        probe = calls.breaker.admit(calls.stranger())
        assert probe is not None
        calls.breaker.ended(probe)
        assert not calls.make(calls.stranger(), fails=False)
    assert calls.breaker.is_open


async def test_lost_probe() -> None:
    """A probe that nobody hears of any more, as its event loop was closed, is not waited for without end."""
    calls = Calls()
    calls.open()
    await asyncio.sleep(1)
    assert calls.breaker.admit("lost") is not None

    await asyncio.sleep(4)

    assert calls.make(calls.stranger(), fails=False)


async def test_late_answer_closes_it() -> None:
    """An answer to a call from before closes it, too: Emporix answers."""
    calls = Calls()
    early = calls.breaker.admit("early")
    assert early is not None
    calls.open()

    assert calls.breaker.answered(early) is Change.CLOSED


async def test_memory_is_bounded() -> None:
    """However many sessions fail, so many are remembered; and none for long."""
    calls = Calls()
    for number in range(3 * REMEMBERED):
        calls.breaker.failed(calls.breaker.admit("healthy") or pytest.fail("refused"))
        calls.make("healthy", fails=False)
        calls.make(number, fails=True)

    assert len(calls.breaker._failing) <= REMEMBERED

    calls = Calls()
    for number in range(4):
        calls.make(number, fails=True)
    await asyncio.sleep(61)
    for number in range(4):
        calls.make(f"later-{number}", fails=True)
    assert not calls.breaker.is_open
