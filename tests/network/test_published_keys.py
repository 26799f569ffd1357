"""Keys that an issuer publishes behind a real socket, fetched with every HTTP library and with clients of our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from session_ctx_middleware.clock import SystemClock
from session_ctx_middleware.emporix.transport.libraries import Name
from session_ctx_middleware.events import Events
from session_ctx_middleware.sessions import JWTVerifier

from ..sessions.keys import AUDIENCE, ISSUER, NOW, OTHER_RSA, RSA, jwk, signed
from .backend import WebServer
from .test_drips import Dripping

pytestmark = pytest.mark.network


class StandingClock(SystemClock):
    """The wall clock of the tokens; everything else is real."""

    def time(self) -> float:
        return NOW


def verifier(url: str, library: Name, **options: Any) -> JWTVerifier:
    return JWTVerifier(
        jwks_url=url,
        algorithms=["RS256"],
        issuer=ISSUER,
        audience=AUDIENCE,
        http_client=library,
        clock=StandingClock(),
        **options,
    )


@pytest.fixture
async def issuer() -> AsyncIterator[tuple[str, list[str]]]:
    """An issuer that rotates its key after the first fetch; its address, and what was asked."""
    asked: list[str] = []

    async def keys(request: Request) -> Response:
        asked.append(str(request.url.query))
        return JSONResponse({"keys": [jwk(RSA, "one"), *([jwk(OTHER_RSA, "two")] if len(asked) > 1 else [])]})

    server = WebServer(Starlette(routes=[Route("/keys", keys)]))
    await server.start()
    yield f"{server.address}/keys?policy=shop&p=%2F", asked
    await server.aclose()


async def test_rotation(issuer: tuple[str, list[str]], http_library: Name) -> None:
    """One fetch serves a crowd, the next one a new key; closing leaves nothing open, and known keys go on counting."""
    url, asked = issuer
    built = verifier(url, http_library)
    old, new = signed(RSA, header={"kid": "one"}), signed(OTHER_RSA, header={"kid": "two"})
    assert all(await asyncio.gather(*(built.verified(old) for _ in range(50))))
    assert asked == ["policy=shop&p=%2F"]
    assert all(await asyncio.gather(*(built.verified(new) for _ in range(50))))
    assert len(asked) == 2
    await built.aclose()
    assert await built.verified(old)


async def test_dripping_issuer(http_library: Name) -> None:
    """An issuer whose answer drips for ever holds nobody for longer than the fetch may take, and is told."""
    upstream = Dripping("body")
    async with upstream.serving() as url:
        built = verifier(url, http_library, total_timeout=0.1)
        built.tell(events := Events())
        async with asyncio.timeout(30):
            assert await built.verified(signed(RSA, header={"kid": "one"})) is None
        assert events.counters()["keys.failed"] == 1
        await built.aclose()
