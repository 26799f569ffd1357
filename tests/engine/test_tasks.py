"""Detached work, shared results and keyed locks."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from session_ctx_middleware.engine.keys import Keys
from session_ctx_middleware.tasks import KeyedLock, Tasks

from ..support.virtual_time import VirtualClock

KEYS = Keys("acme", "https://emporix")
KINDS = (b"token", b"session")


async def test_own_context(caplog: pytest.LogCaptureFixture) -> None:
    """Detached work does not inherit a request's context variables."""
    variable = contextvars.ContextVar("user", default="nobody")
    variable.set("somebody")
    seen: list[str] = []
    tasks = Tasks(VirtualClock())

    async def work() -> None:
        seen.append(variable.get())
        raise ValueError("secret")

    tasks.spawn(work())
    await asyncio.sleep(0.1)

    assert seen == ["nobody"]
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


async def test_eager_task() -> None:
    """An eager task factory may run work to its end at once."""
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is not None:
        asyncio.get_running_loop().set_task_factory(factory)
    tasks = Tasks(VirtualClock())
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    tasks.spawn(work())
    await asyncio.sleep(0.01)

    assert (done, len(tasks)) == ([1], 0)


async def test_keyed_lock() -> None:
    """A keyed lock serves in order, and forgets keys that nobody uses."""
    locks = KeyedLock()
    order: list[str] = []

    async def user(name: str, key: str) -> None:
        async with locks.hold(key):
            order.append(f"{name} in")
            await asyncio.sleep(1)
            order.append(f"{name} out")

    await asyncio.gather(user("a", "x"), user("b", "x"), user("c", "x"), user("d", "y"))

    assert [entry for entry in order if "d" not in entry] == ["a in", "a out", "b in", "b out", "c in", "c out"]
    assert order.index("d in") < order.index("a out")
    assert len(locks) == 0
