"""The storefront's anonymous visitors, and what it reads from Emporix."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from starlette.requests import HTTPConnection

from examples.storefront.catalog import Remembered
from examples.storefront.models import Grant, Site, Text, localized
from examples.storefront.platform import Platform, PlatformError
from examples.storefront.settings import REAL_URL, Settings
from examples.storefront.visit import Visit
from examples.storefront.visitor import AnonymousVisitor, Credentials
from session_ctx_middleware import StorefrontToken
from session_ctx_middleware.testing import FakeEmporix, Fault

Ask = Callable[[str | None], Awaitable[tuple[StorefrontToken | None, Visit]]]


class Time:
    """A clock that a test moves; the same for Emporix and the shop."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(emporix: FakeEmporix) -> Time:
    emporix.now = Time()
    return emporix.now


@pytest.fixture
def ask(emporix: FakeEmporix, clock: Time) -> Ask:
    """Ask for the token of a request with a cookie."""
    source = AnonymousVisitor(Platform(Settings(), emporix.client(httpx2)), clock)

    async def ask(cookie: str | None) -> tuple[StorefrontToken | None, Visit]:
        visit = Visit(cookie=cookie, earlier=())
        scope: dict[str, Any] = {"type": "http", "headers": [], "state": {"visit": visit}}
        connection = HTTPConnection(scope)
        found = await source(connection)
        assert await source(connection) == found
        return found, visit

    return ask


async def test_session_begins_once(ask: Ask, emporix: FakeEmporix) -> None:
    """A session begins once with the shop's defaults."""
    token, visit = await ask(None)
    again, later = await ask(visit.new_cookie)

    assert token is not None
    assert again == token
    assert later.new_cookie is None
    assert emporix.count() == 1


async def test_token_is_renewed(ask: Ask, emporix: FakeEmporix, clock: Time) -> None:
    """A token is renewed shortly before its end."""
    token, visit = await ask(None)
    clock.now += 3599 - 121
    assert (await ask(visit.new_cookie))[0] == token
    clock.now += 2

    renewed, later = await ask(visit.new_cookie)

    assert renewed != token
    assert visit.credentials is not None
    assert later.credentials is not None
    assert later.credentials.session_id == visit.credentials.session_id
    assert later.new_cookie is not None
    assert emporix.count("anonymous.refresh") == 1


async def test_an_outage_costs_no_session(ask: Ask, emporix: FakeEmporix, clock: Time) -> None:
    """An outage costs no session."""
    token, visit = await ask(None)
    clock.now += 3500
    emporix.fault("anonymous", Fault(status=503), times=None)
    assert (await ask(visit.new_cookie))[0] == token
    clock.now += 200
    assert (await ask(visit.new_cookie))[0] is None

    emporix.clear_faults()
    back, later = await ask(visit.new_cookie)

    assert back is not None
    assert later.credentials is not None
    assert visit.credentials is not None
    assert later.credentials.session_id == visit.credentials.session_id


async def test_refused_renewal(ask: Ask, emporix: FakeEmporix, clock: Time) -> None:
    """A refused renewal begins anew, and Emporix is not hammered in an outage."""
    _, visit = await ask(None)
    clock.now += 90_000
    renewed, later = await ask(visit.new_cookie)
    assert renewed is not None
    assert later.credentials != visit.credentials

    emporix.clear_calls()
    emporix.fault("*", Fault(status=503), times=None)
    for _ in range(3):
        token, offline = await ask(None)
        assert token is None
        assert offline.is_offline
    assert emporix.count() == 1


@pytest.mark.parametrize("cookie", ["", "%", "a", base64.b64encode(b"[1]").decode(), "W" * 9999, "bnVsbA", "\u00e9"])
async def test_a_bent_cookie_counts_as_none(cookie: str) -> None:
    """A bent cookie counts as none."""
    assert Credentials.from_cookie(cookie) is None


async def test_credentials_in_the_cookie() -> None:
    """Credentials survive the cookie and keep their secrets."""
    credentials = Credentials.granted(Grant("token", "refresh", "session", 10), 100.5)

    assert Credentials.from_cookie(credentials.to_cookie()) == credentials
    assert "=" not in credentials.to_cookie()
    assert repr(credentials) == "Credentials(expires_at=110)"


async def test_answer_outlives_an_outage() -> None:
    """A remembered answer outlives an outage."""
    clock, asked = Time(), 0

    async def fetch(_: str) -> list[str]:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise PlatformError("sites")
        return ["main"]

    remembered = Remembered(fetch, clock)
    assert await remembered.get(None) == ()
    for pause in (0, 599, 2, 1, 5):
        clock.now += pause
        assert await remembered.get("token") == ["main"]
    assert asked == 3


async def test_settings_want_both_names() -> None:
    """Settings want both names or none."""
    assert Settings.from_environment({}) == Settings()
    real = Settings.from_environment({"EMPORIX_TENANT": "shop", "EMPORIX_CLIENT_ID": "id", "SHOP_CURRENCY": "CHF"})
    assert (real.base_url, real.defaults.currency) == (REAL_URL, "CHF")
    for name in ("EMPORIX_TENANT", "EMPORIX_CLIENT_ID"):
        with pytest.raises(ValueError, match="both"):
            Settings.from_environment({name: "shop"})


async def test_careful_reading() -> None:
    """Texts and sites are read with care."""
    names = {"de": "Tasse", "en": "Cup"}
    assert localized(names, "de-AT") == Text("Tasse", "de")
    assert localized(names, "fr") == Text("Cup", "en")
    assert localized({"pl": "Kubek"}, None) == Text("Kubek", "pl")
    assert localized("Cup", "de") == Text("Cup")
    assert localized({}, "de") == Text("")
    assert Site.read({"code": "x", "currency": "EUR", "availableCurrencies": ["USD", "EUR"]}) == Site(
        "x", "x", ("EUR", "USD"), (), ()
    )
