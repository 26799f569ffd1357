"""What shoppers and others wanted, and what pages showed."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["ATTRIBUTES", "GIVEN_UP", "PATHS", "SWITCHES", "Choice", "Person", "Seen"]

SWITCHES = ("currency", "language", "site_code")
ATTRIBUTES = ("attributes.a", "attributes.b")
PATHS = SWITCHES + ATTRIBUTES
GIVEN_UP = 2
"""How often a choice is sent in vain."""


@dataclass(slots=True, eq=False)
class Person:
    """Somebody at a browser, from the first page to the logout.

    Args:
        number: tells them apart.
        tenant: whose shop it is.
        ended: when they asked to be logged out, `None` until then.
        pardoned: moments by path: of what was chosen before, nothing is expected. Emporix itself has undone it, or the
            shop has said that it is lost.
        orphaned: paths by token: of what was chosen with it nothing is expected: nobody ever told whose token it is.
    """

    number: int
    tenant: str
    ended: float | None = None
    pardoned: dict[str, float] = field(default_factory=dict)
    orphaned: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Choice:
    """One value that one request wanted.

    Args:
        person: who.
        session: where, as Emporix calls it; empty where there was no token.
        token: that token, empty for none.
        path: of what.
        value: `None` for an attribute that shall go.
        sent: when the request left the browser.
        answered: when the worker had done what it could, whether or not anybody heard of it.
        known: when its answer had reached the browser, and everybody who has to hear of it; `None` for never.
        swallowed: how often somebody was told that it was taken, and Emporix never saw it.
        swallowed_at: when that was last.
        claimed: the session and the version that was to be made for it then.
        in_doubt: whether its browser was told that it waits, though Emporix has taken it, or its receipt is lost.
        late: whether it was made when the response had started, so that the next one of its token tells the browser.
        gave_way: whether its worker has sent another one in its place, together with what the same request wanted.
        overruled: whether an earlier one came in its place, because somebody else had wiped its receipt; or one that
            was given up had come in its place.
        worker: that was asked for it.
        told_late: whether that heard that Emporix had taken it when it had done what it could.
    """

    person: Person
    session: str
    token: str
    path: str
    value: str | None
    sent: float
    answered: float | None = None
    known: float | None = None
    swallowed: int = 0
    swallowed_at: float = float("inf")
    claimed: tuple[str, int] = ("", -1)
    in_doubt: bool = False
    late: bool = False
    gave_way: bool = False
    overruled: bool = False
    worker: int | None = None
    told_late: bool = False

    @property
    def counts(self) -> bool:
        """Whether its person can expect to find it again."""
        person, path = self.person, self.path
        if self.swallowed >= GIVEN_UP or self.overruled:
            return False
        return self.sent >= person.pardoned.get(path, -1.0) and path not in person.orphaned.get(self.token, ())


@dataclass(slots=True, eq=False)
class Seen:
    """What one page showed.

    Args:
        person: to whom.
        session: of the token that the request brought.
        token: that token.
        place: the worker, instance and loop that answered.
        sent: when the request left the browser.
        values: by path.
        shown_session: which session the page believed to be of.
        stale: whether it said to be older than it should be.
        degraded: whether it said to know nothing.
        rejected: whether it said that the token is refused.
        exists: whether it said that there is a context.
    """

    person: Person
    session: str
    token: str | None
    place: tuple[int, int, int]
    sent: float
    values: dict[str, object]
    shown_session: str | None = None
    stale: bool = False
    degraded: bool = False
    rejected: bool = False
    exists: bool = False
