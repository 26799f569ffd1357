"""To which token and session a note belongs, by fingerprints alone."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.changes import NO_CHANGES, ContextChanges
from ..model.fields import SWITCHES
from .entry import Entry
from .keys import Keys
from .notes import Floor, Noted, Notes

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
        mine = self.of_token(token)
        return notes.of(mine, self._session(entry, notes, mine))

    def unbound(self, entry: Entry, notes: Notes, token: str) -> ContextChanges:
        """Return attributes that wait and that notes know by this token alone, now that its session is known here.

        With another token of the session nobody would find them.
        """
        if entry.proven_session is None or not any(_is_unbound(noted) for noted in notes.operations):
            return NO_CHANGES
        mine = self.of_token(token)
        found = {each.path: each.operation for each in notes.operations if _is_unbound(each) and each.token == mine}
        return ContextChanges(found)

    def floor(self, entry: Entry, notes: Notes, token: str) -> Floor | None:
        """Return the floor of notes that concerns a token."""
        if not notes.floors:
            return None
        mine = self.of_token(token)
        return notes.floor_of(mine, self._session(entry, notes, mine))

    def _session(self, entry: Entry, notes: Notes, token: str) -> str:
        """Return the fingerprint of the session that Emporix has told, empty where notes know it better.

        What the application says counts where nobody else says anything: so it opens nothing but what the shopper's own
        browser brings, and nothing is sent before Emporix has named the session.
        """
        known = entry.session
        if known is None or (not known.proven and notes.sessions_of(token, "")):
            return ""
        return self.of_session(known.session_id) if known.session_id else ""


def _is_unbound(noted: Noted) -> bool:
    return not noted.session and noted.operation.taken is None and noted.path not in SWITCHES
