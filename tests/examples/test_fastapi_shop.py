"""The FastAPI example, as it stands in the file, behind a server."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from examples import fastapi_shop
from session_ctx_middleware.testing import FakeEmporix


def test_it_fits_on_a_page() -> None:
    """The example fits on a page."""
    assert fastapi_shop.__file__ is not None
    assert len(Path(fastapi_shop.__file__).read_text().splitlines()) <= 100


async def test_website(emporix: FakeEmporix, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser needs no token: it logs in and out, and keeps what it has chosen."""
    (middleware,) = fastapi_shop.app.user_middleware
    async with emporix.client(httpx2) as upstream:
        monkeypatch.setitem(middleware.kwargs, "http_client", upstream)
        monkeypatch.setattr(fastapi_shop.sessions, "_serves", False)
        monkeypatch.setattr(fastapi_shop.app, "middleware_stack", None)
        transport = httpx2.ASGITransport(fastapi_shop.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://shop.test") as browser:
            await browser.get("/me")
            await browser.post("/me", json={"currency": "CHF"})
            wrong = await browser.post("/login", json={"email": "jane@example.com", "password": "wrong-horse"})
            assert wrong.status_code == 401
            who = {"email": "jane@example.com", "password": "correct-horse"}
            assert (await browser.post("/login", json=who)).json()["currency"] == "CHF"
            assert (await browser.post("/logout")).json()["currency"] == "CHF"
    assert emporix.count("anonymous.login") == 1
    assert emporix.count("customer.logout") == 1


async def test_it_reads_switches_and_refuses(emporix: FakeEmporix, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example reads, switches and refuses."""
    session = emporix.new_session(currency="EUR", language="en")
    (middleware,) = fastapi_shop.app.user_middleware
    async with emporix.client(httpx2) as upstream:
        monkeypatch.setitem(middleware.kwargs, "http_client", upstream)
        monkeypatch.setattr(fastapi_shop.sessions, "_serves", False)
        monkeypatch.setattr(fastapi_shop.app, "middleware_stack", None)
        browser = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(fastapi_shop.app),
            base_url="http://shop.test",
            headers={"Authorization": f"Bearer {session.token}"},
        )
        async with browser:
            assert (await browser.get("/me")).json()["currency"] == "EUR"
            switched = await browser.post("/me", json={"currency": "USD"})
            assert switched.json() == {
                "site_code": "main",
                "currency": "USD",
                "language": "en",
                "target_location": "DE",
            }
            refused = await browser.post("/me", json={"currency": "dollar"})
            assert refused.status_code == 422
            browser.cookies.clear()
            assert (await browser.get("/me")).json()["currency"] == "USD", "an app keeps no cookies"

    document = emporix.document(session.session_id)
    assert document is not None
    assert document["currency"] == "USD"
    assert emporix.count("context.patch") == 1
