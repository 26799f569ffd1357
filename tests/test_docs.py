"""Every code block of README and docs runs; every link and every command in them exists."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import jinja2
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

import session_ctx_middleware.stores.redis  # noqa: F401 - a page imports it on the event loop, where nobody may wait
from session_ctx_middleware import SessionContextMiddleware
from session_ctx_middleware.emporix.transport import libraries
from session_ctx_middleware.emporix.transport.httpx_adapter import HttpxTransport
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.templating import install
from session_ctx_middleware.testing import FakeEmporix, Fault

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), TESTS / "README.md"])


@pytest.fixture(autouse=True, scope="module")
def read_files() -> None:
    """Read what an application reads when it starts: pages are run on the event loop, where nobody may wait."""
    install(jinja2.Environment(autoescape=True), languages=["en", "de", "fr"], time_zone="Europe/Berlin")


@pytest.fixture
def anyio_backend() -> str:
    """The pages use the real clock."""
    return "asyncio"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def links_of_the_page() -> str:
    """Return what the page about templates says that its code writes for search engines."""
    return next(block for block in blocks(ROOT / "docs" / "templates.md", "html") if block.startswith("<link")).strip()


def run(page: Path) -> dict[str, Any]:
    """Run the blocks of a page one after the other, in one module, as a reader would."""
    module = types.ModuleType(f"page_{page.stem}")
    sys.modules[module.__name__] = module
    for number, block in enumerate(blocks(page, "python")):
        exec(compile(block, f"{page.name} block {number}", "exec", dont_inherit=True), vars(module))
    return vars(module)


OF_SEVERAL_FILES = ROOT / "docs" / "tutorial.md"


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if blocks(page, "python") and page != OF_SEVERAL_FILES],
    ids=lambda page: page.name,
)
async def test_the_code_of_a_page_runs(page: Path) -> None:
    """The code of a page runs."""
    names = run(page)

    for name, value in names.items():
        of_its_own = inspect.iscoroutinefunction(value) and not inspect.signature(value).parameters
        if name.startswith("test_") and of_its_own:
            await value()
    assert len(names) > 1


async def visit(app: Any, method: str, path: str, token: str | None = None) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token}", "Cookie": f"shop_token={token}"} if token else {}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://shop") as browser:
        return await browser.request(method, path, headers=headers)


@pytest.mark.parametrize(
    ("page", "name", "visits"),
    [
        (
            "README.md",
            "app",
            [("GET", "/", "Prices in EUR"), ("POST", "/switch?currency=USD", ""), ("GET", "/", "USD")],
        ),
        (
            "docs/quickstart.md",
            "app",
            [
                ("GET", "/", '"source":"document"'),
                ("POST", "/switch?currency=usd", "ISO 4217"),
                ("POST", "/switch?currency=CHF", ""),
                ("GET", "/page", "Prices in CHF"),
                ("POST", "/cart", '"currency":"CHF"'),
            ],
        ),
        ("docs/quickstart.md", "api", [("PUT", "/currency/USD", "USD"), ("GET", "/currency", "USD")]),
        ("docs/resolution.md", "app", [("GET", "/fr/cart", '"language":"fr","source":"url"')]),
        ("docs/sites.md", "app", [("GET", "/", "United States")]),
        ("docs/debug_panel.md", "app", [("GET", "/", "Prices in EUR")]),
        ("docs/templates.md", "app", [("GET", "/page", "1,299.50"), ("GET", "/front", "Preise in")]),
        ("docs/templates.md", "shop", [("GET", "/de-ch/products?page=2&utm_source=mail", links_of_the_page())]),
        ("docs/observability.md", "app", [("GET", "/ready", '"emporix":true,"breaker":true,"store":true')]),
    ],
)
async def test_application_of_a_page(
    monkeypatch: pytest.MonkeyPatch, page: str, name: str, visits: list[tuple[str, str, str]]
) -> None:
    """The application of a page does what the page says."""
    emporix = FakeEmporix()
    session = emporix.new_session(currency="EUR")
    monkeypatch.setattr(libraries, "build", lambda *_: HttpxTransport(emporix.client(httpx2), 4.0))
    app = run(ROOT / page)[name]

    for method, path, expected in visits:
        assert expected in (await visit(app, method, path, session.token)).text

    assert emporix.count("context.patch") == any(method != "GET" for method, *_ in visits)


NONSENSE = ("", "dollars", "usd", "\u20ac", "\x00", "USD\r\nx: y", "x" * 5000, "None", "../..", "%", "1e400")


@pytest.mark.parametrize(
    ("page", "name", "method", "path"),
    [
        ("README.md", "app", "POST", "/switch?currency={}"),
        ("README.md", "app", "POST", "/switch"),
        ("README.md", "app", "POST", "/switch?currency={}&currency={}"),
        ("docs/quickstart.md", "app", "POST", "/switch?currency={}"),
        ("docs/quickstart.md", "app", "POST", "/switch"),
        ("docs/quickstart.md", "api", "PUT", "/currency/{}"),
    ],
)
@pytest.mark.parametrize("shopper", [True, False], ids=["shopper", "nobody"])
async def test_bad_input_is_no_server_error(
    monkeypatch: pytest.MonkeyPatch, *, page: str, name: str, method: str, path: str, shopper: bool
) -> None:
    """Whatever comes in, what a page shows answers with less than 500, and changes nothing."""
    emporix = FakeEmporix()
    session = emporix.new_session(currency="EUR")
    monkeypatch.setattr(libraries, "build", lambda *_: HttpxTransport(emporix.client(httpx2), 4.0))
    app = run(ROOT / page)[name]

    for nonsense in NONSENSE:
        url = path.replace("{}", quote(nonsense, safe=""))
        answer = await visit(app, method, url, session.token if shopper else None)
        assert answer.status_code < 500, nonsense
    assert emporix.count("context.patch") == 0


@pytest.mark.parametrize(("token", "status"), [("good", 200), ("unknown", 401), (None, 400), ("down", 503)], ids=str)
async def test_checkout(monkeypatch: pytest.MonkeyPatch, token: str | None, status: int) -> None:
    """The checkout of the page about errors answers a guest, an ended login and an outage each in its way."""
    emporix = FakeEmporix()
    session = emporix.new_session(currency="EUR")
    if token == "down":
        emporix.fault("context", Fault(status=503), times=None)
    monkeypatch.setattr(libraries, "build", lambda *_: HttpxTransport(emporix.client(httpx2), 4.0))
    shop = Starlette(routes=[Route("/", run(ROOT / "docs/errors.md")["checkout"])])
    app = SessionContextMiddleware(shop, tenant="acme", store=MemoryStore())

    answer = await visit(app, "GET", "/", session.token if token in {"good", "down"} else token)

    assert answer.status_code == status
    assert ("Paying in EUR" in answer.text) is (status == 200)


def test_documented_test(tmp_path: Path) -> None:
    """The tests of the page about testing are a file that pytest runs as it stands, where nothing is configured."""
    (block,) = (each for each in blocks(ROOT / "docs/testing.md", "python"))
    (tmp_path / "test_shop.py").write_text(block, "utf-8")

    assert "4 passed" in run_pytest(tmp_path)


def test_first_test(tmp_path: Path) -> None:
    """Shop and test of the README are a file that pytest runs as it stands, where nothing is configured."""
    (tmp_path / "test_shop.py").write_text("\n\n".join(blocks(ROOT / "README.md", "python")), "utf-8")

    assert "1 passed" in run_pytest(tmp_path)


def test_tutorial(tmp_path: Path) -> None:
    """The shop of the tutorial, in the files that its blocks name, passes the tests that the last step writes."""
    files: dict[str, list[str]] = {}
    for block in blocks(OF_SEVERAL_FILES, "python"):
        files.setdefault(block.partition("\n")[0].removeprefix("# "), []).append(block)
    assert [*files] == ["shop.py", "test_shop.py", "shop_fastapi.py"]
    for name, written in files.items():
        (tmp_path / name).write_text("\n\n".join(written), "utf-8")
    (tmp_path / "test_fastapi.py").write_text(OF_THE_FASTAPI_SHOP, "utf-8")

    assert "6 passed" in run_pytest(tmp_path)


OF_THE_FASTAPI_SHOP = """
import pytest
from shop_fastapi import api


@pytest.mark.anyio
async def test_prices(emporix_fake, emporix_client):
    async with emporix_client(api) as client:
        await client.post("/switch", data={"currency": "USD"}, headers={"origin": "https://shop.test"})
        assert (await client.get("/prices")).json() == {"currency": "USD"}
        answer = await client.post("/switch", data={"currency": "usd"}, headers={"origin": "https://shop.test"})
        assert answer.status_code == 422
"""


def run_pytest(directory: Path) -> str:
    """Return what pytest says of the tests in a directory, in an environment that configures nothing."""
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            "--rootdir",
            ".",
            ".",
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_link_leads_somewhere() -> None:
    """Every link leads somewhere."""
    dead = [
        (page.name, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8"))
        if not target.startswith("http") and not (page.parent / target).exists()
    ]

    assert dead == []


def test_named_files_exist() -> None:
    """Every file and command that a page names exists."""
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    paths = set(re.findall(r"`((?:tests|examples|docs|session_ctx_middleware)/[\w./]+)`", text))

    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert [name for name in re.findall(r"^make (\w+)", text, re.MULTILINE) if f"\n{name}:" not in makefile] == []


def test_named_tests_exist() -> None:
    """Every test that the README names exists."""
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (ROOT / "README.md").read_text("utf-8")))

    assert len(named) > 10
    assert [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text("utf-8")] == []


def scenarios() -> set[tuple[str, str, str]]:
    """Return number, file and name of every test that says which scenario it holds."""
    functions = [
        (str(path.relative_to(TESTS)), node)
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    said = [(re.match(r"F\d+(?=: )", ast.get_docstring(node) or ""), path, node.name) for path, node in functions]
    return {(number[0], path, name) for number, path, name in said if number}


def test_scenarios() -> None:
    """The key of the fault scenarios has all of them, and names each test that says it holds one."""
    rows = re.findall(r"^\| (F\d+) \| .+ \| (.+) \|$", (TESTS / "README.md").read_text("utf-8"), re.MULTILINE)
    named = {(number, path, name) for number, cell in rows for path, name in re.findall(r"`([\w/]+\.py)::(\w+)`", cell)}

    assert [number for number, _ in rows] == [f"F{number}" for number in range(1, 47)]
    assert named == scenarios()
