"""What the engine needs from the outside: Emporix, and a place for changes that Emporix could not take yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..changes import ContextChanges
from ..document import ContextDocument

__all__ = ["ContextSource", "ContextStore"]


class ContextSource(Protocol):
    """Emporix, seen from the engine: one context per token."""

    async def get(self, token: str, /) -> ContextDocument:
        """Return the context of the token's session.

        Raises:
            ContextNotFound: the session has none.
            EmporixError: any other way in which the call did not succeed.
        """
        ...

    async def patch(self, token: str, body: Mapping[str, object], /) -> None:
        """Change the context of the token's session.

        Raises:
            EmporixError: every way in which the call did not succeed.
        """
        ...


class ContextStore(Protocol):
    """Keeps parked changes: those that Emporix could not take yet.

    A name stands for one token (``token-...``) or one session that Emporix knows (``session-...``); it holds a hash,
    never the thing itself. Implementations bound what they keep in number and age, and the time that they take, and
    are shared by every event loop of the process. What they raise is logged, and the page goes on without them.
    """

    async def parked(self, names: Sequence[str]) -> ContextChanges:
        """Return what is parked under any of `names`, the latest change of each field."""
        ...

    async def park(self, name: str, changes: ContextChanges) -> None:
        """Keep `changes`; of two changes of one field the later one stays."""
        ...

    async def unpark(self, names: Sequence[str], changes: ContextChanges) -> None:
        """Forget these changes, and earlier ones of their fields, under all of `names`; later ones stay."""
        ...

    async def forget(self, names: Sequence[str]) -> None:
        """Forget everything under `names`."""
        ...
