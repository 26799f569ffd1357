"""What a browser is to hold: less than it brought, and nothing said less than before, however answers overlap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_ctx_middleware.compaction import Held, Room, compact, needed
from session_ctx_middleware.engine import Floor, Noted, Notes, join
from session_ctx_middleware.model.operation import Operation

from .engine.test_notes import notes, said

ROOM = Room(lambda note: 0 if note is None else 10 + len(note.operations), most=1_000)
HEAVY = 2_000

steps = st.lists(
    st.tuples(st.sampled_from(["write", "send", "send", "answer", "lose"]), st.integers(0, 9)), max_size=40
)


def held(jar: dict[bytes, Notes]) -> list[Held]:
    """Return what a request brings; every third note is too heavy to be joined."""
    return [
        Held(name, note, ROOM.size(note), HEAVY if name[-1] % 3 == 0 else ROOM.size(note)) for name, note in jar.items()
    ]


def answered(jar: dict[bytes, Notes], brought: dict[bytes, Notes]) -> None:
    """Let the answer to a request that only reads arrive."""
    kept = needed(held(brought))
    done = compact(kept, None, ROOM)
    for name in {*brought} - {each.name for each in kept} | {*done.gone}:
        jar.pop(name, None)
    if done.joined is not None:
        jar[repr(said(done.joined)).encode()] = done.joined


@given(st.lists(notes(), min_size=1, max_size=6), st.permutations([b"a", b"b", b"c", b"d", b"e", b"f"]), steps)
def test_nothing_is_lost(written: list[Notes], names: list[bytes], history: list[tuple[str, int]]) -> None:
    """Whoever clears a note for the sake of another one leaves all that the browser was ever told."""
    jar: dict[bytes, Notes] = {}
    told: list[Notes] = []
    on_their_way: list[dict[bytes, Notes]] = []
    for step, number in history:
        if step == "write" and len(told) < len(written):
            told.append(written[len(told)])
            jar[names[len(told) - 1]] = told[-1]
        elif step == "send":
            on_their_way.append(dict(jar))
        elif on_their_way:
            brought = on_their_way.pop(number % len(on_their_way))
            if step == "answer":
                answered(jar, brought)
        if told:
            assert said(join(jar.values())) == said(join(told))


@given(st.lists(notes(), max_size=6))
def test_what_is_needed_says_it_all(written: list[Notes]) -> None:
    """The notes that are needed say all that there is to say."""
    kept = needed(Held(b"%d" % number, each, 10) for number, each in enumerate(written))

    assert said(join(each.notes for each in kept)) == said(join(written))


@pytest.mark.parametrize("names", [(b"a", b"b"), (b"b", b"a")])
def test_names_do_not_matter(names: tuple[bytes, bytes]) -> None:
    """Of two notes one of which says all that the other one says, that one is kept, whatever the two are called."""
    lower, higher = (Notes((), (Floor("c", "s", version, float(version), 1),)) for version in (3, 4))
    kept = needed([Held(names[0], lower, 10), Held(names[1], higher, 10)])

    assert [each.notes for each in kept] == [higher]


def test_what_says_more_ranks_higher() -> None:
    """A note that says all that another one says is kept in its place, whatever the response itself has to tell."""

    def note(name: bytes, **chosen: float) -> Held:
        said = (Noted(path, Operation("x", f"{path}-{at}", at=at, recorded=at)) for path, at in chosen.items())
        return Held(name, Notes(tuple(said)), 100)

    less, more = note(b"z", site_code=3.0, language=1.0), note(b"a", site_code=3.0, language=2.0)
    own = note(b"own", language=5.0)

    assert needed([less, more]) == (more,)
    assert needed([less, more, own]) == (own, more)
