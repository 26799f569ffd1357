"""What a token source is, and what one that takes care of sessions has to do with requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self, TypeAlias

from starlette.requests import HTTPConnection
from starlette.types import Scope

from .clock import Clock
from .credentials import StorefrontToken
from .events import Events
from .model.transition import Belongings, Follows, Transition, TransitionKind
from .observing import CallObserver
from .sealing import Keyring

__all__ = ["ANY_HEADER", "Movable", "OwnSource", "SessionSetup", "SessionSource", "TokenSource", "Visitor"]

Found: TypeAlias = "str | StorefrontToken | None"
TokenSource: TypeAlias = Callable[[HTTPConnection], "Found | Awaitable[Found]"]

ANY_HEADER: Final = ("Authorization", "Cookie")


class OwnSource:
    """A token source of this package that may need more than a request: somebody to tell, and an end.

    Its `repr` says how it was configured, and holds no secret.
    """

    vary: tuple[str, ...] = ANY_HEADER
    """The request headers that its tokens come from."""

    def __call__(self, connection: HTTPConnection) -> Found | Awaitable[Found]:
        """Return the token of a request."""
        raise NotImplementedError

    def tell(self, events: Events) -> None:
        """Have a middleware's operators told of what goes wrong."""

    async def settle(self) -> None:
        """Let calls end while what they need is open."""

    async def aclose(self) -> None:
        """Close what was opened on the running event loop."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SessionSetup:
    """What a source that takes care of sessions gets from the middleware that it is given to.

    Args:
        tenant: the Emporix tenant.
        base_url: where Emporix is.
        keyring: the shop's secrets.
        client: how calls are made: keywords of every client of the platform.
        https_only: whether every request counts as https.
        patience: seconds for which a request waits for a token.
        clock: where time comes from.
        events: who is told what happens.
        moving: returns a request of the middleware as it goes over to another token.
        store: what the middleware shares with others; `None` for nothing.
        observer: watches the calls; `None` for nobody.
    """

    tenant: str
    base_url: str
    keyring: Keyring
    client: Mapping[str, Any]
    https_only: bool
    patience: float
    clock: Clock
    events: Events
    moving: Callable[[HTTPConnection], Movable]
    store: object = None
    observer: CallObserver | None = None


class HeldSession(Protocol):
    """A session, as the source has it that takes care of it."""

    def hides(self, cart_id: str) -> bool:
        """Tell whether a cart is not this session's, though Emporix still names it: it is another company's."""
        ...


class Visitor:
    """Who a token is sought for, and what his browser is to keep from then on.

    Args:
        choices: returns what the shopper has chosen so far, or the shop has by default, by the names of the switches.
        is_answered: tells whether the response has started, so that the browser cannot be given anything any more.
        era: returns how often the shopper has logged out in this browser; a session from before that is nobody's.
    """

    __slots__ = ("choices", "era", "headers", "is_answered", "session", "session_era", "until")

    def __init__(
        self, choices: Callable[[], Mapping[str, str]], is_answered: Callable[[], bool], era: Callable[[], int]
    ) -> None:
        self.choices = choices
        self.is_answered = is_answered
        self.era = era
        self.session: HeldSession | None = None
        """The session that the request goes on with."""
        self.session_era = 0
        """The era that it was begun in."""
        self.headers: tuple[bytes, ...] = ()
        """The values of ``Set-Cookie`` that the browser is to get of it."""
        self.until = float("inf")
        """Until when the request waits, in monotonic seconds."""

    def waiting(self, until: float) -> Self:
        """Return the same visitor, whose request waits until then (monotonic seconds)."""
        self.until = until
        return self

    def is_of(self, session: HeldSession, era: int) -> None:
        """Note the session that the request brought.

        Args:
            session: as the source knows it.
            era: that it was begun in.
        """
        self.session, self.session_era = session, era

    def keeps(self, session: HeldSession | None, era: int, headers: tuple[bytes, ...]) -> None:
        """Note that the request goes on with another session than it brought, or with other tokens, and keeps them."""
        self.session, self.session_era, self.headers = session, era, headers

    def clears(self, headers: tuple[bytes, ...]) -> None:
        """Note that the browser is to lose what counts no more."""
        self.headers = headers


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Movable:
    """A request as those see it who give its shopper another token.

    Args:
        visitor: who it is, and what his browser is to keep.
        check: raises `ContextSealed` where the browser cannot be given anything any more.
        uses: notes that the response depends on whose session it is.
        run: awaits what works on the request, on the event loop that serves it.
        credentials: returns the token that it goes on with.
        another_token: returns another one in place of one that Emporix has refused.
        belongings: returns what the shopper has before the move.
        choices: the same, or less where nothing is known that he has chosen: then Emporix is not asked.
        belongings_of_before: the same where Emporix may have moved him already.
        next_era: returns the era of what comes after a logout.
        goes_on_with: has the request go on with a token, or none, and nothing else.
        end: has nothing of a token's session shown any more, and all that the browser has be void.
        move: has the request go on with a token, and the shopper's belongings follow.
    """

    visitor: Visitor
    check: Callable[[], None]
    uses: Callable[[], None]
    run: Callable[[Coroutine[object, object, Transition]], Awaitable[Transition]]
    credentials: Callable[[], Awaitable[StorefrontToken | None]]
    another_token: Callable[[StorefrontToken], Awaitable[StorefrontToken | None]]
    belongings: Callable[[], Awaitable[Belongings]]
    choices: Callable[[], Awaitable[Belongings]]
    belongings_of_before: Callable[[], Awaitable[Belongings]]
    next_era: Callable[[], int]
    goes_on_with: Callable[[StorefrontToken | None], None]
    end: Callable[[StorefrontToken | None, int], Awaitable[None]]
    move: Callable[[Belongings, StorefrontToken | None, TransitionKind, Follows], Awaitable[Transition]]


class SessionSource(OwnSource):
    """A source that begins sessions, and refreshes their tokens."""

    def bind(self, setup: SessionSetup) -> None:
        """Serve one middleware, and no other."""
        raise NotImplementedError

    async def find(self, connection: HTTPConnection, visitor: Visitor) -> StorefrontToken | None:
        """Return the token of a request."""
        raise NotImplementedError

    def at_once(self, scope: Scope, visitor: Visitor) -> StorefrontToken | None:
        """Return the token of a session that a request brings, `None` where somebody has to be asked."""
        raise NotImplementedError

    async def end(self, connection: HTTPConnection) -> None:
        """Have the sessions that a request has brought be nobody's from now on."""
        raise NotImplementedError

    def carried(self, scope: Scope) -> Mapping[bytes, int]:
        """Return the names of its cookies that a request has brought, and how many bytes each takes."""
        raise NotImplementedError

    def saas_token(self, token: StorefrontToken, visitor: Visitor) -> str | None:
        """Return the customer's saas token that goes with a token, `None` where there is none that is good."""
        raise NotImplementedError

    async def instead_of(
        self, refused: StorefrontToken, connection: HTTPConnection, visitor: Visitor
    ) -> StorefrontToken | None:
        """Return another token in place of one that Emporix has refused, `None` where there is none."""
        raise NotImplementedError
