"""To which token and session something belongs that a browser carries, without naming either."""

from __future__ import annotations

from ..model.changes import NO_CHANGES, ContextChanges
from .carried import Carried, Waiting
from .identity import Naming
from .slot import Slot

__all__ = ["Binding"]


class Binding:
    """Compares fingerprints.

    Args:
        naming: makes them.
    """

    def __init__(self, naming: Naming) -> None:
        self._naming = naming

    def of_token(self, token: str) -> str:
        """Return the fingerprint of a token."""
        return self._naming.fingerprint("token", token)

    def of_session(self, session_id: str) -> str:
        """Return the fingerprint of a session."""
        return self._naming.fingerprint("session", session_id)

    def binds(self, made: Carried | Waiting, slot: Slot, token: str) -> bool:
        """Tell whether something was made for this token, or for another one of its session."""
        if made.token == self.of_token(token):
            return True
        return slot.proven and slot.session_id is not None and made.session == self.of_session(slot.session_id)

    def apart(self, slot: Slot, carried: Carried, token: str) -> ContextChanges:
        """Return the attributes that were set apart for this token, or for another one of its session."""
        own = NO_CHANGES
        for each in carried.apart:
            if self.binds(each, slot, token):
                own = own.newest(each.changes.attributes())
        return own
