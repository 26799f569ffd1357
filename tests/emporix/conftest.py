"""What the tests of the platform clients share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

from session_ctx_middleware.emporix import ManagedContextClient, OwnContextClient, ServiceToken

from .clock import VirtualClock
from .oauth import OAuth

TOKEN = "shopper-Secret-tOken-0815"
SERVICE_TOKEN = "service-Secret-tOken-4711"
CLIENT_SECRET = "client-sEcret-99"
SESSION = "6d4d4d5e-04b9-40c5-9074-4df1405c6081"
DOCUMENT = {
    "sessionId": SESSION,
    "customerId": "ANONYMOUS",
    "siteCode": "main",
    "currency": "EUR",
    "context": {"gift": "yes"},
    "metadata": {"version": 7, "createdAt": "2026-02-04T17:06:50.134Z"},
}
SHORT_DOCUMENT = {"metadata": {"version": 3}, "currency": "EUR"}
OPERATIONS = [
    "context.get",
    "context.patch",
    "context.attribute_add",
    "context.attribute_remove",
    "managed.get",
    "managed.put",
    "managed.attribute_add",
    "managed.attribute_remove",
]


class Upstream:
    """Emporix behind a mock transport of one HTTP library; remembers requests, answers what the test says."""

    def __init__(self, library: ModuleType) -> None:
        self.library = library
        self.requests: list[Any] = []
        self.answers: list[Any] = []
        self.default: Any = None
        self.oauth: dict[str, object] = {
            "access_token": SERVICE_TOKEN,
            "expires_in": 14399,
            "scope": "tenant=acme sessioncontext.context_manage",
        }
        self.token_requests = 0

    def answer(self, status: int, body: object = b"", headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.default = lambda _: self.library.Response(status, content=content, headers=headers)

    def fail(self, error: Exception) -> None:
        def broken(request: Any) -> Any:
            raise error

        self.default = broken

    @property
    def last(self) -> Any:
        return self.requests[-1]

    def _handle(self, request: Any) -> Any:
        if request.url.path.endswith("/oauth/token"):
            self.token_requests += 1
            return self.library.Response(200, json=self.oauth)
        self.requests.append(request)
        return self.default(request)

    def client(self, **options: Any) -> Any:
        return self.library.AsyncClient(transport=self.library.MockTransport(self._handle), **options)


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> ModuleType:
    library: ModuleType = request.param
    return library


@pytest.fixture(params=["httpx", "httpx2", "aiohttp"])
def own_library(request: pytest.FixtureRequest) -> str:
    """The library of clients that we build."""
    library: str = request.param
    return library


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def upstream(library: ModuleType) -> Upstream:
    return Upstream(library)


@pytest.fixture
def own(upstream: Upstream, clock: VirtualClock) -> OwnContextClient:
    return OwnContextClient("acme", http_client=upstream.client(), clock=clock)


@pytest.fixture
def service_token(upstream: Upstream, clock: VirtualClock) -> ServiceToken:
    return ServiceToken(
        "acme", client_id="shop", client_secret=CLIENT_SECRET, http_client=upstream.client(), clock=clock
    )


@pytest.fixture
def managed(upstream: Upstream, clock: VirtualClock, service_token: ServiceToken) -> ManagedContextClient:
    return ManagedContextClient("acme", service_token=service_token, http_client=upstream.client(), clock=clock)


Call = Callable[[], Any]


@pytest.fixture
def calls(own: OwnContextClient, managed: ManagedContextClient) -> dict[str, Call]:
    """All operations by name, each ready to be made."""
    return {
        "context.get": lambda: own.get(TOKEN),
        "context.patch": lambda: own.patch(TOKEN, {"currency": "USD", "metadata": {"version": 7}}),
        "context.attribute_add": lambda: own.add_attribute(TOKEN, "gift", "yes"),
        "context.attribute_remove": lambda: own.remove_attribute(TOKEN, "gift"),
        "managed.get": lambda: managed.get(SESSION),
        "managed.put": lambda: managed.put(SESSION, DOCUMENT),
        "managed.attribute_add": lambda: managed.add_attribute(SESSION, "gift", {"wrap": True}),
        "managed.attribute_remove": lambda: managed.remove_attribute(SESSION, "gift"),
    }


@pytest.fixture
def secrets() -> tuple[str, ...]:
    return (TOKEN, SERVICE_TOKEN, CLIENT_SECRET, SESSION)


@pytest.fixture
def without_httpx2(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which httpx2 is not installed."""
    monkeypatch.setitem(sys.modules, "httpx2", None)


@pytest.fixture
async def oauth(library: Any, clock: VirtualClock) -> OAuth:
    return OAuth(library, clock)
