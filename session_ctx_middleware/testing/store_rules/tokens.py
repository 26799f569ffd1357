"""Rules about sealed sessions, and about who may refresh one."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from ...clock import Clock
from ...sessions import TokenStore

__all__ = ["MakeTokenStore", "TokenRules"]

MakeTokenStore: TypeAlias = Callable[[], Awaitable[TokenStore]]

LONG = 60.0
SHORT = 0.3


class TokenRules:
    """What a `TokenStore` has to do.

    Args:
        clock: of the stores under test.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def a_text_is_there_for_every_worker(self, make_store: MakeTokenStore) -> None:
        """What one worker has saved all of them load, and nothing is under any other key."""
        one, other, key, text = await make_store(), await make_store(), _key(), "s" * 64 * 1024
        await one.save(key, text, LONG)
        assert await one.load(key) == await other.load(key) == text
        assert await other.load(_key()) is None

    async def a_later_text_takes_the_place(self, make_store: MakeTokenStore) -> None:
        """Of two texts the one that was saved last is kept."""
        one, other, key = await make_store(), await make_store(), _key()
        await one.save(key, "first", LONG)
        await other.save(key, "second", LONG)
        assert await one.load(key) == await other.load(key) == "second"

    async def a_lifetime_of_0_forgets_at_once(self, make_store: MakeTokenStore) -> None:
        """What is saved with a lifetime of 0 takes away what was there; nothing may have been."""
        one, other, key = await make_store(), await make_store(), _key()
        await one.save(key, "", 0)
        await one.save(key, "text", LONG)
        await other.save(key, "", 0)
        assert await one.load(key) is None
        assert await other.load(key) is None

    async def a_text_ends_with_its_lifetime(self, make_store: MakeTokenStore) -> None:
        """After its lifetime a text is gone."""
        store, key = await make_store(), _key()
        await store.save(key, "text", SHORT)
        await self._clock.sleep(2 * SHORT)
        assert await store.load(key) is None

    async def one_of_many_claims_wins(self, make_store: MakeTokenStore) -> None:
        """Of all that claim a key at the same moment one gets it, whatever text is under it."""
        stores, key = [await make_store() for _ in range(3)], _key()
        await stores[0].save(key, "text", LONG)
        won = await asyncio.gather(*(store.claim(key, LONG) for store in stores for _ in range(5)))
        assert sorted(won) == [False] * 14 + [True]
        assert await stores[1].load(key) == "text"
        assert await stores[2].claim(_key(), LONG)

    async def a_claim_ends_with_its_lifetime(self, make_store: MakeTokenStore) -> None:
        """Whoever has a claim may end without giving it back: after its time somebody else gets it."""
        one, other, key = await make_store(), await make_store(), _key()
        assert await one.claim(key, SHORT)
        await self._clock.sleep(2 * SHORT)
        assert await other.claim(key, LONG)
        assert not await one.claim(key, LONG)


def _key() -> str:
    return f"rule-{secrets.token_hex(32)}"
