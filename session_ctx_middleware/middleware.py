"""ASGI in, ASGI out: puts a session context into every request, and sends its changes before the response starts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast
from weakref import ref

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .access import SCOPE_KEY, STATE_KEY, get_session_context, inside_another
from .assembly import be_watched, calling, keys_of, neighbourhood_of, observed, warn_at_start
from .checks import flag, flag_or_function, functions, instance, of_kind, secret_keys, with_methods
from .clock import Clock, SystemClock
from .context import SessionContext
from .dependencies import Engines, RequestDependencies, cookies_of
from .emporix import OwnContextClient
from .emporix.carts import CartFollows
from .emporix.reported import ReportedContexts
from .emporix.sites import SiteCatalog
from .engine import EngineOptions, Stats
from .errors import ConfigurationError, InvalidChange, SharedCacheLeak
from .events import ContextEvent, EventHook
from .frames import clear_frames, without_locals
from .health import REMEMBERED, Health
from .http_cache import Vary
from .invalid_changes import invalid_change_in, unprocessable
from .lifespan import pass_on
from .model.view import ContextDefaults
from .policies import CachePolicy, ContinuityPolicy, UpstreamPolicy
from .privacy import protected
from .reports import Observer, resolver_failed
from .resolution import Resolver, Resolvers, arriving
from .sealing import Keyring
from .sited import SitedContext
from .stores import ContextStore
from .stores.protocol import check_store
from .token_watch import TokenWatch
from .tokens import BearerToken, Movable, SessionSetup, TokenChain, TokenSource
from .watching import checked_watcher

if TYPE_CHECKING:
    from .debug_panel import DebugPanel
    from .emporix import ClientOptions, HttpClient

__all__ = ["Preload", "SecretKey", "SessionContextMiddleware"]

Preload: TypeAlias = "bool | Callable[[HTTPConnection], bool]"
SecretKey: TypeAlias = "str | bytes | Sequence[str | bytes]"

T = TypeVar("T")

HOOKS_WANTED: Final = "on_event=... must be functions that take one ContextEvent."
CLOCK_WANTED: Final = "clock=... must be an object with monotonic, time, random, call_later and sleep."
CLOCK_METHODS: Final = ("monotonic", "time", "random", "call_later", "sleep")
DRAIN_SECONDS: Final = 5.0
ASYNCIO_WANTED: Final = (
    "SessionContextMiddleware runs under asyncio alone, and no event loop of it runs here. If this is trio, start the "
    "server with its asyncio worker."
)
UNWELL: Final = ("upstream.failed", "upstream.paused")
UNKEPT: Final = ("store.failed", "tokens.failed")


class SessionContextMiddleware:
    """Gives every request its Emporix session context, as ``request.state.session_ctx``.

    Args:
        app: the application.
        tenant: the Emporix tenant: 3 to 16 lower-case letters and digits, the first one a letter.
        base_url: where Emporix is: https, or http on a loopback address.
        insecure_http: allow http towards other hosts, for a fake Emporix in a network of containers; told at the start.
        token: one token source or several, of which the first hit wins.
        secret_key: 32 bytes or more that every worker and host of this shop shares, or several keys, newest first.
        continuity: what the browser carries from one worker to the next, where there is a `secret_key`.
        defaults: what the shop shows where nothing else is known.
        preload: `True`, or a function of the connection, to load before the application runs.
        cache: how long what Emporix said is used.
        upstream: how much of Emporix one request may use, and for how long.
        store: where changes wait that Emporix cannot take yet, and what others have read. Instances that get the same
            object share it; those that get none share one with equal `tenant`, `base_url` and `secret_key`.
        sites: what the shop's sites offer, to check switches against; a `SiteCatalog`.
        carts: have carts follow their shoppers to another site or currency, and into a login; a `CartFollows`.
        resolve: resolvers, which tell values from the address, a cookie or a header: see `resolution`.
        http_client: an ``httpx.AsyncClient``, ``httpx2.AsyncClient`` or ``aiohttp.ClientSession``, never closed here;
            or ``"aiohttp"``, ``"httpx2"``, ``"httpx"`` for one of ours; left out, the first of these that is installed.
        on_event: functions, plain or async, that are told every `ContextEvent`; they must not block.
        telemetry: where spans and metrics go: a `session_ctx_middleware.telemetry.Telemetry`.
        server_timing: say in a ``Server-Timing`` header what the context has cost the request.
        cookie_name: what the names of the continuity cookies begin with; on https with the prefix ``__Host-``.
        https_only: treat every request as https, for a TLS proxy in front that does not pass the scheme on.
        strict: raise `SharedCacheLeak` instead of repairing a personal response that invites shared caches.
        debug_panel: while developing, a page that shows what requests do with their contexts; a `DebugPanel`.
        clock: where time and randomness come from; for tests.

    Raises:
        ConfigurationError: a value cannot work.
    """

    @without_locals
    def __init__(
        self,
        app: ASGIApp,
        *,
        tenant: str,
        base_url: str = "https://api.emporix.io",
        insecure_http: bool = False,
        token: TokenSource | Sequence[TokenSource] = BearerToken(),  # noqa: B008 - it holds no state
        secret_key: SecretKey | None = None,
        continuity: ContinuityPolicy | None = None,
        defaults: ContextDefaults | None = None,
        preload: Preload = False,
        cache: CachePolicy | None = None,
        upstream: UpstreamPolicy | None = None,
        store: ContextStore | None = None,
        sites: SiteCatalog | None = None,
        carts: CartFollows | None = None,
        resolve: Resolver | Sequence[Resolver] = (),
        http_client: HttpClient | None = None,
        on_event: EventHook | Sequence[EventHook] = (),
        telemetry: Observer | None = None,
        server_timing: bool = False,
        cookie_name: str = "session_ctx",
        https_only: bool = False,
        strict: bool = False,
        debug_panel: DebugPanel | None = None,
        clock: Clock | None = None,
    ) -> None:
        upstream = of_kind(upstream, UpstreamPolicy, "upstream=...")
        cache = of_kind(cache, CachePolicy, "cache=...")
        clock = SystemClock() if clock is None else clock
        with_methods(clock, CLOCK_METHODS, CLOCK_WANTED)
        check_store(store)
        secrets, tokens = secret_keys(secret_key), TokenChain(token)
        watcher = checked_watcher(debug_panel)
        self.app = watcher.around(app)
        flag_or_function(preload, "preload=...")
        self._preload = preload
        self._stats = Stats()
        events, observer = observed((*functions(on_event, HOOKS_WANTED), *watcher.hooks), telemetry, clock)
        self._events = events
        client = calling(
            base_url, http_client, upstream, watcher.on_call, insecure_http=insecure_http, observer=observer
        )
        # It keeps the connections of each event loop apart.
        self._emporix = OwnContextClient(tenant, clock=clock, **client)
        base_url = client["base_url"]
        place = (tenant, base_url, *(sha256(secret).digest() for secret in secrets))
        neighbourhood = neighbourhood_of(place, store, cache, clock)
        keys = keys_of(tenant, base_url, secrets, neighbourhood.store)
        continuity = of_kind(continuity, ContinuityPolicy, "continuity=...").checked(secrets)
        keyring = Keyring(secrets, tenant, base_url)
        cookies, documents = cookies_of(
            keyring,
            (tenant, base_url),
            continuity,
            name=cookie_name,
            https_only=flag(https_only, "https_only=..."),
            longest=cache.longest,
            clock=clock,
            events=events,
        )
        self._engines = Engines(
            EngineOptions(
                cache=cache,
                upstream=upstream,
                store=neighbourhood.store,
                keys=keys,
                clock=clock,
                stats=self._stats,
                events=events,
                protection=neighbourhood.protection((tenant, base_url)),
                receipts=continuity.receipts,
                platform_time=self._emporix.platform_time,
                documents_travel=documents is not None,
                observer=observer,
            ),
            ReportedContexts(self._emporix, events),
            neighbourhood,
            browsers_keep=bool(secrets),
        )
        resolvers = Resolvers(resolve, lambda kind: events.emit(resolver_failed(kind)))
        self._deps = RequestDependencies(
            tokens=tokens,
            defaults=of_kind(defaults, ContextDefaults, "defaults=..."),
            events=events,
            clock=clock,
            timestamps=neighbourhood.timestamps,
            engine=self._engines.of,
            patience=upstream.deadline,
            cookies=cookies if secrets else None,
            documents=documents,
            consents=continuity.consents,
            strict=flag(strict, "strict=..."),
            https_only=https_only,
            middleware=ref(self),
            place=(tenant, base_url),
            sites=sites,
            carts=carts,
            token_watch=TokenWatch(events, self._stats.reads),
            resolvers=resolvers or None,
            server_timing=flag(server_timing, "server_timing=..."),
            observes=events.wanted or server_timing,
        )
        tokens.tell(events)
        setup = SessionSetup(
            tenant=tenant,
            base_url=base_url,
            keyring=keyring,
            client={**client, "clock": clock},
            https_only=https_only,
            patience=upstream.deadline,
            clock=clock,
            events=events,
            moving=self._moving,
            store=neighbourhood.store,
            observer=observer,
        )
        tokens.bind(setup)
        if sites is not None:
            instance(sites, SiteCatalog, "sites=...").bind(tenant, cast("ClientOptions", setup.client), events)
        if carts is not None:
            instance(carts, CartFollows, "carts=...").bind(tenant, cast("ClientOptions", setup.client))
        self._context = watcher.context(SessionContext if sites is None else SitedContext)
        self._shows_all = bool(self._deps.consents or self._deps.resolvers) or not tokens.instant
        self._vary = Vary(dict.fromkeys((*tokens.vary, *(("Cookie",) if secrets else ()), *resolvers.vary)))
        self._shared_state_told = False
        warn_at_start(base_url, secrets, neighbourhood.store, events)
        watcher.begins(events)
        be_watched(self, telemetry, events)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        kind = scope["type"]
        mine = kind in {"http", "websocket"}
        if mine and SCOPE_KEY in scope:
            scope, mine = inside_another(scope, self._deps.place)
        if not mine:
            await pass_on(self.app, self.aclose, scope, receive, send)
            return
        context = self._place(scope)
        sends = self._starting(context, send, scope) if kind == "http" else self._refusing(context, send)
        try:
            if self._preload is True or (self._preload and self._preload(HTTPConnection(scope))):
                await context._load_ahead()
            try:
                await self.app(scope, receive, sends)
            except (InvalidChange, ExceptionGroup) as error:
                wrong = invalid_change_in(error)
                if wrong is None or kind != "http" or context._sealed:
                    raise
                context._drop_uncommitted("exception")
                await unprocessable(wrong)(scope, receive, sends)
        except BaseException as error:
            context._drop_uncommitted("exception")
            context._leaves(answered=not isinstance(error, SharedCacheLeak))
            clear_frames(error)
            raise
        if context._changes.operations or context._response is None:
            context._drop_uncommitted("closed")
            context._leaves()

    def stats(self) -> Mapping[str, int]:
        """Return counters of what happened so far: of reads and calls, and of each event."""
        return {**asdict(self._stats), **self._events.counters()}

    def health(self) -> Health:
        """Tell, without asking anybody, whether Emporix, the breakers and the store are well."""
        return Health(
            emporix=not any(self._events.holds(name, within=REMEMBERED) for name in UNWELL),
            breaker=self._engines.are_calling,
            store=not any(self._events.holds(name, within=REMEMBERED) for name in UNKEPT),
        )

    async def aclose(self) -> None:
        """Wait up to 5 seconds for commits of this event loop, then close its connections to the store and to Emporix.

        Async hooks get up to 5 seconds more to end. Whoever passed in an HTTP client or a Redis client closes that.
        """
        await self._deps.tokens.settle()
        await self._engines.close(DRAIN_SECONDS)
        await self._emporix.aclose()
        await self._deps.tokens.aclose()
        for each in (self._deps.sites, self._deps.carts):
            if each is not None:
                await each.aclose()
        await self._events.drain(DRAIN_SECONDS)

    def _moving(self, connection: HTTPConnection) -> Movable:
        context = get_session_context(connection)
        if context._deps is not self._deps:
            raise ConfigurationError("This request's session context is of another middleware than this token source.")
        return context._movable()

    def _starting(self, context: SessionContext, send: Send, scope: Scope) -> Send:
        def send_wrapper(message: Message) -> Awaitable[None]:
            if message["type"] != "http.response.start":
                return send(message)
            if not context._starts(message):
                return self._commit_first(context, message, send, scope)
            return send(context._response_start(message, self._vary, scope) if context._used else message)

        return send_wrapper

    def _refusing(self, context: SessionContext, send: Send) -> Send:
        """Return what sends for a WebSocket, whose handshake may be refused by a page (ASGI's denial response)."""

        def send_wrapper(message: Message) -> Awaitable[None]:
            is_page = message["type"] == "websocket.http.response.start" and context._used
            return send(protected(message, self._vary, self._deps) if is_page else message)

        return send_wrapper

    @without_locals
    async def _commit_first(self, context: SessionContext, message: Message, send: Send, scope: Scope) -> None:
        cookies = [(b"set-cookie", value) for value in await context._finish(message)]
        await send(context._response_start(message, self._vary, scope, *cookies) if context._used else message)

    def _place(self, scope: Scope) -> SessionContext:
        state = scope.setdefault("state", {})
        if STATE_KEY in state:
            # A server that shares one state between requests (the ASGI specification wants a copy for each) would
            # show this shopper's context to another one.
            state = scope["state"] = dict(state)
            if not self._shared_state_told:  # it is the server's habit: once is enough
                self._shared_state_told = True
                self._deps.events.emit(ContextEvent(name="state.shared", operation="request", outcome="copied"))
        # The scope leads to the context: were it to lead back, every request would wait for the garbage collector.
        if self._shows_all:
            seen = scope if self._deps.resolvers is None else arriving(scope)
        else:  # nobody but this package looks into it
            seen = {"type": scope["type"], "headers": scope["headers"], "scheme": scope.get("scheme", "http")}
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError(ASYNCIO_WANTED) from None
        context = self._context(self._deps, seen, loop)
        scope[SCOPE_KEY] = state[STATE_KEY] = context
        return context
