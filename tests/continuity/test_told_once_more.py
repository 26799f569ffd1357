"""Choices that overlap, and answers in any order, or lost: what the browser was told stays told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_ctx_middleware import continuity
from session_ctx_middleware.clock import Clock
from session_ctx_middleware.continuity import MAX_SET, ContinuityCookies
from session_ctx_middleware.engine import Floor, Noted, Notes, join
from session_ctx_middleware.model.operation import Operation, Taken
from session_ctx_middleware.sealing import Keyring

from ..simulation.visit import Names

URL = "https://api.emporix.io"
VALUES = {"currency": "USD", "language": "fr", "attributes.a": "x", "attributes.b": "x" * 60}
PACE = 0.1
"""Seconds between two steps: twenty of them fit into `on_their_way.SOON`."""

Step = tuple[str, int, str, float, str]
Cookies = dict[bytes, bytes]

steps = st.lists(
    st.tuples(
        st.sampled_from([*["choose"] * 5, *["receive"] * 4, "send", "read", "lose", "log out"]),
        st.integers(0, 99),
        st.sampled_from(sorted(VALUES)),
        st.sampled_from([0.0, 0.0, 0.3, 1.5]),
        st.sampled_from(["parked", "taken", "taken, the session is known"]),
    ),
    min_size=40,
    max_size=80,
)


class Time:
    """A clock that is moved by hand."""

    now = 1_790_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = time


class Visit:
    """One browser, two processes of one shop, and what is on its way between them.

    Args:
        encrypted: whether notes are sealed.
        names: of notes and changes.
    """

    def __init__(self, names: Names, *, encrypted: bool) -> None:
        self.clock = Time()
        self.requests: list[Cookies] = [{}]
        self.answers: list[tuple[tuple[bytes, ...], Notes]] = []
        self.told: list[Notes] = []
        self._jar: Cookies = {}
        self._names = names
        self._version = 0
        self._shops = [
            ContinuityCookies(
                Keyring([b"s" * 32], "acme", URL),
                tenant="acme",
                base_url=URL,
                name="session_ctx",
                https_only=True,
                encrypted=encrypted,
                max_bytes=3072,
                clock=cast("Clock", self.clock),
            )
            for _ in range(2)
        ]

    def send(self) -> None:
        self.requests.append(dict(self._jar))

    def answer(self, what: str, number: int, path: str, ago: float, how: str) -> None:
        """Answer a request, which may have been sent long ago; another page may be sent with the same cookies."""
        shop, scope = self._shops[number % 2], scope_of(self.requests[number % len(self.requests)])
        brought = shop.read(scope)
        notes = brought.notes or Notes()
        own = self._choice(path, ago, how, notes, number) if what == "choose" else None
        if what == "log out":
            own = Notes((), (), notes.era + 1, self.clock.now)
        headers = shop.write(scope, brought, own, ends=what == "log out").headers
        assert sum(map(len, headers)) <= MAX_SET
        self.answers.append((headers, own or Notes()))

    def _choice(self, path: str, ago: float, how: str, brought: Notes, number: int) -> Notes:
        """Return what a choice has to tell that was made so long ago, by a request that knew what it brought."""
        at = round(max(self.clock.now - ago, brought.newest_at + 1e-6), 6)
        session, taken = "", None
        floors: tuple[Floor, ...] = ()
        if how != "parked":
            self._version += 1
            taken = Taken(self._version, "c0", self.clock.now, f"{number:08x}")
            session = "5e55" if "known" in how else ""
            floors = (Floor("c0", "5e55", self._version, self.clock.now, self._version - 1),)
        change = Operation(VALUES[path], self._names.token_urlsafe(6), at, at, taken, brought.era)
        token = "f1" if number % 7 else "f2"  # now and then another tab has another token
        noted = Noted(path, change, token, session, bool(session))
        return Notes((noted,), floors, brought.era, brought.ended, how == "parked")

    def receive(self, headers: tuple[bytes, ...], told: Notes) -> None:
        for header in headers:
            name, _, value = header.partition(b";")[0].partition(b"=")
            self._jar[name] = value
            if not value:
                del self._jar[name]
        self.told.append(told)

    def known(self) -> Notes:
        """Return what the browser knows; each note is read alone, as no request reads more than 8 KiB."""
        notes = (self._shops[0].read(scope_of({name: value})).notes for name, value in self._jar.items())
        return join(each for each in notes if each is not None)


def scope_of(cookies: Cookies) -> dict[str, Any]:
    return {"headers": [(b"cookie", b"; ".join(name + b"=" + value for name, value in cookies.items()))]}


def what_counts(notes: Notes) -> Notes:
    """Return notes without two things that may get lost.

    From which version on they are complete costs no more than a call to Emporix. What has overtaken a change is
    forgotten where a change that waits has come in its place.
    """
    floors = tuple(replace(floor, complete_from=0) for floor in notes.floors)
    changes = (replace(each, operation=replace(each.operation, overtaken_by=())) for each in notes.operations)
    return replace(notes, operations=tuple(changes), floors=floors)


@pytest.mark.parametrize("encrypted", [False, True], ids=["signed", "encrypted"])
@given(steps)
def test_what_was_told_stays_told(encrypted: bool, history: list[Step]) -> None:
    """Whatever is told once more, joined and cleared: the browser knows all that the answers which it got have told."""
    names = Names(len(history))
    visit = Visit(names, encrypted=encrypted)
    with patch.object(continuity, "secrets", names):
        for what, number, path, ago, how in history:
            visit.clock.now = round(visit.clock.now + PACE, 6)
            if what == "send":
                visit.send()
            elif what in {"choose", "read", "log out"}:
                visit.answer(what, number, path, ago, how)
            elif visit.answers:
                answer = visit.answers.pop(number % len(visit.answers))
                if what == "receive":
                    visit.receive(*answer)
                    known = visit.known()
                    assert what_counts(join([known, *visit.told])).says_the_same_as(what_counts(known))
