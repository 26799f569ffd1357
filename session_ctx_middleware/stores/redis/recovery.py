"""What could not be written to Redis yet, and what must not be read from it until it has been."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ...clock import Clock
from ...model.changes import NO_CHANGES, ContextChanges
from ..protocol import PARKED_TTL

__all__ = ["RecoveryItem", "RecoveryQueue"]

MAX_NAMES: Final = 10_000


@dataclass(frozen=True, slots=True, repr=False)
class RecoveryItem:
    """What is still to be written under one name.

    Args:
        until: monotonic seconds after which it no longer matters.
        identity: which context the floor is of.
        floor: to be raised; -1 where there is none.
        forgotten_at: seconds since the epoch of a logout, `None` where there was none.
        unparked: changes that have been sent to Emporix, and are no longer parked.
    """

    until: float
    identity: str = ""
    floor: int = -1
    forgotten_at: float | None = None
    unparked: ContextChanges = NO_CHANGES


class RecoveryQueue:
    """Keeps what could not be written, merged by name; used by every event loop of the process.

    Args:
        clock: where time comes from.
        max_names: names at once; the oldest one is given up first.
    """

    def __init__(self, clock: Clock, max_names: int = MAX_NAMES) -> None:
        self._clock = clock
        self._max_names = max_names
        self._items: dict[str, RecoveryItem] = {}
        self._lock = threading.Lock()
        self.lost = 0
        """How many names had to go for lack of room."""

    def __len__(self) -> int:
        return len(self._items)

    def reset_after_fork(self) -> None:
        """Replace the lock: in this process, no thread will release the one that was copied."""
        self._lock = threading.Lock()

    def floor(self, names: Sequence[str], identity: str, floor: int, lifetime: float) -> None:
        """Keep a floor under all of `names` for `lifetime` seconds; the highest one of an identity counts."""
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
        """Keep a logout that happened now."""
        with self._lock:
            for name in names:
                self._keep(name, replace(self._of(name), forgotten_at=self._clock.time(), until=self._in_a_day()))

    def unpark(self, names: Sequence[str], changes: ContextChanges) -> None:
        """Keep which changes have been sent."""
        with self._lock:
            for name in names:
                old = self._of(name)
                self._keep(name, replace(old, unparked=changes.newest(old.unparked), until=self._in_a_day()))

    def hides_document(self, name: str) -> bool:
        """Tell whether what Redis has under a name may be out of date."""
        if not self._items:
            return False
        with self._lock:
            item = self._items.get(name)
            return (
                item is not None
                and item.until > self._clock.monotonic()
                and (item.floor >= 0 or item.forgotten_at is not None)
            )

    def still_parked(self, name: str, parked: ContextChanges) -> ContextChanges:
        """Return what Redis has parked under a name, without what has been sent or forgotten."""
        if not self._items:
            return parked
        with self._lock:
            item = self._of(name)
        forgotten_at = item.forgotten_at
        if forgotten_at is not None:
            late = {path: change for path, change in parked.operations.items() if change.at > forgotten_at}
            parked = ContextChanges(late)
        return parked.minus(item.unparked)

    def oldest(self, number: int) -> list[tuple[str, RecoveryItem]]:
        """Return the oldest items by name, `number` at most; what no longer matters is dropped."""
        now = self._clock.monotonic()
        with self._lock:
            for name in [name for name, item in self._items.items() if item.until <= now]:
                del self._items[name]
            return [item for item, _ in zip(self._items.items(), range(number), strict=False)]

    def done(self, name: str, item: RecoveryItem) -> None:
        """Remove an item that was written, unless more has come since."""
        with self._lock:
            if self._items.get(name) is item:
                del self._items[name]

    def _of(self, name: str) -> RecoveryItem:
        return self._items.get(name) or RecoveryItem(self._clock.monotonic())

    def _keep(self, name: str, item: RecoveryItem) -> None:
        if name not in self._items and len(self._items) >= self._max_names:
            del self._items[next(iter(self._items))]
            self.lost += 1
        self._items[name] = item

    def _in_a_day(self) -> float:
        return self._clock.monotonic() + PARKED_TTL
