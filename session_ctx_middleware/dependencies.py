"""What the requests of one middleware share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from starlette.requests import HTTPConnection

from .clock import Clock, HybridClock
from .continuity import ContinuityCookies
from .document_cookie import DOCUMENT, DocumentCookies
from .emporix.carts import CartFollows
from .emporix.sites import SiteCatalog
from .engine import ContextSource, Engine, EngineOptions, Neighbour, Neighbourhood
from .errors import ConfigurationError
from .events import ContextEvent, Events
from .health import Monitored
from .model.view import ContextDefaults
from .policies import ContinuityPolicy
from .resolution import Resolvers
from .sealing import Keyring
from .token_watch import TokenWatch
from .tokens import TokenChain
from .variants import Sharing

__all__ = ["Engines", "RequestDependencies", "cookies_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDependencies:
    """What every request needs.

    Args:
        tokens: where tokens are found.
        defaults: what the shop shows where nothing else is known.
        events: who is told what happens.
        clock: where time comes from.
        timestamps: of changes.
        engine: returns the engine of the running event loop.
        patience: seconds for which a request waits for reading.
        cookies: carry what one worker knows to the next; `None` without a secret.
        documents: have browsers carry documents, too; `None` where they do not.
        consents: tells whether the shopper of a connection has agreed to that; `None` where nobody has to be asked.
        strict: whether a leak is an error instead of a report.
        https_only: whether every request counts as https.
        middleware: returns the middleware, `None` where it is gone.
        token_watch: is told whether requests bring tokens.
        place: tenant and address: which contexts these are.
        resolvers: tell values from requests; `None` where there are none.
        sites: what the shop's sites offer, `None` where nobody wants to know.
        carts: moves the carts of shoppers, `None` where they stay where they are.
        sharing: whether pages are shared by variant.
        server_timing: whether responses say what their context has cost.
        observes: whether anybody wants to know of each load: a cache hit does nothing that nobody sees.
    """

    tokens: TokenChain
    defaults: ContextDefaults
    events: Events
    clock: Clock
    timestamps: HybridClock
    engine: Callable[[asyncio.AbstractEventLoop], Engine]
    patience: float = 2.0
    cookies: ContinuityCookies | None = None
    documents: DocumentCookies | None = None
    consents: Callable[[HTTPConnection], bool] | None = None
    strict: bool = False
    https_only: bool = False
    middleware: Callable[[], Monitored | None] = lambda: None
    token_watch: TokenWatch | None = None
    place: tuple[str, str] = ("", "")
    resolvers: Resolvers | None = None
    sites: SiteCatalog | None = None
    carts: CartFollows | None = None
    sharing: Sharing = field(default_factory=Sharing)
    server_timing: bool = False
    observes: bool = False

    def monitored(self) -> Monitored:
        """Return the middleware.

        Raises:
            ConfigurationError: nobody has kept it.
        """
        middleware = self.middleware()
        if middleware is None:
            raise ConfigurationError("The middleware of this session context is gone: keep the application.")
        return middleware


class Engines:
    """One engine for each event loop of a middleware; a new loop goes on with what one that has ended knew.

    Args:
        options: what the engines share.
        source: Emporix.
        neighbourhood: the engines of this process that use the same store object.
        browsers_keep: whether browsers keep parked changes, too.
    """

    def __init__(
        self, options: EngineOptions, source: ContextSource, neighbourhood: Neighbourhood, *, browsers_keep: bool
    ) -> None:
        self._browsers_keep = browsers_keep
        self._options = options
        self._source = source
        self._neighbourhood = neighbourhood.joined_by(self)
        self._neighbours: list[Neighbour] = []
        self._by_loop: dict[asyncio.AbstractEventLoop, Engine] = {}
        self._lock = threading.Lock()
        # Most processes have one loop.
        self._last: tuple[asyncio.AbstractEventLoop, Engine] | None = None

    def of(self, loop: asyncio.AbstractEventLoop) -> Engine:
        """Return the engine of a loop, a new one for a loop that is new."""
        last = self._last
        if last is not None and last[0] is loop:
            return last[1]
        with self._lock:
            known = self._by_loop.get(loop)
            if known is None:
                known = self._by_loop[loop] = self._new()
                self._options.events.began(loop)
            self._last = (loop, known)
        return known

    @property
    def are_calling(self) -> bool:
        """Whether the breakers of all event loops that still run let calls through."""
        return all(engine.is_calling for loop, engine in list(self._by_loop.items()) if not loop.is_closed())

    async def close(self, seconds: float) -> None:
        """Let the engine of the running loop end its work in that time; the next request gets a new one."""
        loop = asyncio.get_running_loop()
        engine = self._by_loop.get(loop)
        if engine is not None:
            await engine.aclose(seconds)  # while requests that end now still find it
            with self._lock:
                self._last = None
                self._by_loop.pop(loop, None)
            engine.neighbour.move_out()
        if all(each.is_vacant for each in self._neighbours):
            self._neighbourhood.left_by(self)
        if not self._browsers_keep and self._neighbourhood.ends_with_changes:
            event = ContextEvent(name="changes.lost", operation="shutdown", outcome="in memory")
            self._options.events.emit(event)
        await self._neighbourhood.release()

    def _new(self) -> Engine:
        # An engine keeps its loop alive, so that a closed one does not go by itself.
        for closed in [each for each in self._by_loop if each.is_closed()]:
            del self._by_loop[closed]
        here = self._neighbourhood.joined_by(self)
        if here is not self._neighbourhood:  # others have begun anew since this middleware was closed
            self._neighbourhood, self._neighbours = here, []
            self._options = replace(self._options, store=here.store)
        neighbour = next((each for each in self._neighbours if each.is_vacant), None)
        if neighbour is None:
            neighbour = here.neighbour()
            self._neighbours.append(neighbour)
        return Engine(self._options, self._source, neighbour)


def cookies_of(
    keyring: Keyring,
    place: tuple[str, str],
    policy: ContinuityPolicy,
    *,
    name: str,
    https_only: bool,
    longest: float,
    clock: Clock,
    events: Events,
) -> tuple[ContinuityCookies, DocumentCookies | None]:
    """Return what writes and reads the notes, and the document where that travels along.

    Args:
        keyring: the shop's secrets.
        place: tenant and address.
        policy: what browsers carry.
        name: what the names of the cookies begin with.
        https_only: treat every request as https.
        longest: seconds after which nobody uses a document any more.
        clock: where time comes from.
        events: who is told of a document that is too large.
    """
    tenant, base_url = place
    notes = ContinuityCookies(
        keyring,
        tenant=tenant,
        base_url=base_url,
        name=name,
        https_only=https_only,
        encrypted=policy.seals,
        max_bytes=policy.max_bytes,
        clock=clock,
        beside=DOCUMENT if policy.document is not False else b"",
    )
    if policy.document is False:
        return notes, None
    documents = DocumentCookies(
        keyring,
        tenant=tenant,
        base_url=base_url,
        name=name,
        https_only=https_only,
        max_bytes=policy.max_bytes,
        longest=longest,
        clock=clock,
        events=events,
    )
    return notes, documents
