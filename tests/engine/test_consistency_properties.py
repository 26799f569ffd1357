"""What holds of the deciding value after any sequence of events (Hypothesis)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from session_ctx_middleware import ContextDocument
from session_ctx_middleware.engine.consistency import START, Consistency
from session_ctx_middleware.engine.incarnations import Incarnation
from session_ctx_middleware.engine.merging import merged
from session_ctx_middleware.engine.notes import Floor, Notes
from session_ctx_middleware.engine.required import Required
from session_ctx_middleware.engine.verdict import Verdict
from session_ctx_middleware.model.changes import NO_CHANGES, ContextChanges
from session_ctx_middleware.model.operation import Operation, Taken

# Two that can be compared, one in another notation, and one that does not say when it was created.
INCARNATIONS: tuple[Incarnation, ...] = (
    ("s", "2026-01-01"),
    ("s", "2026-01-02"),
    ("s", "2026-01-03T10:00:00Z"),
    ("s", None),
)
ACCEPTED = {Verdict.SHOW, Verdict.REFRESH}
VALUES = ("EUR", "USD", "CHF")


def fingerprint(incarnation: Incarnation) -> str:
    return f"{incarnation[0]}/{incarnation[1]}"


def document(incarnation: Incarnation, version: int, currency: str = "GBP") -> ContextDocument:
    session_id, created_at = incarnation
    return ContextDocument(version=version, session_id=session_id, created_at=created_at, currency=currency)


@dataclass(frozen=True)
class Event:
    """Something that an entry learns.

    Args:
        apply: what becomes of the value.
        floors: versions that nothing may go below from then on.
    """

    apply: Callable[[Consistency], Consistency]
    floors: tuple[tuple[Incarnation, int], ...] = ()


incarnations = st.sampled_from(INCARNATIONS)
versions = st.integers(0, 12)


@st.composite
def operations(draw: st.DrawFn, field: str) -> Operation:
    value, at = draw(st.sampled_from(VALUES)), draw(st.floats(0, 9))
    return Operation(value, f"{field} {value} {at!r}", at, 0.0)  # two changes never share an id


FIELDS: list[str] = ["currency", "language", "attributes.a"]


@st.composite
def changes(draw: st.DrawFn) -> ContextChanges:
    fields = draw(st.lists(st.sampled_from(FIELDS), max_size=2, unique=True))
    return ContextChanges({field: draw(operations(field)) for field in fields})


@st.composite
def floors(draw: st.DrawFn) -> Floor:
    context, version = fingerprint(draw(incarnations)), draw(versions)
    return Floor(context, "s", version, draw(st.floats(0, 1e6)), draw(st.integers(0, 12)))


@st.composite
def events(draw: st.DrawFn) -> Event:
    incarnation, version = draw(incarnations), draw(versions)
    found = document(incarnation, version, draw(st.sampled_from(VALUES)))
    changed, floor = draw(changes()), draw(floors())
    taken = draw(changes()).as_taken(Taken(draw(st.integers(-1, 12)), floor.context))
    brought = Notes(floors=(floor,))
    below = ((incarnation, version),)

    def commit(known: Consistency) -> Consistency:
        return known.raised(incarnation, version, 0.0).committed(changed.as_taken(Taken(version)), Taken(version))

    def hint(known: Consistency) -> Consistency:
        return known.hinted(fingerprint(incarnation), version).with_hint_applied(incarnation, fingerprint, 0.0)

    return draw(
        st.sampled_from(
            [
                Event(lambda known: known.published(found, 0.0), below),
                Event(commit, below),
                Event(lambda known: known.announced_by_peer(incarnation, version, 0.0), below),
                Event(hint, below),
                Event(lambda known: known.notes_seen(taken, floor, fingerprint)),
                Event(lambda known: known.requiring(Required(floor, 0.0))),
                Event(lambda known: known.satisfying(brought)),
                Event(lambda known: known.hinted(fingerprint(incarnation), version)),
                Event(lambda known: known.retiring(incarnation, float(version))),
                Event(lambda known: known.remembering(changed.over(known.taken))),
                Event(lambda known: known.logged_out()),
            ]
        )
    )


histories = st.lists(events(), max_size=8)


def follow(history: list[Event], known: Consistency = START) -> Consistency:
    for event in history:
        known = event.apply(known)
    return known


def verdict(known: Consistency, found: ContextDocument) -> Verdict:
    return known.judge(found, 0.0, 100.0, fingerprint)  # when nothing is retired any more


@given(histories, histories, histories, incarnations, versions)
def test_nothing_goes_back(
    first: list[Event], other: list[Event], then: list[Event], incarnation: Incarnation, version: int
) -> None:
    """Whatever is learnt or merged, no version below one that was known is accepted again (monotonic reads)."""
    known = follow(then, merged(follow(first), follow(other)))
    floors = [floor for event in (*first, *other, *then) for each, floor in event.floors if each == incarnation]

    if version < max(floors, default=-1):
        assert verdict(known, document(incarnation, version)) not in ACCEPTED


@given(histories, histories)
def test_merge_is_commutative(one: list[Event], other: list[Event]) -> None:
    """Two tokens of one session learn the same from each other, whichever hears first."""
    left, right = follow(one), follow(other)

    assert of_the_session(merged(left, right)) == of_the_session(merged(right, left))


def of_the_session(known: Consistency) -> Consistency:
    """Leave out what is about one token and its browser: that is never merged."""
    return replace(known, retired=None, hint=None, required=None, satisfied=None)


@given(histories, histories)
def test_merge_keeps_its_own(one: list[Event], other: list[Event]) -> None:
    """What one token's browser requires, and what was announced to it alone, is not overwritten by another token's."""
    left, right = follow(one), follow(other)
    both = merged(left, right)

    assert (both.required, both.satisfied, both.hint, both.retired) == (
        left.required,
        left.satisfied,
        left.hint,
        left.retired,
    )


@given(histories, histories)
def test_merge_is_idempotent(one: list[Event], other: list[Event]) -> None:
    """Hearing the same again changes nothing."""
    left, right = follow(one), follow(other)
    both = merged(left, right)

    assert merged(left, left) == left
    assert merged(both, both) == both


@given(histories, histories, incarnations, versions)
def test_merge_allows_no_more(one: list[Event], other: list[Event], incarnation: Incarnation, version: int) -> None:
    """What either of two tokens knows to be past stays so for both."""
    left, right = follow(one), follow(other)
    found = document(incarnation, version)

    if left.outdates(found, 0.0) or right.outdates(found, 0.0):
        assert verdict(merged(left, right), found) not in ACCEPTED


@given(histories, changes(), incarnations, versions)
def test_own_writes_show(history: list[Event], changed: ContextChanges, incarnation: Incarnation, version: int) -> None:
    """After a commit no cached document that lacks the change is shown as it is (read your writes)."""
    known = follow(history).raised(incarnation, version, 0.0)
    known = known.committed(changed.as_taken(Taken(version)), Taken(version))
    found = document(incarnation, version - 1)

    if changed.missing_from(found):
        assert verdict(known, found) is not Verdict.SHOW


@given(histories, versions)
def test_newest_is_accepted(history: list[Event], ahead: int) -> None:
    """A document of the known context that is newer than everything is always accepted: nothing locks a shopper out."""
    known = follow(history)
    newest = known.incarnation or INCARNATIONS[0]

    if not any(found != newest and known.outdates(document(newest, 10**6), 0.0) for found in INCARNATIONS):
        assert verdict(known, document(newest, 20 + ahead)) in ACCEPTED


@given(histories, versions)
def test_absurd_floors(history: list[Event], version: int) -> None:
    """A note whose floor is far ahead of what Emporix answers does not lock the shopper out."""
    known = replace(follow(history), required=None)
    newest = known.incarnation or INCARNATIONS[0]
    floor = Floor(fingerprint(newest), "s", 10**9, 0.0, 0)

    found = document(newest, version)
    assert verdict(known.requiring(Required(floor, 0.0)), found) is verdict(known, found)


@given(histories, incarnations, versions)
def test_retired_is_hidden(history: list[Event], incarnation: Incarnation, version: int) -> None:
    """A context that has made room for another one is hidden until the moment is over."""
    known = follow(history).retiring(incarnation, 5.0)

    assert known.judge(document(incarnation, version), 0.0, 4.0, fingerprint) is Verdict.HIDE
    assert not known.is_retired(incarnation, 5.0)


def test_room_is_bounded() -> None:
    """Taken changes that there is no room for make the value claim less."""
    many = {f"attributes.{number}": Operation("x", f"{number}", float(number), 0.0) for number in range(80)}
    known = START.raised(INCARNATIONS[0], 5, 0.0).committed(ContextChanges(many).as_taken(Taken(5)), Taken(5))

    assert len(known.taken) == 64
    assert known.complete_from >= 5
    assert known.logged_out().taken is NO_CHANGES
