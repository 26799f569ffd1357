"""May this document be shown to this shopper? The session guarantees of one token, as one immutable value.

Emporix is read through replicas and caches, so an answer can be older than what the shopper has already seen. Two of
the session guarantees of Terry et al. 1994 ("Session Guarantees for Weakly Consistent Replicated Data") are kept here:
*monotonic reads* (no document below the floor) and *read your writes* (no document without a change that Emporix took).

A replica lags for seconds: what was asked for more than `LAG` after the last known write is the truth, whatever its
version, as a context may have been restored, or created anew. Everything is pure and synchronous: times are handed in,
and each change gives a new value. `judge` alone decides, and the entry keeps the value.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Final, TypeAlias

from ..model.changes import NO_CHANGES, ContextChanges
from ..model.document import ContextDocument
from ..model.fields import MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES
from ..model.operation import SOMEHOW, Taken
from .incarnations import Floors, Incarnation, floors_besides, precedes
from .made import Made, at_first_hand, latest, made_besides
from .notes import Floor, Notes, joined_start
from .required import FAR_AHEAD, LAG, Required
from .verdict import HIDE, OVERLAY, REFRESH, SHOW, Verdict

__all__ = ["FAR_AHEAD", "LAG", "START", "UNKNOWN", "Consistency", "Fingerprint", "Heard"]

Fingerprint: TypeAlias = Callable[[Incarnation], str]
Heard: TypeAlias = tuple[tuple[int, float], ...]

UNKNOWN: Final = sys.maxsize
NEVER: Final = float("-inf")


@dataclass(slots=True, repr=False)  # frozen, it would take six times as long to make
class Consistency:
    """What is known about the versions of one session's context, and about the shopper's own changes.

    Args:
        incarnation: which context the next four are of; `None` where none has been seen.
        floor: the lowest version that may be shown.
        since: when that version was written or first seen, in monotonic seconds.
        announced: the highest version that another process has announced; what it changed is not known here.
        taken: the last changes that Emporix took from this shopper, as far as is known. An earlier change of one of
            their fields is obsolete.
        complete_from: over a document of this version or later, `taken` shows everything that the shopper has chosen.
        earlier: the floors of other incarnations that were seen, the latest ones.
        retired: an incarnation that another one has replaced, and until when (monotonic seconds) a lagging replica
            may still show it.
        hint: the fingerprint of an incarnation that has not been seen here, and the version that was announced.
        required: the floor of the shopper's notes that a document has to reach.
        satisfied: the notes that what is shown here has satisfied last.
        made: the versions that were made for changes in whose place there are later ones.
    """

    incarnation: Incarnation | None = None
    floor: int = -1
    since: float = NEVER
    announced: int = -1
    taken: ContextChanges = NO_CHANGES
    complete_from: int = UNKNOWN
    earlier: Floors = ()
    retired: tuple[Incarnation, float] | None = None
    hint: tuple[str, int] | None = None
    required: Required | None = None
    satisfied: Notes | None = None
    made: tuple[Made, ...] = ()

    # The decision.

    def judge(
        self,
        document: ContextDocument,
        asked_at: float,
        now: float,
        fingerprint: Fingerprint,
        others: Iterable[Consistency] = (),
    ) -> Verdict:
        """Decide what may be done with a document.

        Args:
            document: from Emporix, from the store, or from the cache.
            asked_at: when Emporix was asked for it, in monotonic seconds.
            now: monotonic seconds.
            fingerprint: names an incarnation as notes do.
            others: of the other tokens of the session; nothing below their floors is taken up either.
        """
        incarnation = document.identity
        if self.is_retired(incarnation, now):
            return HIDE
        below = self.is_below_required(document, asked_at, fingerprint)
        if not self._is_truth(asked_at):
            if self._is_earlier(incarnation) or self._lacks_unknown(document):
                return HIDE
            below = below or self._is_below_floor(document)
        if below or any(other.outdates(document, asked_at) for other in others):
            return OVERLAY
        return REFRESH if self._lacks_taken(document, asked_at) else SHOW

    def is_retired(self, incarnation: Incarnation, now: float) -> bool:
        """Tell whether an incarnation was replaced by another one a moment ago."""
        return self.retired is not None and incarnation == self.retired[0] and now < self.retired[1]

    def outdates(self, document: ContextDocument, asked_at: float) -> bool:
        """Tell whether a later version is known than that of a document which was asked for then."""
        if self._is_truth(asked_at):
            return False
        return self._is_below_floor(document) or self._is_earlier(document.identity)

    def _is_truth(self, asked_at: float) -> bool:
        """Tell whether what was asked for then is too late for a replica that lags."""
        return asked_at > self.since + LAG

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
        return precedes(incarnation, self.incarnation) or any(precedes(incarnation, known) for known, _ in self.earlier)

    def is_below_required(self, document: ContextDocument, asked_at: float, fingerprint: Fingerprint) -> bool:
        """Tell whether a document does not reach the floor of the shopper's notes."""
        return self.required is not None and self.required.is_missed_by(
            document, asked_at, fingerprint(document.identity)
        )

    def _lacks_unknown(self, document: ContextDocument) -> bool:
        return document.identity == self.incarnation and document.version < min(self.announced, self.complete_from)

    def _lacks_taken(self, document: ContextDocument, asked_at: float) -> bool:
        if self._is_truth(asked_at) or self.incarnation not in {None, document.identity}:
            return False
        # One that is older than the news of its own version may be what another change has made of it.
        shown = document.version - (asked_at < self.since)
        return bool(self.taken.taken_after(shown).missing_from(document))

    def expects_a_context(self, asked_at: float) -> bool:
        """Tell whether there was a context so short a time ago that a replica may not have it yet.

        Args:
            asked_at: when Emporix was asked, and has answered that there is none, in monotonic seconds.
        """
        known = self.incarnation is not None and not self._is_truth(asked_at)
        return known or (self.required is not None and self.required.expects_a_context(asked_at))

    # Transitions. Each of these returns the value that follows.

    def raised(self, incarnation: Incarnation, version: int, at: float) -> Consistency:
        """Allow nothing below `version` of an incarnation any more.

        Args:
            incarnation: of which context.
            version: the floor from now on.
            at: when that version was written, or first asked for, in monotonic seconds.
        """
        if incarnation == self.incarnation:
            return self if version <= self.floor else replace(self, floor=version, since=max(at, self.since))
        return self._following(incarnation, version, at)

    def published(self, document: ContextDocument, asked_at: float) -> Consistency:
        """Take a document that may be shown as what the shopper has seen (monotonic reads)."""
        if self._is_truth(asked_at) and (self._is_below_floor(document) or self._is_earlier(document.identity)):
            return self.starting_anew(document.identity, document.version, asked_at)
        return self.raised(document.identity, document.version, asked_at)

    def starting_anew(self, incarnation: Incarnation, version: int, at: float) -> Consistency:
        """Give the floor up: this is the truth, whatever was known before."""
        own = replace(START, required=self.required, satisfied=self.satisfied, taken=self.taken.up_to(version))
        return replace(own, incarnation=incarnation, floor=version, since=at)

    def committed(self, changes: ContextChanges, taken: Taken) -> Consistency:
        """Note changes that Emporix took from this shopper (read your writes)."""
        if not changes:
            return self
        complete_from = min(self.complete_from, max(taken.version - 1, self.announced))
        told = self.taken.without(at_first_hand(self.taken).ids)
        every = (latest(changes, told) if told.operations else changes).over(self.taken)
        return replace(self, complete_from=complete_from).remembering(every, changes)

    def announced_by_peer(self, incarnation: Incarnation, version: int, at: float) -> Consistency:
        """Note that another process made `version`; what it changed is not known here."""
        raised = self.raised(incarnation, version, at)
        announced, complete_from = max(raised.announced, version), max(raised.complete_from, version)
        return replace(raised, announced=announced, complete_from=complete_from)

    def extended(self, start: int, version: int) -> Consistency:
        """Note that all changes from one version to another one are known."""
        complete_from = joined_start(*sorted(((self.complete_from, self.floor), (start, version)), key=itemgetter(1)))
        return self if complete_from == self.complete_from else replace(self, complete_from=complete_from)

    def hinted(self, fingerprint: str, version: int) -> Consistency:
        """Note the highest version that was announced of an incarnation of which only the fingerprint is known."""
        is_late = self.hint is not None and self.hint[0] == fingerprint and self.hint[1] >= version
        return self if is_late else replace(self, hint=(fingerprint, version))

    def with_hint_applied(self, incarnation: Incarnation, fingerprint: Fingerprint, at: float) -> Consistency:
        """Return the value in which the hint, if it is of this incarnation, has become an announcement."""
        if not self.hints_at(incarnation, fingerprint) or self.hint is None:
            return self
        announced = replace(self, hint=None).announced_by_peer(incarnation, self.hint[1], at)
        told = self.taken.taken_in(self.hint[0]) if self.incarnation is None else NO_CHANGES
        return announced.remembering(told.over(announced.taken)) if told.operations else announced

    def hints_at(self, incarnation: Incarnation, fingerprint: Fingerprint) -> bool:
        """Tell whether the hint is of this incarnation."""
        return self.hint is not None and self.hint[0] == fingerprint(incarnation)

    def notes_seen(self, taken: ContextChanges, floor: Floor, fingerprint: Fingerprint) -> Consistency:
        """Add what the notes of the shopper's own browser say that Emporix has taken.

        Args:
            taken: changes that it took in the context of `floor`, all that the browser knows of.
            floor: the floor that goes with them.
            fingerprint: names an incarnation as notes do.
        """
        if self.incarnation is None or fingerprint(self.incarnation) != floor.context:
            return self
        extended = self
        if floor.version >= self.announced:  # else another process announced a change that the browser does not know
            extended = self.extended(floor.complete_from, floor.version)
        return extended.remembering(taken.newest(self.taken))

    def requiring(self, required: Required) -> Consistency:
        """Require a floor of the shopper's notes."""
        return self if required == self.required else replace(self, required=required)

    def heard_of(self, document: ContextDocument, fingerprint: Fingerprint) -> Heard:
        """Return versions of the context of a document, and since when each is known here (monotonic seconds)."""
        heard: Heard = ((self.floor, self.since),) if document.identity == self.incarnation else ()
        if self.required is None or self.required.floor.context != fingerprint(document.identity):
            return heard
        return (*heard, (self.required.floor.version, self.required.written))

    def satisfying(self, notes: Notes | None) -> Consistency:
        """Note that what is shown here is what the shopper's notes want."""
        return self if notes is self.satisfied else replace(self, satisfied=notes)

    def retiring(self, incarnation: Incarnation, until: float) -> Consistency:
        """Show nothing of an incarnation until a moment (monotonic seconds), as another one has followed it."""
        return replace(self, retired=(incarnation, until))

    def moved(self, session_id: str) -> Consistency:
        """Follow a token to another session, whose versions have nothing to do with those of the last one."""
        if self.incarnation is not None and self.incarnation[0] == session_id:
            return self
        return replace(START, required=self.required, satisfied=self.satisfied)

    def logged_out(self) -> Consistency:
        """Forget what the shopper chose; floors stay, as the versions of the context go on."""
        return replace(self, taken=NO_CHANGES, required=None, satisfied=None, made=())

    def remembering(self, taken: ContextChanges, new: ContextChanges = NO_CHANGES) -> Consistency:
        """Keep taken changes, as many as there is room for; what they show is complete from later on if some go.

        Args:
            taken: the last one of each field.
            new: of which this was not known; some may have later ones in their place.
        """
        kept = taken.within(MAX_ATTRIBUTES, MAX_ATTRIBUTE_BYTES)
        if kept is self.taken:
            return self
        start = self.complete_from
        if len(kept) < len(taken):
            start = max(start, *(change.taken_version for path, change in taken.operations.items() if path not in kept))
        made = made_besides(taken, new, made_besides(taken, self.taken, self.made))
        return replace(self, taken=kept, complete_from=start, made=made)

    def forgetting(self, changes: ContextChanges) -> Consistency:
        """Count changes as taken no more: Emporix has never seen them."""
        return replace(self, taken=self.taken.without(changes.ids))

    def shown_by(self, document: ContextDocument) -> bool:
        """Tell whether this is just what having read `document` says: nothing worth keeping beside it."""
        return (
            self.floor == document.version
            and not self.taken.operations
            and self.announced < 0
            and self.complete_from == UNKNOWN
            and not self.earlier
            and not (self.retired or self.hint or self.required or self.satisfied or self.made)
            and self.incarnation == document.identity
        )

    def known_floors(self) -> Floors:
        """Return the floors of all incarnations that are known."""
        own = () if self.incarnation is None else ((self.incarnation, self.floor),)
        return (*own, *self.earlier)

    def _following(self, incarnation: Incarnation, version: int, at: float) -> Consistency:
        """Follow another incarnation, whose versions have nothing to do with those of the last one."""
        return replace(
            self,
            incarnation=incarnation,
            floor=max(version, self.floor_of(incarnation)),
            since=max(at, self.since),
            announced=-1,
            taken=self.taken.as_taken(SOMEHOW),
            complete_from=UNKNOWN,
            earlier=floors_besides(incarnation, self.known_floors()),
        )


START: Final = Consistency()
"""Nothing is known yet; one value for all entries."""
