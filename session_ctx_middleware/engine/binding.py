"""To which token and session a note belongs, by fingerprints alone."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.changes import NO_CHANGES, ContextChanges
from .entry import Entry
from .keys import Keys
from .notes import Floor, Notes

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

    def changes(self, entry: Entry, notes: Notes | None, token: str) -> ContextChanges:
        """Return the changes of notes that concern a token."""
        if notes is None or not notes.operations:
            return NO_CHANGES
        return notes.of(self.of_token(token), self._proven(entry))

    def floor(self, entry: Entry, notes: Notes, token: str) -> Floor | None:
        """Return the floor of notes that concerns a token."""
        return notes.floor_of(self.of_token(token), self._proven(entry)) if notes.floors else None

    def _proven(self, entry: Entry) -> str:
        session = entry.proven_session
        return "" if session is None else self.of_session(session.session_id)
