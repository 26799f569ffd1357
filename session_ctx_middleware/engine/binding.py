"""To which token and session something belongs that a browser carries, without naming either."""

from __future__ import annotations

from ..model.changes import NO_CHANGES, ContextChanges
from .entry import Entry
from .keys import Keys
from .note import ForeignPending, Note

__all__ = ["Binding"]


class Binding:
    """Compares fingerprints.

    Args:
        naming: makes them.
    """

    def __init__(self, naming: Keys) -> None:
        self._naming = naming

    def of_token(self, token: str) -> str:
        """Return the fingerprint of a token."""
        return self._naming.fingerprint("token", token)

    def of_session(self, session_id: str) -> str:
        """Return the fingerprint of a session."""
        return self._naming.fingerprint("session", session_id)

    def binds(self, made: Note | ForeignPending, entry: Entry, token: str) -> bool:
        """Tell whether something was made for this token, or for another one of its session."""
        if made.token == self.of_token(token):
            return True
        return entry.proven and entry.session_id is not None and made.session == self.of_session(entry.session_id)

    def apart(self, entry: Entry, carried: Note, token: str) -> ContextChanges:
        """Return the attributes that were set apart for this token, or for another one of its session."""
        own = NO_CHANGES
        for each in carried.apart:
            if self.binds(each, entry, token):
                own = own.newest(each.changes.attributes())
        return own
