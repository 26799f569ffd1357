"""The servers of a shop: workers, instances of the middleware in each, and event loops in each."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
from starlette.requests import HTTPConnection

from session_ctx_middleware import (
    BearerToken,
    CachePolicy,
    ContextEvent,
    ContinuityPolicy,
    SessionContext,
    SessionContextMiddleware,
    StorefrontToken,
    UpstreamPolicy,
)
from session_ctx_middleware.stores import ContextStore, MemoryStore

from ..support.left_over import left_over
from .backplane import Backplane
from .loops import Loops, SimulatedClock
from .setups import Setup
from .wire import READ_TIMEOUT, Line, Wire

__all__ = ["CACHE", "UPSTREAM", "Answer", "Fleet", "Headers", "Place", "Request"]

CACHE: Final = CachePolicy(ttl=5, missing_ttl=0.5, stale_while_revalidate=5, stale_if_error=60, rejected_ttl=1)
UPSTREAM: Final = UpstreamPolicy(deadline=1.0, commit_deadline=1.5, timeout=READ_TIMEOUT, max_concurrency=20)
SESSION_TOLD: Final = b"x-session"

Headers = list[tuple[bytes, bytes]]
Handler = Callable[[SessionContext, "Request"], Awaitable[int]]
_serving: ContextVar[Request | None]
ADDRESS: Final = "https://emporix.test"


@dataclass(slots=True, eq=False)
class Request:
    """One request on its way through a worker.

    Args:
        headers: of the request.
        handler: the page: answers with a status, and may begin the response itself with `start`.
        heard: names of the events that the middleware has told of it.
        paused: seconds for which the page itself did nothing.
        started: is done as soon as the response has.
        ended: is done when everything is.
    """

    headers: Headers
    handler: Handler
    started: asyncio.Future[Answer]
    ended: asyncio.Future[None]
    heard: list[str] = field(default_factory=list)
    paused: float = 0.0
    send: Callable[[dict[str, Any]], Awaitable[None]] | None = None

    async def pause(self, seconds: float) -> None:
        """Let time go by."""
        self.paused += seconds
        await asyncio.sleep(seconds)

    async def start(self, status: int) -> None:
        """Begin the response before the page is done."""
        assert self.send is not None
        await self.send({"type": "http.response.start", "status": status, "headers": []})


_serving = ContextVar("_serving", default=None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the browser gets."""

    status: int
    headers: Headers

    def __str__(self) -> str:
        """Return how many cookies it sets, and how many it clears: their names are random."""
        said = [value.partition(b"=")[2] for name, value in self.headers if name == b"set-cookie"]
        cleared = sum(value.startswith(b";") for value in said)
        return f"{self.status}, sets {len(said) - cleared} and clears {cleared} cookies"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request is served."""

    worker: int
    instance: int
    loop: int

    @property
    def key(self) -> tuple[int, int, int]:
        return self.worker, self.instance, self.loop


class Fleet:
    """All workers of a host name; build it on a running loop.

    Args:
        setup: what they are like.
        tenants: whose shops they serve.
        wire: the way to Emporix.
        loops: of all workers.
        rng: decides everything.
        told: whether the application says which session a token is of.
    """

    def __init__(
        self, setup: Setup, tenants: list[str], wire: Wire, loops: Loops, rng: random.Random, *, told: bool
    ) -> None:
        self.setup = setup
        self.rng = rng
        self.errors: list[str] = []
        self.late: list[str] = []
        self._loops = loops
        self._street = asyncio.get_running_loop()
        self._told = told
        self.backplane = Backplane(
            SimulatedClock(loops.time, rng.randrange(2**32)), rng, faulty=setup.store == "faulty"
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: list[httpx2.AsyncClient] = []
        self.shops: dict[tuple[str, int, int], SessionContextMiddleware] = {}
        for worker in range(setup.workers):
            self._open(worker, tenants, wire)

    def _open(self, worker: int, tenants: list[str], wire: Wire) -> None:
        setup = self.setup
        clock = SimulatedClock(self._loops.time, self.rng.randrange(2**32))
        clock.wall_offset = self.rng.uniform(-setup.skew, setup.skew) if setup.skew else 0.0
        line = Line(wire, worker, alone=setup.instances == setup.loops == 1)
        client = httpx2.AsyncClient(transport=line)
        self._clients.append(client)
        # Workers are processes of their own; instances of one process find each other by themselves.
        store: ContextStore | None = None
        if setup.store != "none":
            store = self.backplane.store()
        elif setup.workers > 1:
            store = MemoryStore(clock=clock)
        for tenant in tenants:
            for instance in range(setup.instances):
                self.shops[tenant, worker, instance] = SessionContextMiddleware(
                    _application,
                    tenant=tenant,
                    base_url=ADDRESS,
                    token=_told if self._told else BearerToken(),
                    secret_key="s" * 32 if setup.notes else None,
                    continuity=ContinuityPolicy(document=setup.document),
                    cache=CACHE,
                    upstream=UPSTREAM,
                    store=store,
                    http_client=client,
                    on_event=_hear,
                    clock=clock,
                )

    @property
    def places(self) -> list[Place]:
        """Every place where a request can be served."""
        setup = self.setup
        kinds = itertools.product(range(setup.workers), range(setup.instances), range(setup.loops))
        return [Place(*each) for each in kinds]

    def somewhere(self) -> Place:
        """Return any of them."""
        setup, pick = self.setup, self.rng.randrange
        return Place(
            pick(setup.workers) if setup.workers > 1 else 0,
            pick(setup.instances) if setup.instances > 1 else 0,
            pick(setup.loops) if setup.loops > 1 else 0,
        )

    async def serve(
        self, tenant: str, place: Place, headers: Headers, handler: Handler, *, leaves_after: float | None = None
    ) -> tuple[Request, Answer]:
        """Answer a request; return once the response has begun, while the rest of it may go on.

        Args:
            tenant: whose shop.
            place: where.
            headers: of the request.
            handler: the page.
            leaves_after: seconds after which the server gives the request up.
        """
        request = Request(headers, handler, self._street.create_future(), self._street.create_future())
        loop = self._loop(place)
        task = loop.create_task(self._run(self.shops[tenant, place.worker, place.instance], request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if leaves_after is not None:
            await asyncio.sleep(leaves_after)
            loop.call_soon(task.cancel)
        return request, await request.started

    async def drained(self) -> None:
        """Wait until every request has come to its end."""
        while self._tasks:
            await asyncio.sleep(0.1)

    def left_over(self) -> list[str]:
        """Return what the middlewares still hold."""
        found = []
        for shop in self.shops.values():
            for engine in shop._engines._by_loop.values():
                found += [f"{size} {name}" for name, size in left_over(engine).items()]
        return found

    async def close(self) -> None:
        """Shut everything down, each loop by itself."""
        for shop in self.shops.values():
            for loop in self._loops.all:
                await self._on(loop, shop.aclose)
        for client in self._clients:
            await client.aclose()

    def _loop(self, place: Place) -> asyncio.AbstractEventLoop:
        return self._loops.all[place.worker * self.setup.loops + place.loop if self.setup.loops > 1 else 0]

    async def _on(self, loop: asyncio.AbstractEventLoop, work: Callable[[], Awaitable[None]]) -> None:
        done = self._street.create_future()

        async def there() -> None:
            await work()
            self._street.call_soon(done.set_result, None)

        task = loop.create_task(there())
        await done
        del task

    async def _run(self, shop: SessionContextMiddleware, request: Request) -> None:
        scope: dict[str, Any] = {
            "type": "http",
            "scheme": "https",
            "method": "GET",
            "path": "/",
            "headers": request.headers,
        }
        scope["simulated"] = request
        began = self._loops.time.now
        _serving.set(request)

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._took(request, self._loops.time.now - began - request.paused)
                self._street.call_soon(_begin, request, Answer(message["status"], message["headers"]))

        try:
            await shop(scope, _receive, send)
        except asyncio.CancelledError:
            self._street.call_soon(_begin, request, Answer(499, []))
        except Exception as error:
            self.errors.append(f"{request.handler.__name__}: {error!r}")
            self._street.call_soon(_begin, request, Answer(500, []))
        finally:
            self._street.call_soon(request.ended.set_result, None)

    def _took(self, request: Request, seconds: float) -> None:
        if seconds > UPSTREAM.deadline + UPSTREAM.commit_deadline + GRACE:
            self.late.append(f"{request.handler.__name__} took {seconds:.2f} s at {self._loops.time.now:.3f}")


GRACE: Final = 0.5
"""Seconds for the store, which has a budget of its own."""


def _begin(request: Request, answer: Answer) -> None:
    if not request.started.done():
        request.started.set_result(answer)


async def _application(scope: Any, receive: Any, send: Any) -> None:
    request: Request = scope["simulated"]
    request.send = send
    status = await request.handler(scope["state"]["session_ctx"], request)
    if status:
        await request.start(status)
    await send({"type": "http.response.body"})


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


def _hear(event: ContextEvent) -> None:
    request = _serving.get()
    if request is not None:
        request.heard.append(event.name)


def _told(connection: HTTPConnection) -> StorefrontToken | None:
    """Return the token, and the session that it is of: what a shop knows that refreshes tokens itself."""
    token = connection.headers.get("authorization")
    session = connection.headers.get(SESSION_TOLD.decode())
    return None if token is None else StorefrontToken(token[7:], session_id=session)
