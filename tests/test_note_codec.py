"""Notes as CBOR: nothing is lost on the way, what nobody knows yet costs itself, and garbage costs the note."""

from __future__ import annotations

import copy
import secrets
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_ctx_middleware import cbor
from session_ctx_middleware.engine import NO_LOGIN, Floor, Login, Noted, Notes
from session_ctx_middleware.model.document import REMOVED
from session_ctx_middleware.model.frozen_json import freeze
from session_ctx_middleware.model.operation import Operation, Taken
from session_ctx_middleware.note_codec import decode, encode

WALL = 1_790_000_000.0
CONTEXTS = {"context1": "session1", "context2": "session2", "context3": "session1"}

moments = st.integers(0, 86_400_000_000).map(lambda micros: round(WALL - micros / 1e6, 6))
texts = st.text(max_size=12).filter(lambda text: text.isprintable())


@st.composite
def operations(draw: st.DrawFn, era: int) -> tuple[str, Operation]:
    path = draw(st.sampled_from(["currency", "language", "attributes.a", "attributes.größe"]))
    at = draw(moments)
    taken = draw(
        st.none()
        | st.just(Taken())
        | st.builds(Taken, st.integers(0, 99), st.sampled_from(["", *CONTEXTS]), moments, st.just("0123abcd"))
    )
    if taken is not None and taken.at:
        # Changes of one PATCH have one answer.
        taken = replace(taken, took=int(taken.at) % 40 / 10)
    value: Any = draw(st.sampled_from(["EUR", "USD"]))
    if path.startswith("attributes"):
        value = draw(st.just(REMOVED) | texts | st.just(freeze({"a": [1, {"b": None}]})))
    op_id = draw(st.text("0123456789abcdef", min_size=8, max_size=16))
    again, overtaken = False, tuple[Taken, ...]()
    if taken is not None and taken.version >= 0:
        again = draw(st.booleans())
        others = st.builds(Taken, st.integers(0, 99), st.just(taken.context), moments)
        overtaken = tuple(draw(st.lists(others, max_size=1)))
    return path, Operation(value, op_id, at, at, taken, era, again, int(again), overtaken)


@st.composite
def notes(draw: st.DrawFn) -> Notes:
    era = draw(st.integers(0, 3))
    mine = []
    for path, operation in draw(st.lists(operations(era), max_size=4)):
        token, session = draw(st.sampled_from(["", "token1", "token2"])), draw(st.sampled_from(["", "session1"]))
        mine.append(Noted(path, operation, token, session, draw(st.booleans())))
    floors = []
    for context in draw(st.lists(st.sampled_from(sorted(CONTEXTS)), unique=True, max_size=3)):
        version = draw(st.integers(0, 99))
        complete_from = draw(st.integers(0, version))
        login = draw(st.sampled_from([NO_LOGIN, Login(version, "0123456789abcdef")])) if version else NO_LOGIN
        floors.append(Floor(context, CONTEXTS[context], version, draw(moments), complete_from, login))
    referred = {each.operation.taken for each in mine}
    made = draw(st.sets(st.tuples(st.sampled_from(sorted(CONTEXTS)), st.integers(100, 199), moments), max_size=2))
    assert not {taken.version for taken in referred if taken is not None} & {version for _, version, _ in made}
    ended, left_out_at = draw(moments) if era else 0.0, draw(st.one_of(st.just(0.0), moments))
    return Notes(tuple(mine), tuple(floors), era, ended, draw(st.booleans()), tuple(sorted(made)), left_out_at)


def written(note: Notes) -> Any:
    """Return what another process finds in the cookie."""
    return cbor.loads(cbor.dumps(encode(note)))


def back(data: object) -> Notes:
    return decode(data, now=WALL, wall=WALL)


def said(note: Notes) -> tuple[object, ...]:
    """Return what a note says; a floor that follows from a change may have the moment of that."""
    floors = tuple(replace(each, at=0.0) for each in note.floors)
    return note.operations, floors, note.era, note.ended, note.newest_at, note.receipts, note.made


@given(notes())
def test_round_trip(note: Notes) -> None:
    """What was written is what is read."""
    read = back(written(note))

    assert said(read) == said(note)
    taken = {each.operation.taken.at for each in note.operations if each.operation.taken is not None}
    taken |= {at for *_, at in note.made}
    for floor, found in zip(note.floors, read.floors, strict=True):
        assert found.at in {floor.at, *taken}
    assert encode(read) == encode(note)


def from_later(path: str | int, *, version: int = 7) -> Any:
    """Return a note with a known change, and one that only a later release knows, which raised the floor."""
    known = Noted("currency", Operation("USD", "a", WALL - 5, WALL - 5), "token", "session1", True)
    change = Operation("x", "b", WALL - 4, WALL - 4, Taken(version, "context1", WALL - 3, "0123abcd"))
    unknown = Noted("attributes.a", change, "token", "session1", True)
    floor = Floor("context1", "session1", version, WALL - 3, 2)
    data = written(Notes((known, unknown), (floor,)))
    data["o"][1][0] = path
    return data


UNKNOWN = ["basketColour", "metadata.version", "attributes._session_ctx", "._session_ctx", ".", 99]


@pytest.mark.parametrize("path", UNKNOWN, ids=str)
def test_unknown_field(path: str | int) -> None:
    """A field that only a later release knows costs that field; the floor that it raised stays as high."""
    read = back(from_later(path))

    assert [noted.path for noted in read.operations] == ["currency"]
    assert read.operations[0].operation.value == "USD"
    (floor,) = read.floors
    assert (floor.session, floor.version) == ("session1", 7)


@pytest.mark.parametrize("path", UNKNOWN, ids=str)
def test_earlier_change_beside_an_unknown_field(path: str | int) -> None:
    """An earlier change of the same context does not bring the floor down: the later one is not understood."""
    earlier = Operation("x", "b", WALL - 9, WALL - 9, Taken(4, "context1", WALL - 8, "0123abcd"))
    later = Operation("y", "c", WALL - 4, WALL - 4, Taken(7, "context1", WALL - 3, "0123abcd"))
    both = [Noted(name, each, "token", "session1", True) for name, each in (("currency", earlier), ("language", later))]
    data = written(Notes(tuple(both), (Floor("context1", "session1", 7, WALL - 3, 2),)))
    data["o"][1][0] = path

    (floor,) = back(data).floors
    assert floor.version == 7
    assert floor.complete_from == 7, "over a document of version 5 nobody knows what that field would show"


@given(notes(), st.dictionaries(st.sampled_from(["zz", "a", "d"]), st.integers() | st.lists(st.integers()), min_size=1))
def test_unknown_members(note: Notes, more: dict[str, Any]) -> None:
    """What a later release says about the note as a whole is passed over."""
    assert said(back({**written(note), **more})) == said(note)


@given(notes())
def test_longer_lists(note: Notes) -> None:
    """What a later release says about bindings, moments, and floors is passed over."""
    data: Any = written(note)
    for each in data.get("b", ()):
        each.append("later")
    for each in data.get("t", ()):
        if len(each) > 3:
            each.append("later")
    for each in data.get("f", ()):
        if len(each) > 6:
            each.append("later")
    for each in data.get("o", ()):
        if len(each) > 8:
            each.append("later")
            each[8].append("later")

    assert said(back(data)) == said(note)


def test_size() -> None:
    """Each change takes about as much as its value, its id, and its moment."""
    values = {"currency": "CHF", "language": "de-CH", "site_code": "main", "attributes.tier": "gold"}
    changes = [
        Operation(value, secrets.token_urlsafe(8), WALL - number, WALL, Taken(60 + number, "c" * 16, WALL, "0123abcd"))
        for number, value in enumerate(values.values())
    ]
    noted = [Noted(path, change, "a" * 16, "b" * 16, True) for path, change in zip(values, changes, strict=True)]
    floor = Floor("c" * 16, "b" * 16, 63, WALL, 3)

    one, four = (len(cbor.dumps(encode(Notes(tuple(noted[:number]), (floor,))))) for number in (1, 4))

    assert one <= 110
    assert (four - one) / 3 <= 40


@pytest.mark.parametrize(("took", "more"), [(0.0, 0), (0.1, 1), (2.3, 1), (2.9, 2)])
def test_how_long_the_answer_took(took: float, more: int) -> None:
    """That costs nothing where the answer came at once; who does not say it has sent the PATCH when that came."""
    taken = Taken(7, "context1", WALL - 3, "0123abcd", took=took)
    both = (Operation("USD", "a", WALL - 5, WALL - 5, each) for each in (replace(taken, took=0.0), taken))
    quick, slow = (Notes((Noted("currency", each, "token", "session1", True),)) for each in both)
    earlier = written(slow)
    earlier["t"] = [moment[:3] for moment in earlier["t"]]

    assert back(written(slow)).operations == slow.operations
    assert back(earlier).operations == quick.operations
    assert len(cbor.dumps(encode(slow))) - len(cbor.dumps(encode(quick))) == more


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("vecxrobtf"), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every place in a JSON value: what holds it, and under which key."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *places(value[key]))]


@given(notes(), JSON, st.integers(0, 999), st.integers(0, 999))
def test_garbage_in_one_place(note: Notes, garbage: Any, one: int, other: int) -> None:
    """Whatever stands in one place or two, the note is read without that, or refused with a ValueError."""
    data: Any = copy.deepcopy(written(note))
    for number in (one, other):
        found = places(data)
        holder, key = found[number % len(found)]
        holder[key] = garbage
    try:
        read = decode(data, now=WALL, wall=WALL)
    except ValueError:
        return
    assert encode(read)["v"] == 1


@given(JSON)
def test_garbage(data: Any) -> None:
    """Garbage is refused with a ValueError, and nothing else."""
    with pytest.raises(ValueError, match="another format"):
        decode(data if not isinstance(data, dict) else {**data, "v": 2}, now=WALL, wall=WALL)
