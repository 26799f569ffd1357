"""The session cookie: sealed, bound to its name and shop, and never anything else than what was sealed."""

from __future__ import annotations

from dataclasses import replace
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
    headers = cookie.write(request(**options), kept)
    assert headers is not None
    return headers[0].decode()


def brought(header: str) -> str:
    return header.partition(";")[0]


def test_comes_back() -> None:
    """What was written is read, by any worker with the secret, and by nobody else."""
    header = written(cookie_of())

    assert cookie_of().read(request(brought(header)).scope).kept == KEPT
    assert cookie_of(NEW, OLD).read(request(brought(header)).scope).kept == KEPT, "keys are rotated worker by worker"
    for other in (cookie_of(NEW), cookie_of(tenant="other"), cookie_of(name="other")):
        assert other.read(request(brought(header)).scope).kept is None
    assert not any(secret in header for secret in ("access-1", "refresh-1", "session-1"))


def test_attributes() -> None:
    """On https it belongs to this host alone; it ends with the browser unless the shop says otherwise."""
    assert written(cookie_of()).startswith("__Host-shop=")
    assert written(cookie_of()).endswith("; Path=/; HttpOnly; SameSite=Lax; Secure")
    assert written(cookie_of(), scheme="http").startswith("shop=")
    assert written(cookie_of(), scheme="http").endswith("; Path=/; HttpOnly; SameSite=Lax")
    assert "; Max-Age=86400; " in written(cookie_of(persist=True))
    cleared = b"__Host-shop=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"
    assert cookie_of().clear(["__Host-shop"]) == (cleared,)


def test_several_of_one_name() -> None:
    """Of several values the one that can be opened and lives longest counts: a neighbour host may set the same name."""
    cookie = cookie_of()
    later = KEPT.renewed(TokenAnswer("access-2", 7200.0, "refresh-2"), WALL_START)
    older, newer = brought(written(cookie)), brought(written(cookie, later))

    for order in ([older, newer], [newer, older], ["__Host-shop=rubbish", newer, older]):
        assert cookie.read(request(*order).scope).kept == later
    assert cookie.read(request(brought(written(cookie, scheme="http"))).scope).kept is None, "set without TLS"


@pytest.mark.parametrize("value", ["", "rubbish", "e30", "=" * 50, "\xff" * 20, "A" * 5000])
def test_garbage(value: str) -> None:
    """Anything else is no session."""
    assert cookie_of().read(request(f"__Host-shop={value}").scope).kept is None


def test_bent() -> None:
    """Whoever changes a single character has no session."""
    value = brought(written(cookie_of()))
    for place in range(len("__Host-shop="), len(value), 7):
        other = "A" if value[place] != "A" else "B"
        assert cookie_of().read(request(value[:place] + other + value[place + 1 :]).scope).kept is None


class Forgetful(dict[Any, Any]):
    """What another thread empties as soon as something is in it."""

    def __setitem__(self, key: Any, value: Any) -> None: ...


def test_forgotten_meanwhile() -> None:
    """What another thread forgets is opened again."""
    cookie = cookie_of()
    header = written(cookie)
    cookie._opened = Forgetful()

    assert cookie.read(request(brought(header)).scope).kept == KEPT


def test_too_large() -> None:
    """What browsers would drop is not sent."""
    kept = KEPT.renewed(TokenAnswer("access-" + "1" * 4000, 3600.0), WALL_START)
    assert cookie_of().write(request(), kept) is None


def test_late_answer_of_an_earlier_session() -> None:
    """A session that follows another one has a name of its own; of both the later counts, and the other is cleared."""
    cookie = cookie_of()
    customer = KEPT.following(KEPT, 0)
    anew = KEPT.following(customer, 1)
    headers = [brought(written(cookie, each)) for each in (KEPT, customer, anew)]
    names = [header.partition("=")[0] for header in headers]
    assert len({*names}) == 3

    both = cookie.read(request(*headers[:2]).scope)
    assert (both.kept, both.void) == (customer, (names[0],))
    after = cookie.read(request(headers[1]).scope, era=1)
    assert (after.kept, after.void) == (None, (names[1],)), "logged out meanwhile"
    assert cookie.read(request(*headers).scope, era=1).kept == anew
    cleared = cookie.write(request(*headers[:2]), anew)
    assert cleared is not None
    assert {each.partition(b"=")[0].decode() for each in cleared} == {*names}


def test_made_up_ones_do_not_count() -> None:
    """However many cookies of its name somebody else has set, the one that can be opened is found."""
    own = brought(written(cookie_of()))
    made_up = [f"__Host-shop.1.{number}=" + "A" * 60 for number in range(40)]

    assert cookie_of().read(request(*made_up, own).scope).kept == KEPT


def test_room_for_clearings() -> None:
    """A cookie that is large leaves some of what it follows to be cleared by the next response."""
    cookie = cookie_of()
    earlier = [KEPT]
    for _ in range(5):
        earlier.append(KEPT.following(earlier[-1], 0))
    large = replace(KEPT.following(earlier[-1], 0), saas_token="s" * 1400)
    headers = cookie.write(request(*(brought(written(cookie, each)) for each in earlier)), large)

    assert headers is not None
    assert 2 <= len(headers) < 6
    assert sum(map(len, headers)) <= 2560
