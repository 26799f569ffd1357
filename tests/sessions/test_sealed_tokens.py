"""A store that fails keeps no page: what is asked of it, how long, and when again."""

from __future__ import annotations

import asyncio

import pytest

from session_ctx_middleware.events import Events
from session_ctx_middleware.sealing import Keyring
from session_ctx_middleware.sessions.sealed_tokens import SealedTokens, TokensUnavailable

from ..support.virtual_time import VirtualClock
from .test_keep_in_store import Shelf, hangs, refuses

PLACE = ("acme", "https://emporix.test")


def sealed(shelf: Shelf, secret: bytes = b"s" * 32, place: tuple[str, str] = PLACE) -> SealedTokens:
    clock = VirtualClock()
    return SealedTokens(shelf, Keyring([secret], *place), place, clock=clock, events=Events(clock=clock))


async def test_opens_where_it_belongs() -> None:
    """What was saved opens for the same kind, secret, tenant and keys, and names say nothing of the secret."""
    shelf = Shelf()
    await sealed(shelf).save("session", "an id", b"tokens", 60.0)

    assert await sealed(shelf).load("session", "an id") == b"tokens"
    assert await sealed(shelf).load("ended", "an id") is None
    assert await sealed(shelf).load("session", "another id") is None
    assert await sealed(shelf, place=("other", PLACE[1])).load("session", "an id") is None
    assert await sealed(shelf, secret=b"o" * 32).load("session", "an id") is None
    ((key, text),) = shelf.texts.items()
    assert "an id" not in key + text
    assert "tokens" not in text
    assert len(key) <= 128


async def test_forgets() -> None:
    """A lifetime of 0 forgets, and seals nothing."""
    shelf = Shelf()
    tokens = sealed(shelf)
    await tokens.save("session", "an id", b"tokens", 60.0)
    await tokens.save("session", "an id", b"", 0)

    assert shelf.texts == {}


async def test_left_alone() -> None:
    """After three failures in a row nothing is asked, then one call tries, and what works again is asked as ever."""
    shelf = Shelf()
    tokens = sealed(shelf)
    shelf.failing = refuses
    for _ in range(10):
        with pytest.raises(TokensUnavailable):
            await tokens.load("session", "an id")
    assert len(shelf.calls) == 3
    assert tokens.is_left_alone
    await asyncio.sleep(0.7)
    with pytest.raises(TokensUnavailable):
        await tokens.load("session", "an id")
    assert len(shelf.calls) == 4
    shelf.failing = None
    await asyncio.sleep(2.5)

    for _ in range(3):
        assert await tokens.load("session", "an id") is None
    assert len(shelf.calls) == 7


async def test_who_leaves_says_nothing() -> None:
    """A request that is cancelled while it asks, also as the one that tries, leaves the store as it was judged."""
    shelf = Shelf()
    tokens = sealed(shelf)
    shelf.failing = hangs
    for _ in range(3):
        with pytest.raises(TokensUnavailable):
            await tokens.load("session", "an id")
    await asyncio.sleep(0.7)
    probe = asyncio.create_task(tokens.load("session", "an id"))
    await asyncio.sleep(0.1)
    probe.cancel()
    await asyncio.wait({probe})
    shelf.failing = None

    assert await tokens.load("session", "an id") is None, "the next one tries"
    await tokens.aclose(0.0)


async def test_tried_again_for_a_minute() -> None:
    """What could not be done is done when the store works again, and given up after a minute."""
    shelf = Shelf()
    tokens = sealed(shelf)
    shelf.failing = refuses
    tokens.later(lambda: tokens.save("session", "an id", b"tokens", 600.0))
    await asyncio.sleep(5.0)
    shelf.failing = None
    await asyncio.sleep(15.0)
    assert len(shelf.texts) == 1

    shelf.failing = refuses
    tokens.later(lambda: tokens.save("session", "another", b"tokens", 600.0))
    await asyncio.sleep(90.0)
    shelf.failing = None
    await asyncio.sleep(90.0)
    assert len(shelf.texts) == 1
