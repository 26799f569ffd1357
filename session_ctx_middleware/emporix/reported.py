"""Emporix' own contexts, with every call that fails told to operators."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Final, Protocol, TypeVar

from ..errors import (
    ChangeRefused,
    ContextNotFound,
    EmporixError,
    EmporixFailed,
    MalformedAnswer,
    TokenRejected,
    TooManyRequests,
    VersionConflict,
)
from ..events import ContextEvent, Events
from ..model.document import ContextDocument

__all__ = ["ReportedContexts"]

T = TypeVar("T")

ANSWERS: Final = (ChangeRefused, ContextNotFound, VersionConflict)
"""Errors that say that Emporix works, and has accepted the token."""

NOT_EMPORIX: Final = "foreign answer"
TOO_LARGE: Final = "too large"


class Contexts(Protocol):
    """What reads and changes the context of a token's session."""

    async def get(self, token: str, /) -> ContextDocument:
        """Return the context."""
        ...

    async def patch(self, token: str, body: Mapping[str, object], /) -> None:
        """Change it."""
        ...


class ReportedContexts:
    """Makes the calls of a client, and tells of those that fail: by what they fail, once per change of state.

    Args:
        contexts: the client.
        events: who is told.
    """

    def __init__(self, contexts: Contexts, events: Events) -> None:
        self._contexts = contexts
        self._events = events

    async def get(self, token: str, /) -> ContextDocument:
        """Return the context of the token's session; errors are those of the client."""
        document = await self._told("context.get", self._contexts.get(token))
        for field in document.odd:
            self._tell("document.odd", "context.get", field, None)
        return document

    async def patch(self, token: str, body: Mapping[str, object], /) -> None:
        """Change the context of the token's session; errors are those of the client."""
        await self._told("context.patch", self._contexts.patch(token, body))

    async def _told(self, operation: str, call: Awaitable[T]) -> T:
        try:
            answer = await call
        except ANSWERS:
            self._works(operation)
            self._events.over("token.rejected", operation)
            raise
        except TokenRejected as error:
            self._works(operation)
            self._tell("token.rejected", operation, type(error).__name__, error.status)
            raise
        except EmporixError as error:
            self._failed(operation, error)
            raise
        except Exception as error:
            self._tell("upstream.failed", operation, type(error).__name__, None)
            raise
        self._works(operation)
        self._events.over("token.rejected", operation)
        return answer

    def _works(self, operation: str) -> None:
        self._events.over("upstream.failed", operation)
        self._events.over("upstream.paused", operation)

    def _failed(self, operation: str, error: EmporixError) -> None:
        if isinstance(error, TooManyRequests) or error.retry_after is not None:
            self._tell("upstream.paused", operation, type(error).__name__, error.status)
        else:
            self._tell("upstream.failed", operation, _outcome(error), error.status)

    def _tell(self, name: str, operation: str, outcome: str, status: int | None) -> None:
        self._events.emit(ContextEvent(name=name, operation=operation, outcome=outcome, status=status))


def _outcome(error: EmporixError) -> str:
    """Return what a failure is called: below 500 it is not Emporix that fails, but something else that answers."""
    if error.status is not None and isinstance(error, EmporixFailed) and error.status < 500:
        return NOT_EMPORIX
    if isinstance(error, MalformedAnswer) and error.reason.startswith("larger than"):
        return TOO_LARGE
    return type(error).__name__
