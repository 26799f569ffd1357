"""Hooks that have to be awaited: each call of one is a task of ours, and nobody waits for it.

A coroutine begins only where an event loop runs; events come from worker threads, too, and from building the
middleware, before there is any loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

from .clock import Clock
from .tasks import Tasks

__all__ = ["HookCall", "HookCalls"]

MAX_WAITING: Final = 1_000

HookCall: TypeAlias = Callable[[], Awaitable[object]]
"""Returns what is to be awaited; it is called where the event loop runs."""
Loop: TypeAlias = asyncio.AbstractEventLoop


@dataclass(frozen=True, slots=True)
class _Work:
    call: HookCall
    give_up: Callable[[], object] | None


class HookCalls:
    """Calls of hooks that have not ended: at most 1,000, those of all event loops together.

    Args:
        clock: where timers come from.
        failed: is told what a call has raised.
        dropped: is told that a call could not be made, or was cut short.
    """

    def __init__(self, clock: Clock, *, failed: Callable[[BaseException], None], dropped: Callable[[], None]) -> None:
        self._clock = clock
        self._failed = failed
        self._dropped = dropped
        self._tasks: WeakKeyDictionary[Loop, Tasks] = WeakKeyDictionary()
        self._early: list[_Work] = []
        self._waiting: Counter[Loop | None] = Counter()
        self._lock = threading.Lock()

    def begin(self, call: HookCall, loop: Loop | None = None, *, give_up: Callable[[], object] | None = None) -> None:
        """Begin a call, and return without waiting for it.

        Args:
            call: of the hook.
            loop: to use where none runs in this thread; where there is none yet, the first one.
            give_up: is called where nothing comes of it.
        """
        loop = _running() or loop
        work = _Work(call, give_up)
        with self._lock:
            room = self._waiting.total() < MAX_WAITING
            self._waiting[loop] += room
        if not room:
            self._give_up(work)
        elif loop is None:
            self._early.append(work)
        else:
            self._place(loop, work)

    def began(self, loop: Loop) -> None:
        """Begin the calls that had no event loop yet."""
        with self._lock:
            early, self._early = self._early, []
            del self._waiting[None]
            # What a closed loop has not ended never ends.
            for closed in [each for each in self._waiting if each is not None and each.is_closed()]:
                del self._waiting[closed]
                self._tasks.pop(closed, None)
        for work in early:
            self.begin(work.call, loop, give_up=work.give_up)

    async def drain(self, timeout: float) -> None:
        """Wait until the calls of the running event loop have ended; cut short what is left after `timeout` seconds."""
        await asyncio.sleep(0)  # what other threads have handed over begins first
        tasks = self._tasks.get(asyncio.get_running_loop())
        if tasks is not None:
            await tasks.drain(timeout)

    def _place(self, loop: Loop, work: _Work) -> None:
        if _running() is loop:
            self._spawn(loop, work)
            return
        try:
            loop.call_soon_threadsafe(self._spawn, loop, work)
        except RuntimeError:  # the loop is closed
            self._ended(loop, work, cut_short=True)

    def _spawn(self, loop: Loop, work: _Work) -> None:
        tasks = self._tasks.get(loop)
        if tasks is None:
            tasks = self._tasks[loop] = Tasks(self._clock)
        # The context variables of whoever tells: a hook that traces sees which request it was.
        task = tasks.spawn(self._run(work.call), context=copy_context())
        task.add_done_callback(lambda ended: self._ended(loop, work, cut_short=ended.cancelled()))

    async def _run(self, call: HookCall) -> None:
        try:
            await call()
        except Exception as error:  # noqa: BLE001 - telling must not break what is told about
            self._failed(error)

    def _ended(self, loop: Loop, work: _Work, *, cut_short: bool) -> None:
        with self._lock:
            self._waiting[loop] -= 1
            if self._waiting[loop] <= 0:
                del self._waiting[loop]
        if cut_short:
            self._give_up(work)

    def _give_up(self, work: _Work) -> None:
        if work.give_up is not None:
            work.give_up()
        self._dropped()


def _running() -> Loop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
