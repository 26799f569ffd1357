"""The keys that an issuer publishes (RFC 7517): fetched without blocking, and kept while they cannot be fetched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit
from weakref import WeakKeyDictionary

from ..checks import is_visible
from ..clock import Clock
from ..emporix.address import check_base_url
from ..emporix.http import Http
from ..emporix.transport import HttpClient, Options, clients_for
from ..errors import ConfigurationError, SessionContextError
from ..tasks import SharedResult, Tasks
from .keys import KeySet, VerifyingKey, published_keys

__all__ = ["PublishedKeys"]

OPERATION: Final = "jwks.get"
UNKNOWN_PAUSE: Final = 30.0
FAILED_PAUSE: Final = 5.0
CONNECTIONS: Final = 12
"""One for the fetch of an event loop; httpx may leave ten behind that hang."""
NEVER: Final = float("-inf")
NO_KEYS: Final = KeySet(())
URL_WANTED: Final = (
    "JWTVerifier(jwks_url=...) must be an https address without credentials or fragment; http is for localhost only."
)


@dataclass(frozen=True, slots=True)
class _Fetched:
    """How a fetch has ended: `failure` is the class of what went wrong, empty where nothing did."""

    failure: str


class PublishedKeys:
    """A JWK Set at an address.

    Whoever needs it waits for one fetch per event loop. Once it is there, it is renewed in the background after `ttl`,
    and the old one counts as long as that fails. A key id that is not in it is looked for at most once in 30 seconds,
    whoever makes them up.

    Args:
        url: the address.
        algorithms: that are allowed.
        http_client: makes the calls; `None` to have one built.
        ttl: seconds after which it is fetched again.
        total_timeout: seconds that the whole of a fetch may take.
        clock: where time comes from.
        told: called with the outcome of each fetch: the class of what went wrong, or nothing.

    Raises:
        ConfigurationError: no address that can be used.
    """

    def __init__(
        self,
        url: object,
        algorithms: Sequence[str],
        *,
        http_client: HttpClient | None,
        ttl: float,
        total_timeout: float,
        clock: Clock,
        told: Callable[[str], None],
    ) -> None:
        base_url, self._path, query = _address(url)
        self._query = dict(parse_qsl(query, keep_blank_values=True)) or None
        options = Options(total_timeout, total_timeout, CONNECTIONS)
        self._http = Http(base_url, clients_for(http_client, base_url, options), clock, total_timeout)
        self._algorithms = tuple(algorithms)
        self._ttl = ttl
        self._clock = clock
        self._told = told
        self._keys: KeySet | None = None
        self._renew_at = NEVER
        self._retry_at = NEVER
        self._unknown_at = NEVER
        self._tasks = Tasks(clock)
        self._fetches: WeakKeyDictionary[asyncio.AbstractEventLoop, SharedResult[_Fetched]] = WeakKeyDictionary()

    async def matching(self, algorithm: str, key_id: str | None) -> list[VerifyingKey]:
        """Return the keys that may have signed a token, after a fetch where that may help; see `KeySet.matching`."""
        now = self._clock.monotonic()
        if self._keys is None:
            await self._first_keys()
            return self._known.matching(algorithm, key_id)
        if now >= self._renew_at and now >= self._retry_at:
            self._fetch()
        found = self._known.matching(algorithm, key_id)
        if not found and now >= self._unknown_at:
            self._unknown_at = now + UNKNOWN_PAUSE
            self._fetch()
        if not found and (fetch := self._under_way()) is not None:
            await fetch.get()
            found = self._known.matching(algorithm, key_id)
        return found

    async def aclose(self) -> None:
        """Wait for a fetch of this event loop, and close the HTTP client where it was built here."""
        fetch = self._under_way()
        if fetch is not None:
            await fetch.get()
        await self._http.aclose()

    @property
    def _known(self) -> KeySet:
        return NO_KEYS if self._keys is None else self._keys

    async def _first_keys(self) -> None:
        if self._under_way() is not None or self._clock.monotonic() >= self._retry_at:
            await self._fetch().get()

    def _under_way(self) -> SharedResult[_Fetched] | None:
        """Return the fetch that goes on on this event loop."""
        fetch = self._fetches.get(asyncio.get_running_loop())
        return None if fetch is None or fetch.result is not None else fetch

    def _fetch(self) -> SharedResult[_Fetched]:
        """Return the fetch that goes on on this event loop; begin one if there is none."""
        fetch = self._under_way()
        if fetch is None:
            fetch = self._tasks.share(self._fetched(), otherwise=_Fetched("cancelled"))
            self._fetches[asyncio.get_running_loop()] = fetch
        return fetch

    async def _fetched(self) -> _Fetched:
        failure = await self._failure()
        now = self._clock.monotonic()
        if failure:
            self._retry_at = now + FAILED_PAUSE
        else:
            self._renew_at = now + self._ttl
        self._told(failure)
        return _Fetched(failure)

    async def _failure(self) -> str:
        """Fetch the keys; return the class of what went wrong."""
        try:
            answer = await self._http.call(OPERATION, "GET", self._path, params=self._query)
        except SessionContextError as error:
            return type(error).__name__
        except Exception as error:  # noqa: BLE001 - an event hook of the HTTP client may raise anything
            return type(error).__name__
        if answer.status != 200:
            return f"status {answer.status}"
        keys = published_keys(_parsed(answer.body), self._algorithms)
        if not keys:
            return "no usable keys"
        self._keys = keys
        return ""


def _address(url: object) -> tuple[str, str, str]:
    """Return the base address, the path and the query of a URL."""
    try:
        parts = urlsplit(url if is_visible(url) else "")
        base_url = check_base_url(f"{parts.scheme}://{parts.netloc}")
    except (ValueError, ConfigurationError):
        raise ConfigurationError(URL_WANTED) from None
    if parts.fragment:
        raise ConfigurationError(URL_WANTED)
    return base_url, parts.path or "/", parts.query


def _parsed(body: bytes | None) -> object:
    try:
        return json.loads(body or b"")
    except (ValueError, RecursionError):
        return None
