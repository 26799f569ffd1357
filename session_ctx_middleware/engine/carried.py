"""What a browser carries from one worker to the next."""

from __future__ import annotations

from dataclasses import dataclass

from ..changes import NO_CHANGES, ContextChanges

__all__ = ["Carried"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Carried:
    """What one worker lets the next one know, by way of the shopper's own browser.

    Args:
        token: fingerprint of the token that it was made for.
        session: fingerprint of its session, empty where that was not known.
        identity: which context `floor` is of.
        floor: the lowest version that the shopper may still be shown; below 0 for none.
        settled: what Emporix took last of each field: for showing it over a document that is older.
        since: the lowest version of a document over which `settled` shows all that the shopper has chosen.
        parked: changes that Emporix could not take yet.
        issued: seconds since the epoch.
    """

    token: str
    session: str = ""
    identity: str = ""
    floor: int = -1
    settled: ContextChanges = NO_CHANGES
    since: int = 0
    parked: ContextChanges = NO_CHANGES
    issued: float = 0.0

    def __bool__(self) -> bool:
        return self.floor >= 0 or bool(self.settled) or bool(self.parked)

    def says(self) -> tuple[object, ...]:
        """Return all that counts when two of them are compared: everything but when they were issued."""
        return (
            self.token,
            self.session,
            self.identity,
            self.floor,
            self.settled.ids,
            self.parked.ids,
        )
