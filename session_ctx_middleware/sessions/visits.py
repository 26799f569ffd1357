"""Which requests may begin a session for a visitor who has none: those of people who are about to see a page.

A session costs a call, and a cookie that consent law wants a reason for. Crawlers and prefetches have no use for one,
and a request that another site makes (a payment's return by POST, a picture) must not replace the one that the shopper
has: browsers leave out its cookie there (SameSite, RFC 6265bis, section 5.2).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, Final, TypeAlias

from starlette.requests import HTTPConnection
from starlette.types import Scope

from ..errors import ConfigurationError
from ..navigation import followed_a_link, is_prefetch

__all__ = ["Crawlers", "IsCrawler", "Visits", "is_cross_site"]

IsCrawler: TypeAlias = Callable[[HTTPConnection], "bool | None"]

PACKAGE: Final = "crawleruseragents"
LONGEST: Final = 512
REMEMBERED: Final = 4096
CHUNK: Final = 25
TOOLS: Final = frozenset({"http-library", "browser-automation"})
"""Kinds of clients that apps and tests are made of."""
PROBES: Final = r"health.?check|kube-probe|GoogleHC|^Prometheus/|Blackbox.Exporter"
"""What load balancers and monitors ask with, every few seconds: the list of crawlers knows few of them."""


class Visits:
    """Tells whether a request may begin a session.

    Args:
        is_crawler: decides for the shop whether a request is a crawler's; where it returns `None`, the list of
            ``crawler-user-agents`` does.

    Raises:
        ConfigurationError: the package ``crawler-user-agents`` is missing.
    """

    def __init__(self, is_crawler: IsCrawler | None = None) -> None:
        self._is_crawler = is_crawler
        self._list = Crawlers()

    async def refusal(self, connection: HTTPConnection) -> str:
        """Return why a request may not begin a session, in one word or two; empty where it may."""
        scope = connection.scope
        headers = _headers(scope)
        if scope["type"] != "http":
            return "websocket"  # its answer sets no cookie
        if is_prefetch(headers):
            return "prefetch"
        decided = None if self._is_crawler is None else self._is_crawler(connection)
        if decided is not None:
            return "crawler" if decided else ""
        if b"cookie" in headers:
            return ""
        if _is_cross_site(headers) and not followed_a_link(scope, headers):
            return "cross-site"
        return "crawler" if await self._list.has(headers.get(b"user-agent", b"")) else ""


class Crawlers:
    """The user agents of crawlers, read once in a process, when the first one is looked up, off the event loop.

    Raises:
        ConfigurationError: the package ``crawler-user-agents`` is missing.
    """

    _patterns: ClassVar[list[re.Pattern[str]] | None] = None

    def __init__(self) -> None:
        if find_spec(PACKAGE) is None:  # importing it reads a large file
            raise ConfigurationError(
                "StorefrontSessions needs the package crawler-user-agents: "
                "pip install 'session-ctx-middleware[sessions]'."
            )
        self._known = lru_cache(REMEMBERED)(self._look_up)

    @classmethod
    def read(cls) -> None:
        """Read the list, which takes some tens of milliseconds."""
        cls._patterns = _patterns()

    async def has(self, user_agent: bytes) -> bool:
        """Tell whether a user agent is a crawler's."""
        if self._patterns is None:
            await asyncio.to_thread(self.read)
        return self._known(user_agent[:LONGEST].decode("latin-1"))

    def _look_up(self, user_agent: str) -> bool:
        return any(pattern.search(user_agent) for pattern in self._patterns or ())


def _patterns() -> list[re.Pattern[str]]:
    entries: list[dict[str, Any]] = import_module(PACKAGE).CRAWLER_USER_AGENTS_DATA
    crawlers = [each["pattern"] for each in entries if not TOOLS.issuperset(each.get("tags") or ["?"])]
    chunks = [re.compile("|".join(crawlers[first : first + CHUNK])) for first in range(0, len(crawlers), CHUNK)]
    return [re.compile(PROBES, re.IGNORECASE), *chunks]


def is_cross_site(connection: HTTPConnection) -> bool:
    """Tell whether another site has sent a request."""
    return _is_cross_site(_headers(connection.scope))


def _headers(scope: Scope) -> Mapping[bytes, bytes]:
    return dict(scope["headers"])


def _is_cross_site(headers: Mapping[bytes, bytes]) -> bool:
    """Tell whether another site has made a request; browsers without Fetch Metadata say so by its origin alone."""
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site is not None or origin is None:
        return site == b"cross-site"
    return origin.rpartition(b"//")[2].lower() != headers.get(b"host", b"").lower()
