"""Bad configuration is refused when it is given, with a text that says what to give."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from session_ctx_middleware import (
    BearerToken,
    CachePolicy,
    ConfigurationError,
    ContextDefaults,
    ContextEvent,
    ContinuityPolicy,
    CookieToken,
    SessionContextMiddleware,
    UpstreamPolicy,
)
from session_ctx_middleware.clock import SystemClock
from session_ctx_middleware.debug_panel import DebugPanel
from session_ctx_middleware.emporix import CartFollows, SiteCatalog
from session_ctx_middleware.stores import MemoryStore


async def app(*_: Any) -> None:
    """Do nothing."""


# Each would be built without a word, and break the first request, or every one.
WRONG_KINDS: dict[str, list[Any]] = {
    "tenant": [None, 3, b"acme", ["acme"]],
    "base_url": [None, 3, b"https://api.emporix.io"],
    "token": [BearerToken, [CookieToken], None, 3, {"name": "shop"}],
    "secret_key": [3, [3], {"a": 1}],
    "continuity": [True, {"encrypted": True}, ContinuityPolicy, CachePolicy()],
    "defaults": [{"currency": "EUR"}, "EUR", ContextDefaults],
    "preload": ["yes", 1, None, app],
    "cache": [30, {"ttl": 30}, CachePolicy, UpstreamPolicy()],
    "upstream": [2.0, {"deadline": 2}, UpstreamPolicy, CachePolicy()],
    "sites": ["main", SiteCatalog, [], 600],
    "carts": [True, CartFollows, "follow"],
    "store": ["redis://localhost", MemoryStore, 3, object()],
    "http_client": [3, httpx.AsyncClient],
    "on_event": ["log", 3, [print, "log"], ContextEvent],
    "cookie_name": [3, "", "a b", "__Host-x", None],
    "https_only": ["yes", 1, None],
    "insecure_http": ["yes", 1, None],
    "resolve": ["de", 1, [None]],
    "strict": ["yes", 0, None],
    "debug_panel": [True, "yes", DebugPanel],
    "telemetry": [True, "otel", object()],
    "server_timing": ["yes", 1, None],
    "clock": [3, time, SystemClock],
}

BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: CachePolicy(ttl=0), "ttl"),
    (lambda: CachePolicy(ttl=-1), "ttl"),
    (lambda: CachePolicy(ttl=float("nan")), "ttl"),
    (lambda: CachePolicy(ttl="60"), "ttl"),  # type: ignore[arg-type]
    (lambda: CachePolicy(ttl=True), "ttl"),
    (lambda: CachePolicy(jitter=1), "jitter"),
    (lambda: CachePolicy(missing_ttl=-0.1), "missing_ttl"),
    (lambda: CachePolicy(max_entries=0), "max_entries"),
    (lambda: CachePolicy(max_entries=1.5), "max_entries"),  # type: ignore[arg-type]
    (lambda: UpstreamPolicy(deadline=0), "deadline"),
    (lambda: UpstreamPolicy(deadline=float("inf")), "deadline"),
    (lambda: UpstreamPolicy(max_attempts=0), "max_attempts"),
    (lambda: UpstreamPolicy(max_concurrency=True), "max_concurrency"),
    (lambda: UpstreamPolicy(on_conflict="theirs"), "on_conflict"),  # type: ignore[arg-type]
    (lambda: UpstreamPolicy(on_conflict=app), "on_conflict"),  # type: ignore[arg-type]
    (lambda: ContinuityPolicy(encrypted=1), "encrypted"),  # type: ignore[arg-type]
    (lambda: ContinuityPolicy(document="yes"), "document"),  # type: ignore[arg-type]
    (lambda: ContinuityPolicy(document=None), "document"),  # type: ignore[arg-type]
    (lambda: ContinuityPolicy(document=bool), "document"),
    (lambda: ContinuityPolicy(document=app), "document"),  # type: ignore[arg-type]
    (lambda: ContinuityPolicy(receipts="no"), "receipts"),  # type: ignore[arg-type]
    (lambda: ContinuityPolicy(max_bytes=3072.0), "max_bytes"),  # type: ignore[arg-type]
    (lambda: ContinuityPolicy(max_bytes=True), "max_bytes"),
    (lambda: ContinuityPolicy(max_bytes=511), "from 512 to 4096"),
    (lambda: ContinuityPolicy(max_bytes=4097), "from 512 to 4096"),
    (lambda: ContextDefaults(currency="euro"), "currency"),
    (lambda: ContextDefaults(target_location="de"), "target_location"),
    (lambda: ContextDefaults(language=3), "language"),  # type: ignore[arg-type]
    (lambda: CookieToken(""), "cookie"),
    (lambda: CookieToken("a;b"), "cookie"),
    (lambda: SessionContextMiddleware(app, tenant="Acme"), "tenant"),
    (lambda: SessionContextMiddleware(app, tenant="ab"), "tenant"),
    (lambda: SessionContextMiddleware(app, tenant="a" * 17), "tenant"),
    (lambda: SessionContextMiddleware(app, tenant="acme\n"), "tenant"),
    (lambda: SessionContextMiddleware(app, tenant="acme", base_url="http://api.emporix.io"), "https"),
    (lambda: SessionContextMiddleware(app, tenant="acme", base_url="https://user:pw@api.emporix.io"), "base_url"),
    (lambda: SessionContextMiddleware(app, tenant="acme", base_url="https://api.emporix.io?x=1"), "base_url"),
    (lambda: SessionContextMiddleware(app, tenant="acme", base_url="ftp://127.0.0.1"), "base_url"),
    (lambda: SessionContextMiddleware(app, tenant="acme", secret_key="short"), "32"),
    (lambda: SessionContextMiddleware(app, tenant="acme", secret_key=[]), "32"),
    (lambda: SessionContextMiddleware(app, tenant="acme", secret_key=["x" * 32, b"short"]), "32"),
    (lambda: SessionContextMiddleware(app, tenant="acme", token=[]), "token"),
    (lambda: SessionContextMiddleware(app, tenant="acme", token=["Bearer"]), "token"),  # type: ignore[list-item]
    (lambda: SessionContextMiddleware(app, tenant="acme", token="Bearer"), "token"),  # type: ignore[arg-type]
    (lambda: SessionContextMiddleware(app, tenant="acme", on_event=["log"]), "on_event"),  # type: ignore[list-item]
    (lambda: SessionContextMiddleware(app, tenant="acme", http_client=httpx.Client()), "AsyncClient"),  # type: ignore[arg-type]
    (lambda: SessionContextMiddleware(app, tenant="acme", http_client="x"), "AsyncClient"),  # type: ignore[arg-type]
    *(
        (lambda name=name, value=value: SessionContextMiddleware(app, **{"tenant": "acme", name: value}), name)
        for name, values in WRONG_KINDS.items()
        for value in values
    ),
]


@pytest.mark.parametrize(("build", "named"), BAD)
def test_bad_configuration_is_named(build: Callable[[], object], named: str) -> None:
    """Bad configuration is refused by name."""
    with pytest.raises(ConfigurationError, match=named):
        build()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"base_url": "http://127.0.0.1:8900"},
        {"base_url": "http://localhost:8900/prefix/"},
        {"base_url": "http://[::1]:8900"},
        {"secret_key": "k" * 32},
        {"secret_key": [b"k" * 32, "l" * 40]},
        {"continuity": ContinuityPolicy(receipts=False, max_bytes=512)},
        {"continuity": ContinuityPolicy(encrypted=True, max_bytes=4096), "secret_key": "k" * 32},
        {"continuity": ContinuityPolicy(document=lambda _: True), "secret_key": ["k" * 32, "l" * 32]},
        {"token": [CookieToken("shop"), BearerToken()]},
        {"on_event": print},
        {"defaults": ContextDefaults(language="de-CH-1996", site_code="main")},
    ],
)
def test_good_configuration_is_taken(options: dict[str, Any]) -> None:
    """Good configuration is taken."""
    assert SessionContextMiddleware(app, tenant="acme", **options).stats()["hits"] == 0


SEALING = [
    ContinuityPolicy(encrypted=True),
    ContinuityPolicy(document=True),
    ContinuityPolicy(document=lambda _: False),
]


@pytest.mark.parametrize("policy", SEALING)
def test_encryption_needs_a_secret(policy: ContinuityPolicy) -> None:
    """What is to be encrypted needs a secret."""
    with pytest.raises(ConfigurationError, match=r"ContinuityPolicy\((encrypted|document).*secret_key"):
        SessionContextMiddleware(app, tenant="acme", continuity=policy)


@pytest.mark.parametrize("policy", SEALING)
def test_encryption_needs_a_package(policy: ContinuityPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be encrypted needs a package, and the error says which."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)

    with pytest.raises(ConfigurationError, match=r"session-ctx-middleware\[encryption\]"):
        SessionContextMiddleware(app, tenant="acme", continuity=policy, secret_key="k" * 32)
    SessionContextMiddleware(app, tenant="acme", continuity=ContinuityPolicy(), secret_key="k" * 32)


def test_every_keyword_is_checked() -> None:
    """No keyword is without values that are refused."""
    assert set(WRONG_KINDS) == set(inspect.signature(SessionContextMiddleware).parameters) - {"app"}
