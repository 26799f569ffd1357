"""Sessions in a store of the shop's, sealed and by names that tell nothing; and a store that fails keeps no page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ..breaker import Admission, Breaker
from ..clock import Clock
from ..events import ContextEvent, Events
from ..sealing import Keyring, fingerprint
from ..tasks import Tasks
from .token_store import TokenStore

__all__ = ["SealedTokens", "TokensUnavailable"]

T = TypeVar("T")

PURPOSE: Final = "token store"
PATIENCE: Final = 0.5
"""Seconds that a page waits for one call of a store."""
IN_A_ROW: Final = 3
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 2.0
LATER: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between attempts to do what could not be done."""
MOST_LATER: Final = 1_000
MAX_TEXT: Final = 64 * 1024


class TokensUnavailable(Exception):
    """The store cannot do what it was asked at the moment; that has been told."""


@dataclass(frozen=True, slots=True, repr=False)
class _Answer:
    """How a call has ended.

    Args:
        value: what the store has answered.
        failure: why it has not; empty where it has.
    """

    value: Any = None
    failure: str = ""


class SealedTokens:
    """Asks a `TokenStore`: what it is given is sealed, and opens under no other name.

    The names are plain hashes of secrets that nobody can guess, so that they are the same while keys are rotated.

    Args:
        store: the shop's.
        keyring: the shop's secrets.
        place: tenant and address.
        clock: where time comes from.
        events: who is told that the store fails.
    """

    def __init__(
        self, store: TokenStore, keyring: Keyring, place: tuple[str, str], *, clock: Clock, events: Events
    ) -> None:
        self._store = store
        self._sealer = keyring.sealer(PURPOSE)
        self._place = place
        self._clock = clock
        self._events = events
        self._breaker = Breaker(clock, in_a_row=IN_A_ROW, first_pause=FIRST_PAUSE, longest_pause=LONGEST_PAUSE)
        self._calls, self._later = Tasks(clock), Tasks(clock)

    @property
    def is_left_alone(self) -> bool:
        """Whether the store has failed too often lately to be asked now."""
        return self._breaker.refuses

    async def load(self, kind: str, secret: str) -> bytes | None:
        """Return what is kept of this kind under a secret, `None` where there is nothing that can be opened.

        Raises:
            TokensUnavailable: nobody can tell.
        """
        key = self._key(kind, secret)
        sealed = await self._asked("load", lambda: self._store.load(key))
        if not isinstance(sealed, str) or len(sealed) > MAX_TEXT:
            return None
        opened = self._sealer.open(sealed, key)
        if opened is None:
            self._failed("load", "unreadable")
        return opened

    async def save(self, kind: str, secret: str, data: bytes, lifetime: float) -> None:
        """Keep something for `lifetime` seconds; with 0, forget what is there.

        Raises:
            TokensUnavailable: it may not have been kept.
        """
        key = self._key(kind, secret)
        sealed = self._sealer.seal(data, key) if lifetime > 0 else ""
        await self._asked("save", lambda: self._store.save(key, sealed, max(0.0, lifetime)))

    async def claim(self, kind: str, secret: str, seconds: float) -> bool:
        """Tell whether the work of this kind is this worker's for that long.

        Raises:
            TokensUnavailable: nobody can tell.
        """
        key = self._key(kind, secret)
        return bool(await self._asked("claim", lambda: self._store.claim(key, seconds)))

    def later(self, work: Callable[[], Awaitable[None]]) -> None:
        """Try again for a minute to do what could not be done: what Redis has lost would be lost to the shopper."""
        if len(self._later) < MOST_LATER:
            self._later.spawn(self._insist(work))

    async def aclose(self, seconds: float) -> None:
        """Let calls end, for at most `seconds`, and try nothing again; a store that has connections stays open."""
        await self._later.drain(0.0)
        await self._calls.drain(seconds)

    def _key(self, kind: str, secret: str) -> str:
        return f"{kind}-{fingerprint(PURPOSE, kind, *self._place, secret)}"

    async def _asked(self, call: str, ask: Callable[[], Awaitable[T]]) -> T:
        admission = self._breaker.admit()
        if admission is Admission.REFUSED:
            raise TokensUnavailable
        is_probe = admission is Admission.PROBE
        # The call goes on when nobody waits any more: one that is cancelled may spoil a connection.
        shared = self._calls.share(_answered(ask), otherwise=_Answer(failure="shut down"))
        try:
            answer = await shared.wait(PATIENCE, self._clock) or _Answer(failure="no answer in time")
        except BaseException:
            if is_probe:  # that somebody leaves says nothing about the store
                self._breaker.release()
            raise
        self._breaker.record(failed=bool(answer.failure), probe=is_probe)
        if answer.failure:
            self._failed(call, answer.failure)
            raise TokensUnavailable
        self._events.over("tokens.failed", call)
        value: T = answer.value
        return value

    async def _insist(self, work: Callable[[], Awaitable[None]]) -> None:
        for pause in LATER:
            await self._clock.sleep(pause)
            try:
                await work()
            except TokensUnavailable:
                continue
            return

    def _failed(self, call: str, outcome: str) -> None:
        self._events.emit(ContextEvent(name="tokens.failed", operation=call, outcome=outcome))


async def _answered(ask: Callable[[], Awaitable[object]]) -> _Answer:
    try:
        return _Answer(await ask())
    except Exception as error:  # noqa: BLE001 - whatever a store raises, pages go on; only the class is told
        return _Answer(failure=type(error).__name__)
