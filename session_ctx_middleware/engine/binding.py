"""To which token and session a note belongs, by fingerprints alone."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.changes import NO_CHANGES, ContextChanges
from .entry import Entry
from .keys import Keys
from .note import ForeignPending, Note

__all__ = ["Binding"]


@dataclass(frozen=True, slots=True)
class Binding:
    """Compares fingerprints.

    Args:
        keys: makes them.
    """

    keys: Keys

    def of_token(self, token: str) -> str:
        """Return the fingerprint of a token."""
        return self.keys.fingerprint("token", token)

    def of_session(self, session_id: str) -> str:
        """Return the fingerprint of a session."""
        return self.keys.fingerprint("session", session_id)

    def binds(self, made: Note | ForeignPending, entry: Entry, token: str) -> bool:
        """Tell whether something was made for this token, or for another one of its session."""
        if made.token == self.of_token(token):
            return True
        session = entry.proven_session
        return session is not None and made.session == self.of_session(session.session_id)

    def foreign(self, entry: Entry, note: Note, token: str) -> ContextChanges:
        """Return the attributes that a note holds for this token, or for another one of its session."""
        own = NO_CHANGES
        for each in note.foreign:
            if self.binds(each, entry, token):
                own = own.newest(each.changes.attributes())
        return own
