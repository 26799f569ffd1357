"""Whether a response depends on the session context, and whether it is private then.

Private to `lifecycle`, `context` and `middleware`.
"""

from __future__ import annotations

from typing import Final, NoReturn, SupportsIndex

from starlette.types import Message

from .dependencies import RequestDependencies
from .errors import SharedCacheLeak
from .events import ContextEvent
from .frames import WithoutLocals
from .http_cache import Vary, is_private, made_private
from .model.personal import Personal
from .reports import Reporting

__all__ = ["Privacy", "protected"]

UNSEEN: Final[Message] = {}
"""A response that somebody outside may make, in which nothing can be changed any more."""


def protected(message: Message, vary: Vary, deps: RequestDependencies, *cookies: tuple[bytes, bytes]) -> Message:
    """Return the message that starts a personal response, made private.

    Args:
        message: the application's, which stays as it is: it may send the same one to everybody.
        vary: what the response depends on.
        deps: whether a leak is an error, and who is told otherwise.
        cookies: further header fields.

    Raises:
        SharedCacheLeak: in strict mode, for a response that invites shared caches.
    """
    headers, leaked = made_private(message.get("headers", ()), vary)
    if leaked:
        outcome = "refused" if deps.strict else "made private"
        deps.events.emit(ContextEvent(name="leak.prevented", operation="respond", outcome=outcome))
        if deps.strict:
            raise SharedCacheLeak(
                "This response depends on the session context, but its headers invite shared caches to keep it. Drop "
                "public, s-maxage and CDN headers from it, or do not touch the context there."
            )
    headers += cookies
    return {**message, "headers": headers}


class Privacy(Personal, Reporting, WithoutLocals):
    """Watches over the response of one request, for as long as somebody may still read the context for it."""

    _used = False
    """Whether the response depends on the context: it was loaded or read, or a change made."""
    _saw_more = False
    """Whether it depends on more than the four switches: on what only this shopper has."""
    _has_shifted = False
    """Whether values that were read may be others by now: something was chosen, or learnt anew."""
    _is_shared = False
    """Whether the response has gone out as one for everybody of its variant."""
    _sealed = False
    """Whether the response has started, so that changes can only be made by `late_changes`."""
    _response: Message | None = None
    """The message that started the response."""

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            f"A {type(self).__name__} belongs to its request and cannot be copied or pickled. Take to_dict(), "
            "document, attributes or pending."
        )

    def _touch(self) -> None:
        """Note that the response depends on the context."""
        self._used = self._used or self._response is None or self._touch_late(self._response)

    def _touch_late(self, response: Message) -> bool:
        """Note the same once the response has started, so that nobody can make it private any more.

        Returns:
            Whether that is all that there is to note, however often the context is touched again.
        """
        if not is_private(response.get("headers", ())):
            self._emit("leak.late", "respond", "touched after the response had started")
            if self._deps.strict:
                raise SharedCacheLeak(
                    "The session context was touched when a response that is not private had started already, or "
                    "outside of the middleware. Touch it before the response, or send that with Cache-Control: private."
                )
        return True

    def _touch_more(self) -> None:
        """Note that the response depends on what only this shopper has."""
        self._check_late()
        self._touch()
        self._saw_more = True

    def _check_late(self) -> None:
        """Say so where a response for everybody has started, and something else is about to be read for it."""
        if not self._is_shared:
            return
        self._emit("leak.late", "respond", "read more than the variant after a shared response had started")
        if self._deps.strict:
            raise SharedCacheLeak(
                "This response is one for everybody (share_by_variant), and something else than site, currency, "
                "language and location as they were was read for it. Read that before the response starts."
            )

    def _change(self) -> None:
        """Note a change: a later one is not in the response, unless it is read there."""
        self._used = self._used or not self._sealed
        self._has_shifted = True

    def _leaves(self, *, answered: bool = True) -> None:
        """Note that the application has ended; if it has not `answered`, somebody outside may, with what was loaded."""
        if (self._response is None or not answered) and self._scope["type"] == "http":
            self._response, self._used = UNSEEN, False
