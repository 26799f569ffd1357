"""What all clients of the platform have in common."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Final, TypedDict

from ..checks import number, whole
from ..clock import Clock, SystemClock
from ..frames import WithoutLocals
from ..observing import CallHook, CallObserver, careful
from ..platform_time import PlatformTime
from .address import BASE_URL, check_base_url, check_tenant
from .http import Http
from .transport import HttpClient, Options, clients_for

if TYPE_CHECKING:
    from typing import Self

__all__ = ["SYSTEM_CLOCK", "TIMEOUT", "TOTAL_TIMEOUT", "ClientOptions", "PlatformClient"]

TIMEOUT: Final = 5.0
TOTAL_TIMEOUT: Final = 4.0
MAX_CONNECTIONS: Final = 60
SYSTEM_CLOCK: Final[Clock] = SystemClock()


class ClientOptions(TypedDict, total=False):
    """The keywords that all clients of the platform have.

    Attributes:
        base_url: where Emporix is: https, or http on the machine itself.
        insecure_http: allow http towards other hosts, for a fake Emporix in a network of containers.
        http_client: an ``httpx.AsyncClient``, ``httpx2.AsyncClient`` or ``aiohttp.ClientSession``, which is never
            closed here; ``"aiohttp"``, ``"httpx2"`` or ``"httpx"`` to have one of that library built; `None` for the
            first of these that is installed.
        timeout: seconds that connecting (at most 2), sending, or a pause in an answer may take, for a client built
            here; cut to `total_timeout`.
        total_timeout: seconds that the whole of a call may take.
        max_connections: connections open at once, for a client built here.
        clock: where time comes from.
        on_call: is told every call that was made, with its token, and must not keep that.
        telemetry: is told of each call, such as a `session_ctx_middleware.telemetry.Telemetry`.
    """

    base_url: str
    insecure_http: bool
    http_client: HttpClient | None
    timeout: float
    total_timeout: float
    max_connections: int
    clock: Clock
    on_call: CallHook | None
    telemetry: CallObserver | None


class PlatformClient(WithoutLocals):
    """A client of one service for one tenant; works from several event loops.

    Args:
        tenant: the name of the tenant.
        base_url: see `ClientOptions`, as for all that follow.
        insecure_http: see there.
        http_client: see there.
        timeout: see there.
        total_timeout: see there.
        max_connections: see there.
        clock: see there.
        on_call: see there.
        telemetry: see there.

    Raises:
        ConfigurationError: one of them cannot work.
    """

    def __init__(
        self,
        tenant: str,
        *,
        base_url: str = BASE_URL,
        insecure_http: bool = False,
        http_client: HttpClient | None = None,
        timeout: float = TIMEOUT,
        total_timeout: float = TOTAL_TIMEOUT,
        max_connections: int = MAX_CONNECTIONS,
        clock: Clock = SYSTEM_CLOCK,
        on_call: CallHook | None = None,
        telemetry: CallObserver | None = None,
    ) -> None:
        self.tenant: Final = check_tenant(tenant)
        total = number(total_timeout, "total_timeout", above=0, unit="seconds")
        timeout = min(number(timeout, "timeout", above=0, unit="seconds"), total)
        base_url = check_base_url(base_url, insecure_http=insecure_http)
        options = Options(timeout, total, whole(max_connections, "max_connections"))
        self._clock = clock
        clients = clients_for(http_client, base_url, options)
        self._http = Http(base_url, clients, clock, total, on_call=on_call, observer=careful(telemetry))

    async def aclose(self) -> None:
        """Close the HTTP client where it was built here; a later call builds another."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def platform_time(self) -> PlatformTime:
        """Emporix' time, as the dates of its answers tell it."""
        return self._http.platform_time

    def __repr__(self) -> str:
        return f"<{type(self).__name__} tenant={self.tenant}>"
