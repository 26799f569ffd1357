from __future__ import annotations

from typing import Any

import pytest

from session_ctx_middleware.emporix import ManagedContextClient, OwnContextClient, ServiceToken
from session_ctx_middleware.emporix.address import check_base_url, check_tenant, segment
from session_ctx_middleware.errors import ConfigurationError, ContextNotFound, InvalidChange

from .conftest import Upstream


@pytest.mark.parametrize("tenant", ["abc", "acme", "a1234567890123bc"[:16], "shop2026"])
def test_good_tenants(tenant: Any) -> None:
    """A tenant of 3 to 16 lower case letters and digits is taken."""
    assert check_tenant(tenant) == tenant


@pytest.mark.parametrize(
    "tenant", ["", "ab", "1abc", "Acme", "ac me", "acme\n", "a" * 17, "a-b-c", "äcme", None, 7, b"acme"]
)
def test_bad_tenants(tenant: Any) -> None:
    """Any other tenant is a configuration error."""
    with pytest.raises(ConfigurationError, match="tenant"):
        check_tenant(tenant)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.emporix.io", "https://api.emporix.io"),
        ("https://api.emporix.io/", "https://api.emporix.io"),
        ("https://proxy.shop.example:8443/emporix/", "https://proxy.shop.example:8443/emporix"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://127.8.9.1:1", "http://127.8.9.1:1"),
        ("http://[::1]:9/x", "http://[::1]:9/x"),
        ("HTTPS://api.emporix.io", "https://api.emporix.io"),
    ],
)
def test_good_base_urls(given: str, kept: str) -> None:
    """HTTPS anywhere and HTTP on the machine itself are taken."""
    assert check_base_url(given) == kept


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.emporix.io",
        "/session-context",
        "https://",
        "https:///path",
        "ftp://api.emporix.io",
        "http://api.emporix.io",
        "http://localhost.evil.example",
        "http://0.0.0.0",
        "https://user:hunter2@api.emporix.io",
        "https://hunter2@api.emporix.io",
        "https://api.emporix.io?",
        "https://api.emporix.io/?a=hunter2",
        "https://api.emporix.io#hunter2",
        "https://api.emporix.io/a b",
        "https://api.emporix.io\n",
        "https://api.emporix.io\\@evil.example",
        "https://api.emporix.io:99999",
        "https://api.emporix.io:x",
        "https://[::1",
        "https://ämporix.io",
        None,
        7,
        b"https://api.emporix.io",
    ],
)
def test_bad_base_urls(url: Any) -> None:
    """Any other base URL is a configuration error that does not quote it."""
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        check_base_url(url)
    assert "hunter2" not in str(caught.value)


def test_clients_check_their_address() -> None:
    """Clients check their address."""
    token = ServiceToken("acme", client_id="shop", client_secret="s")
    for build in (
        lambda **options: OwnContextClient("acme", **options),
        lambda **options: ServiceToken("acme", client_id="shop", client_secret="s", **options),
        lambda **options: ManagedContextClient("acme", service_token=token, **options),
    ):
        with pytest.raises(ConfigurationError, match="base_url"):
            build(base_url="http://api.emporix.io")
    with pytest.raises(ConfigurationError, match="tenant"):
        OwnContextClient("ACME")


HOSTILE = ["../x", "a/b", "a?b=c", "a#b", "a%2Fb", "a b", "ä€", "a\\b", "a\r\nb", "%2e%2e", "...", "a;b", "x" * 300]


@pytest.mark.parametrize("name", HOSTILE)
async def test_segments_are_quoted(
    name: Any, own: OwnContextClient, managed: ManagedContextClient, upstream: Upstream
) -> None:
    """Session ids and attribute names stay one segment of the path."""
    upstream.answer(204)
    await own.remove_attribute("t", name)
    raw = upstream.last.url.raw_path.decode()
    assert raw == f"/session-context/acme/me/context/attributes/{segment(name)}"
    assert raw.count("/") == 6
    await managed.remove_attribute(name, name)
    raw = upstream.last.url.raw_path.decode()
    assert raw == f"/session-context/acme/context/{segment(name)}/attributes/{segment(name)}"
    assert upstream.last.url.query == b""


@pytest.mark.parametrize("name", ["", ".", "..", "\ud800", None, 7])
async def test_bad_segments(
    name: Any, own: OwnContextClient, managed: ManagedContextClient, upstream: Upstream
) -> None:
    """Names that no path can hold are refused before any call."""
    with pytest.raises(InvalidChange):
        await own.remove_attribute("t", name)
    with pytest.raises(InvalidChange):
        await managed.remove_attribute("s", name)
    for call in (
        managed.get(name),
        managed.put(name, {"metadata": {"version": 1}}),
        managed.add_attribute(name, "k", "v"),
        managed.remove_attribute(name, "k"),
    ):
        with pytest.raises(ContextNotFound) as caught:
            await call
        assert caught.value.status is None
    assert upstream.requests == []
    assert upstream.token_requests == 0
