"""The way from a worker to Emporix: calls of httpx2, with all that can happen to them."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from typing import Any, Final

import httpx2

from ..support.virtual_time import WALL_START
from .platform import Platform, ServerSession
from .weather import CLEAR, GATEWAYS, Weather

__all__ = ["Line", "Wire"]

READ_TIMEOUT: Final = 2.0
DRIPS: Final = 60
MOMENT: Final = 0.02
"""Seconds after which is looked who has given a slow answer up."""
JSON: Final = [(b"content-type", b"application/json")]


class Wire:
    """Everything between all workers and Emporix.

    Args:
        platform: Emporix.
        rng: decides everything.
    """

    def __init__(self, platform: Platform, rng: random.Random) -> None:
        self.platform = platform
        self.rng = rng
        self.weather: Weather = CLEAR
        self.tells_missing = True
        """Whether a 404 tells the session."""
        self.proven: set[str] = set()
        """Tokens of which an answer has told the session."""
        self.calls: Counter[str] = Counter()
        self.faults = 0
        self.patches_at_once: list[str] = []
        self.misdirected: list[str] = []
        self.tell: Callable[..., None] = lambda *_: None

    def strikes(self, probability: float) -> bool:
        """Decide whether something goes wrong."""
        if not probability or self.rng.random() >= probability:
            return False
        self.faults += 1
        return True


class _Dripping(httpx2.AsyncByteStream):
    """An answer whose end takes a minute to come."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(DRIPS):
            yield b" "
            await asyncio.sleep(1)
        yield self._body


class Line(httpx2.AsyncBaseTransport):
    """The way of one worker.

    Args:
        wire: what all of them are part of.
        number: of the worker.
        alone: whether this worker sends one PATCH of a session at a time.
    """

    def __init__(self, wire: Wire, number: int, *, alone: bool) -> None:
        self._wire = wire
        self._number = number
        self._alone = alone
        self._patching: Counter[str] = Counter()
        self._read: dict[tuple[str, int], tuple[int, int]] = {}
        self._read_last: dict[str, int] = {}
        """The number of the context of each session that this worker has read last."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await self._answered(request)
        except httpx2.HTTPError as error:
            self._wire.tell("  {} fails: {}", request.method, error)
            raise
        response.headers["date"] = formatdate(WALL_START + asyncio.get_running_loop().time(), usegmt=True)
        self._wire.tell("  {} of worker {} is answered {}", request.method, self._number, response.status_code)
        return response

    async def _answered(self, request: httpx2.Request) -> httpx2.Response:
        wire, method = self._wire, request.method
        wire.calls[method] += 1
        await asyncio.sleep(wire.rng.uniform(0, wire.weather.latency))
        await self._on_the_way(request)
        refusal = self._refusal()
        if refusal is not None:
            return refusal
        token = request.headers.get("authorization", "")[7:]
        session = wire.platform.tokens.get(token)
        if session is None or token in wire.platform.revoked:
            return _answer(401, b'{"fault":{"faultstring":"Invalid token","detail":{"errorcode":"oauth.v2.Invalid"}}}')
        if f"/{session.tenant}/" not in request.url.path:
            wire.misdirected.append(f"a token of {session.tenant} went to {request.url.path}")
        if method == "GET":
            return await self._get(session, token)
        body = json.loads(await request.aread())
        wire.tell("  worker {} sends {} {}", self._number, session.name, body)
        return await self._patched(session, body)

    async def _on_the_way(self, request: httpx2.Request) -> None:
        wire, weather = self._wire, self._wire.weather
        if wire.strikes(weather.hang):
            await asyncio.sleep(READ_TIMEOUT)
            raise httpx2.ReadTimeout("hanging", request=request)
        if wire.strikes(weather.fail_before):
            raise httpx2.ConnectError("down", request=request)

    def _refusal(self) -> httpx2.Response | None:
        wire, weather = self._wire, self._wire.weather
        if wire.strikes(weather.gateway):
            other = wire.rng.choice(GATEWAYS)
            return httpx2.Response(other.status, headers=[(b"content-type", other.kind)], content=other.body)
        if wire.strikes(weather.throttled):
            seconds = str(round(wire.rng.uniform(0, 3), 1)).encode()
            return httpx2.Response(429, headers=[*JSON, (b"retry-after", seconds)], content=b"{}")
        if wire.strikes(weather.server_error):
            return _answer(503, b"{}")
        return None

    async def _get(self, session: ServerSession, token: str) -> httpx2.Response:
        wire = self._wire
        state = session.states[-1][1] if session.states else None
        if wire.weather.lag and wire.rng.random() < 0.5:
            state = session.seen_at(asyncio.get_running_loop().time() - wire.weather.lag) or state
        wire.tell("  worker {} reads {} v{}", self._number, session.name, None if state is None else state.version)
        seen = None if state is None else state.encoded
        await self._back("the context")
        if wire.strikes(wire.weather.garbage):
            return _answer(200, b"<not JSON>")
        if seen is None:
            told = {"sessionId": session.name} if wire.tells_missing else {}
            wire.proven |= {token} if told else set()
            return _answer(404, json.dumps({"code": 404, "message": "not found", **told}).encode())
        if wire.strikes(wire.weather.drip):
            return httpx2.Response(200, headers=JSON, stream=_Dripping(seen))
        wire.proven.add(token)
        if state is not None:
            self._read[session.name, state.version] = (session.incarnation, session.restored)
            self._read_last[session.name] = session.incarnation
        return _answer(200, seen)

    async def _patched(self, session: ServerSession, body: dict[str, Any]) -> httpx2.Response:
        wire, name = self._wire, session.name
        self._patching[name] += 1
        if self._alone and self._patching[name] > 1:
            wire.patches_at_once.append(name)
        try:
            if wire.strikes(wire.weather.swallowed):
                wire.platform.swallow(session, body)
                return _answer(wire.rng.choice((200, 201, 204)), b"")
            now = (session.incarnation, session.restored)
            of_another = self._read_last.get(name, session.incarnation) != session.incarnation
            session.is_ambiguous = of_another or self._read.get((name, session.version), now) != now
            taken = wire.platform.patch(session, body)
            if wire.strikes(wire.weather.duplicate):
                # Something on the way sent it twice, and the second answer is the one that arrives.
                await asyncio.sleep(wire.rng.uniform(0, wire.weather.latency))
                if taken and not wire.platform.patch(session, body):
                    taken = False
                    wire.platform.leave_in_doubt(session, body)
            await self._told(session, body, taken=taken)
        finally:
            self._patching[name] -= 1
        if taken:
            return httpx2.Response(204)
        said = f"The context with sessionId {name} and version {body['metadata']['version']} has not been found."
        return _answer(404, json.dumps({"code": 404, "message": said}).encode())

    async def _told(self, session: ServerSession, body: dict[str, Any], *, taken: bool) -> None:
        if taken and self._wire.weather.slow:
            for _ in range(int(self._wire.rng.uniform(0, self._wire.weather.slow) / MOMENT)):
                await asyncio.sleep(MOMENT)
                self._wire.platform.leave_in_doubt(session, body, told=True)  # who waits no longer says that it waits
        try:
            await self._back("what became of it")
        except httpx2.HTTPError:
            if taken:
                self._wire.platform.leave_in_doubt(session, body)
            raise
        if taken:
            self._wire.platform.leave_in_doubt(session, body, told=True)

    async def _back(self, what: str) -> None:
        wire, weather = self._wire, self._wire.weather
        await asyncio.sleep(wire.rng.uniform(0, weather.latency))
        if wire.strikes(weather.fail_after):
            raise httpx2.ReadError(f"the connection broke before it told {what}")
        if wire.strikes(weather.server_error / 2):
            raise httpx2.RemoteProtocolError(f"half of the answer: {what}")


def _answer(status: int, body: bytes) -> httpx2.Response:
    return httpx2.Response(status, headers=JSON, content=body)
