"""What all clients of the platform have in common."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Final

from ..checks import number, whole
from ..clock import Clock, SystemClock
from ..frames import WithoutLocals
from .address import check_base_url, check_tenant
from .http import Http
from .transport import HttpClient, Options, clients_for

if TYPE_CHECKING:
    from typing import Self

__all__ = ["MAX_CONNECTIONS", "SYSTEM_CLOCK", "TIMEOUT", "TOTAL_TIMEOUT", "PlatformClient"]

TIMEOUT: Final = 5.0
TOTAL_TIMEOUT: Final = 4.0
MAX_CONNECTIONS: Final = 60
SYSTEM_CLOCK: Final[Clock] = SystemClock()


class PlatformClient(WithoutLocals):
    """A client of one service for one tenant; works from several event loops.

    Args:
        tenant: the name of the tenant.
        base_url: where Emporix is.
        http_client: makes the calls, `None` or the name of a library to have one built; `timeout` and `max_connections`
            are for that one.
        timeout: seconds that connecting, sending, or a pause in an answer may take; cut to `total_timeout`.
        total_timeout: seconds that the whole of a call may take.
        max_connections: connections open at once.
        clock: where time comes from.

    Raises:
        ConfigurationError: one of them cannot work.
    """

    def __init__(
        self,
        tenant: str,
        *,
        base_url: str,
        http_client: HttpClient | None,
        timeout: float,
        total_timeout: float,
        max_connections: int,
        clock: Clock,
    ) -> None:
        self.tenant: Final = check_tenant(tenant)
        total = number(total_timeout, "total_timeout", above=0, unit="seconds")
        timeout = min(number(timeout, "timeout", above=0, unit="seconds"), total)
        base_url = check_base_url(base_url)
        options = Options(timeout, total, whole(max_connections, "max_connections"))
        self._http = Http(base_url, clients_for(http_client, base_url, options), clock, total)

    async def aclose(self) -> None:
        """Close the HTTP client where it was built here; a later call builds another."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} tenant={self.tenant}>"
