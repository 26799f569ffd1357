"""Which requests may begin a session for somebody who has none."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import HTTPConnection

from session_ctx_middleware.sessions.visits import Visits

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HEADLESS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36"
)
GOOGLE = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def connection(method: str = "GET", kind: str = "http", **headers: str) -> HTTPConnection:
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return HTTPConnection({"type": kind, "method": method, "headers": raw, "path": "/"})


@pytest.fixture(scope="module")
def visits() -> Visits:
    return Visits()


@pytest.mark.parametrize(
    "user_agent",
    ["", FIREFOX, HEADLESS, "okhttp/4.12.0", "python-httpx/0.28.1", "curl/8.1.2", "Go-http-client/2.0", "axios/1.7.2"],
)
async def test_people_apps_and_tests(user_agent: str, visits: Visits) -> None:
    """Browsers may begin one, headless ones of tests and the HTTP libraries of apps as well."""
    assert await visits.refusal(connection(user_agent=user_agent)) == ""


@pytest.mark.parametrize("user_agent", [GOOGLE, "GPTBot/1.2", "facebookexternalhit/1.1", "x" * 400 + GOOGLE])
async def test_crawlers(user_agent: str, visits: Visits) -> None:
    """Crawlers may not, unless they bring a cookie: then somebody is behind them."""
    assert await visits.refusal(connection(user_agent=user_agent)) == "crawler"
    assert await visits.refusal(connection(user_agent=user_agent, cookie="consent=1")) == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-purpose": "prefetch"},
        {"sec-purpose": "prefetch;prerender"},
        {"purpose": "prefetch"},
        {"x-moz": "prefetch"},
        {"x-purpose": "Prefetch"},
    ],
)
async def test_prefetch(headers: dict[str, str], visits: Visits) -> None:
    """A page that nobody may ever look at begins nothing, whatever cookies come along."""
    assert await visits.refusal(connection(**headers)) == "prefetch"
    assert await visits.refusal(connection(cookie="consent=1", **headers)) == "prefetch"


CROSS_SITE: list[tuple[str, dict[str, str], str]] = [
    ("GET", NAVIGATION, ""),
    ("POST", NAVIGATION, "cross-site"),
    ("GET", {**NAVIGATION, "sec-fetch-dest": "iframe"}, "cross-site"),
    ("GET", {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, "cross-site"),
    ("GET", {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}, "cross-site"),
    ("GET", {}, "cross-site"),
]


@pytest.mark.parametrize(("method", "headers", "why"), CROSS_SITE)
async def test_other_sites(method: str, headers: dict[str, str], why: str, visits: Visits) -> None:
    """Another site may bring a shopper here, but its requests without cookies replace no session."""
    found = await visits.refusal(connection(method, **{"sec-fetch-site": "cross-site"}, **headers))
    assert found == why
    assert await visits.refusal(connection(method, **{"sec-fetch-site": "same-origin"}, **headers)) == ""
    assert await visits.refusal(connection(method, cookie="a=b", **{"sec-fetch-site": "cross-site"}, **headers)) == ""


async def test_websocket(visits: Visits) -> None:
    """A WebSocket begins none: its answer keeps no cookie."""
    assert await visits.refusal(connection(kind="websocket")) == "websocket"


@pytest.mark.parametrize(
    ("decided", "crawler", "human"), [(True, "crawler", "crawler"), (False, "", ""), (None, "crawler", "")]
)
async def test_the_shop_decides_last(decided: Any, crawler: str, human: str) -> None:
    """The shop's own function has the last word; where it has none, the list has."""
    visits = Visits(lambda _: decided)
    assert await visits.refusal(connection(user_agent=GOOGLE)) == crawler
    assert await visits.refusal(connection(user_agent=FIREFOX)) == human


@pytest.mark.parametrize(
    "user_agent",
    [
        "kube-probe/1.31",
        "ELB-HealthChecker/2.0",
        "GoogleHC/1.0",
        "Consul Health Check",
        "Amazon-Route53-Health-Check-Service (ref 1; report http://amzn.to/1vsZADi)",
        "Prometheus/2.53.0",
        "Blackbox Exporter/0.25.0",
    ],
)
async def test_probes(user_agent: str) -> None:
    """What asks every few seconds whether a page still comes is no visitor, though lists of crawlers leave it out."""
    assert await Visits().refusal(connection(user_agent=user_agent)) == "crawler"


@pytest.mark.parametrize(
    ("method", "origin", "why"),
    [
        ("POST", "https://pay.example", "cross-site"),
        ("POST", "null", "cross-site"),
        ("GET", "https://other.example", "cross-site"),
        ("POST", "https://shop.test", ""),
        ("POST", "http://shop.test:80", "cross-site"),
        ("POST", "", ""),
        ("GET", "", ""),
    ],
)
async def test_browsers_without_fetch_metadata(method: str, origin: str, why: str, visits: Visits) -> None:
    """An older browser says by its origin where a request comes from: a payment's return by POST begins nothing."""
    headers = {"host": "shop.test", "user_agent": FIREFOX, **({"origin": origin} if origin else {})}
    assert await visits.refusal(connection(method, **headers)) == why
