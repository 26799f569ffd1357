"""What happened: counted, logged once per change of state, and told to hooks. Nothing of it is personal."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias, TypeGuard

from .clock import Clock, SystemClock
from .hooks import HookCalls
from .remedies import KINDS, Kind

__all__ = ["ContextEvent", "EventHook", "Events"]

_log = logging.getLogger("session_ctx_middleware")

NEVER: Final = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextEvent:
    """One thing that happened. It carries no token, session id or value of a document.

    Args:
        name: what happened, such as ``context.loaded``, ``commit.applied``, ``commit.parked``, ``leak.prevented``.
        operation: what was being done: ``load``, ``refresh``, ``commit``, ``respond`` ...
        outcome: how it ended, in one word.
        cache: for reads: ``hit``, ``stale``, ``miss``, ``missing``, ``rejected`` or ``degraded``.
        status: HTTP status of Emporix' last answer, where there was one and it was not a success.
        attempts: PATCH calls that a commit made.
        duration: seconds it took: of commits, and of loads that had to wait.
    """

    name: str
    operation: str = ""
    outcome: str = ""
    cache: str = ""
    status: int | None = None
    attempts: int = 0
    duration: float = 0.0


EventHook: TypeAlias = Callable[[ContextEvent], object]


class Events:
    """Counts every event, logs it, and tells it to every hook; a hook that fails disturbs nobody.

    What lasts is a warning when it begins, debug output while it holds, and told once more when it is over.

    Args:
        hooks: called with each event. What a hook returns is awaited in a task of its own where it can be.
        clock: where time comes from.
    """

    def __init__(self, hooks: Sequence[EventHook] = (), clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._plain = tuple(hook for hook in hooks if not _is_async(hook))
        self._async: tuple[Callable[[ContextEvent], Awaitable[object]], ...]
        self._async = tuple(hook for hook in hooks if _is_async(hook))
        self._calls = HookCalls(self._clock, failed=self.hook_failed, dropped=self._hook_dropped)
        self._counts: Counter[str] = Counter()
        self._last: dict[tuple[str, str], float] = {}
        """When what lasts was last seen, by name and outcome."""
        self._well: dict[str, float] = {}
        """When it was last seen not to hold, by name."""
        self._lock = threading.Lock()
        self.wanted = bool(hooks)
        """Whether anybody but the log listens: cache hits are too many to be told to nobody."""

    def emit(
        self,
        event: ContextEvent,
        *,
        news: bool | None = None,
        detail: str = "",
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Count an event, log it, and tell the hooks.

        Args:
            event: what happened.
            news: whether operators hear of it; by default where it is the first of its state.
            detail: what else the log says.
            loop: where async hooks run when no event loop runs in this thread.
        """
        kind = KINDS[event.name]
        begins = self._noted(event, kind)
        _write(event, kind, detail, level=kind.level if (begins if news is None else news) else logging.DEBUG)
        if self.wanted and kind.for_hooks:
            self._tell(event, loop)

    def over(self, name: str, operation: str) -> None:
        """Say that what an event tells of does not hold just now: it is over if it has not come for a while.

        Args:
            name: of the event that told that it began.
            operation: what went well.
        """
        if not self._last:
            return
        kind, now = KINDS[name], self._clock.monotonic()
        with self._lock:
            known = [key for key in self._last if key[0] == name]
            self._well[name] = now
            ended = bool(known) and max(self._last[key] for key in known) <= now - kind.quiet
            for key in known if ended else ():
                del self._last[key]
        if ended:
            self.emit(ContextEvent(name=kind.over, operation=operation, outcome="over"))

    def holds(self, name: str, *, within: float) -> bool:
        """Tell whether something was seen last, and not its opposite.

        Args:
            name: of the event that tells that it begins.
            within: seconds for which it counts.
        """
        since = max(self._clock.monotonic() - within, self._well.get(name, NEVER))
        return any(key[0] == name and last > since for key, last in self._last.copy().items())

    def counters(self) -> dict[str, int]:
        """Return how often each event has come; loads are counted by what the cache had for them."""
        every = (kind.names_of_counters(name) for name, kind in KINDS.items() if name != "context.loaded")
        return {each: self._counts[each] for names in every for each in names}

    def began(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note that an event loop runs, in this thread: async hooks that had none before are called now."""
        self._calls.began(loop)

    async def drain(self, timeout: float) -> None:
        """Wait for the async hooks of this event loop for at most `timeout` seconds, then cut them short."""
        await self._calls.drain(timeout)

    def _noted(self, event: ContextEvent, kind: Kind) -> bool:
        """Count an event; tell whether it is news."""
        with self._lock:  # events come from worker threads, too
            self._counts[_counter(event, kind)] += 1
            if not kind.quiet:
                return True
            key, now = (event.name, event.outcome), self._clock.monotonic()
            last, self._last[key] = self._last.get(key, NEVER), now
        return last == NEVER or (not kind.over and now - last >= kind.quiet)

    def _tell(self, event: ContextEvent, loop: asyncio.AbstractEventLoop | None) -> None:
        for awaited in self._async:
            self._calls.begin(partial(awaited, event), loop)
        for hook in self._plain:
            try:
                answer = hook(event)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - a hook must not break what it is told
                self.hook_failed(error)
                continue
            if inspect.isawaitable(answer):
                self._await(answer, loop)

    def _await(self, answer: Awaitable[object], loop: asyncio.AbstractEventLoop | None) -> None:
        # A coroutine that nobody awaits any more has to be closed.
        self._calls.begin(lambda: answer, loop, give_up=getattr(answer, "close", None))

    def hook_failed(self, error: BaseException) -> None:
        """Tell that a hook has raised."""
        # Only the class: the text of an error that is not ours could quote data.
        self.emit(ContextEvent(name="hook.failed", operation="tell", outcome=type(error).__name__))

    def _hook_dropped(self) -> None:
        self.emit(ContextEvent(name="hook.dropped", operation="tell", outcome="dropped"))


def _counter(event: ContextEvent, kind: Kind) -> str:
    other = kind.counter or event.name
    return kind.counters.get(event.operation) or kind.counters.get(event.outcome, other) if kind.counters else other


def _is_async(hook: EventHook) -> TypeGuard[Callable[[ContextEvent], Awaitable[object]]]:
    """Tell whether calling a hook does nothing yet, so that it can be called where an event loop runs."""
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None))  # noqa: B004


def _write(event: ContextEvent, kind: Kind, detail: str, *, level: int) -> None:
    if not _log.isEnabledFor(level):
        return
    facts = ", ".join(str(fact) for fact in (event.operation, event.status) if fact)
    told = kind.remedies.get(event.outcome, kind.remedy)
    ends = [f": {told}." if told else "", f" {detail}" if detail else ""]
    fields = {f"session_ctx_{name}": getattr(event, name) for name in ContextEvent.__slots__}
    _log.log(level, "%s %s (%s)%s", event.name, event.outcome, facts, "".join(ends), extra=fields)
