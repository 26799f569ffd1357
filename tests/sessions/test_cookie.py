"""The session cookie: sealed, bound to its name and shop, and never anything else than what was sealed."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import HTTPConnection

from session_ctx_middleware.emporix import TokenAnswer
from session_ctx_middleware.sealing import Keyring
from session_ctx_middleware.sessions.cookie import SessionCookie
from session_ctx_middleware.sessions.kept import KeptSession

from ..support.virtual_time import WALL_START

OLD, NEW = b"o" * 32, b"n" * 32


class StoppedClock:
    """Stands still."""

    def time(self) -> float:
        return WALL_START


KEPT = KeptSession.granted(TokenAnswer("access-1", 3600.0, "refresh-1", 86_400.0, "session-1"), WALL_START)


def cookie_of(*secrets: bytes, tenant: str = "acme", persist: bool = False, name: str = "shop") -> SessionCookie:
    sealer = Keyring(secrets or (OLD,), tenant, "https://emporix.test").sealer("session cookie")
    clock: Any = StoppedClock()
    return SessionCookie(sealer, name, https_only=False, persist=lambda _: persist, clock=clock)


def request(*cookies: str, scheme: str = "https") -> HTTPConnection:
    headers = [(b"cookie", "; ".join(cookies).encode("latin-1"))] if cookies else []
    return HTTPConnection({"type": "http", "scheme": scheme, "headers": headers, "path": "/", "method": "GET"})


def written(cookie: SessionCookie, kept: KeptSession = KEPT, **options: Any) -> str:
    header = cookie.write(request(**options), kept)
    assert header is not None
    return header.decode()


def brought(header: str) -> str:
    return header.partition(";")[0]


def test_comes_back() -> None:
    """What was written is read, by any worker with the secret, and by nobody else."""
    header = written(cookie_of())

    assert cookie_of().read(request(brought(header)).scope) == KEPT
    assert cookie_of(NEW, OLD).read(request(brought(header)).scope) == KEPT, "keys are rotated worker by worker"
    for other in (cookie_of(NEW), cookie_of(tenant="other"), cookie_of(name="other")):
        assert other.read(request(brought(header)).scope) is None
    assert not any(secret in header for secret in ("access-1", "refresh-1", "session-1"))


def test_attributes() -> None:
    """On https it belongs to this host alone; it ends with the browser unless the shop says otherwise."""
    assert written(cookie_of()).startswith("__Host-shop=")
    assert written(cookie_of()).endswith("; Path=/; HttpOnly; SameSite=Lax; Secure")
    assert written(cookie_of(), scheme="http").startswith("shop=")
    assert written(cookie_of(), scheme="http").endswith("; Path=/; HttpOnly; SameSite=Lax")
    assert "; Max-Age=86400; " in written(cookie_of(persist=True))
    assert cookie_of().clear(request().scope) == b"__Host-shop=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"


def test_several_of_one_name() -> None:
    """Of several values the one that can be opened and lives longest counts: a neighbour host may set the same name."""
    cookie = cookie_of()
    later = KEPT.renewed(TokenAnswer("access-2", 7200.0, "refresh-2"), WALL_START)
    older, newer = brought(written(cookie)), brought(written(cookie, later))

    for order in ([older, newer], [newer, older], ["__Host-shop=rubbish", newer, older]):
        assert cookie.read(request(*order).scope) == later
    assert cookie.read(request(brought(written(cookie, scheme="http"))).scope) is None, "set without TLS"


@pytest.mark.parametrize("value", ["", "rubbish", "e30", "=" * 50, "\xff" * 20, "A" * 5000])
def test_garbage(value: str) -> None:
    """Anything else is no session."""
    assert cookie_of().read(request(f"__Host-shop={value}").scope) is None


def test_bent() -> None:
    """Whoever changes a single character has no session."""
    value = brought(written(cookie_of()))
    for place in range(len("__Host-shop="), len(value), 7):
        other = "A" if value[place] != "A" else "B"
        assert cookie_of().read(request(value[:place] + other + value[place + 1 :]).scope) is None


class Forgetful(dict[Any, Any]):
    """What another thread empties as soon as something is in it."""

    def __setitem__(self, key: Any, value: Any) -> None: ...


def test_forgotten_meanwhile() -> None:
    """What another thread forgets is opened again."""
    cookie = cookie_of()
    header = cookie.write(request(), KEPT)
    assert header is not None
    cookie._opened = Forgetful()

    assert cookie.read(request(header.decode().partition(";")[0]).scope) == KEPT


def test_too_large() -> None:
    """What browsers would drop is not sent."""
    kept = KEPT.renewed(TokenAnswer("access-" + "1" * 4000, 3600.0), WALL_START)
    assert cookie_of().write(request(), kept) is None
