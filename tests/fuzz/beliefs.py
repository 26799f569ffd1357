"""What may be the case with each field of a context, as far as a shopper can tell."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["FIELDS", "WIRE", "Belief", "Seen"]

WIRE = {"site_code": "siteCode", "currency": "currency", "language": "language", "target_location": "targetLocation"}
FIELDS = (*WIRE, "attributes.a", "attributes.b")


@dataclass
class Seen:
    """What one request saw, and how its commit ended."""

    status: int = 200
    values: dict[str, object] = field(default_factory=dict)
    degraded: bool = False
    patches: int = 0
    commits: list[str] = field(default_factory=list)

    @property
    def commit(self) -> str:
        return self.commits[-1] if self.commits else ""


class Belief:
    """What may be the case with one field, as far as a shopper can tell.

    Args:
        value: what Emporix holds in the beginning.
        tokens: of the session, which may each see something else.
    """

    def __init__(self, value: object, tokens: int) -> None:
        self.shown: list[set[object]] = [{value} for _ in range(tokens)]
        self.held: set[object] = {value}
        """What Emporix may hold once everything has healed."""
        self.landing: set[object] = {value}
        """What Emporix may come to hold on the way there."""
        self.waiting: set[int | None] = set()
        """Tokens with a change that Emporix may not have yet; `None` for one whose session was forgotten."""
        self.old: set[object] = set()
        """What waited for another token when this was sent; see `test_stateful.py`."""
        self.never: set[object] = set()
        """What was discarded, so that nobody may ever see it."""

    def settle(self, value: object) -> None:
        """Note that Emporix has this, and that nothing else is on its way."""
        self.held = {value}
        self.landing = {value}
        self.waiting = set()
        self.shown = [{value} for _ in self.shown]

    def wait(self, token: int, value: object) -> None:
        """Note that a change is kept by this process, for one token at least."""
        # Which of two tokens' wishes is the later one is not known while nobody knows that they are of one session.
        self.held = {value} if len(self.shown) == 1 else self.held | {value}
        self.landing.add(value)
        self.waiting.add(token)
        for shown in self.shown:
            shown.add(value)
        self.shown[token] = {value}

    def replace(self, value: object) -> None:
        """Note that somebody else has written this at Emporix."""
        self.held = self.held | {value} if self.waiting else {value}
        self.landing = self.landing | {value} if self.waiting else {value}
        for shown in self.shown:
            shown.add(value)

    def drop(self, now: object) -> None:
        """Note that a change which waited may have been dropped."""
        self.held.add(now)
        for shown in self.shown:
            shown |= {now, *self.held}
