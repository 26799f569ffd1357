"""What the storefront reads from Emporix, and from its environment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from examples.storefront.catalog import Remembered
from examples.storefront.models import Text, localized
from examples.storefront.platform import PlatformError
from examples.storefront.settings import REAL_URL, Settings
from examples.storefront.visit import Visit
from session_ctx_middleware import StorefrontToken

Ask = Callable[[str | None], Awaitable[tuple[StorefrontToken | None, Visit]]]


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_answer_outlives_an_outage() -> None:
    """A remembered answer outlives an outage."""
    clock, asked = Time(), 0
    anybody: Any = object()

    async def fetch(_: Any) -> list[str]:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise PlatformError("sites")
        return ["main"]

    remembered = Remembered(fetch, clock)
    assert await remembered.get(None) == ()
    for pause in (0, 599, 2, 1, 5):
        clock.now += pause
        assert await remembered.get(anybody) == ["main"]
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
    """Texts are read with care."""
    names = {"de": "Tasse", "en": "Cup"}
    assert localized(names, "de-AT") == Text("Tasse", "de")
    assert localized(names, "fr") == Text("Cup", "en")
    assert localized({"pl": "Kubek"}, None) == Text("Kubek", "pl")
    assert localized("Cup", "de") == Text("Cup")
    assert localized({}, "de") == Text("")
