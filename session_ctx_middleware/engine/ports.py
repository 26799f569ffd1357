"""What the engine needs from Emporix; what it needs from a store is in `stores.protocol`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ..errors import EmporixNotAsked
from ..model.document import ContextDocument

__all__ = ["Caller", "ContextSource", "GuardedSource"]


@dataclass(slots=True, eq=False, repr=False)  # frozen, it would take twice as long to make, with every call
class Caller:
    """For whom a call is made.

    Args:
        session: the session, or where that is not known the key of the token; never a token.
        sent: told when the call leaves.
    """

    session: Hashable
    sent: Callable[[], object]


class ContextSource(Protocol):
    """Emporix, seen from the engine: one context per token. Every call ends by itself within a bounded time."""

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


class GuardedSource(Protocol):
    """The same behind what protects it, and this process: it wants to know for whom a call is made."""

    @property
    def probe_patience(self) -> float | None:
        """For how many seconds a page may wait for a GET, while that can only be a probe; `None` while it need not."""
        ...

    def refusal(self, session: Hashable, /) -> EmporixNotAsked | None:
        """Return what a GET for this session would raise at once instead of being made, `None` where it would be."""
        ...

    async def get(self, token: str, caller: Caller, /) -> ContextDocument:
        """Return the context of the token's session.

        Raises:
            EmporixNotAsked: no call was made.
            EmporixError: as for `ContextSource.get`.
        """
        ...

    async def patch(self, token: str, body: Mapping[str, object], caller: Caller, /) -> None:
        """Change the context of the token's session.

        Raises:
            EmporixNotAsked: no call was made.
            EmporixError: as for `ContextSource.patch`.
        """
        ...
