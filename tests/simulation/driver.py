"""Shoppers, foreign writers and a nemesis: a run is a seed, and the seed decides everything."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from starlette.requests import HTTPConnection

from session_ctx_middleware import (
    CachePolicy,
    ContextDefaults,
    ContextEvent,
    SessionContext,
    SessionContextError,
    StorefrontToken,
    UpstreamPolicy,
)
from session_ctx_middleware.clock import HybridClock
from session_ctx_middleware.continuity import ContinuityCookie
from session_ctx_middleware.dependencies import RequestDependencies
from session_ctx_middleware.engine import Engine, EngineOptions, Keys, Stats
from session_ctx_middleware.events import Events
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.tokens import TokenChain

from ..support.left_over import left_over
from ..support.virtual_time import VirtualClock, VirtualTimeLoop
from .backplane import Backplane
from .history import ONE_PROCESS, History, Read, Setup, Write
from .model import CLEAR, ModelEmporix, ServerSession, Weather

__all__ = ["CACHE", "ONE_PROCESS", "PATHS", "UPSTREAM", "Setup", "play"]

PATHS = ("currency", "language", "site_code", "attributes.a", "attributes.b")
CACHE = CachePolicy(ttl=5, missing_ttl=0.5, stale_while_revalidate=5, stale_if_error=60, rejected_ttl=1)
UPSTREAM = UpstreamPolicy(deadline=1.0, commit_deadline=1.5, timeout=2.0, max_concurrency=20)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SECRET = b"s" * 32


class Browser:
    """One shopper's browser: what it was told to carry, and one thing at a time that its owner does."""

    def __init__(self) -> None:
        self.cookie: bytes | None = None
        self.hand = asyncio.Lock()

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [] if self.cookie is None else [(b"cookie", self.cookie)]

    def receive(self, header: bytes | None) -> None:
        if header is not None:
            pair = header.partition(b";")[0]
            self.cookie = None if pair.endswith(b"=") else pair


class Visit(SessionContext):
    """A request, and what is heard of its commit."""

    heard = ""
    worker = 0
    browser: Browser

    def hear(self, event: ContextEvent) -> None:
        if event.name.startswith("commit."):
            self.heard = event.name

    async def finish(self, status: int) -> None:
        self.browser.receive(await self._finish({"status": status}))


class Run:
    """One seed.

    Args:
        seed: decides everything.
        operations: requests in all, about.
        setup: what the shop runs on.
    """

    def __init__(self, seed: int, operations: int, setup: Setup = ONE_PROCESS) -> None:
        self.rng = random.Random(seed)
        self.setup = setup
        self.history = History(seed, setup=setup)
        self.emporix = ModelEmporix(self.rng)
        self.clock = VirtualClock(seed)
        self._operations = operations
        self._numbers = itertools.count(1)
        self._unnoticed: list[str] = []
        self._lagging = self.rng.random() < 0.4
        self.browsers: dict[str, Browser] = {}
        self.engines: list[Engine] = []
        self._workers: list[RequestDependencies] = []

    async def play(self) -> History:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self._unnoticed.append(str(context)))
        self._build(loop)
        shoppers = [asyncio.ensure_future(self._shopper(name)) for name in self.emporix.sessions for _ in range(2)]
        others = [
            asyncio.ensure_future(work)
            for work in (self._nemesis(), self._foreign_writer(), self.backplane.weather(self.rng))
        ]
        await asyncio.gather(*shoppers)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._heal()
        await self._finish()
        return self.history

    def _build(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in range(self.rng.choice((1, 2, 3))):
            session = ServerSession(f"session-{number}")
            self.emporix.sessions[session.name] = session
            for token in range(self.rng.choice((1, 1, 2))):
                self.emporix.tokens[f"token-{number}-{token}"] = session
            if self.rng.random() < 0.6:
                session.create()
            self.history.server[session.name] = session
            self.browsers[session.name] = Browser()
        self.backplane = Backplane(self.clock, self.rng, faulty=self.setup.store == "faulty")
        self._loop = loop
        for number in range(self.setup.workers):
            clock = VirtualClock(self.rng.randrange(2**32) if number else self.history.seed)
            clock.wall_offset = self.rng.uniform(-self.setup.skew, self.setup.skew) if self.setup.skew else 0.0
            self._worker(clock)

    def _worker(self, clock: VirtualClock) -> None:
        options = EngineOptions(
            cache=CACHE,
            upstream=UPSTREAM,
            store=MemoryStore(clock=clock) if self.setup.store == "none" else self.backplane.store(),
            keys=Keys("acme", "https://emporix", SECRET),
            clock=clock,
            stats=Stats(),
        )
        engine = Engine(options, self.emporix)
        cookie = ContinuityCookie([SECRET], name="session_ctx", https_only=True, clock=clock)
        self.engines.append(engine)
        self._workers.append(
            RequestDependencies(
                tokens=TokenChain(self._token),
                defaults=ContextDefaults(),
                events=Events(),
                clock=clock,
                timestamps=HybridClock(clock),
                engine=lambda _: engine,
                cookie=cookie if self.setup.cookie else None,
            )
        )

    def request(self, token: str, number: int | None = None) -> Visit:
        """Send a request to a worker, by default to any of them."""
        browser = self.browsers[self.emporix.tokens[token].name]
        scope = {"type": "http", "headers": browser.headers(), "token": token}
        if number is None:
            number = 0 if len(self._workers) == 1 else self.rng.randrange(len(self._workers))
        worker = self._workers[number]
        visit = Visit(worker, scope, self._loop)
        visit.worker = number
        visit.browser = browser
        visit._deps = replace(worker, events=Events((visit.hear,)))
        return visit

    @contextlib.asynccontextmanager
    async def _hand(self, token: str) -> AsyncIterator[None]:
        """Do one thing at a time with a browser whose workers cannot see what the others are doing."""
        if not self.setup.cookie:
            yield
            return
        async with self.browsers[self.emporix.tokens[token].name].hand:
            yield

    def _token(self, connection: HTTPConnection) -> StorefrontToken:
        """Return the token; where a session has several, the app has told so, as it must after a login."""
        token = connection.scope["token"]
        session = self.emporix.tokens[token]
        several = sum(other is session for other in self.emporix.tokens.values()) > 1
        return StorefrontToken(token, session_id=session.name if several else None)

    # What happens around the shoppers

    async def _nemesis(self) -> None:
        rng = self.rng
        while True:
            await asyncio.sleep(rng.uniform(0.5, 6))
            self.emporix.weather = rng.choice(
                (
                    CLEAR,
                    CLEAR,
                    Weather(latency=0.8),
                    Weather(fail_before=0.4, fail_after=0.4),
                    Weather(server_error=0.5, garbage=0.2),
                    Weather(hang=0.5),
                    Weather(throttled=0.3),
                    Weather(lag=rng.uniform(0.05, 0.5) * self._lagging),
                    Weather(fail_before=1.0),
                    Weather(duplicate=0.5, latency=0.2),
                    Weather(latency=0.3, fail_after=0.5, lag=0.2 * self._lagging),
                )
            )

    async def _foreign_writer(self) -> None:
        rng = self.rng
        while True:
            await asyncio.sleep(rng.uniform(0.2, 4))
            session = rng.choice(list(self.emporix.sessions.values()))
            if not session.version:
                session.create()
            elif rng.random() < 0.03:
                session.recreate()
            else:
                path = rng.choice(PATHS)
                session.write({path: self._value(path)}, foreign=True)

    async def _heal(self) -> None:
        self.emporix.weather = CLEAR
        for session in self.emporix.sessions.values():
            session.create()
        await asyncio.sleep(150)
        # Two pages: one may find and send what was parked, the other must see it.
        for token in self.emporix.tokens:
            for worker in range(self.setup.workers):
                await self._page(token, worker)
            await asyncio.sleep(12)
        await asyncio.sleep(10)

    async def _finish(self) -> None:
        for token, session in self.emporix.tokens.items():
            self.history.final[token] = await self._page(token)
            del session
        self.history.faults = self.emporix.faults
        self.history.revoked = self.emporix.revoked
        self.history.foul_play = self.emporix.foul_play
        self.history.most_patches_at_once = self.emporix.most_patches_at_once
        await asyncio.sleep(30)
        for engine in self.engines:
            self.history.left_over += [f"{size} {name}" for name, size in left_over(engine).items()]
        self.history.left_over += self._unnoticed

    # What shoppers do

    async def _shopper(self, name: str) -> None:
        share = self._operations // (2 * len(self.emporix.sessions))
        tokens = [token for token, session in self.emporix.tokens.items() if session.name == name]
        actions: list[tuple[Callable[[str], Awaitable[object]], int]] = [
            (self._page, 50),
            (self._switch, 22),
            (self._page_and_switch, 8),
            (self._explicit, 8),
            (self._late, 3),
            (self._cancelled, 6),
            (self._refresh, 4),
            (self._cart, 2),
            (self._fails, 2),
            (self._logout, 1),
            (self._revoke, 1),
        ]
        kinds, weights = zip(*actions, strict=True)
        for _ in range(share):
            await asyncio.sleep(self.rng.choice((0, 0.01, 0.1, 0.5, 2)) * self.rng.random())
            action = self.rng.choices(kinds, weights)[0]
            self.history.operations += 1
            token = self.rng.choice(tokens)
            try:
                async with self._hand(token):
                    await action(token)
            except SessionContextError:
                pass
            except Exception as error:
                self.history.errors.append(f"{action.__name__}: {error!r}")

    async def _page(self, token: str, worker: int | None = None) -> Read:
        ctx = self.request(token, worker)
        start = self.clock.monotonic()
        await ctx
        read = self._read(ctx, token, start)
        await ctx.finish(200)
        return read

    async def _switch(self, token: str) -> None:
        ctx = self.request(token)
        writes = self._wish(ctx, token)
        await ctx.finish(200)
        self._acknowledge(ctx, writes)

    async def _page_and_switch(self, token: str) -> None:
        ctx = self.request(token)
        start = self.clock.monotonic()
        await ctx
        self._read(ctx, token, start)
        writes = self._wish(ctx, token)
        await ctx.finish(303)
        self._acknowledge(ctx, writes)

    async def _explicit(self, token: str) -> None:
        ctx = self.request(token)
        writes = self._wish(ctx, token)
        try:
            await ctx.commit()
            self._acknowledge(ctx, writes)
            start = self.clock.monotonic()
            await ctx
            self._read(ctx, token, start)
        finally:
            await ctx.finish(200)
            self._acknowledge(ctx, writes)

    async def _late(self, token: str) -> None:
        ctx = self.request(token)
        await ctx.finish(200)
        async with ctx.late_changes():
            writes = self._wish(ctx, token)
        if self.setup.workers == 1:  # a response that has started carries no cookie to the next worker
            self._acknowledge(ctx, writes)

    async def _cancelled(self, token: str) -> None:
        task = asyncio.ensure_future(self.rng.choice((self._page, self._switch, self._page_and_switch))(token))
        await asyncio.sleep(self.rng.choice((0, 0.02, 0.2, 1)) * self.rng.random())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if self.setup.workers > 1:
            self._left_behind(self.emporix.tokens[token].name)

    def _left_behind(self, session: str) -> None:
        """Note that a request goes on by itself, and may send what it carried later than another worker."""
        until = self.clock.monotonic() + UPSTREAM.commit_deadline + UPSTREAM.timeout
        for write in self.history.writes:
            if write.session == session and write.parked and write.outcome == "acknowledged":
                write.end = until

    async def _refresh(self, token: str) -> None:
        ctx = self.request(token)
        start = self.clock.monotonic()
        await ctx.refresh()
        self._read(ctx, token, start)
        await ctx.finish(200)

    async def _cart(self, token: str) -> None:
        ctx = self.request(token)
        writes = self._wish(ctx, token)
        self.emporix.tokens[token].create()
        await ctx.cart_created()
        await ctx.finish(200)
        self._acknowledge(ctx, writes)

    async def _fails(self, token: str) -> None:
        ctx = self.request(token)
        writes = self._wish(ctx, token)
        await ctx.finish(500)
        for write in writes:
            write.outcome = "discarded"

    async def _logout(self, token: str) -> None:
        if self.setup.workers > 1 and self.setup.store == "none":
            return  # nothing tells the other workers
        ctx = self.request(token)
        moments = self.history.forgotten.setdefault(self.emporix.tokens[token].name, [])
        moments.append(self.clock.monotonic())
        await ctx.forget()
        moments.append(self.clock.monotonic())
        await ctx.finish(200)

    async def _revoke(self, token: str) -> None:
        if self.rng.random() < 0.3:
            self.emporix.revoked.add(token)

    # What is noted

    def _wish(self, ctx: Visit, token: str) -> list[Write]:
        session = self.emporix.tokens[token].name
        writes = []
        for path in self.rng.sample(PATHS, self.rng.choice((1, 1, 2, 3))):
            value: str | None = self._value(path)
            if path.startswith("attributes.") and self.rng.random() < 0.2:
                ctx.remove_attribute(path.removeprefix("attributes."))
                value = None
            elif path.startswith("attributes."):
                ctx.set_attribute(path.removeprefix("attributes."), value or "")
            else:
                ctx.switch(**{path: value})
            self.emporix.wishes.setdefault(session, {}).setdefault(path, set()).add(value)
            writes.append(Write(session, token, path, value, self.clock.monotonic(), ctx.worker))
        self.history.writes += writes
        return writes

    def _acknowledge(self, ctx: Visit, writes: list[Write]) -> None:
        """Note the end of a request: what it did not refuse, it has promised.

        That Emporix had it so already is only as true as the replica that said so.
        """
        unproven = ctx.heard == "commit.already" and self._lagging
        refused = unproven or ctx.heard == "commit.refused" or (ctx._known is not None and ctx._known.rejected)
        for write in writes:
            if write.outcome == "open":
                write.outcome = "refused" if refused else "acknowledged"
                write.parked = ctx.heard == "commit.parked"
                write.end = self.clock.monotonic()

    def _read(self, ctx: Visit, token: str, start: float) -> Read:
        values: dict[str, object] = {path: getattr(ctx, path) for path in PATHS if "." not in path}
        values |= {path: ctx.attributes.get(path.removeprefix("attributes.")) for path in PATHS if "." in path}
        read = Read(
            session=self.emporix.tokens[token].name,
            token=token,
            start=start,
            end=self.clock.monotonic(),
            values=values,
            shown_session=ctx.session_id,
            stale=ctx.is_stale,
            degraded=ctx.is_degraded,
            rejected=ctx.is_rejected,
            exists=ctx.exists,
            worker=ctx.worker,
        )
        self.history.reads.append(read)
        return read

    def _value(self, path: str) -> str:
        """Return a value that no other write of this run has, in the form that the field wants."""
        number = next(self._numbers)
        if path == "currency":
            return LETTERS[number // 676 % 26] + LETTERS[number // 26 % 26] + LETTERS[number % 26]
        return f"x{number}" if path != "language" else f"la-{number}"


def play(seed: int, operations: int = 500, setup: Setup = ONE_PROCESS) -> History:
    """Play one seed in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(Run(seed, operations, setup).play())
