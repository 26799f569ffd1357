"""`make demo`: both servers start, a shopper shops, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from session_ctx_middleware.cli import main

from ..support.redis_server import free_port
from .conftest import Browser

pytestmark = pytest.mark.network

ROOT = Path(__file__).parents[2]


def is_open(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0


@contextlib.asynccontextmanager
async def demo(*arguments: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("EMPORIX_", "SHOP_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "session_ctx_middleware.cli", "demo", *arguments),
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd="/",
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 60)


async def address(process: asyncio.subprocess.Process, name: str) -> str:
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    found = re.match(rf"{name}: +(http://127\.0\.0\.1:\d+)\b", line)
    assert found is not None, line
    return found[1]


async def failure(*arguments: str, status: int = 1, **environment: str) -> str:
    async with demo(*arguments, **environment) as process:
        _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == status
    return errors.decode()


async def test_whole_demo() -> None:
    """The demo runs from the first page to the last signal, and asks no proxy for this machine."""
    proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    async with demo("--port", str(free_port()), **proxies) as process:
        fake = await address(process, "FakeEmporix")
        shop = await address(process, "Storefront")
        panel = await address(process, "Debug panel")
        browser, control = (
            Browser(httpx2.AsyncHTTPTransport(), shop),
            httpx2.AsyncClient(base_url=fake, trust_env=False),
        )
        async with browser.http, control:
            await browser.get()
            assert (await browser.switch(currency="USD", back="/")).chosen("currency") == "USD"
            cart = await browser.add("kettle")
            assert cart.prices == ["$56.84"]

            await control.delete("/_fake/calls")
            await browser.get()
            calls = (await control.get("/_fake/calls")).json()["calls"]
            assert [call["operation"] for call in calls] == ["price.match_for"]
            shown = await browser.http.get(f"{panel}/__session_ctx")
            assert shown.status_code == 200
            assert "context.patch" in shown.text

            await control.post("/_fake/faults", json={"operation": "*", "hang": True, "times": None})
            began = time.monotonic()
            page = await browser.get()
            assert time.monotonic() - began < 30
            assert "out of order" in page.notices
            await control.delete("/_fake/faults")
        process.send_signal(signal.SIGTERM)
        output, errors = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 0
    assert output.decode().strip() == "Stopped."
    (line,) = errors.decode().splitlines()
    assert "panel" in line
    assert not is_open(fake)
    assert not is_open(shop)


async def test_a_taken_port_is_named() -> None:
    """A taken port is named."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = await failure("--port", str(port))

    assert f"Port {port} is taken" in message
    assert "--port" in message


async def test_bad_settings() -> None:
    """Half a configuration is refused, and so is nonsense."""
    port = ("--port", str(free_port()))
    assert "EMPORIX_CLIENT_ID is missing" in await failure(*port, EMPORIX_TENANT="shop")
    assert "EMPORIX_TENANT is missing" in await failure(*port, EMPORIX_CLIENT_ID="id")
    assert "a port is a number" in await failure("--port", "http", status=2)


async def test_unreachable_tenant() -> None:
    """With a tenant, only the storefront starts."""
    environment = {"EMPORIX_TENANT": "shop", "EMPORIX_CLIENT_ID": "id", "EMPORIX_BASE_URL": "http://127.0.0.1:9"}
    async with demo("--port", str(free_port()), **environment) as process:
        shop = await address(process, "Storefront")
        async with httpx2.AsyncClient(base_url=shop) as http:
            page = await http.get("/")

    assert page.status_code == 200
    assert "out of order" in page.text
    assert not is_open(shop)


def test_packages_that_are_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a package is missing, the extra is named."""
    monkeypatch.setattr("session_ctx_middleware.cli.demo.NEEDED", ("uvicorn", "no_such_package"))

    assert main(["demo", "--port", str(free_port())]) == 1
    assert "pip install 'session-ctx-middleware[demo]'" in capsys.readouterr().err
