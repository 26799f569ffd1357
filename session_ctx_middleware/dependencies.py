"""What the requests of one middleware share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from .clock import Clock, HybridClock
from .continuity import ContinuityCookie
from .engine import ContextSource, Engine, EngineOptions
from .errors import ConfigurationError
from .events import Events
from .health import Monitored
from .model.view import ContextDefaults
from .policies import ContinuityPolicy
from .token_watch import TokenWatch
from .tokens import TokenChain

__all__ = ["Engines", "RequestDependencies"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDependencies:
    """What every request needs.

    Args:
        tokens: where tokens are found.
        defaults: what the shop shows where nothing else is known.
        events: who is told what happens.
        clock: where time comes from.
        timestamps: of changes.
        engine: returns the engine of an event loop.
        cookie: carries what one worker knows to the next; `None` without a secret.
        continuity: how it does that.
        strict: whether a leak is an error instead of a report.
        middleware: returns the middleware, `None` where it is gone.
        token_watch: is told whether requests bring tokens.
    """

    tokens: TokenChain
    defaults: ContextDefaults
    events: Events
    clock: Clock
    timestamps: HybridClock
    engine: Callable[[asyncio.AbstractEventLoop], Engine]
    cookie: ContinuityCookie | None = None
    continuity: ContinuityPolicy = field(default_factory=ContinuityPolicy)
    strict: bool = False
    middleware: Callable[[], Monitored | None] = lambda: None
    token_watch: TokenWatch | None = None

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
    """One engine for each event loop; nothing in it is shared with another loop but the store and the client.

    Args:
        options: what the engines share.
        source: Emporix.
    """

    def __init__(self, options: EngineOptions, source: ContextSource) -> None:
        self._options = options
        self._source = source
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Engine] = WeakKeyDictionary()
        # Most processes have one loop, and a weak dictionary takes its time.
        self._last: tuple[asyncio.AbstractEventLoop, Engine] | None = None

    def of(self, loop: asyncio.AbstractEventLoop) -> Engine:
        """Return the engine of a loop, a new one for a loop that is new."""
        last = self._last
        if last is not None and last[0] is loop:
            return last[1]
        known = self._by_loop.get(loop)
        if known is None:
            known = self._by_loop[loop] = Engine(self._options, self._source)
            self._options.events.began(loop)
        self._last = (loop, known)
        return known

    @property
    def are_calling(self) -> bool:
        """Whether the breakers of all event loops that still run let calls through."""
        return all(engine.is_calling for loop, engine in list(self._by_loop.items()) if not loop.is_closed())

    def known(self, loop: asyncio.AbstractEventLoop) -> Engine | None:
        """Return the engine of a loop, `None` where there is none."""
        return self._by_loop.get(loop)

    def forget(self, loop: asyncio.AbstractEventLoop) -> None:
        """Forget the engine of a loop; the next request gets a new one."""
        self._last = None
        self._by_loop.pop(loop, None)
