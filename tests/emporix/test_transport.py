from __future__ import annotations

import asyncio
import json
import ssl
import sys
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest

from session_ctx_middleware.emporix import OwnContextClient, ServiceToken
from session_ctx_middleware.emporix.transport import Options, OwnClients, environment, libraries
from session_ctx_middleware.emporix.transport.libraries import adopt
from session_ctx_middleware.errors import ConfigurationError, EmporixUnreachable

from .conftest import Upstream

DOCUMENT = {"metadata": {"version": 3}, "currency": "EUR"}


@pytest.fixture
def anyio_backend() -> str:
    """Real sockets need real time."""
    return "asyncio"


def own_clients(client: OwnContextClient) -> OwnClients:
    clients = client._http._clients
    assert isinstance(clients, OwnClients)
    return clients


async def test_certificates_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd of first calls reads the certificates once."""
    read: list[None] = []

    def certificates() -> ssl.SSLContext:
        read.append(None)
        return ssl.create_default_context()

    monkeypatch.setattr(environment, "certificates", certificates)
    clients = OwnClients("httpx", Options(1.0, 1.0, 1))

    async def leaves() -> None:
        waiting = asyncio.create_task(clients.ready())
        await asyncio.sleep(0)
        waiting.cancel()

    await asyncio.gather(leaves(), *(clients.ready() for _ in range(100)))

    assert len(read) == 1


async def test_certificates_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates that could not be read are read again."""
    answers: list[OSError | ssl.SSLContext] = [OSError("too many open files"), ssl.create_default_context()]

    def certificates() -> ssl.SSLContext:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(environment, "certificates", certificates)
    clients = OwnClients("httpx", Options(1.0, 1.0, 1))

    with pytest.raises(OSError, match="too many"):
        await clients.ready()
    await clients.ready()


async def test_injected_client_stays_open(upstream: Upstream) -> None:
    """An injected client is left open."""
    client = upstream.client()
    upstream.answer(200, DOCUMENT)
    async with OwnContextClient("acme", http_client=client) as own:
        await own.get("t")
    assert not client.is_closed
    assert (await own.get("t")).version == 3


async def serve(answer: bytes) -> tuple[asyncio.Server, str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


BODY = json.dumps(DOCUMENT).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nset-cookie: sid=1\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


@pytest.mark.network
async def test_own_client_opens_again(own_library: Any) -> None:
    """A client of our own is closed with us and can be opened again."""
    server, url = await serve(ANSWER)
    async with OwnContextClient("acme", base_url=url, http_client=own_library) as own:
        await own.get("t")
        client: Any = own_clients(own).current()
        assert type(client.client).__module__.partition(".")[0] == own_library
    assert client.is_closed
    assert (await own.get("t")).version == 3
    await own.aclose()
    await own.aclose()
    server.close()


@pytest.mark.network
def test_several_event_loops(own_library: Any) -> None:
    """One client works from several event loops."""
    own: OwnContextClient | None = None

    async def once() -> Any:
        nonlocal own
        server, url = await serve(ANSWER)
        own = own or OwnContextClient("acme", base_url="http://127.0.0.1:1", http_client=own_library)
        own._http._base_url = url
        document = await own.get("t")
        count = len(own_clients(own)._clients)
        await own.aclose()
        server.close()
        return document.version, count

    assert [asyncio.run(once()) for _ in range(3)] == [(3, 1)] * 3


def test_closed_loop_is_forgotten() -> None:
    """The client of a loop that was closed is forgotten."""
    own = OwnContextClient("acme")
    clients = own_clients(own)

    async def once() -> Any:
        await clients.ready()
        return clients.current(), asyncio.get_running_loop()

    kept = [asyncio.run(once()) for _ in range(3)]
    assert len({id(client) for client, _ in kept}) == 3
    assert len(clients._clients) == 1


@pytest.mark.network
async def test_refused_connection(own_library: Any) -> None:
    """A refused connection is `EmporixUnreachable`."""
    server, url = await serve(ANSWER)
    server.close()
    await server.wait_closed()
    async with OwnContextClient("acme", base_url=url, http_client=own_library) as own:
        with pytest.raises(EmporixUnreachable, match="the connection failed"):
            await own.get("t")


def adopted(client: object) -> object:
    transport: Any = adopt(client, 4.0)
    return transport.client


class Subclass(httpx.AsyncClient):
    pass


def wrong_clients() -> list[Any]:
    return [
        httpx.Client,
        httpx.AsyncClient,
        httpx2.AsyncClient,
        httpx,
        "https://api.emporix.io",
        object(),
        False,
        0,
        "",
        {},
        lambda: None,
        httpx.AsyncHTTPTransport,
    ]


@pytest.mark.parametrize("client", wrong_clients())
def test_not_a_client(client: Any) -> None:
    """What is no asynchronous client is a configuration error."""
    for build in (
        lambda: OwnContextClient("acme", http_client=client),
        lambda: ServiceToken("acme", client_id="i", client_secret="s", http_client=client),
    ):
        with pytest.raises(
            ConfigurationError, match=r"httpx\.AsyncClient, an httpx2\.AsyncClient or an aiohttp\.ClientSession"
        ):
            build()


def test_synchronous_client(library: Any) -> None:
    """A synchronous client is a configuration error."""
    with library.Client() as client, pytest.raises(ConfigurationError, match="AsyncClient"):
        adopt(client, 4.0)


async def test_subclasses_are_taken() -> None:
    """Subclasses are taken."""
    async with Subclass() as client:
        assert adopted(client) is client


async def test_httpx_without_httpx2(without_httpx2: None) -> None:
    """Clients of httpx are taken where httpx2 is not installed."""
    async with httpx.AsyncClient() as client:
        assert adopted(client) is client
    with pytest.raises(ConfigurationError):
        adopt(object(), 4.0)
    own: Any = libraries.build("httpx", Options(1.0, 1.0, 1), None)
    assert isinstance(own.client, httpx.AsyncClient)
    await own.aclose()


def test_check_imports_no_httpx2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checking a client does not import httpx2."""
    monkeypatch.delitem(sys.modules, "httpx2")
    with pytest.raises(ConfigurationError):
        adopt(object(), 4.0)
    assert "httpx2" not in sys.modules


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "5", None])
def test_bad_timeouts(timeout: Any) -> None:
    """A timeout must be a number of seconds."""
    with pytest.raises(ConfigurationError, match="timeout"):
        OwnContextClient("acme", timeout=timeout)


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "5", None])
def test_bad_connection_counts(count: Any) -> None:
    """Connections must be a whole number."""
    with pytest.raises(ConfigurationError, match="max_connections"):
        OwnContextClient("acme", max_connections=count)


def chosen(**options: Any) -> str:
    return own_clients(OwnContextClient("acme", **options))._library


def test_first_installed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Left out, it is the first of aiohttp, httpx2 and httpx that is installed; the log says which."""
    with caplog.at_level("INFO", "session_ctx_middleware"):
        assert chosen() == "aiohttp"
        monkeypatch.setitem(sys.modules, "aiohttp", None)
        assert chosen() == "httpx2"
        monkeypatch.setitem(sys.modules, "httpx2", None)
        assert chosen() == "httpx"

    assert caplog.messages == [f"calls to Emporix are made with {name}" for name in ("aiohttp", "httpx2", "httpx")]


@pytest.mark.parametrize("name", ["aiohttp", "httpx2"])
def test_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that was asked for and is not installed is a configuration error."""
    assert chosen(http_client=name) == name
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match=rf"'{name}' cannot be used: it is not installed .*{name}\]?'\)"):
        chosen(http_client=name)


async def test_old_aiohttp(monkeypatch: pytest.MonkeyPatch) -> None:
    """An aiohttp that is too old is left alone, and refused where somebody asks for it."""
    monkeypatch.setattr(aiohttp, "__version__", "3.13.9")
    assert chosen() == "httpx2"
    async with aiohttp.ClientSession() as session:
        for client in ("aiohttp", session):
            with pytest.raises(ConfigurationError, match=r"aiohttp 3\.13\.9 is too old"):
                OwnContextClient("acme", http_client=client)


@pytest.mark.parametrize("version", ["3.14.0rc1", "3.15.2.dev0", "4.0.0a1", "10.1"])
def test_new_aiohttp(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes later is used."""
    monkeypatch.setattr(aiohttp, "__version__", version)
    assert chosen() == "aiohttp"
