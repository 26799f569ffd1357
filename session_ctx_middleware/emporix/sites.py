"""What the sites of a shop offer: kept for ten minutes, renewed in the background, and used on where that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from ..checks import number
from ..clock import Clock
from ..errors import ConfigurationError, EmporixError, EmporixFailed, TokenRejected
from ..events import ContextEvent, Events
from ..model.sites import OFFERED, Site, Sites
from ..observing import careful
from ..tasks import SharedResult, Tasks
from .client import SYSTEM_CLOCK, ClientOptions
from .public_token import PublicToken
from .service_token import ServiceToken
from .site_settings import SiteSettings

__all__ = ["SiteCatalog"]

OPERATION: Final = "site.list"
PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 60.0
UNBOUND: Final = "SiteCatalog(...) has to be the sites=... of a SessionContextMiddleware."

Loaded: TypeAlias = Sites | EmporixError


class OnASite(Protocol):
    """Whoever is on a site: a session context."""

    @property
    def site_code(self) -> str | None:
        """Its code."""
        ...


class SiteCatalog:
    """The sites of the tenant, and what each of them offers: for switchers, and to check switches against.

    It is loaded when it is first needed, once however many ask. What it had goes on counting while it cannot be
    renewed; where it could never be loaded, nothing is checked.

    Args:
        token: what Site Settings is asked with: a `PublicToken`, or a `ServiceToken`.
        ttl: seconds after which it is renewed, in the background.

    Raises:
        ConfigurationError: one of them cannot work.
    """

    def __init__(self, token: PublicToken | ServiceToken, *, ttl: float = 600.0) -> None:
        if not isinstance(token, PublicToken | ServiceToken):
            raise ConfigurationError("SiteCatalog(token) must be a PublicToken('client-id') or a ServiceToken(...).")
        self._token = token
        self._ttl = number(ttl, "SiteCatalog(ttl=...)", above=0, unit="seconds")
        self._settings: SiteSettings | None = None
        self._events = Events()
        self._clock: Clock = SYSTEM_CLOCK
        self._tasks = Tasks(SYSTEM_CLOCK)
        self._flights: WeakKeyDictionary[asyncio.AbstractEventLoop, SharedResult[Loaded]] = WeakKeyDictionary()
        self._sites: Sites | None = None
        self._renew_at = float("-inf")
        self._failing = False
        self._serves = False

    def bind(self, tenant: str, options: ClientOptions, events: Events) -> None:
        """Be of one middleware from now on.

        Args:
            tenant: its tenant.
            options: how calls are made.
            events: who is told what happens.

        Raises:
            ConfigurationError: it is of another one, which was not closed; or its token is of another tenant.
        """
        if self._serves:
            raise ConfigurationError("One SiteCatalog(...) serves one middleware: give each its own.")
        if isinstance(self._token, PublicToken):
            self._token.bind(tenant, options)
        elif self._token.tenant != tenant:
            raise ConfigurationError("The ServiceToken(...) of a SiteCatalog must be of the middleware's tenant.")
        self._clock = options.get("clock", SYSTEM_CLOCK)
        self._tasks, self._events = Tasks(self._clock, careful(options.get("telemetry"))), events
        self._settings = SiteSettings(tenant, **options)
        self._flights, self._sites, self._renew_at = WeakKeyDictionary(), None, float("-inf")
        self._failing, self._serves = False, True

    def __repr__(self) -> str:
        return f"SiteCatalog({self._token!r})"

    @property
    def sites(self) -> Sites | None:
        """The sites as they were loaded last, `None` where they never were. Nothing is awaited."""
        return self._sites

    def site(self, code: str | None) -> Site | None:
        """Return a site as it was loaded last, `None` where nobody knows it.

        Args:
            code: of the site, as in ``ctx.site_code``.
        """
        return None if self._sites is None else self._sites.get(code)

    def site_of(self, context: OnASite) -> Site | None:
        """Return the site that a shopper is on, as it was loaded last; `None` where nobody knows it.

        Args:
            context: a session context that was loaded.
        """
        return self.site(context.site_code)

    def offers(self, context: OnASite) -> dict[str, list[str | tuple[str, str]]]:
        """Return what a shopper may choose from, for ``switcher(...)`` in a template: values by switch.

        Args:
            context: a session context that was loaded.
        """
        offers: dict[str, list[str | tuple[str, str]]] = {
            "site_code": [(site.code, site.name) for site in self._sites or ()]
        }
        site = self.site_of(context)
        if site is not None:
            offers |= {field: [*site.offered(field)] for field in OFFERED}
        return {field: values for field, values in offers.items() if values}

    def time_zone(self, context: OnASite) -> str:
        """Return the time zone of a shopper's site, for ``install(templates, time_zone=...)``; UTC where it has none.

        Args:
            context: a session context that was loaded.
        """
        site = self.site_of(context)
        return (None if site is None else site.time_zone) or "UTC"

    async def load(self, patience: float | None = None) -> Sites | None:
        """Return the sites: at once where they are known, else when they come; `None` where they cannot be had.

        Args:
            patience: seconds to wait at most, and not at all once that was in vain; the load goes on in any case. By
                default as long as it takes.

        Raises:
            ConfigurationError: no middleware has it yet: an application builds them with its first request.
        """
        settings = self._settings
        if settings is None:
            raise ConfigurationError(UNBOUND)
        if self._clock.monotonic() < self._renew_at:
            return self._sites
        flight = self._flight(settings)
        if self._sites is None and patience is None:
            await flight.get()
        elif self._sites is None and patience is not None and not self._failing:
            await flight.wait(patience, self._clock)
        return self._sites

    async def aclose(self) -> None:
        """Let a load end, then close the connections of the running event loop; another middleware may follow."""
        self._serves = False
        flight = self._flights.get(asyncio.get_running_loop())
        if flight is not None:
            await flight.wait(PAUSE, self._clock)
        await self._token.aclose()
        if self._settings is not None:
            await self._settings.aclose()

    def _flight(self, settings: SiteSettings) -> SharedResult[Loaded]:
        loop = asyncio.get_running_loop()
        flight = self._flights.get(loop)
        if flight is None or flight.result is not None:
            cut_short = EmporixFailed(OPERATION, None, "the application is shutting down")
            flight = self._flights[loop] = self._tasks.share(
                self._load(settings), otherwise=cut_short, awaited=self._sites is None
            )
        return flight

    async def _load(self, settings: SiteSettings) -> Loaded:
        try:
            loaded = await self._loaded(settings)
        except EmporixError as error:
            return self._failed(error)
        except Exception as error:  # noqa: BLE001 - an event hook of the HTTP client may raise anything
            return self._failed(EmporixFailed(OPERATION, None, f"unexpected {type(error).__name__}"))
        self._sites, self._renew_at = loaded, self._clock.monotonic() + self._ttl
        self._failing = False
        self._events.over("sites.failed", OPERATION)
        return loaded

    async def _loaded(self, settings: SiteSettings) -> Sites:
        sites = await self._asked(settings.sites)
        if not sites:
            raise EmporixFailed(OPERATION, 200, "there is no active site")
        currencies, countries = await self._active(settings.currencies), await self._active(settings.countries)
        return Sites(site.only(currencies, countries) for site in sites)

    async def _asked(self, call: Callable[[str], Awaitable[list[Site]]]) -> list[Site]:
        """Make a call, and once more where the token has been refused."""
        token = await self._token.value()
        try:
            return await call(token)
        except TokenRejected:
            self._token.drop(token)
        return await call(await self._token.value())

    async def _active(self, call: Callable[[str], Awaitable[frozenset[str]]]) -> frozenset[str] | None:
        """Return what is active; who cannot say so keeps nothing from being offered."""
        try:
            return await call(await self._token.value()) or None
        except EmporixError:
            return None

    def _failed(self, error: EmporixError) -> EmporixError:
        pause = PAUSE if error.retry_after is None else min(max(error.retry_after, PAUSE), LONGEST_PAUSE)
        self._renew_at, self._failing = self._clock.monotonic() + pause, True
        event = ContextEvent(
            name="sites.failed", operation=error.operation, outcome=type(error).__name__, status=error.status
        )
        self._events.emit(event)
        return error
