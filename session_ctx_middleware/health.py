"""How a middleware is, from what it has seen: nothing is asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

__all__ = ["REMEMBERED", "Health", "Monitored"]

REMEMBERED: Final = 30.0
"""Seconds for which a failure counts.

A worker that gets no requests because it is not well asks nobody, and would never be well again.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is well at the moment, in this process.

    Args:
        emporix: the last call to Emporix was answered as it should be, or is more than 30 seconds ago.
        breaker: Emporix may be asked: no breaker refuses calls.
        store: the last call of the store, also of one that keeps sessions, did what it should, or is more than 30
            seconds ago.
    """

    emporix: bool
    breaker: bool
    store: bool

    @property
    def ok(self) -> bool:
        """Whether everything is."""
        return self.emporix and self.breaker and self.store


class Monitored(Protocol):
    """What `SessionContext.middleware` can be asked."""

    def stats(self) -> Mapping[str, int]:
        """Return counters of what happened so far in this process."""
        ...

    def health(self) -> Health:
        """Tell, without asking anybody, whether Emporix, the breakers and the store are well."""
        ...
