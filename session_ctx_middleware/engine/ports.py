"""What the engine needs from Emporix; what it needs from a store is in `stores.protocol`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..model.document import ContextDocument

__all__ = ["ContextSource"]


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
