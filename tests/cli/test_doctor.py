"""The doctor tells all modes of a tenant apart, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from session_ctx_middleware.cli.doctor import check_up
from session_ctx_middleware.cli.probes import Settings
from session_ctx_middleware.emporix import OwnContextClient
from session_ctx_middleware.errors import TokenRejected
from session_ctx_middleware.testing import FakeEmporix, Fault, Quirks

from ..network.backend import WebServer

pytestmark = pytest.mark.network

SEEDS = {"site_code": "main", "currency": "EUR"}
JANE = ("jane@example.com", "correct-horse")
Serve = Callable[..., Any]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve a fake over HTTP, and return whom to ask."""
    async with AsyncExitStack() as stack:

        async def serve(emporix: FakeEmporix, **seeds: str) -> Settings:
            server = WebServer(emporix)
            stack.push_async_callback(server.aclose)
            await server.start()
            return Settings("acme", emporix.storefront_client_id, f"http://127.0.0.1:{server.port}", {**SEEDS, **seeds})

        yield serve


async def answers(settings: Settings, **options: Any) -> dict[str, str]:
    return {finding.name: finding.answer async for finding in check_up(settings, **options)}


async def test_usual_tenant(serve: Serve) -> None:
    """Every question has an answer, and the cart is gone afterwards."""
    emporix = FakeEmporix()
    found = await answers(await serve(emporix), customer=JANE)
    assert found == {
        "login": "yes",
        "session_id": "told",
        "context": "with the first cart",
        "language": "in a field of its own",
        "read_after_write": "at once",
        "stale_version": "404, and changes nothing",
        "missing_version": "404, and changes nothing",
        "no_change": "a new version",
        "attributes": "put in place of the others",
        "guest_refresh": "names it; a used refresh token is good again",
        "customer_refresh": "none or a guest's or the customer's",
    }
    assert emporix.count("cart.delete") == emporix.count("cart.create") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "name", "answer"),
    [
        ({"context_at": "login"}, "context", "at login"),
        ({"context_at": "login", "context_delay": 0.5}, "context", "soon after the login"),
        ({"same_values_raise_version": False}, "no_change", "the same version"),
        ({"quirks": Quirks(language_at="attribute")}, "language", "in an attribute"),
        (
            {"quirks": Quirks(refresh_reuse="refused")},
            "guest_refresh",
            "names it; a used refresh token is refused",
        ),
        (
            {"quirks": Quirks(refresh_names_session=False)},
            "guest_refresh",
            "does not name it; a used refresh token is good again",
        ),
        ({"quirks": Quirks(refresh_bearer="anonymous")}, "customer_refresh", "a guest's"),
        ({"quirks": Quirks(refresh_bearer="customer")}, "customer_refresh", "the customer's"),
    ],
    ids=str,
)
async def test_modes(serve: Serve, mode: dict[str, Any], name: str, answer: str) -> None:
    """What sources contradict each other about is told apart."""
    assert (await answers(await serve(FakeEmporix(**mode), language="de"), customer=JANE))[name] == answer


@pytest.mark.slow
async def test_lag(serve: Serve) -> None:
    """Replicas that lag behind are found out."""
    found = await answers(await serve(FakeEmporix(context_at="login", replica_lag=0.6)))
    assert found["read_after_write"].startswith("after ")
    assert (found["attributes"], found["no_change"]) == ("put in place of the others", "a new version")


async def test_configuration(serve: Serve) -> None:
    """Values that the tenant does not offer are named."""
    emporix = FakeEmporix(context_at="login")
    assert (await answers(await serve(emporix), config_only=True))["configuration"] == "yes"
    assert emporix.count("context.patch") == emporix.count("cart") == 0


@pytest.mark.parametrize(
    ("seeds", "answer", "remark"),
    [
        ({}, "yes", ""),
        ({"language": "de-CH"}, "yes", ""),
        ({"currency": "JPY"}, "no", "currency must be offered by the site: EUR, USD, CHF."),
        ({"site_code": "nowhere"}, "no", "site_code must be one of the shop's sites: main, us."),
    ],
    ids=str,
)
async def test_what_the_site_offers(serve: Serve, seeds: dict[str, str], answer: str, remark: str) -> None:
    """A session takes any currency: what the site does not offer is told from its settings, with what it does offer."""
    settings = await serve(FakeEmporix(context_at="login"), **seeds)
    found = {each.name: each async for each in check_up(settings, config_only=True)}
    assert (found["offered"].answer, found["offered"].remark) == (answer, remark)


async def test_sites_that_cannot_be_read(serve: Serve) -> None:
    """Where nobody knows what the sites offer, that is the answer."""
    emporix = FakeEmporix(context_at="login")
    emporix.fault("site", Fault(status=503), times=None)
    assert (await answers(await serve(emporix), config_only=True))["offered"] == "unknown"


@pytest.mark.slow
async def test_service_that_fails(serve: Serve) -> None:
    """A service that fails is an answer, too; the cart is deleted all the same."""
    emporix = FakeEmporix()
    emporix.fault("context.patch", Fault(status=503), times=None)
    emporix.fault("anonymous.refresh", Fault(status=503), times=None)
    found = await answers(await serve(emporix))
    assert found["stale_version"] == "503, and changes nothing"
    assert found["guest_refresh"] == "refused (EmporixFailed)"
    assert emporix.count("cart.delete") == 1


async def test_wrong_client_id(serve: Serve) -> None:
    """Who is not known is told so."""
    settings = await serve(FakeEmporix())
    with pytest.raises(TokenRejected):
        await answers(Settings("acme", "nobody", settings.base_url, {}))


def command(*arguments: str, token: str = "", written: str = "") -> tuple[int, str, str]:
    """Return what the command line answers: its status, and what it writes."""
    environment = {**os.environ, "EMPORIX_TOKEN": token}
    done = subprocess.run(
        [sys.executable, "-m", "session_ctx_middleware.cli", *arguments],
        env=environment,
        input=written,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("doctor", "--tenant", "ACME", "--client-id", "x"), 2, "lower-case"),
        (
            ("doctor", "--tenant", "acme", "--client-id", "x", "--base-url", "http://127.0.0.1:9"),
            1,
            ". Check --tenant",
        ),
        (("doctor", "--tenant", "acme", "--client-id", "x", "--base-url", "http://api.emporix.io"), 2, "https://"),
        (("doctor", "--tenant", "acme", "--client-id", "x", "--email", "a@b.c"), 2, "EMPORIX_PASSWORD"),
        (("doctor", "--tenant", "acme"), 2, "--client-id"),
        (("inspect", "--tenant", "acme"), 2, "EMPORIX_TOKEN"),
        ((), 2, "COMMAND"),
    ],
    ids=str,
)
def test_mistakes(arguments: tuple[str, ...], status: int, told: str) -> None:
    """A command that cannot work says why, and has a status that says whose fault it is."""
    code, _, errors = command(*arguments)
    assert (code, told in errors, "Traceback" in errors) == (status, True, False), errors


@pytest.mark.slow
async def test_commands(serve: Serve) -> None:
    """`inspect` shows a context, as a table and as JSON; `doctor --json` what it has found."""
    import anyio

    emporix = FakeEmporix(context_at="login")
    settings = await serve(emporix)
    session = emporix.new_session(currency="CHF", attributes={"tier": "gold"})
    place = ("--tenant", "acme", "--base-url", settings.base_url)

    async def run(*arguments: str, **options: str) -> tuple[int, str, str]:
        return await anyio.to_thread.run_sync(lambda: command(*arguments, **options))

    code, shown, _ = await run("inspect", *place, token=session.token)
    assert (code, "CHF" in shown, "gold" in shown, session.token in shown) == (0, True, True, False)
    code, shown, _ = await run("inspect", *place, "--json", written=session.token)
    assert (code, json.loads(shown)["currency"]) == (0, "CHF")
    code, _, errors = await run("inspect", *place, token=emporix.new_session(exists=False).token)
    assert (code, "first cart" in errors) == (1, True)
    found = await run("doctor", *place, "--client-id", settings.client_id, "--json", "--check-config")
    assert (found[0], json.loads(found[1])["context"]) == (0, "at login")
    async with OwnContextClient("acme", base_url=settings.base_url) as contexts:
        assert (await contexts.get(session.token)).currency == "CHF"
