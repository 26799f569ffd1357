"""A store that was written before changes were told."""

from __future__ import annotations

from collections.abc import Sequence

from session_ctx_middleware.stores import MemoryStore

__all__ = ["Terse"]


class Terse(MemoryStore):
    """Others hear of a version, and not what it was made for.

    Args:
        memory: whose memory it shares.
    """

    def __init__(self, memory: MemoryStore) -> None:
        self._open(memory._memory)

    async def invalidate(
        self, names: Sequence[str], identity: str, floor: int, *, lifetime: float, **_: object
    ) -> None:
        await super().invalidate(names, identity, floor, lifetime=lifetime)
