"""What Redis refuses though it answers: told once, with the remedy, and once when nothing is refused any more."""

from __future__ import annotations

import enum
import logging
from typing import Final

from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError

from ...clock import Clock

__all__ = ["Refusal", "Refusals", "is_channel_refused", "refusal_of"]

_log = logging.getLogger("session_ctx_middleware")

QUIET: Final = 3.0
"""Seconds without a refusal after which nothing is missing: longer than what was denied is left alone."""
CONSEQUENCE: Final = "What workers change is not told to the others, and nothing is believed for longer than 2 seconds."
COMMANDS: Final = (
    "EVALSHA, EVAL, SCRIPT, HSET, HMGET, HGETALL, HGET, HDEL, DEL, EXISTS, GET, SET, INCR, PTTL, PEXPIRE, PUBLISH, "
    "SUBSCRIBE, PING"
)


class Refusal(enum.Enum):
    """What is missing; the value says it, and what to do."""

    MEMORY = "has no memory left. Give it more, or a maxmemory-policy that evicts, such as allkeys-lru."
    WRITES = "takes no writes. Connect to the master, not to a replica (redis+sentinel://... follows it)."
    DISK = "takes no writes, as it cannot save to disk or has too few replicas. Mend that, or switch the check off."
    COMMANDS = f"denies this user commands that the store needs ({COMMANDS}). Allow them by ACL SETUSER."
    CHANNEL = "denies this user the channel of the store. Allow it by ACL SETUSER <user> &<namespace>:v1:*."


_WORDS: Final = (
    ("OOM command", Refusal.MEMORY),  # also what happens inside a script
    ("READONLY", Refusal.WRITES),
    ("against a read only", Refusal.WRITES),
    ("MISCONF", Refusal.DISK),
    ("stop-writes-on-bgsave-error", Refusal.DISK),
    ("NOREPLICAS", Refusal.DISK),
    ("Not enough good replicas", Refusal.DISK),
    ("can't run this command", Refusal.COMMANDS),
)


def refusal_of(error: BaseException | None) -> Refusal | None:
    """Return what an error says is missing; `None` for every other failure."""
    if isinstance(error, OutOfMemoryError):
        return Refusal.MEMORY
    if isinstance(error, ReadOnlyError):
        return Refusal.WRITES
    if isinstance(error, NoPermissionError):
        return Refusal.CHANNEL if is_channel_refused(error) else Refusal.COMMANDS
    if isinstance(error, ResponseError):
        text = str(error)
        return next((refusal for words, refusal in _WORDS if words in text), None)
    return None


def is_channel_refused(error: object) -> bool:
    """Tell whether the access control list (ACL) denies a channel rather than a command."""
    return isinstance(error, NoPermissionError) and "channel" in str(error)


class Refusals:
    """What one event loop is refused at the moment.

    Args:
        clock: where time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._missing: set[Refusal] = set()
        self._last = 0.0

    def __bool__(self) -> bool:
        return bool(self._missing)

    def note(self, refusal: Refusal) -> None:
        """Note that something was refused; tell it unless that is known."""
        self._last = self._clock.monotonic()
        if refusal not in self._missing:
            self._missing.add(refusal)
            _log.error("Redis %s %s", refusal.value, CONSEQUENCE)

    def nothing_refused(self) -> None:
        """Note that everything that the store needs was possible just now; tell it if that is new."""
        if self._missing and self._clock.monotonic() - self._last >= QUIET:
            self._missing.clear()
            _log.warning("Redis refuses nothing any more: workers tell each other what they change")
