"""Certificates, proxies and loopback: by the same variables of the environment, whichever library makes the calls."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from session_ctx_middleware.emporix import OwnContextClient, ServiceToken
from session_ctx_middleware.emporix.transport.environment import proxy_for
from session_ctx_middleware.errors import ConfigurationError, EmporixUnreachable

from .wire import Authority, Peer, TinyProxy

pytestmark = pytest.mark.network

ELSEWHERE = "https://emporix.test"
VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUEST_METHOD"]


@pytest.fixture
def anyio_backend() -> str:
    """Real sockets need real time."""
    return "asyncio"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment but what a test puts there."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_certificates(
    variable: str, own_library: Any, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificates are checked with what the environment names, and are not accepted without it."""
    async with Peer(tls=authority.server("localhost")) as peer:
        async with OwnContextClient("acme", base_url=peer.url, http_client=own_library) as own:
            with pytest.raises(EmporixUnreachable, match="the connection failed"):
                await own.get("t")
        monkeypatch.setenv(variable, str(authority.file if variable == "SSL_CERT_FILE" else authority.directory))
        async with OwnContextClient("acme", base_url=peer.url, http_client=own_library) as own:
            assert (await own.get("t")).version == 3


@pytest.mark.parametrize(
    ("host", "ends"), [("other.test", 2090), ("localhost", 2021)], ids=["of another host", "expired"]
)
async def test_bad_certificates(
    host: str, ends: int, own_library: Any, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate of another host, and one that has expired, are refused before anything is sent."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    tls = authority.server(host, ends=datetime(ends, 1, 1, tzinfo=UTC))
    async with Peer(tls=tls) as peer:
        async with OwnContextClient("acme", base_url=peer.url, http_client=own_library) as own:
            with pytest.raises(EmporixUnreachable, match="the connection failed"):
                await own.get("t")
        assert peer.requests == []


async def test_no_tls(own_library: Any) -> None:
    """A server that speaks no TLS is no Emporix."""
    async with Peer() as peer:
        url = peer.url.replace("http:", "https:")
        async with OwnContextClient("acme", base_url=url, http_client=own_library, total_timeout=1.0) as own:
            with pytest.raises(EmporixUnreachable):
                await own.get("t")


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("before", ["http://", "", "http://shop:pr%40xy-Secret@"])
async def test_proxy(
    variable: str,
    before: str,
    own_library: Any,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Calls go through the proxy that the environment names; it learns the host, and nothing of the call."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with Peer(tls=authority.server("emporix.test")) as peer, TinyProxy(peer.port) as proxy:
        monkeypatch.setenv(variable, f"{before}127.0.0.1:{proxy.port}")
        async with OwnContextClient("acme", base_url=ELSEWHERE, http_client=own_library) as own:
            assert [(await own.get("shopper-token")).version for _ in range(2)] == [3, 3]

    (head,) = proxy.heads
    assert head.startswith(b"CONNECT emporix.test:443 HTTP/1.1\r\n")
    expected = b"basic " + base64.b64encode(b"shop:pr@xy-Secret").lower() if "@" in before else None
    assert _field(head, b"proxy-authorization") == expected
    assert b"shopper-token" not in head
    assert _field(head, b"cookie") is None
    assert b"proxy" not in b"".join(peer.requests).lower()


async def test_proxy_that_refuses(own_library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that refuses is a connection that failed, and its words are quoted nowhere."""
    async with TinyProxy(1, refuses=True) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://shop:pr0xy@127.0.0.1:{proxy.port}")
        async with OwnContextClient("acme", base_url=ELSEWHERE, http_client=own_library) as own:
            with pytest.raises(EmporixUnreachable, match="the connection failed") as caught:
                await own.get("t")
    assert "pr0xy" not in str(caught.value)


async def test_loopback_is_asked_directly(own_library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs on this machine is asked directly, whatever the environment says."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with Peer() as peer:
        for url in (peer.url, peer.url.replace("localhost", "127.0.0.1")):
            async with OwnContextClient("acme", base_url=url, http_client=own_library) as own:
                assert (await own.get("t")).version == 3


@pytest.mark.parametrize(
    ("url", "variables", "proxy"),
    [
        ("https://api.emporix.io", {}, None),
        ("https://api.emporix.io", {"HTTP_PROXY": "http://p:1"}, None),
        ("https://api.emporix.io", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://api.emporix.io", {"HTTPS_PROXY": "p:1"}, "http://p:1"),
        ("https://api.emporix.io", {"HTTPS_PROXY": "https://p"}, "https://p"),
        ("https://api.emporix.io", {"HTTPS_PROXY": ""}, None),
        ("https://api.emporix.io", {"ALL_PROXY": "http://p:1"}, "http://p:1"),
        ("https://api.emporix.io", {"ALL_PROXY": "http://a:1", "HTTPS_PROXY": "http://h:1"}, "http://h:1"),
        ("https://api.emporix.io", {"ALL_PROXY": "http://p:1", "NO_PROXY": "api.emporix.io"}, None),
        ("https://api.emporix.io", {"ALL_PROXY": "http://p:1", "NO_PROXY": "other, .emporix.io"}, None),
        ("https://api.emporix.io", {"ALL_PROXY": "http://p:1", "NO_PROXY": "emporix.io"}, None),
        ("https://api.emporix.io", {"ALL_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ("https://api.emporix.io", {"ALL_PROXY": "http://p:1", "NO_PROXY": "porix.io"}, "http://p:1"),
        ("https://api.emporix.io:8443", {"ALL_PROXY": "http://p:1", "NO_PROXY": "api.emporix.io:443"}, "http://p:1"),
        ("https://api.emporix.io:8443", {"ALL_PROXY": "http://p:1", "NO_PROXY": "api.emporix.io:8443"}, None),
        ("https://localhost:8443", {"ALL_PROXY": "http://p:1"}, None),
        ("http://127.8.9.10", {"ALL_PROXY": "http://p:1"}, None),
        ("http://[::1]:80", {"ALL_PROXY": "http://p:1"}, None),
    ],
)
def test_which_proxy(url: str, variables: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which proxy it is does not depend on the library."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == proxy


@pytest.mark.parametrize("proxy", ["ftp://user:s3cret@p:1", "http://", "http://[bad", "http://p:99999", "http://p:0"])
def test_no_such_proxy(proxy: str, own_library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that names no proxy is told when the client is made, and never quoted."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    for build in (
        lambda: OwnContextClient("acme", http_client=own_library),
        lambda: ServiceToken("acme", client_id="i", client_secret="s", http_client=own_library),
    ):
        with pytest.raises(ConfigurationError, match="HTTPS_PROXY, or ALL_PROXY, must be the address") as caught:
            build()
        assert "s3cret" not in str(caught.value)


def test_socks(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a SOCKS proxy there is no aiohttp, and the others need an extra; all of them say so."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    for name, text in (("aiohttp", "no SOCKS"), ("httpx", r"httpx\[socks\]"), (None, r"httpx\[socks\]")):
        with pytest.raises(ConfigurationError, match=text):
            OwnContextClient("acme", http_client=name)  # type: ignore[arg-type]
    OwnContextClient("acme", base_url="http://localhost:1")


def _field(head: bytes, name: bytes) -> bytes | None:
    lines = [line.partition(b":") for line in head.lower().split(b"\r\n")[1:]]
    return next((value.strip() for field, _, value in lines if field == name), None)
