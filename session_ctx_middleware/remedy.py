"""How events of one name are told to operators."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Final

__all__ = ["DAY", "INFO", "WARNING", "Kind"]

DAY: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How the events of one name are told.

    Args:
        level: of the log line.
        remedy: what it means, and what to do.
        remedies: the same for single outcomes.
        quiet: seconds that must pass without one until the next one is told again, or until it counts as over; what
            comes before is debug output. At 0 each one is told.
        over: name of the event that tells that it is over, where that is told; until then only the first one is.
        counter: its name in `stats()`; that of the event by default, where `counters` does not have all outcomes.
        counters: the same for single operations or outcomes.
        for_hooks: whether hooks are told, too.
    """

    level: int = logging.DEBUG
    remedy: str = ""
    remedies: dict[str, str] = field(default_factory=dict)
    quiet: float = 0.0
    over: str = ""
    counter: str = ""
    counters: dict[str, str] = field(default_factory=dict)
    for_hooks: bool = True

    def names_of_counters(self, name: str) -> tuple[str, ...]:
        """Return what counts the events of this name in `stats()`."""
        own = self.counter or ("" if self.counters else name)
        return (own, *self.counters.values()) if own else tuple(self.counters.values())


WARNING: Final = logging.WARNING
INFO: Final = logging.INFO
