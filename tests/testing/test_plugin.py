"""The fixtures for the tests of a shop, in a project of its own: with anyio's plugin and with pytest-asyncio."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SHOP = """
import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from session_ctx_middleware import SessionContextMiddleware

async def prices(request):
    ctx = await request.state.session_ctx
    return PlainTextResponse(f"Prices in {ctx.currency}")

async def cart(request):
    await request.state.session_ctx.cart_created()
    return PlainTextResponse("")


async def switch(request):
    request.state.session_ctx.switch_currency(request.query_params["to"])
    return PlainTextResponse("")

app = Starlette(
    routes=[Route("/", prices), Route("/switch", switch, methods=["POST"]), Route("/cart", cart, methods=["POST"])],
    middleware=[Middleware(SessionContextMiddleware, tenant="acme")],
)
"""
TESTS = """
import pytest

from session_ctx_middleware import Commit, ContextUnavailable
from session_ctx_middleware.testing import Fault
from shop import app

{mark}


async def test_page(emporix_fake, emporix_client):
    session = emporix_fake.new_session(currency="EUR")
    async with emporix_client(app, session) as client:
        assert (await client.get("/")).text == "Prices in EUR"
        await client.post("/switch?to=USD")
        assert (await client.get("/")).text == "Prices in USD"
    assert emporix_fake.count("context.patch") == 1


async def test_outage(emporix_fake, emporix_client):
    emporix_fake.fault("context", Fault(status=503), times=None)
    for _ in range(6):  # enough for a breaker to open
        async with emporix_client(app, emporix_fake.new_session()) as client:
            assert (await client.get("/")).text == "Prices in None"


async def test_nothing_is_left_of_an_outage(emporix_fake, emporix_client):
    async with emporix_client(app, emporix_fake.new_session(currency="CHF")) as client:
        assert (await client.get("/")).text == "Prices in CHF"


async def test_choice_before_the_cart(emporix_fake, emporix_client):
    session = emporix_fake.new_session(exists=False)
    async with emporix_client(app, session) as client:
        await client.post("/switch?to=USD")
        assert (await client.get("/")).text == "Prices in USD"
        emporix_fake.create_context(session.session_id, currency="EUR")  # Emporix does so with the first cart
        await client.post("/cart")
    assert emporix_fake.document(session.session_id)["currency"] == "USD"


async def test_context_alone(emporix_fake, emporix_context):
    async with emporix_context(currency="EUR", attributes={{"tier": "gold"}}) as ctx:
        assert (ctx.currency, ctx.attributes["tier"]) == ("EUR", "gold")
        ctx.switch_currency("USD")
        assert emporix_fake.count("context.patch") == 0
    assert emporix_fake.count("context.patch") == 1


async def test_context_that_fails(emporix_fake, emporix_context):
    with pytest.raises(ZeroDivisionError):
        async with emporix_context(currency="EUR") as ctx:
            ctx.switch_currency("USD")
            1 / 0
    assert emporix_fake.count("context.patch") == 0


async def test_commit_in_the_block(emporix_context):
    async with emporix_context(currency="EUR") as ctx:
        ctx.switch_currency("USD")
        assert await ctx.commit() is Commit.APPLIED


async def test_tenant(emporix_fake, emporix_tenant):
    assert emporix_fake.tenant == emporix_tenant == "acme"
"""
ANYIO = """
@pytest.fixture
def anyio_backend():
    return "asyncio"


pytestmark = pytest.mark.anyio
"""


SETTINGS = """
[tool.pytest.ini_options]
pythonpath = ["."]
{setting}
"""
WITHOUT_ASYNCIO = ("-p", "no:asyncio")
LOOP = 'asyncio_default_fixture_loop_scope = "function"'  # as pytest-asyncio wants it to be said


def run(directory: Path, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, "-p", "no:cov", *arguments, "."],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("mark", "options", "setting"),
    [
        (ANYIO, WITHOUT_ASYNCIO, ""),
        pytest.param("", ("-p", "no:anyio"), f'{LOOP}\nasyncio_mode = "auto"', marks=pytest.mark.slow),
        pytest.param("pytestmark = pytest.mark.asyncio", (), LOOP, marks=pytest.mark.slow),
        pytest.param(
            'pytestmark = pytest.mark.asyncio(loop_scope="session")',
            (),
            LOOP.replace("function", "session"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["anyio", "pytest-asyncio, auto", "pytest-asyncio, strict", "pytest-asyncio, one loop"],
)
def test_fixtures(tmp_path: Path, mark: str, options: tuple[str, ...], setting: str) -> None:
    """The fixtures work with each async plugin, in a project that configures nothing for them."""
    (tmp_path / "shop.py").write_text(SHOP, "utf-8")
    (tmp_path / "test_shop.py").write_text(TESTS.format(mark=mark), "utf-8")
    (tmp_path / "pyproject.toml").write_text(SETTINGS.format(setting=setting), "utf-8")

    assert "8 passed" in (output := run(tmp_path, *options)), output


OBJECTS = """
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from session_ctx_middleware import SessionContextMiddleware
from session_ctx_middleware.emporix import CartFollows, PublicToken, SiteCatalog
from session_ctx_middleware.sessions import StorefrontSessions

pytestmark = pytest.mark.anyio
catalog = SiteCatalog(PublicToken("storefront"))


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def page(request):
    ctx = await request.state.session_ctx
    return JSONResponse([site.code for site in await catalog.load()])


app = Starlette(
    routes=[Route("/", page)],
    middleware=[
        Middleware(
            SessionContextMiddleware,
            tenant="acme",
            token=StorefrontSessions("storefront"),
            sites=catalog,
            carts=CartFollows(),
            secret_key="k" * 32,
        )
    ],
)


@pytest.mark.parametrize("which", ["first", "second", "third"])
async def test_page(emporix_fake, emporix_client, which, caplog):
    async with emporix_client(app) as client:
        assert (await client.get("/")).json() == ["main", "us"]
        assert (await client.get("/")).status_code == 200
    assert caplog.messages == []
    assert emporix_fake.count("site.list") == 1
    assert emporix_fake.count("anonymous.login") == 2  # the visitor's, and the shop's own
"""


def test_objects_of_the_shop(tmp_path: Path) -> None:
    """What a shop makes once (sessions, sites, carts) serves one test after the other, and nothing of one is left."""
    (tmp_path / "test_shop.py").write_text(OBJECTS, "utf-8")
    (tmp_path / "pyproject.toml").write_text(SETTINGS.format(setting=""), "utf-8")

    assert "3 passed" in (output := run(tmp_path, *WITHOUT_ASYNCIO)), output


MISTAKES = """
import sys

import pytest
from shop import app

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_token_as_session(emporix_fake, emporix_client):
    with pytest.raises(TypeError, match="emporix_fake.new_session.*returns, not an object of str"):
        async with emporix_client(app, emporix_fake.new_session().token):
            pass


async def test_value_as_session(emporix_context):
    with pytest.raises(TypeError, match="emporix_fake.new_session"):
        async with emporix_context("EUR"):
            pass


async def test_name_as_application(emporix_client):
    with pytest.raises(TypeError, match="not its name"):
        async with emporix_client("shop:app"):
            pass


async def test_without_the_extra(emporix_client, monkeypatch):
    monkeypatch.setitem(sys.modules, "asgi_lifespan", None)
    with pytest.raises(ImportError, match="session-ctx-middleware.testing"):
        async with emporix_client(app):
            pass
"""


def test_mistakes(tmp_path: Path) -> None:
    """What a test gets wrong is said by name, with what to write instead."""
    (tmp_path / "shop.py").write_text(SHOP, "utf-8")
    (tmp_path / "test_shop.py").write_text(MISTAKES, "utf-8")
    (tmp_path / "pyproject.toml").write_text(SETTINGS.format(setting=""), "utf-8")

    assert "4 passed" in (output := run(tmp_path, *WITHOUT_ASYNCIO)), output


def test_fixtures_are_listed(tmp_path: Path) -> None:
    """`pytest --fixtures` says what each of them is for."""
    output = run(tmp_path, *WITHOUT_ASYNCIO, "--fixtures")
    for name in ("emporix_fake", "emporix_client", "emporix_context", "emporix_tenant"):
        assert f"\n{name} -- " in output
