"""Leaving Emporix alone when it fails for everybody, and not when it fails for some (circuit breaker, Nygard 2007)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from ..breaker import Change
from ..clock import Clock

__all__ = ["Admitted", "SessionBreaker"]

SESSIONS: Final = 5
SILENCE: Final = 5.0
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 4.0
SPREAD: Final = 0.2
REMEMBERED: Final = 1_000
FORGOTTEN_AFTER: Final = 60.0
LOST_AFTER: Final = 4.0


@dataclass(slots=True)
class _Streak:
    """Failures of one session without an answer in between.

    Args:
        after: how many answers other sessions had had when it began.
        last: the latest failure, in monotonic seconds.
    """

    after: int
    last: float

    def goes_on(self, now: float) -> None:
        """Note another failure."""
        self.last = now

    def is_over(self, now: float) -> bool:
        """Tell whether it has been too long since the last one."""
        return now - self.last > FORGOTTEN_AFTER


class _Probes:
    """The probes of one kind of session while the breaker is open: one at a time, and a pause between two beginnings.

    That pauses count from the beginning of a probe keeps a probe that hangs from making the next one late.

    Args:
        clock: where time and randomness come from.
    """

    __slots__ = ("_begun", "_clock", "_in_air", "_not_before", "_pause")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pause = self._not_before = self._begun = 0.0
        self._in_air = False

    def restart(self) -> None:
        """Have the first probe wait, as the breaker opens."""
        self._pause, self._in_air, self._begun = FIRST_PAUSE, False, self._clock.monotonic()
        self._wait()

    @property
    def is_due(self) -> bool:
        """Whether it is time for one."""
        now = self._clock.monotonic()
        return now >= self._not_before and (not self._in_air or now - self._begun >= LOST_AFTER)

    def begin(self) -> None:
        """Begin one."""
        self._in_air, self._begun = True, self._clock.monotonic()

    def postpone(self) -> None:
        """Let the next one wait as if one had begun now: the other kind has begun one, which tells more."""
        self._begun = self._clock.monotonic()
        self._wait()

    def failed(self) -> None:
        """Double the pause."""
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self.ended()

    def ended(self) -> None:
        """Note the end of a probe that has told nothing; the next one waits as long as it did."""
        self._in_air = False
        self._wait()

    def _wait(self) -> None:
        self._not_before = self._begun + self._pause * (1 - SPREAD * self._clock.random())


@dataclass(slots=True, eq=False, repr=False)  # frozen, it would take twice as long to make
class Admitted:
    """A call that may be made; what becomes of it has to be told to the breaker.

    Args:
        session: whose call it is.
        probes: whose probe it is; `None` while the breaker is closed.
    """

    session: Hashable
    probes: _Probes | None


class SessionBreaker:
    """Opens when five different sessions have begun to fail, and no session has had an answer for five seconds.

    A session that goes on failing while others get answers is its own trouble: it counts once. Sessions are known by
    any name but their token. Open, it refuses every call but a probe; after an answer it closes. A probe of a session
    that has failed before proves little, so that it does not keep others from probing: each kind has its own pauses,
    from one second to four. What is a failure is the caller's to say. The event loops of a process share one.

    Args:
        clock: where time and randomness come from.

    Attributes:
        hangs: whether the latest failure was a call that took too long.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failing: OrderedDict[Hashable, _Streak] = OrderedDict()
        self._answers, self._answered_at = 0, float("-inf")
        self._of_failing, self._of_others = _Probes(clock), _Probes(clock)
        self._is_open = False
        self.hangs = False

    @property
    def is_open(self) -> bool:
        """Whether calls are refused, but for a probe now and then."""
        return self._is_open

    @property
    def refuses(self) -> bool:
        """Whether a call of a session that has not failed would be refused now."""
        return self._is_open and not self._of_others.is_due

    def would_refuse(self, session: Hashable) -> bool:
        """Tell whether a call of this session would be refused now."""
        if not self._is_open:
            return False
        with self._lock:
            return not self._probes_of(session).is_due

    def admit(self, session: Hashable) -> Admitted | None:
        """Return a call that may be made, `None` where it may not; its end has to be told."""
        with self._lock:
            if not self._is_open:
                return Admitted(session, None)
            probes = self._probes_of(session)
            if not probes.is_due:
                return None
            probes.begin()
            if probes is self._of_others:
                self._of_failing.postpone()
            return Admitted(session, probes)

    def answered(self, call: Admitted) -> Change | None:
        """Note that Emporix has answered, and return what that changed."""
        with self._lock:
            self._failing.pop(call.session, None)
            self._answers, self._answered_at = self._answers + 1, self._clock.monotonic()
            was_open, self._is_open = self._is_open, False
            return Change.CLOSED if was_open else None

    def failed(self, call: Admitted, *, hangs: bool = False) -> Change | None:
        """Note that Emporix has failed, and return what that changed.

        Args:
            call: which one.
            hangs: whether it is still on its way.
        """
        with self._lock:
            self.hangs = hangs
            self._note_failure(call.session)
            if call.probes is not None:
                call.probes.failed()
            elif not self._is_open and self._fails_for_everybody():
                self._is_open = True
                self._of_failing.restart()
                self._of_others.restart()
                return Change.OPENED
            return None

    def ended(self, call: Admitted) -> None:
        """Note that a call has ended in a way that tells nothing about Emporix."""
        with self._lock:
            if call.probes is not None:
                call.probes.ended()

    def _probes_of(self, session: Hashable) -> _Probes:
        return self._of_failing if self._is_failing(session) else self._of_others

    def _is_failing(self, session: Hashable) -> bool:
        streak = self._failing.get(session)
        return streak is not None and not streak.is_over(self._clock.monotonic())

    def _note_failure(self, session: Hashable) -> None:
        now = self._clock.monotonic()
        if self._is_failing(session):
            self._failing[session].goes_on(now)
            return
        self._failing.pop(session, None)
        self._failing[session] = _Streak(self._answers, now)
        if len(self._failing) > REMEMBERED:
            self._failing.popitem(last=False)

    def _fails_for_everybody(self) -> bool:
        now, sessions = self._clock.monotonic(), 0
        if now - self._answered_at < SILENCE:
            return False
        for streak in reversed(self._failing.values()):  # those that began last come first
            if streak.after != self._answers or sessions == SESSIONS:
                break
            sessions += not streak.is_over(now)
        return sessions == SESSIONS
