"""What the panel keeps of a request: names, numbers and the four switches, and not much of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from ..clock import Clock
from ..events import ContextEvent

__all__ = ["NOT_KNOWN", "NO_TOKEN", "Facts", "Load", "Read", "RequestRecord"]

LONGEST: Final = 160
"""Characters of a path that are kept."""
NO_TOKEN: Final = "no token"  # noqa: S105 - a word on the page
NOT_KNOWN: Final = "not known"
MOST: Final = 30
"""Loads, and events, of one request that are kept: a WebSocket may have any number."""


@dataclass(frozen=True, slots=True, repr=False)
class Read:
    """What a field had when it was read last.

    Args:
        value: of a switch; of everything else nothing, or what stands in its place.
        source: where it came from, as `SessionContext.source` says; empty for what is no field.
    """

    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Load:
    """One load of the context.

    Args:
        cache: as in the event of a load.
        travelled: whether the browser brought the document.
        age: seconds since Emporix was asked for it; `None` where nobody here knows.
        version: of the document, `None` where there is none.
    """

    cache: str
    travelled: bool
    age: float | None
    version: int | None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Facts:
    """What a request's context was like in the end.

    Args:
        shopper: who it is, in a word or two.
        unread: the switches that nobody has read, and what they have.
        parked: the fields whose changes wait.
        notes: what the notes of the browser hold, in words.
        document: what became of the travelling document, in words; empty where none travels.
    """

    shopper: str
    unread: dict[str, Read]
    parked: tuple[str, ...]
    notes: tuple[str, ...]
    document: str


class RequestRecord:
    """One request, or one WebSocket.

    Args:
        number: its name on the page.
        tenant: whose shop.
        clock: where time comes from.
        outer: the request of another shop's middleware that this one is a part of.

    Attributes:
        reads: by field.
        changes: the fields that it has changed, and to what; of attributes only that.
        loads: of its context.
        told: the events that came up meanwhile.
        owners: stand for the tokens that it had.
        waited: seconds for which it waited for its context.
        cookies_out: how many cookies of ours its response has set and cleared.
        is_listed: whether it has touched its context.
    """

    def __init__(self, number: int, tenant: str, clock: Clock, outer: RequestRecord | None) -> None:
        self.number, self.tenant, self.outer = number, tenant, outer
        self.began, self.at = clock.monotonic(), clock.time()
        self.method = self.path = self.error = ""
        self.status: int | None = None
        self.ended: float | None = None
        self.facts: Facts | None = None
        self.reads: dict[str, Read] = {}
        self.changes: dict[str, str] = {}
        self.loads: list[Load] = []
        self.told: list[ContextEvent] = []
        self.owners: set[bytes] = set()
        self.waited = 0.0
        self.cookies_out = (0, 0)
        self.is_listed = False
        self._clock = clock

    @property
    def has_begun(self) -> bool:
        """Whether it has reached the application."""
        return bool(self.method)

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return (self._clock.monotonic() if self.ended is None else self.ended) - self.began

    def list(self) -> None:
        """Note that it has touched its context."""
        self.is_listed = True

    def begin(self, scope: Scope) -> None:
        """Note what was asked for; not the query, which may hold anything."""
        self.method = scope.get("method", "WebSocket")
        self.path = scope.get("path", "")[:LONGEST]

    def read(self, field: str, read: Read) -> None:
        """Note that a field was read."""
        self.reads[field] = read

    def change(self, field: str, to: str) -> None:
        """Note that a field was changed."""
        self.changes[field] = to

    def load(self, load: Load) -> None:
        """Note a load."""
        if len(self.loads) < MOST:
            self.loads.append(load)

    def wait(self, seconds: float) -> None:
        """Note that it has waited for its context."""
        self.waited += seconds

    def own(self, owner: bytes) -> None:
        """Note what stands for its token."""
        if len(self.owners) < MOST:
            self.owners.add(owner)

    def tell(self, event: ContextEvent) -> None:
        """Note an event; what `load` has noted needs no other line."""
        if event.name != "context.loaded" and len(self.told) < MOST:
            self.told.append(event)

    def start(self, status: int) -> None:
        """Note that the response has started."""
        self.status = status

    def send_cookies(self, headers: tuple[bytes, ...]) -> None:
        """Note how many cookies the response sets, and how many it clears."""
        cleared = sum(b"max-age=0" in each.lower() for each in headers)
        self.cookies_out = len(headers) - cleared, cleared

    def end(self, scope: Scope, facts: Facts, error: BaseException | None) -> None:
        """Note that the application has ended, and what its context was like then."""
        template = getattr(scope.get("route"), "path", None)
        if isinstance(template, str) and template:
            self.path = (scope.get("root_path", "") + template)[:LONGEST]
        self.error = "" if error is None else type(error).__name__
        self.facts, self.ended = facts, self._clock.monotonic()
