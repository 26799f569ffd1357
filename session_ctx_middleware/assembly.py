"""What a middleware is put together from, as its keywords say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from .checks import with_methods
from .clock import Clock
from .emporix.address import check_base_url, is_insecure
from .engine import PROCESS_SECRET, Keys, Neighbourhood
from .events import ContextEvent, EventHook, Events
from .health import Monitored
from .observing import CallHook, CallObserver, Careful
from .policies import CachePolicy, UpstreamPolicy
from .processes import several_workers
from .reports import Observer
from .stores import ContextStore, MemoryStore

if TYPE_CHECKING:
    from .emporix import HttpClient

__all__ = [
    "be_watched",
    "calling",
    "keys_of",
    "neighbourhood_of",
    "observed",
    "warn_at_start",
]

# Names that processes share must be the same in all of them; tokens and session ids cannot be guessed in any case.
SHARED_SECRET: Final = b"session_ctx_middleware"
SPARE_CONNECTIONS: Final = 10
TELEMETRY_METHODS: Final = ("watch", "heard", "called", "detached")
TELEMETRY_WANTED: Final = "telemetry=... must be a session_ctx_middleware.telemetry.Telemetry(), or have its methods."


def observed(
    hooks: Sequence[EventHook], telemetry: Observer | None, clock: Clock
) -> tuple[Events, CallObserver | None]:
    """Return who is told of events, and who watches calls: what they raise is an event, and disturbs nobody.

    Args:
        hooks: of the application.
        telemetry: of the application.
        clock: where time comes from.

    Raises:
        ConfigurationError: telemetry is something else.
    """
    if telemetry is None:
        return Events(hooks, clock), None
    with_methods(telemetry, TELEMETRY_METHODS, TELEMETRY_WANTED)
    events = Events((*hooks, telemetry.heard), clock)
    return events, Careful(telemetry, events.hook_failed)


def be_watched(middleware: Monitored, telemetry: Observer | None, events: Events) -> None:
    """Have telemetry ask a middleware how it is; what it raises is an event, and the shop starts nevertheless."""
    if telemetry is None:
        return
    try:
        telemetry.watch(middleware)
    except Exception as error:  # noqa: BLE001 - watching must not break what is watched
        events.hook_failed(error)


def calling(
    base_url: str,
    http_client: HttpClient | None,
    upstream: UpstreamPolicy,
    on_call: CallHook | None,
    *,
    insecure_http: bool,
    observer: CallObserver | None,
) -> dict[str, Any]:
    """Return how all clients of the platform make their calls."""
    return {
        "base_url": check_base_url(base_url, insecure_http=insecure_http),
        "insecure_http": insecure_http,
        "http_client": http_client,
        "timeout": upstream.timeout,
        "total_timeout": upstream.total_timeout,
        "max_connections": upstream.max_concurrency + SPARE_CONNECTIONS,
        "on_call": on_call,
        "telemetry": observer,
    }


def neighbourhood_of(
    place: tuple[object, ...], store: ContextStore | None, cache: CachePolicy, clock: Clock
) -> Neighbourhood:
    """Return whom an instance shares this process with: those with the same store object, or without one at all."""
    if store is not None:
        return Neighbourhood.around(("store", id(store)), lambda: store, clock)
    return Neighbourhood.around(place, lambda: MemoryStore(max_entries=cache.max_entries, clock=clock), clock)


def keys_of(tenant: str, base_url: str, secrets: Sequence[bytes], store: ContextStore) -> Keys:
    """Return what makes the names of tokens and sessions: the same in all processes that share them."""
    return Keys(tenant, base_url, secrets[0] if secrets else SHARED_SECRET if store.shared else PROCESS_SECRET)


def warn_at_start(base_url: str, secrets: Sequence[bytes], store: ContextStore, events: Events) -> None:
    """Tell operators where tokens go through a network that anybody may read, and where workers share nothing."""
    if is_insecure(base_url):
        events.emit(ContextEvent(name="upstream.insecure", operation="start", outcome="http"))
    if not secrets and not store.shared and several_workers():
        events.emit(ContextEvent(name="workers.apart", operation="start", outcome="alone"))
