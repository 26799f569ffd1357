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


async def test_a_session_begins_once_with_the_shops_defaults(ask: Ask, emporix: FakeEmporix) -> None:
    token, visit = await ask(None)
    again, later = await ask(visit.new_cookie)

    assert token is not None
    assert again == token
    assert later.new_cookie is None
    assert emporix.count() == 1


async def test_a_token_is_renewed_shortly_before_its_end(ask: Ask, emporix: FakeEmporix, clock: Time) -> None:
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


async def test_a_refused_renewal_begins_anew_and_an_outage_is_not_hammered(
    ask: Ask, emporix: FakeEmporix, clock: Time
) -> None:
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
    assert Credentials.from_cookie(cookie) is None


async def test_credentials_survive_the_cookie_and_keep_their_secrets() -> None:
    credentials = Credentials.granted(Grant("token", "refresh", "session", 10), 100.5)

    assert Credentials.from_cookie(credentials.to_cookie()) == credentials
    assert "=" not in credentials.to_cookie()
    assert repr(credentials) == "Credentials(expires_at=110)"


async def test_a_remembered_answer_outlives_an_outage() -> None:
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


async def test_settings_want_both_names_or_none() -> None:
    assert Settings.from_environment({}) == Settings()
    real = Settings.from_environment({"EMPORIX_TENANT": "shop", "EMPORIX_CLIENT_ID": "id", "SHOP_CURRENCY": "CHF"})
    assert (real.base_url, real.defaults.currency) == (REAL_URL, "CHF")
    for name in ("EMPORIX_TENANT", "EMPORIX_CLIENT_ID"):
        with pytest.raises(ValueError, match="both"):
            Settings.from_environment({name: "shop"})


async def test_texts_and_sites_are_read_with_care() -> None:
    names = {"de": "Tasse", "en": "Cup"}
    assert localized(names, "de-AT") == Text("Tasse", "de")
    assert localized(names, "fr") == Text("Cup", "en")
    assert localized({"pl": "Kubek"}, None) == Text("Kubek", "pl")
    assert localized("Cup", "de") == Text("Cup")
    assert localized({}, "de") == Text("")
    assert Site.read({"code": "x", "currency": "EUR", "availableCurrencies": ["USD", "EUR"]}) == Site(
        "x", "x", ("EUR", "USD"), (), ()
    )
