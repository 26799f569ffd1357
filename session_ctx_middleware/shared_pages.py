"""The part of a request that lets caches keep its page for everybody who would see the same.

Private to `reading`, `context` and `middleware`.
"""

from __future__ import annotations

from typing import Final

from starlette.types import Message

from .errors import SharedCacheLeak
from .http_cache import Headers, Vary
from .model.fields import SWITCHES
from .model.transition import customer_of
from .model.view import Snapshot, switch_value
from .moving import Moving
from .privacy import protected
from .variants import brought_cookie, brought_header, made_shared, variant_cookie, variant_of

__all__ = ["SharedPages", "is_customer"]

NOT_OURS: Final = "the application's headers"


class SharedPages(Moving):
    """Decides whether a response is the same for all guests of a variant."""

    _shares_for: int | None = None
    """Seconds for which caches may keep the response, where the application wants that."""
    _is_shared = False
    """Whether the response has gone out as one for everybody of its variant."""

    def _read_more(self) -> Snapshot:
        """Return what was loaded to whoever reads something that only this shopper has."""
        if self._is_shared:
            self._emit("leak.late", "respond", "read more than the variant after a shared response had started")
            if self._deps.strict:
                raise SharedCacheLeak(
                    "This response is one for everybody (share_by_variant), and something else than site, currency, "
                    "language and location was read for it. Read that before the response starts."
                )
        self._saw_more = True
        return self._read()

    def _response_start(self, message: Message, vary: Vary, *cookies: tuple[bytes, bytes]) -> Message:
        """Return the message that starts a response which depends on the context: private, or shared by variant.

        It also tells of the variant where it changes what the shopper sees, or may have.
        """
        if self._shares_for is None:
            if not (cookies or self._has_moved or self._told.operations):  # as with almost every response
                return protected(message, vary, self._deps)
            return protected(message, vary, self._deps, *cookies, *self._variant_cookies(self._variant()))
        variant = self._variant()
        why = "a cookie is set" if cookies else self._keeps_private(variant, message["status"])
        shared = None if why else made_shared(message.get("headers", ()), self._shares_for)
        if shared is not None:
            self._is_shared = True
            return {**message, "headers": shared}
        self._emit("share.refused", "respond", why or NOT_OURS)
        return protected(message, vary, self._deps, *cookies, *self._variant_cookies(variant))

    def _variant(self) -> str | None:
        """Return what stands for what this guest sees; `None` for customers, and where nobody knows."""
        known = self._known
        if known is None or known.rejected or self._has_moved or is_customer(known):
            return None
        values = (switch_value(name, self._changes, known, self._deps.defaults, self._resolved) for name in SWITCHES)
        return variant_of(self._deps.place[0], dict(zip(SWITCHES, values, strict=True)))

    def _keeps_private(self, variant: str | None, status: int) -> str:
        """Return why a response has to stay its shopper's own; empty where it need not."""
        known = self._known
        if variant is None or known is None:
            return "no guest"
        if self._saw_more:
            return "more was read"
        if self._changes.operations or known.parked.operations or self._told.operations:
            return "changes are pending"
        if status >= 500:
            return "an error"
        asked = {brought_header(self._scope), brought_cookie(self._scope)}
        return "" if asked == {variant} else "no variant" if asked <= {""} else "another variant"

    def _variant_cookies(self, variant: str | None) -> Headers:
        """Return the field that brings the browser up to date, where it is not."""
        brought = brought_cookie(self._scope)
        wanted = variant if self._shares_for is not None or brought else None
        if brought == (wanted or ""):
            return []
        return [variant_cookie(self._scope, wanted, https_only=self._deps.https_only)]


def is_customer(known: Snapshot) -> bool:
    """Tell whether a session belongs to a customer."""
    return known.document is not None and customer_of(known.document) is not None
