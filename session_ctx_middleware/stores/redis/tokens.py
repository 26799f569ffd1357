"""Sealed sessions in Redis, and who of all processes is at work on one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from .codec import text_of
from .commands import milliseconds
from .keys import Keys
from .scripts import Command

__all__ = ["RedisTokens"]


class RedisTokens:
    """Keeps sealed texts, and claims, for all processes that use one Redis; see `sessions.TokenStore`.

    Args:
        keys: where things are.
        run: sends commands within the budget of the store, and returns their answers.
        close: closes the connections of the running event loop.
    """

    def __init__(
        self,
        keys: Keys,
        run: Callable[[Sequence[Command]], Awaitable[list[Any]]],
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self._keys = keys
        self._run = run
        self._close = close

    async def load(self, key: str) -> str | None:
        """Return the text that is kept under a key, `None` where there is none that can be read."""
        (found,) = await self._run([("GET", self._keys.tokens(key))])
        try:
            return None if found is None else text_of(found)
        except UnicodeDecodeError:
            return None  # somebody else has written there

    async def save(self, key: str, sealed: str, lifetime: float) -> None:
        """Keep a text for `lifetime` seconds in place of the one that is there; with 0, forget that one."""
        name, left = self._keys.tokens(key), milliseconds(lifetime)
        await self._run([("SET", name, sealed, "PX", left) if left > 0 else ("DEL", name)])

    async def claim(self, key: str, seconds: float) -> bool:
        """Tell whether a key is the caller's for that long: `False` while it is anybody else's."""
        (claimed,) = await self._run([("SET", self._keys.claim(key), 1, "NX", "PX", milliseconds(seconds))])
        return claimed is not None

    async def aclose(self) -> None:
        """Close the connections of the running event loop; a later call opens them again."""
        await self._close()
