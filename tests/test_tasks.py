"""Detached work, and waiting for it without owning it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

from session_ctx_middleware.clock import SystemClock
from session_ctx_middleware.tasks import SharedResult, Tasks

from .support.virtual_time import VirtualClock


async def answer(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "yes"


async def test_every_waiter_gets_the_result() -> None:
    """Every waiter gets the result."""
    shared = Tasks(VirtualClock()).share(answer(1), otherwise="no")
    waiters = [asyncio.ensure_future(shared.get()) for _ in range(3)]
    await asyncio.sleep(0.5)
    assert shared.waiting == 3
    waiters.pop().cancel()
    assert await asyncio.gather(*waiters) == ["yes", "yes"]
    assert await shared.wait(0, VirtualClock()) == shared.result == "yes"


async def test_wait_times_out_work_goes_on() -> None:
    """A wait ends with its timeout, and the work goes on."""
    shared = Tasks(VirtualClock()).share(answer(1), otherwise="no")
    assert await shared.wait(0.5, VirtualClock()) is None
    assert await shared.wait(0.6, VirtualClock()) == "yes"


async def test_the_first_result_counts() -> None:
    """The first result counts."""
    shared: SharedResult[int] = SharedResult()
    shared.resolve(1)
    shared.resolve(2)
    assert await shared.get() == 1


async def test_cancelled_work() -> None:
    """Work that is cancelled resolves to the alternative.

    Also when it had no chance to begin.
    """
    tasks = Tasks(VirtualClock())
    begun = tasks.share(answer(10), otherwise="no")
    await asyncio.sleep(0)
    not_begun = tasks.share(answer(10), otherwise="no")
    await tasks.drain(0)
    assert [await begun.get(), await not_begun.get()] == ["no", "no"]
    assert len(tasks) == 0


async def test_settling_cancels_nothing() -> None:
    """Settling cancels nothing."""
    tasks = Tasks(VirtualClock())
    shared = tasks.share(answer(2), otherwise="no")
    await tasks.settle(1)
    assert (len(tasks), shared.result) == (1, None)
    await tasks.settle(2)
    assert (len(tasks), shared.result) == (0, "yes")


async def test_work_sees_context_variables() -> None:
    """Work sees the context variables that it is given."""
    variable = contextvars.ContextVar("variable", default="default")
    variable.set("of the caller")
    seen: list[str] = []

    async def work() -> None:
        seen.append(variable.get())

    tasks = Tasks(VirtualClock())
    tasks.spawn(work())
    tasks.spawn(work(), context=contextvars.copy_context())
    await tasks.settle(1)
    assert seen == ["default", "of the caller"]


def test_tasks_of_another_loop() -> None:
    """An event loop that closes waits for its own tasks, cancels those, and leaves the ones of other loops alone."""
    tasks = Tasks(SystemClock())
    began, goes_on = threading.Event(), threading.Event()

    async def elsewhere() -> str:
        shared = tasks.share(asyncio.to_thread(wait_for, goes_on), otherwise="cut short")
        began.set()
        return await shared.get()

    async def here() -> None:
        shared = tasks.share(answer(60), otherwise="no")
        await tasks.drain(0)
        assert await shared.get() == "no"

    with ThreadPoolExecutor() as pool:
        other = pool.submit(asyncio.run, elsewhere())
        assert began.wait(30)
        try:
            pool.submit(asyncio.run, here()).result(30)
        finally:
            goes_on.set()
        assert other.result(30) == "done"


def wait_for(event: threading.Event) -> str:
    return "done" if event.wait(30) else "late"
