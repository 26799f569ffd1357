"""What notes say together: the same in whatever order they are joined, repeated, and overtaken (Hypothesis)."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_ctx_middleware.engine.notes import Floor, Login, Noted, Notes, join
from session_ctx_middleware.model.fields import SWITCHES
from session_ctx_middleware.model.operation import Operation, Taken, value_digest

PATHS = ["currency", "language", "attributes.a", "attributes.b"]
SESSION_OF = {"c1": "s1", "c2": "s1", "c3": "s2"}
TOKENS = [("t1", "s1", True), ("t1", "", False), ("t2", "s1", False), ("t3", "s2", True), ("", "", False)]


@st.composite
def operations(draw: st.DrawFn, path: str, era: int) -> Operation:
    """Draw a change, or another copy of one; two changes never share an id."""
    value, at = draw(st.sampled_from(["EUR", "USD", "GBP"])), float(draw(st.integers(1, 6)))
    contexts, replaced = st.sampled_from(["", *SESSION_OF]), st.sampled_from(["", "0123abcd"])
    slow = st.sampled_from([0.0, 2.9])
    taken = draw(st.none() | st.builds(Taken, st.integers(-1, 9), contexts, st.just(at + 1), replaced, slow))
    return Operation(value, f"{path} {value} {at} {era}", at, at, taken, era)


@st.composite
def noted(draw: st.DrawFn, era: int) -> Noted:
    path = draw(st.sampled_from(PATHS))
    token, session, proven = draw(st.sampled_from(TOKENS))
    return Noted(path, draw(operations(path, era)), token, session, proven)


@st.composite
def floors(draw: st.DrawFn) -> Floor:
    context, version = draw(st.sampled_from(sorted(SESSION_OF))), draw(st.integers(0, 9))
    at, complete_from = float(draw(st.integers(0, 5))), draw(st.integers(0, version))
    login = draw(st.builds(Login, st.integers(0, version), st.sampled_from(["", "0123"])))
    return Floor(context, SESSION_OF[context], version, at, complete_from, login)


@st.composite
def notes(draw: st.DrawFn) -> Notes:
    era = draw(st.integers(0, 2))
    mine = tuple(draw(st.lists(noted(era), max_size=3)))
    seen = tuple(draw(st.lists(floors(), max_size=2)))
    return Notes(mine, seen, era, era * 10.0, draw(st.booleans()), left_out_at=draw(st.sampled_from([0.0, 15.0, 99.0])))


def said(note: Notes) -> tuple[object, ...]:
    """Return what a note says, but for where what it knows begins to be complete."""
    seen = tuple((floor.context, floor.session, floor.version, floor.at) for floor in note.floors)
    return note.operations, seen, note.era, note.ended, note.newest_at, note.receipts, note.made


def known_versions(*every: Notes) -> dict[str, set[int]]:
    """Return the versions of each context of which these notes know everything."""
    era = max(note.era for note in every)
    known: dict[str, set[int]] = {}
    for floor in itertools.chain.from_iterable(note.floors for note in every if note.era == era):
        known.setdefault(floor.context, set()).update(range(floor.complete_from, floor.version + 1))
    return known


@given(notes(), notes())
def test_join_is_commutative(one: Notes, other: Notes) -> None:
    """Which note comes first makes no difference at all."""
    assert said(join([one, other])) == said(join([other, one]))
    assert join([one, other]).floors == join([other, one]).floors


@given(
    st.lists(floors(), min_size=1, max_size=5).flatmap(lambda drawn: st.tuples(st.just(drawn), st.permutations(drawn)))
)
def test_order_of_floors_is_of_no_matter(orders: tuple[list[Floor], list[Floor]]) -> None:
    """From where on notes are complete depends on what they say, not on which of them is heard first."""
    one, other = ([Notes(floors=(floor,)) for floor in order] for order in orders)
    assert join(one).floors == join(other).floors


@given(notes(), notes(), notes())
def test_join_is_associative(one: Notes, two: Notes, three: Notes) -> None:
    """Which notes were joined before makes no difference."""
    whole = said(join([one, two, three]))

    assert said(join([join([one, two]), three])) == whole
    assert said(join([one, join([two, three])])) == whole


@given(st.lists(notes(), min_size=1, max_size=4))
def test_join_is_idempotent(every: list[Notes]) -> None:
    """Hearing the same again says nothing new."""
    once = join(every)

    assert said(join([*every, *every])) == said(once)
    assert said(join([once, *every])) == said(once)
    assert join([once, once]).floors == once.floors


@given(st.lists(notes(), min_size=1, max_size=4))
def test_join_claims_no_more(every: list[Notes]) -> None:
    """Joined notes do not vouch for a version of which none of them knows everything."""
    known = known_versions(*every)
    for joined in (join(every), functools.reduce(lambda one, other: join([one, other]), every)):
        for floor in joined.floors:
            assert set(range(floor.complete_from, floor.version + 1)) <= known[floor.context]


@given(st.lists(notes(), min_size=1, max_size=4))
def test_lower_era_is_void(every: list[Notes]) -> None:
    """Nothing from before the last logout is left, however late its timestamp, and the moment of that is."""
    joined = join(every)

    assert joined.era == max(note.era for note in every)
    assert {noted.operation.era for noted in joined.operations} <= {joined.era}
    assert joined.ended == max(note.ended for note in every)
    assert said(joined) == said(join([note for note in every if note.era == joined.era]))


@given(st.lists(notes(), min_size=1, max_size=4))
def test_latest_of_each_slot(every: list[Notes]) -> None:
    """Of each field the last choice is there; attributes of two sessions are two."""
    joined = join(every)
    current = [noted for note in every if note.era == joined.era for noted in note.operations]
    for each in current:
        (there,) = [noted for noted in joined.operations if noted.slot == each.slot]
        assert (there.operation.at, there.operation.op_id) >= (each.operation.at, each.operation.op_id)
        if there.operation.op_id == each.operation.op_id:
            assert there.operation.taken is not None or each.operation.taken is None, "taken beats parked"
    assert len({noted.slot for noted in joined.operations}) == len(joined.operations)
    assert {noted.path for noted in joined.operations if not noted.slot[1]} >= {
        noted.path for noted in current if noted.path in SWITCHES
    }


@given(st.lists(notes(), min_size=1, max_size=4), st.integers(0, 7))
def test_old_changes_are_left_out(every: list[Notes], oldest: int) -> None:
    """What is older than notes last is left out, and hides nothing that is newer."""
    joined = join(every, float(oldest))

    assert all(noted.operation.at >= oldest for noted in joined.operations)
    assert all(floor.at >= oldest for floor in joined.floors)
    assert all(at >= oldest for *_, at in joined.made)
    newer = [noted for noted in join(every).operations if noted.operation.at >= oldest]
    assert [noted for noted in joined.operations if noted in newer] == newer


def switched(path: str, value: str, at: float, taken: Taken) -> Notes:
    """Return the note of a switch."""
    return Notes((Noted(path, Operation(value, f"{path} {at}", at, at, taken), "t1", "s1", True),))


@given(st.permutations(range(3)), st.booleans())
def test_disputed_version(order: list[int], joined_before: bool) -> None:
    """Two changes that were to have made one version are told apart, also when a later one has replaced one of them."""
    version = Taken(5, "c1", 2.0, value_digest("EUR"))
    swallowed = switched("currency", "USD", 1.0, version)
    other = switched("language", "fr", 1.5, replace(version, at=2.5, replaced=value_digest("en")))
    later = switched("language", "it", 3.0, Taken(6, "c1", 4.0))
    every = [(swallowed, other, later)[number] for number in order]

    joined = join([join(every[:2]), every[2]] if joined_before else every)

    assert joined.dispute(version)
    assert joined.without_needless_proofs().made == (("c1", 5, 2.5),)
    assert not join([swallowed, later]).dispute(version)


@pytest.mark.parametrize("replaced", ["", value_digest("fr")], ids=["already there", "nothing changed"])
def test_undisputed_version(replaced: str) -> None:
    """What a document had already has made no version, nor has what changed nothing."""
    version = Taken(5, "c1", 2.0, value_digest("EUR"))
    swallowed = switched("currency", "USD", 1.0, version)

    joined = join([swallowed, switched("language", "fr", 1.5, Taken(5, "c1", 2.5, replaced))])

    assert not joined.dispute(version)
    assert joined.without_needless_proofs().made == ()


def test_versions_of_one_patch_and_of_others() -> None:
    """Two changes of one PATCH do not dispute each other, nor do versions of two contexts."""
    version = Taken(5, "c1", 2.0, value_digest("EUR"))
    swallowed = switched("currency", "USD", 1.0, version)
    beside = switched("language", "fr", 1.0, replace(version, at=2.0 + 1e-7, replaced=value_digest("en")))
    elsewhere = switched("site_code", "main", 1.5, replace(version, at=2.5, context="c2"))

    assert not join([swallowed, beside, elsewhere]).dispute(version)


@pytest.mark.parametrize(("seconds", "kept"), [(59.0, True), (61.0, False)])
def test_digest_is_kept_for_a_minute(seconds: float, kept: bool) -> None:
    """What a change replaced is told until nobody can dispute its version any more, and then takes no room."""
    change = switched("currency", "USD", 1.0, Taken(5, "c1", 2.0, value_digest("EUR")))
    floor = Floor("c1", "s1", 6, 2.0 + seconds, 5)

    (noted,) = replace(change, floors=(floor,)).without_needless_proofs().operations

    assert noted.operation.taken is not None
    assert bool(noted.operation.taken.replaced) is kept


steps = st.lists(st.tuples(st.sampled_from(["write", "send", "answer", "lose"]), st.integers(0, 9)), max_size=30)


@given(st.lists(notes(), min_size=1, max_size=6), steps)
def test_compaction_loses_nothing(written: list[Notes], history: list[tuple[str, int]]) -> None:
    """However requests overlap and answers get lost, the browser keeps all that it was ever told."""
    jar: dict[object, Notes] = {}
    told: list[Notes] = []
    on_their_way: list[dict[object, Notes]] = []
    for step, number in history:
        if step == "write" and len(told) < len(written):
            jar[len(told)] = written[len(told)]
            told.append(written[len(told)])
        elif step == "send" and len(jar) > 1:
            on_their_way.append(dict(jar))
        elif step in {"answer", "lose"} and on_their_way:
            brought = on_their_way.pop(number % len(on_their_way))
            if step == "answer":
                jar[frozenset(brought)] = join(brought.values())
                for name in brought:
                    jar.pop(name, None)
        if told:
            assert said(join(jar.values())) == said(join(told))
