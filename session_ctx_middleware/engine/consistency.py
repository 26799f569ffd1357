"""May this document be shown to this shopper? The session guarantees of one token, as one immutable value.

Emporix is read through replicas and caches, so an answer can be older than what the shopper has already seen. Two of
the session guarantees of Terry et al. 1994 ("Session Guarantees for Weakly Consistent Replicated Data") are kept here:
*monotonic reads* (no document below the floor) and *read your writes* (no document without a change that Emporix took).

Everything is pure and synchronous: no clock, no store, no await. Times are handed in, and whoever learns something gets
a new value. `judge` is the only place that decides; the entry keeps the value, and nobody else keeps a part of it.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from ..model.changes import NO_CHANGES, ContextChanges
from ..model.document import ContextDocument
from ..model.fields import MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES
from .note import Note

__all__ = ["START", "UNKNOWN", "Consistency", "Fingerprint", "Incarnation", "Verdict"]

Incarnation: TypeAlias = tuple[str | None, str | None]
"""Session id and creation time: versions of a context that was created anew in the same session start again."""

Fingerprint: TypeAlias = Callable[[Incarnation], str]

UNKNOWN: Final = sys.maxsize
FAR_AHEAD: Final = 1_000
MAX_EARLIER: Final = 3


class Verdict(enum.Enum):
    """What may be done with a document."""

    SHOW = "show"
    """It is as new as anything that the shopper has seen."""
    REFRESH = "refresh"
    """It lacks a change that Emporix took: good enough from Emporix itself, but not from a cache or a store."""
    OVERLAY = "overlay"
    """It is older than what the shopper has seen. What is cached may be shown with the taken changes over it; what
    arrives is not taken up."""
    HIDE = "hide"
    """It is older than what the shopper has seen, and nobody here knows what it lacks."""


@dataclass(frozen=True, slots=True, repr=False)
class Consistency:
    """What is known about the versions of one session's context, and about the shopper's own changes.

    Args:
        incarnation: which context the next four are of; `None` where none has been seen.
        floor: the lowest version that may be shown.
        announced: the highest version that another process has announced; what it changed is not known here.
        taken: the last changes that Emporix took from this shopper, as far as is known. An earlier change of one of
            their fields is obsolete.
        complete_from: over a document of this version or later, `taken` shows everything that the shopper has chosen.
        earlier: the floors of other incarnations that were seen, the latest ones.
        retired: an incarnation that another one has replaced, and until when (monotonic seconds) a lagging replica
            may still show it.
        hint: the fingerprint of an incarnation that has not been seen here, and the version that was announced.
        required: the note whose floor a document has to reach.
        satisfied: the note whose floor a document has reached last.
    """

    incarnation: Incarnation | None = None
    floor: int = -1
    announced: int = -1
    taken: ContextChanges = NO_CHANGES
    complete_from: int = UNKNOWN
    earlier: tuple[tuple[Incarnation, int], ...] = ()
    retired: tuple[Incarnation, float] | None = None
    hint: tuple[str, int] | None = None
    required: Note | None = None
    satisfied: Note | None = None

    # The decision.

    def judge(
        self, document: ContextDocument, now: float, fingerprint: Fingerprint, others: Iterable[Consistency] = ()
    ) -> Verdict:
        """Decide what may be done with a document.

        Args:
            document: from Emporix, from the store, or from the cache.
            now: monotonic seconds.
            fingerprint: names an incarnation as notes do.
            others: of the other tokens of the session; nothing below their floors is taken up either.
        """
        incarnation = document.identity
        if self.is_retired(incarnation, now) or self._is_earlier(incarnation) or self._lacks_unknown(document):
            return Verdict.HIDE
        if self._is_below_floor(document) or self.is_below_required(document, fingerprint):
            return Verdict.OVERLAY
        if any(other.outdates(document) for other in others):
            return Verdict.OVERLAY
        return Verdict.REFRESH if self._lacks_taken(document) else Verdict.SHOW

    def is_retired(self, incarnation: Incarnation, now: float) -> bool:
        """Tell whether an incarnation was replaced by another one a moment ago."""
        return self.retired is not None and incarnation == self.retired[0] and now < self.retired[1]

    def outdates(self, document: ContextDocument) -> bool:
        """Tell whether a later version than this one is known."""
        return self._is_below_floor(document) or self._is_earlier(document.identity)

    def _is_below_floor(self, document: ContextDocument) -> bool:
        return document.version < self.floor_of(document.identity)

    def floor_of(self, incarnation: Incarnation) -> int:
        """Return the lowest version of an incarnation that may be shown; -1 for one that was never seen."""
        if incarnation == self.incarnation:
            return self.floor
        return next((floor for known, floor in self.earlier if known == incarnation), -1)

    def _is_earlier(self, incarnation: Incarnation) -> bool:
        """Tell whether an incarnation was created before a known one."""
        if self.incarnation is None:
            return False
        return _precedes(incarnation, self.incarnation) or any(
            _precedes(incarnation, known) for known, _ in self.earlier
        )

    def is_below_required(self, document: ContextDocument, fingerprint: Fingerprint) -> bool:
        """Tell whether a document does not reach the floor of the required note."""
        note = self.required
        if note is None or note.incarnation != fingerprint(document.identity):
            return False
        # What is signed may still be absurd; nobody makes a thousand changes between two pages.
        return document.version < note.floor <= document.version + FAR_AHEAD

    def _lacks_unknown(self, document: ContextDocument) -> bool:
        return document.identity == self.incarnation and document.version < min(self.announced, self.complete_from)

    def _lacks_taken(self, document: ContextDocument) -> bool:
        if self.incarnation not in {None, document.identity}:
            return False
        return bool(self.taken.taken_after(document.version).missing_from(document))

    # Transitions. Each of these returns the value that follows.

    def raised(self, incarnation: Incarnation, version: int) -> Consistency:
        """Allow nothing below `version` of an incarnation any more."""
        if incarnation == self.incarnation:
            return self if version <= self.floor else replace(self, floor=version)
        return self._following(incarnation, version)

    def published(self, document: ContextDocument) -> Consistency:
        """Take a document that may be shown as what the shopper has seen (monotonic reads)."""
        return self.raised(document.identity, document.version)

    def committed(self, changes: ContextChanges, version: int) -> Consistency:
        """Note changes that Emporix took from this shopper with `version` (read your writes)."""
        if not changes:
            return self
        complete_from = min(self.complete_from, max(version - 1, self.announced))
        return replace(self, complete_from=complete_from).remembering(changes.taken_at(version).over(self.taken))

    def announced_by_peer(self, incarnation: Incarnation, version: int) -> Consistency:
        """Note that another process made `version`; what it changed is not known here."""
        raised = self.raised(incarnation, version)
        announced, complete_from = max(raised.announced, version), max(raised.complete_from, version)
        return replace(raised, announced=announced, complete_from=complete_from)

    def hinted(self, fingerprint: str, version: int) -> Consistency:
        """Note a version that was announced of an incarnation of which only the fingerprint is known."""
        return replace(self, hint=(fingerprint, version))

    def with_hint_applied(self, incarnation: Incarnation, fingerprint: Fingerprint) -> Consistency:
        """Return the value in which the hint, if it is of this incarnation, has become an announcement."""
        if not self.hints_at(incarnation, fingerprint) or self.hint is None:
            return self
        return replace(self, hint=None).announced_by_peer(incarnation, self.hint[1])

    def hints_at(self, incarnation: Incarnation, fingerprint: Fingerprint) -> bool:
        """Tell whether the hint is of this incarnation."""
        return self.hint is not None and self.hint[0] == fingerprint(incarnation)

    def note_seen(self, note: Note, fingerprint: Fingerprint) -> Consistency:
        """Add the taken changes of a note that the shopper's own browser brought."""
        known = None if self.incarnation is None else fingerprint(self.incarnation)
        if known not in {None, note.incarnation}:
            return self.remembering(note.taken.taken_at(-1).newest(self.taken))
        extended = self
        if note.floor >= self.announced:  # else another process announced a change that the browser does not know
            start = _joined(*sorted(((self.complete_from, self.floor), (note.complete_from, note.floor)), key=_end))
            extended = self if start == self.complete_from else replace(self, complete_from=start)
        return extended.remembering(note.taken.newest(self.taken))

    def requiring(self, note: Note | None) -> Consistency:
        """Require the floor of a note; `None` gives the requirement up."""
        return self if note is self.required else replace(self, required=note)

    def satisfying(self, note: Note | None) -> Consistency:
        """Note that what is shown reaches the floor of a note."""
        return self if note is self.satisfied else replace(self, satisfied=note)

    def retiring(self, incarnation: Incarnation, until: float) -> Consistency:
        """Show nothing of an incarnation until a moment (monotonic seconds), as another one has followed it."""
        return replace(self, retired=(incarnation, until))

    def moved(self, session_id: str) -> Consistency:
        """Follow a token to another session, whose versions have nothing to do with those of the last one."""
        if self.incarnation is None or self.incarnation[0] == session_id:
            return self
        return replace(START, taken=self.taken.taken_at(-1), required=self.required, satisfied=self.satisfied)

    def logged_out(self) -> Consistency:
        """Forget what the shopper chose; floors stay, as the versions of the context go on."""
        return replace(self, taken=NO_CHANGES, required=None, satisfied=None)

    def merged(self, other: Consistency) -> Consistency:
        """Join what two tokens of one session know of its versions; commutative and idempotent.

        Where only one of them knows of an announcement, the joined value claims no more than that one: the other may
        believe itself complete because it does not know of the change. The last four fields are about one token and
        its browser, and stay as they are here.
        """
        newer, older = sorted((self, other), key=_precedence, reverse=True)
        return replace(
            newer,
            floor=max(newer.floor, older.floor_of(newer.incarnation)) if newer.incarnation is not None else -1,
            announced=max(newer.announced, older.announced) if _same(newer, older) else newer.announced,
            complete_from=_merged_start(newer, older),
            earlier=_floors_besides(newer.incarnation, newer, older),
            retired=self.retired,
            hint=self.hint,
            required=self.required,
            satisfied=self.satisfied,
        ).remembering(newer.taken.newest(older.taken if _same(newer, older) else older.taken.taken_at(-1)))

    def remembering(self, taken: ContextChanges) -> Consistency:
        """Keep taken changes, as many as there is room for; what they show is complete from later on if some go."""
        kept = taken.within(MAX_ATTRIBUTES, MAX_ATTRIBUTE_BYTES)
        if kept is self.taken:
            return self
        start = self.complete_from
        if len(kept) < len(taken):
            start = max(start, *(change.taken for path, change in taken.operations.items() if path not in kept))
        return replace(self, taken=kept, complete_from=start)

    # What an entry can leave out because the document that it shows implies it.

    def shown_by(self, document: ContextDocument) -> bool:
        """Tell whether this is just what having read `document` says: nothing worth keeping beside it."""
        return (
            self.floor == document.version
            and not self.taken.operations
            and self.announced < 0
            and self.complete_from == UNKNOWN
            and not self.earlier
            and not (self.retired or self.hint or self.required or self.satisfied)
            and self.incarnation == document.identity
        )

    def _following(self, incarnation: Incarnation, version: int) -> Consistency:
        """Follow another incarnation, whose versions have nothing to do with those of the last one."""
        return replace(
            self,
            incarnation=incarnation,
            floor=max(version, self.floor_of(incarnation)),
            announced=-1,
            taken=self.taken.taken_at(-1),
            complete_from=UNKNOWN,
            earlier=_floors_besides(incarnation, self),
        )


START: Final = Consistency()
"""Nothing is known yet; one value for all entries."""


def _precedes(one: Incarnation, other: Incarnation) -> bool:
    """Tell whether one incarnation was created before another of its session, where both say when in one notation."""
    if one[1] is None or other[1] is None or one[0] != other[0]:
        return False
    return len(one[1]) == len(other[1]) and one[1] < other[1]


def _same(one: Consistency, other: Consistency) -> bool:
    return one.incarnation == other.incarnation or other.incarnation is None


def _precedence(value: Consistency) -> tuple[object, ...]:
    """Order two values: the incarnation that was created later first, then whatever makes the order total."""
    session_id, created_at = value.incarnation or (None, None)
    created = "" if created_at is None else created_at
    return (
        value.incarnation is not None,
        len(created),
        created,
        session_id or "",
        value.announced,
        value.floor,
        -value.complete_from,
    )


def _merged_start(newer: Consistency, older: Consistency) -> int:
    if not _same(newer, older) or newer.announced > older.announced:
        return newer.complete_from
    ranges = ((newer.complete_from, newer.floor), (older.complete_from, older.floor))
    return _joined(*sorted(ranges, key=lambda each: (each[1], -each[0])))


def _joined(earlier: tuple[int, int], later: tuple[int, int]) -> int:
    """Return from which version on two ranges of versions (start, end) are complete together."""
    # Where they do not meet, nobody knows what was between.
    return min(earlier[0], later[0]) if later[0] <= earlier[1] else later[0]


def _end(versions: tuple[int, int]) -> int:
    return versions[1]


def _floors_besides(incarnation: Incarnation | None, *known: Consistency) -> tuple[tuple[Incarnation, int], ...]:
    """Return the floors of all known incarnations but one, those of the latest incarnations."""
    floors: dict[Incarnation, int] = {}
    for value in known:
        own = () if value.incarnation is None else ((value.incarnation, value.floor),)
        for each, floor in (*own, *value.earlier):
            if each != incarnation:
                floors[each] = max(floor, floors.get(each, -1))
    return tuple(sorted(floors.items(), key=_created, reverse=True)[:MAX_EARLIER])


def _created(floor: tuple[Incarnation, int]) -> tuple[str, str]:
    session_id, created_at = floor[0]
    return created_at or "", session_id or ""
