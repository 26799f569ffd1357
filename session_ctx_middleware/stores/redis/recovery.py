"""What Redis has not been told yet, and what must not be believed until it has."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ...clock import Clock
from ...model.changes import NO_CHANGES, ContextChanges
from ..memory import PARKED_TTL

__all__ = ["Repair", "Repairs"]

MAX_NAMES: Final = 10_000


@dataclass(frozen=True, slots=True, repr=False)
class Repair:
    """What is still to be done under one name.

    Args:
        until: monotonic seconds after which it no longer matters.
        identity: which context the floor is of.
        floor: to be raised; -1 where there is none.
        forgotten_at: seconds since the epoch of a logout, ``None`` where there was none.
        unparked: changes that have been sent.
    """

    until: float
    identity: str = ""
    floor: int = -1
    forgotten_at: float | None = None
    unparked: ContextChanges = NO_CHANGES


class Repairs:
    """Remembers what could not be written, the last of it per name; used by every event loop of the process.

    Args:
        clock: where time comes from.
        max_names: names at once; the oldest one is given up first.
    """

    def __init__(self, clock: Clock, max_names: int = MAX_NAMES) -> None:
        self._clock = clock
        self._max_names = max_names
        self._open: dict[str, Repair] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    def renew(self) -> None:
        """Forget who holds the lock: that thread does not exist in this process."""
        self._lock = threading.Lock()

    def floor(self, names: Sequence[str], identity: str, floor: int, lifetime: float) -> None:
        """Remember a floor."""
        until = self._clock.monotonic() + lifetime
        with self._lock:
            for name in names:
                old = self._of(name)
                same = old.identity == identity
                self._keep(
                    name,
                    replace(
                        old,
                        identity=identity,
                        floor=max(floor, old.floor) if same else floor,
                        until=max(until, old.until),
                    ),
                )

    def forget(self, names: Sequence[str]) -> None:
        """Remember a logout."""
        with self._lock:
            for name in names:
                self._keep(name, replace(self._of(name), forgotten_at=self._clock.time(), until=self._in_a_day()))

    def unpark(self, names: Sequence[str], changes: ContextChanges) -> None:
        """Remember which changes have been sent."""
        with self._lock:
            for name in names:
                old = self._of(name)
                self._keep(name, replace(old, unparked=changes.newest(old.unparked), until=self._in_a_day()))

    def hides_document(self, name: str) -> bool:
        """Tell whether what Redis has under a name may be out of date."""
        if not self._open:
            return False
        with self._lock:
            repair = self._open.get(name)
            return (
                repair is not None
                and repair.until > self._clock.monotonic()
                and (repair.floor >= 0 or repair.forgotten_at is not None)
            )

    def left(self, name: str, parked: ContextChanges) -> ContextChanges:
        """Return parked changes without those that have been sent or forgotten."""
        if not self._open:
            return parked
        with self._lock:
            repair = self._of(name)
        forgotten_at = repair.forgotten_at
        if forgotten_at is not None:
            late = {path: change for path, change in parked.operations.items() if change.at > forgotten_at}
            parked = ContextChanges(late)
        return parked.minus(repair.unparked)

    def some(self, number: int) -> list[tuple[str, Repair]]:
        """Return what is to be done, the oldest first; what no longer matters is dropped."""
        now = self._clock.monotonic()
        with self._lock:
            for name in [name for name, repair in self._open.items() if repair.until <= now]:
                del self._open[name]
            return [item for item, _ in zip(self._open.items(), range(number), strict=False)]

    def done(self, name: str, repair: Repair) -> None:
        """Forget what has been done, unless more has come since."""
        with self._lock:
            if self._open.get(name) is repair:
                del self._open[name]

    def _of(self, name: str) -> Repair:
        return self._open.get(name) or Repair(self._clock.monotonic())

    def _keep(self, name: str, repair: Repair) -> None:
        if name not in self._open and len(self._open) >= self._max_names:
            del self._open[next(iter(self._open))]
        self._open[name] = repair

    def _in_a_day(self) -> float:
        return self._clock.monotonic() + PARKED_TTL
