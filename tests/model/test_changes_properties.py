"""What holds for any two sets of changes."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from session_ctx_middleware.model.changes import ContextChanges
from session_ctx_middleware.model.document import REMOVED
from session_ctx_middleware.model.frozen_json import dumps, freeze
from session_ctx_middleware.model.operation import Operation, Taken

PATHS: list[str] = ["currency", "language", "attributes.a"]
# Few of each, so that ties and copies of one change are the rule.
values = st.sampled_from(["EUR", "USD", REMOVED, freeze({"n": 1}), freeze({"n": 1.0}), freeze({"n": True})])
moments = st.sampled_from([1.0, 2.0])
takens = st.builds(
    Taken, st.integers(-1, 2), st.sampled_from(["", "c"]), moments, took=st.sampled_from([0.0, 0.3, 2.9])
)
operations = st.builds(
    Operation, values, st.sampled_from("abc"), at=moments, recorded=moments, taken=st.one_of(st.none(), takens)
)
change_sets = st.dictionaries(st.sampled_from(PATHS), operations).map(ContextChanges)
# Changes whose timestamps are never raised: an id has one moment.
settled = operations.map(lambda operation: replace(operation, op_id=f"{operation.op_id} {operation.at}"))
settled_sets = st.dictionaries(st.sampled_from(PATHS), settled).map(ContextChanges)


def told(operation: Operation | None) -> object:
    """Return an operation for comparison, with 1, 1.0 and true kept apart."""
    if operation is None:
        return None
    value = operation.value
    text = "removed" if value is REMOVED else dumps(value)
    return text, operation.op_id, operation.at, operation.recorded, operation.taken


def overtaken(changes: ContextChanges) -> dict[str, object]:
    return {path: operation.overtaken_by for path, operation in changes.operations.items()}


def by_path(changes: ContextChanges) -> dict[str, object]:
    return {path: told(operation) for path, operation in changes.operations.items()}


@given(change_sets, change_sets)
def test_newest_commutes(one: ContextChanges, other: ContextChanges) -> None:
    """It does not matter who merges with whom."""
    assert by_path(one.newest(other)) == by_path(other.newest(one))
    assert overtaken(one.newest(other)) == overtaken(other.newest(one))


@given(settled_sets, settled_sets, settled_sets)
def test_newest_is_associative(one: ContextChanges, two: ContextChanges, three: ContextChanges) -> None:
    """It does not matter who has merged before."""
    left, right = one.newest(two).newest(three), one.newest(two.newest(three))

    assert by_path(left) == by_path(right)
    assert overtaken(left) == overtaken(right)


@given(change_sets, change_sets)
def test_newest_chooses(one: ContextChanges, other: ContextChanges) -> None:
    """Each field has one of the two changes, and none is left out."""
    merged = one.newest(other)

    assert set(merged) == {*one, *other}
    for path in merged:
        assert told(merged.get(path)) in {told(one.get(path)), told(other.get(path))}


@given(change_sets, change_sets)
def test_newest_is_idempotent(one: ContextChanges, other: ContextChanges) -> None:
    """Merging the same once more changes nothing."""
    merged = one.newest(other)

    assert by_path(one.newest(one)) == by_path(one)
    assert by_path(merged.newest(one)) == by_path(merged.newest(other)) == by_path(merged)


@given(change_sets, change_sets, st.integers(0, 2), st.integers(0, 30))
def test_room_is_given_in_one_order(one: ContextChanges, other: ContextChanges, attributes: int, size: int) -> None:
    """Which attributes give way does not depend on who merged with whom."""
    kept, same = one.newest(other).within(attributes, size), other.newest(one).within(attributes, size)

    assert by_path(kept) == by_path(same)


@given(values, values, moments)
def test_greater_id_wins_a_tie(value: str, other_value: str, at: float) -> None:
    """Of two changes of one moment, the one with the greater id."""
    lesser = ContextChanges({"currency": Operation(value, "a", at=at, recorded=at)})
    greater = ContextChanges({"currency": Operation(other_value, "b", at=at, recorded=at)})

    assert lesser.newest(greater) == greater.newest(lesser) == greater


def test_what_was_taken_later_is_not_forgotten() -> None:
    """A change tells of one with an earlier timestamp that Emporix took later, until it is taken once more."""
    first = Taken(4, "c", 9.0)
    fast = ContextChanges({"currency": Operation("USD", "a", at=5.0, recorded=1.0, taken=first)})
    right = ContextChanges({"currency": Operation("EUR", "b", at=1.0, recorded=1.0, taken=Taken(6, "c", 8.0, "0123"))})
    waiting = ContextChanges({"currency": Operation("CHF", "c", at=2.0, recorded=1.0)})

    merged = fast.newest(right)

    assert told(merged.get("currency")) == told(fast.get("currency"))
    assert overtaken(merged) == {"currency": (Taken(6, "c", 8.0),)}
    assert overtaken(waiting.newest(right).newest(fast)) == overtaken(merged)
    assert overtaken(merged.as_taken(Taken(7, "c", 10.0))) == {"currency": ()}
    assert overtaken(fast.newest(right.as_taken(Taken(3, "c", 8.0)))) == {"currency": ()}


def test_value_beats_outline() -> None:
    """A copy with a value is better than an outline.

    Outlines tell which changes are done; they do not take a value away.
    """
    changes = ContextChanges({"currency": Operation("EUR", "a", at=1.0, recorded=1.0, taken=Taken(1, "c", 1.0))})

    assert changes.outlines().newest(changes) == changes.newest(changes.outlines()) == changes


@given(st.floats(1e9, 2e9))
def test_raised_stamps_are_whole_microseconds(seen: float) -> None:
    """A change that is raised above a stamp has one that notes tell exactly: else its copies would differ."""
    raised = ContextChanges({"currency": Operation("EUR", "a", 1.0, 1.0)}).above({"currency": seen}, 1e-6)
    at = raised.operations["currency"].at

    assert at > seen
    assert at == round(at * 1e6) / 1e6


def test_what_is_sent_once_more_is_not_done() -> None:
    """A change that is to be sent once more stays beside a copy that knows of the first time alone."""
    first = Operation("USD", "1", at=1.0, recorded=1.0, taken=Taken(2))
    again = first.waiting_anew(swallowed=True)
    once, twice = (ContextChanges({"currency": each}) for each in (first, replace(again, taken=Taken(4))))

    assert ContextChanges({"currency": again}).minus(once)
    assert not ContextChanges({"currency": again}).minus(twice)
    assert not ContextChanges({"currency": replace(first, taken=None)}).minus(once)
