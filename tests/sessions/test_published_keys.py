"""Keys that an issuer publishes: one fetch for all who wait, kept on error, and seldom for made-up key ids."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

from session_ctx_middleware import ConfigurationError
from session_ctx_middleware.events import Events
from session_ctx_middleware.sessions import JWTVerifier

from ..support.virtual_time import VirtualClock
from .keys import AUDIENCE, EC, ISSUER, NOW, OTHER_RSA, RSA, SECRET, jwk, signed

URL = "https://issuer.example/tenant/keys?policy=shop"


class LoopClock(VirtualClock):
    """The virtual time of the event loop; the wall clock stands."""

    def time(self) -> float:
        return NOW


class Issuer:
    """An issuer behind a mock transport; counts fetches, and answers what the test says."""

    def __init__(self, library: ModuleType) -> None:
        self.library = library
        self.keys: list[Any] = [jwk(RSA, "one")]
        self.status = 200
        self.body: bytes | None = None
        self.error: Exception | None = None
        self.delay = 0.0
        self.urls: list[str] = []
        self.headers: list[Any] = []

    @property
    def fetches(self) -> int:
        return len(self.urls)

    async def handle(self, request: Any) -> Any:
        self.urls.append(str(request.url))
        self.headers.append(request.headers)
        await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        return self.library.Response(self.status, content=body, headers={"location": "https://evil.example/"})


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def issuer(request: pytest.FixtureRequest) -> Issuer:
    return Issuer(request.param)


@pytest.fixture
async def verifier(issuer: Issuer) -> AsyncIterator[JWTVerifier]:
    transport = issuer.library.MockTransport(issuer.handle)
    async with issuer.library.AsyncClient(transport=transport, cookies={"a": "b"}, auth=("user", "pass")) as client:
        built = JWTVerifier(
            jwks_url=URL,
            algorithms=["RS256", "ES256"],
            issuer=ISSUER,
            audience=AUDIENCE,
            http_client=client,
            clock=LoopClock(),
        )
        yield built
        await built.aclose()


async def accepted(verifier: JWTVerifier, key_id: str | None = "one", key: Any = RSA, algorithm: str = "RS256") -> bool:
    header = {} if key_id is None else {"kid": key_id}
    return await verifier.verified(signed(key, algorithm, header=header)) is not None


async def test_crowd(issuer: Issuer, verifier: JWTVerifier) -> None:
    """A crowd at an empty process makes one fetch, with nothing that is a secret."""
    issuer.delay = 0.5
    assert all(await asyncio.gather(*(accepted(verifier) for _ in range(200))))
    assert issuer.urls == [URL]
    assert not {"authorization", "cookie"} & set(issuer.headers[0])
    assert await accepted(verifier)
    assert issuer.fetches == 1


async def test_waiter_leaves(issuer: Issuer, verifier: JWTVerifier) -> None:
    """Whoever waits may leave; the fetch goes on for the others."""
    issuer.delay = 0.5
    first, second = (asyncio.create_task(accepted(verifier)) for _ in range(2))
    await asyncio.sleep(0.1)
    first.cancel()
    assert await second
    assert issuer.fetches == 1


async def test_new_key(issuer: Issuer, verifier: JWTVerifier) -> None:
    """A key that appears is found at once, though the old ones are still fresh."""
    assert await accepted(verifier)
    issuer.keys = [jwk(OTHER_RSA, "two"), jwk(RSA, "one")]
    assert await accepted(verifier, "two", OTHER_RSA)
    assert await accepted(verifier)
    assert issuer.fetches == 2


async def test_crowd_at_a_rotation(issuer: Issuer, verifier: JWTVerifier) -> None:
    """All who bring a token of the new key wait for the one fetch that knows it; nobody is shown a stranger's page."""
    assert await accepted(verifier)
    issuer.keys, issuer.delay = [jwk(OTHER_RSA, "two")], 0.5
    crowd = [asyncio.create_task(accepted(verifier, "two", OTHER_RSA)) for _ in range(20)]
    await asyncio.sleep(0.2)
    crowd += [asyncio.create_task(accepted(verifier, "two", OTHER_RSA)) for _ in range(20)]
    assert all(await asyncio.gather(*crowd))
    assert issuer.fetches == 2


async def test_made_up_key_ids(issuer: Issuer, verifier: JWTVerifier) -> None:
    """Made-up key ids, however many, are looked for once in 30 seconds; real ones are served meanwhile."""
    assert await accepted(verifier)
    for moment in range(60):
        assert not any(await asyncio.gather(*(accepted(verifier, f"x{moment}-{each}") for each in range(5))))
        assert await accepted(verifier)
        await asyncio.sleep(1)
    assert issuer.fetches == 3


@pytest.mark.parametrize(
    "failure",
    [
        {"status": 500},
        {"status": 404},
        {"status": 302},
        {"body": b"<html>"},
        {"body": b"{}"},
        {"body": b'{"keys": 3}'},
        {"body": b'{"keys": [{"kty": "RSA"}, 3, null]}'},
        {"body": b"[" * 9000},
        {"body": b"x" * 300_000},
        {"error": OSError("broken")},
        {"error": TypeError("a hook of the client")},
        {"delay": 60.0},
    ],
    ids=str,
)
async def test_kept_on_error(failure: dict[str, Any], issuer: Issuer, verifier: JWTVerifier) -> None:
    """Known keys outlive every kind of failure, and are renewed when it is over; nobody waits for that."""
    assert await accepted(verifier)
    vars(issuer).update(failure)
    await asyncio.sleep(301)
    before = asyncio.get_running_loop().time()
    for _ in range(20):
        assert await accepted(verifier)
        await asyncio.sleep(1)
    assert asyncio.get_running_loop().time() - before == pytest.approx(20)
    assert 3 <= issuer.fetches <= 6
    issuer.status, issuer.body, issuer.error, issuer.delay = 200, None, None, 0.0
    issuer.keys = [jwk(OTHER_RSA, "one")]
    await asyncio.sleep(10)
    await accepted(verifier)
    await asyncio.sleep(1)
    assert await accepted(verifier, "one", OTHER_RSA)
    assert not await accepted(verifier), "a key that is published no more counts no more"


async def test_nothing_known(issuer: Issuer, verifier: JWTVerifier, caplog: pytest.LogCaptureFixture) -> None:
    """Where no key was ever had, no token counts; the issuer is asked every five seconds, and that is told."""
    verifier.tell(events := Events(clock=VirtualClock()))
    issuer.status = 503
    for _ in range(20):
        assert not any(await asyncio.gather(*(accepted(verifier) for _ in range(10))))
        await asyncio.sleep(1)
    assert issuer.fetches == 4
    told = [record for record in caplog.records if vars(record)["session_ctx_name"] == "keys.failed"]
    assert [record.levelno for record in told if record.levelno >= logging.WARNING] == [logging.WARNING]
    assert vars(told[0])["session_ctx_outcome"] == "status 503"
    issuer.status = 200
    assert await accepted(verifier)
    await asyncio.sleep(301)
    assert await accepted(verifier)
    await asyncio.sleep(1)
    assert (events.counters()["keys.failed"], events.counters()["keys.answered"]) == (4, 1)


async def test_renewed_in_the_background(issuer: Issuer, verifier: JWTVerifier) -> None:
    """After its time a set is fetched again, and nobody waits for it."""
    assert await accepted(verifier)
    issuer.delay = 1.0
    await asyncio.sleep(300)
    before = asyncio.get_running_loop().time()
    assert await accepted(verifier)
    assert asyncio.get_running_loop().time() == before
    await asyncio.sleep(2)
    assert issuer.fetches == 2


async def test_kinds_of_keys(issuer: Issuer, verifier: JWTVerifier) -> None:
    """Keys without a name, for encryption, of other kinds, or secrets that anybody can read, are what they are."""
    issuer.keys = [
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": "oct"},
        jwk(OTHER_RSA, "enc", use="enc"),
        jwk(EC, None, alg="ES256"),
        jwk(RSA, "one", use="sig"),
        {"kty": "AKP", "kid": "new"},
    ]
    assert await accepted(verifier, "one")
    assert await accepted(verifier, None), "a token need not name its key"
    assert await accepted(verifier, "any", EC, "ES256"), "nor does a key have to have a name"
    assert not await accepted(verifier, "enc", OTHER_RSA)
    assert await verifier.verified(signed(SECRET, "HS256", header={"kid": "oct"})) is None


async def test_two_of_one_name(issuer: Issuer, verifier: JWTVerifier) -> None:
    """Of two keys of one name, either may have signed."""
    issuer.keys = [jwk(OTHER_RSA, "one"), jwk(RSA, "one")]
    assert await accepted(verifier)
    assert await accepted(verifier, "one", OTHER_RSA)


async def test_no_fetch_for_foreign_algorithms(issuer: Issuer, verifier: JWTVerifier) -> None:
    """What no key could verify asks nobody."""
    for token in (signed(SECRET, "HS256"), "a.b.c", signed(RSA, "PS256")):
        assert await verifier.verified(token) is None
    assert issuer.fetches == 0


async def test_fetch_while_closing(issuer: Issuer, verifier: JWTVerifier) -> None:
    """Closing waits for a fetch that is under way."""
    issuer.delay = 0.5
    waiting = asyncio.create_task(accepted(verifier))
    await asyncio.sleep(0.1)
    await verifier.aclose()
    assert await waiting


def test_address() -> None:
    """The text of an address that cannot be used quotes nothing of it."""
    with pytest.raises(ConfigurationError) as raised:
        JWTVerifier(jwks_url="https://user:hunter2@issuer.example/", algorithms=["RS256"])
    assert "hunter2" not in str(raised.value)
