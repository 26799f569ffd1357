"""The sizing model against what it models: random numbers, the middleware in virtual time, and a redis-server."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
from collections.abc import Awaitable, Iterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from benchmarks import sizing
from benchmarks.sizing import SET_UPS, Shop, fetches, size, touched
from session_ctx_middleware import CachePolicy, ContinuityPolicy, SessionContextMiddleware
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.stores.redis import RedisStore
from session_ctx_middleware.testing import FakeEmporix

from ..support.redis_server import RedisServer, redis_server
from ..support.virtual_time import VirtualClock

SECRET = "0123456789abcdef" * 2
PATIENCE = 10.0


def test_fetches() -> None:
    """Fetches are those of a simulated routing."""
    rng = random.Random(1)
    pages, seconds, ttl, stale, runs = 12.0, 480.0, 60.0, 60.0, 3_000
    for workers in (1, 4, 64):
        total = waited = 0
        for _ in range(runs):
            moment, known = 0.0, dict[int, float]()
            while moment < seconds:
                worker = rng.randrange(workers)
                age = moment - known.get(worker, float("-inf"))
                if age >= ttl:
                    known[worker] = moment
                    total += 1
                    waited += age >= ttl + stale
                moment += rng.expovariate((pages - 1) / seconds)
        gets, waits = fetches(pages, seconds, ttl, workers, stale)
        assert total / runs == pytest.approx(gets, rel=0.03)
        assert waited / runs == pytest.approx(waits, rel=0.03)


def test_formula_at_its_limits() -> None:
    """At the limits the formula is plain."""
    assert fetches(1, 480, 60, 1000)[0] == pytest.approx(1)
    assert fetches(12, 480, 1e-6, 1)[0] == pytest.approx(12, rel=0.001)
    assert fetches(12, 480, 1000, 1)[0] == pytest.approx(1)
    assert fetches(12, 480, 60, 10**6)[0] == pytest.approx(12, rel=0.001)
    assert touched(1, 5) == 1
    assert touched(10**6, 5) == pytest.approx(5, rel=0.001)


def test_growth_is_proportional() -> None:
    """More sessions need proportionally more, and every set-up has a table."""
    for set_up in SET_UPS:
        small, large = (size(Shop(set_up=set_up, workers=16, sessions_per_day=n)) for n in (10**5, 10**7))
        assert large.gets == pytest.approx(100 * small.gets)
        assert large.gets_per_page == small.gets_per_page
        assert large.deliveries == pytest.approx(16 * large.notices)
    assert size(Shop(pages_without_context=12)).gets_per_page >= 1
    assert sizing.markdown().count("| 1,000 |") == len(SET_UPS) * len(sizing.SESSIONS)


async def test_bytes_of_the_document() -> None:
    """The cookie takes as many bytes as the model says, and so does the header that sets it."""
    emporix, policy = FakeEmporix(), ContinuityPolicy(document=True)
    fleet = Fleet(emporix, 1, secret_key=SECRET, clock=VirtualClock(), continuity=policy)
    for bulk in (0, 300, 1_000):
        session = emporix.new_session(attributes={"bulk": "x" * bulk})
        answer = await fleet.page(session.token)
        document = json.dumps(emporix.document(session.session_id), separators=(",", ":"))
        (header,) = answer.headers.get_list("set-cookie")
        pair = header.partition(";")[0]
        assert len(pair) == pytest.approx(sizing.cookie_bytes(len(document)), abs=8)
        assert len("set-cookie: \r\n") + len(header) - len(pair) == sizing.SET_COOKIE
    await fleet.aclose()
    of_one, over_many = (size(Shop(set_up=each, workers=64)) for each in ("single", "document"))
    assert over_many.gets == of_one.gets
    assert over_many.redis_bytes == 0
    assert 0 < over_many.response_bytes < over_many.request_bytes < sizing.cookie_bytes(600)


@pytest.mark.parametrize(
    ("set_up", "workers"),
    [("single", 1), *(pytest.param(each, 4, marks=pytest.mark.slow) for each in ("cookie", "document"))],
)
async def test_calls_of_the_middleware(set_up: Any, workers: int) -> None:
    """The middleware makes as many calls as the model says."""
    shop = Shop(set_up=set_up, workers=workers, pages=10, switches=1, seconds=300)
    emporix = FakeEmporix()
    options = {"cache": CachePolicy(ttl=shop.ttl), "continuity": ContinuityPolicy(document=set_up == "document")}
    fleet = Fleet(emporix, workers, secret_key=SECRET, clock=VirtualClock(), **options)
    rng = random.Random(2)
    runs = 150
    for _ in range(runs):
        await fleet.visit(shop, rng)
    await fleet.aclose()
    assert emporix.count("context.get") / runs == pytest.approx(size(shop).gets_per_page * shop.pages, rel=0.08)
    assert emporix.count("context.patch") / runs == pytest.approx(shop.switches, rel=0.02)


@pytest.mark.redis
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_redis_commands(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is asked as often as the model says."""
    monkeypatch.setattr("session_ctx_middleware.stores.redis.urls.CONNECT_SECONDS", PATIENCE)
    emporix = FakeEmporix()
    first, second = (Fleet(emporix, 1, store=RedisStore(server.url, budget=PATIENCE)) for _ in range(2))
    await first.page(emporix.new_session().token)  # connects, and makes the scripts known
    await second.page(emporix.new_session().token)
    await _quiet(server)
    token, load, save, meeting = emporix.new_session().token, *_constants()
    assert await _commands(server, first.page(token)) == load + save + meeting
    assert await _commands(server, first.page(token)) == 0
    assert await _commands(server, second.page(token)) == load
    await first.switch(token)  # the first notice ever begins the counter, which costs further look-ups
    await _commands(server, first.page(token))
    await _commands(server, second.page(token))
    assert await _commands(server, first.switch(token)) == sizing.COMMIT_COMMANDS
    assert await _commands(server, first.page(token)) == load + save
    assert await _commands(server, second.page(token)) == load
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as listener:
        listener.sendall(b"SUBSCRIBE session-ctx:v1:notices\r\n")
        listener.recv(4096)
        await _commands(server, first.switch(token))
        listener.sendall(b"PING\r\n")
        heard = _read_until(listener, b"*2\r\n$4\r\npong\r\n$0\r\n\r\n")
    assert heard.count(b"$7\r\nmessage\r\n") == sizing.COMMIT_NOTICES
    assert len(heard) == pytest.approx(sizing.NOTICE_BYTES, rel=0.1)
    await _commands(server, first.page(token))  # the document is saved after the page has been answered
    keys = [key for key in _answer(server, "KEYS", "*").split() if key.startswith("session-ctx:v1:")]
    largest = [max(_usage(server, key) for key in keys if kind in key) for kind in (":token-", ":session-")]
    payload = max(int(_answer(server, "HSTRLEN", key, "payload")[1:]) for key in keys if ":token-" in key)
    assert sum(largest) - payload == pytest.approx(Shop().redis_overhead, rel=0.1)
    await first.aclose()
    await second.aclose()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


class Fleet:
    """Some workers in this process, and browsers that reach one of them."""

    def __init__(self, emporix: FakeEmporix, workers: int, **options: Any) -> None:
        self._emporix = emporix
        self._upstream = emporix.client(httpx2)
        apps = [_app(http_client=self._upstream, base_url="https://emporix.test", **options) for _ in range(workers)]
        self._stores = [options["store"]] if "store" in options else []
        self._clients = [
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://shop.test") for app in apps
        ]

    async def page(self, token: str, worker: int = 0, cookies: dict[str, str] | None = None) -> httpx2.Response:
        return await self._send("GET", token, worker, cookies)

    async def switch(self, token: str, worker: int = 0, cookies: dict[str, str] | None = None) -> None:
        await self._send("POST", token, worker, cookies)

    async def visit(self, shop: Shop, rng: random.Random) -> None:
        """Play one visit: pages at random, changes evenly spread, each followed by a page."""
        token, cookies, workers = self._emporix.new_session().token, dict[str, str](), len(self._clients)
        parts = int(shop.switches) + 1
        seconds, rest = shop.seconds / parts, (shop.pages - parts) / parts
        for part in range(parts):
            if part:
                await self.switch(token, rng.randrange(workers), cookies)
            await self.page(token, rng.randrange(workers), cookies)
            left = seconds
            while (pause := rng.expovariate(rest / seconds)) < left:
                await asyncio.sleep(pause)
                left -= pause
                await self.page(token, rng.randrange(workers), cookies)
            await asyncio.sleep(left)

    async def aclose(self) -> None:
        for each in (*self._clients, *self._stores, self._upstream):
            await each.aclose()

    async def _send(self, method: str, token: str, worker: int, cookies: dict[str, str] | None) -> httpx2.Response:
        client = self._clients[worker]
        client.cookies = cookies or {}
        answer = await client.request(method, "/", headers={"Authorization": f"Bearer {token}"})
        answer.raise_for_status()
        if cookies is not None:
            cookies.update(answer.cookies)
        return answer


def _app(**options: Any) -> Starlette:
    numbers = iter(range(10**6))

    async def page(request: Request) -> Response:
        return PlainTextResponse((await request.state.session_ctx).currency or "")

    async def switch(request: Request) -> Response:
        request.state.session_ctx.switch(currency=("CHF", "USD", "GBP", "EUR")[next(numbers) % 4])
        return PlainTextResponse("switched")

    options.setdefault("store", MemoryStore())  # as if in a process of its own
    return Starlette(
        routes=[Route("/", page), Route("/", switch, methods=["POST"])],
        middleware=[Middleware(SessionContextMiddleware, tenant="acme", **options)],
    )


def _constants() -> tuple[int, int, int]:
    return sizing.LOAD_COMMANDS, sizing.SAVE_COMMANDS, sizing.MEETING_COMMANDS


async def _commands(server: RedisServer, work: Awaitable[object]) -> int:
    """Return how many commands clients send because of something, but for those that watch the subscription."""
    before = _counted(server)
    await work
    return await _quiet(server) - before


async def _quiet(server: RedisServer) -> int:
    """Wait until clients have sent nothing for a while; return how many commands they have sent so far."""
    while True:
        found = _counted(server)
        await asyncio.sleep(0.3)
        if _counted(server) == found:
            return found


def _counted(server: RedisServer) -> int:
    stats = dict(re.findall(r"cmdstat_(\w+):calls=(\d+)", _answer(server, "INFO", "commandstats")))
    return sum(int(stats.get(name, 0)) for name in ("evalsha", "eval", "hgetall"))


def _usage(server: RedisServer, key: str) -> int:
    return int(_answer(server, "MEMORY", "USAGE", key, "SAMPLES", "0").removeprefix(":"))


def _answer(server: RedisServer, *words: str) -> str:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall((" ".join(words) + "\r\nPING\r\n").encode())
        return _read_until(connection, b"+PONG\r\n").decode()


def _read_until(connection: socket.socket, end: bytes) -> bytes:
    """Return what comes before the answer to a PING, which comes last."""
    read = b""
    while not read.endswith(end):
        piece = connection.recv(65_536)
        assert piece, "the connection was closed"
        read += piece
    return read.removesuffix(end)
