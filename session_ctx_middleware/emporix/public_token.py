"""A token for what is the same for everybody, such as the list of sites."""

from __future__ import annotations

from ..checks import printable
from ..errors import ConfigurationError
from ..frames import WithoutLocals
from ..observing import careful
from .client import SYSTEM_CLOCK, ClientOptions
from .renewed_token import Grant, RenewedToken
from .shopper_tokens import ShopperTokens

__all__ = ["PublicToken"]

OPERATION = "anonymous.login"
RENEW_BEFORE = 60.0


class PublicToken(WithoutLocals):
    """The token of an anonymous session that belongs to the shop itself; no shopper ever gets it.

    It is asked for when it is needed, by one call for all who want it, and renewed a minute before its end.

    Args:
        client_id: of the storefront, from the Emporix Developer Portal; it is public.

    Raises:
        ConfigurationError: `client_id` is no text.
    """

    def __init__(self, client_id: str) -> None:
        self._client_id = printable(client_id, "PublicToken(client_id)")
        self._tokens: ShopperTokens | None = None
        self._kept: RenewedToken | None = None
        self._serves = False

    def __repr__(self) -> str:
        return f"PublicToken({self._client_id!r})"

    def bind(self, tenant: str, options: ClientOptions) -> None:
        """Be of one tenant from now on.

        Args:
            tenant: its name.
            options: how calls are made.

        Raises:
            ConfigurationError: it is of one already, and was not closed.
        """
        if self._serves:
            raise ConfigurationError("One PublicToken(...) serves one SiteCatalog: give each its own.")
        self._tokens = ShopperTokens(tenant, self._client_id, **options)
        self._serves = True
        clock = options.get("clock", SYSTEM_CLOCK)
        self._kept = RenewedToken("public token", OPERATION, self._ask, clock, careful(options.get("telemetry")))
        self._clock = clock

    async def value(self) -> str:
        """Return a token that is valid now.

        Raises:
            ConfigurationError: nobody has bound it to a tenant.
            EmporixError: none could be had.
        """
        return await self._bound.value()

    def drop(self, value: str) -> None:
        """Forget a token that Emporix refused; a newer one that has replaced it is kept."""
        self._bound.drop(value)

    async def aclose(self) -> None:
        """Wait for a request in flight, then close the HTTP client where it was built here; another one may follow."""
        self._serves = False
        if self._kept is not None and self._tokens is not None:
            await self._kept.settle()
            await self._tokens.aclose()

    @property
    def _bound(self) -> RenewedToken:
        if self._kept is None:
            raise ConfigurationError("PublicToken(...) has to be given to a SiteCatalog of a middleware.")
        return self._kept

    async def _ask(self) -> Grant:
        asked_at = self._clock.monotonic()
        if self._tokens is None:
            raise ConfigurationError("PublicToken(...) is of no tenant.")
        answer = await self._tokens.begin()
        return Grant.lasting(answer.access_token, asked_at, answer.expires_in, RENEW_BEFORE)
