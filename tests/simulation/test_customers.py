"""Visits that log in and out, refresh, and switch company, while other pages are on their way: with 0 violations."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from session_ctx_middleware.moving import Moving
from session_ctx_middleware.sessions.cookie import SessionCookie
from session_ctx_middleware.sessions.kept import KeptSession
from session_ctx_middleware.sessions.refreshing import Refreshing

from .customers import SHOPS, play

QUICK, SLOW = 25, 60
"""Moments at which a browser does something."""
NOW = ("one process", "before the cart", "3 workers")
SEEDS = 8


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


@pytest.mark.parametrize("shop", NOW)
def test_one_visit(shop: str) -> None:
    """No page shows what it must not, and nothing is lost."""
    visit = play(1, SHOPS[shop], QUICK)

    assert visit.found == []
    assert visit.counts["pages"] > QUICK / 2
    assert visit.counts["login"] + visit.counts["logout"]


@pytest.mark.slow
@pytest.mark.parametrize("shop", SHOPS)
def test_many_visits(shop: str) -> None:
    """Nor in many visits, on any set-up, whatever goes wrong at the token endpoints meanwhile."""
    visits = {seed: play(seed, SHOPS[shop], SLOW) for seed in range(SEEDS)}

    assert {seed: visit.found for seed, visit in visits.items() if visit.found} == {}
    for kind in ("login", "logout", "company", "faults"):
        assert sum(visit.counts[kind] for visit in visits.values())


Patch = pytest.MonkeyPatch


def no_carrying(patch: Patch) -> None:
    """What a guest has chosen gives way to the customer's preferences."""

    async def nothing(*_: Any) -> None:
        """Carry nothing."""

    patch.setattr(Moving, "_carry", nothing)


def one_name(patch: Patch) -> None:
    """A slow answer of before a login or a logout replaces the session that has followed."""
    patch.setattr(SessionCookie, "_name_of", lambda cookie, scope, kept: cookie._names[cookie._is_secure(scope)])


def no_company(patch: Patch) -> None:
    """A refresh forgets the company."""

    async def unscoped(refreshing: Refreshing, kept: KeptSession, asked_at: float) -> KeptSession:
        answer = await refreshing._tokens.refresh_customer(kept.refresh_token, bearer=kept.access_token)
        return kept.renewed(answer, asked_at)

    patch.setattr(Refreshing, "_customers", unscoped)


def no_end(patch: Patch) -> None:
    """What belonged to the customer is forgotten nowhere."""

    async def nothing(moving: Moving, token: object, era: int) -> None:
        """End nothing."""

    patch.setattr(Moving, "_end", nothing)


@pytest.mark.slow
@pytest.mark.parametrize("switched_off", [no_carrying, one_name, no_company, no_end])
def test_the_judge_can_tell(switched_off: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """Each rule is switched off once, and somebody notices."""
    switched_off(monkeypatch)
    assert any(play(seed, SHOPS["3 workers"], SLOW).found for seed in range(6 * SEEDS)), switched_off.__doc__
