"""What the types of the public interface say to who uses it rightly. `make types` reads this; nobody runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, assert_type

from fastapi import Depends, FastAPI
from jinja2 import Environment
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.routing import Route

import session_ctx_middleware as package
from session_ctx_middleware.emporix import (
    CartFollows,
    CartOutcome,
    ManagedContextClient,
    OwnContextClient,
    PublicToken,
    ServiceToken,
    ShopperTokens,
    SiteCatalog,
    TokenAnswer,
)
from session_ctx_middleware.fastapi import SessionCtx, install, loaded_session_context
from session_ctx_middleware.health import Health, Monitored
from session_ctx_middleware.resolution import AcceptLanguage, CookieValue, CountryHeader, Host, UrlPrefix
from session_ctx_middleware.sessions import (
    Account,
    Companies,
    EmporixSdkCookies,
    JWTVerifier,
    ShopAuth,
    ShowcaseCookie,
    StorefrontSessions,
    TokenStore,
)
from session_ctx_middleware.stores import ContextStore, MemoryStore
from session_ctx_middleware.stores.redis import RedisStore
from session_ctx_middleware.switcher import switcher_routes
from session_ctx_middleware.templating import context_processor
from session_ctx_middleware.templating import install as install_filters
from session_ctx_middleware.testing import FakeEmporix, FakeSession, Fault, Quirks


async def reading(connection: HTTPConnection) -> None:
    """What is read of a context."""
    ctx = assert_type(package.get_session_context(connection), package.SessionContext)
    assert_type(await ctx, package.SessionContext)
    assert_type(await ctx.load(required=True), package.SessionContext)
    assert_type(await ctx.refresh(), package.SessionContext)
    for value in (ctx.site_code, ctx.currency, ctx.language, ctx.target_location):
        assert_type(value, str | None)
    for held in (ctx.cart_id, ctx.customer_id, ctx.session_id):
        assert_type(held, str | None)
    assert_type(ctx.version, int | None)
    for told in (ctx.exists, ctx.is_loaded, ctx.is_stale, ctx.is_degraded, ctx.is_rejected, ctx.is_logged_in):
        assert_type(told, bool)
    assert_type(ctx.has_token, bool)
    assert_type(ctx.pending, Mapping[str, object])
    assert_type(ctx.to_dict(), dict[str, object])
    assert_type(ctx.auth, ShopAuth)
    assert_type(ctx.price_criteria(), dict[str, str])
    assert_type(ctx.middleware, Monitored)
    assert_type(ctx.middleware.health(), Health)
    assert_type(ctx.cart_outcome, CartOutcome | None)
    if ctx.document is not None:
        assert_type(ctx.document, package.ContextDocument)
        assert_type(ctx.document.version, int)


async def writing(ctx: package.SessionContext) -> None:
    """What changes a context."""
    ctx.switch(site_code="main", currency="EUR", language=None, target_location="DE")
    ctx.switch_site("main", currency="EUR")
    ctx.set_attribute("gift", {"wrap": True})
    ctx.set_attribute("note", "blue")
    assert_type(await ctx.commit(), package.Commit)
    assert_type(await ctx.cart_created("cart-1"), package.SessionContext)
    transition = assert_type(await ctx.adopt(package.StorefrontToken("token", expires_at=1.0)), package.Transition)
    assert_type(transition.dropped, tuple[str, ...])
    async with ctx.late_changes() as late:
        assert_type(late, package.SessionContext)


async def typed_state(request: Request[package.SessionState]) -> None:
    """The comfortable way to the context."""
    assert_type(request.state["session_ctx"], package.SessionContext)


def told(event: package.ContextEvent) -> None:
    """What a hook gets."""
    assert_type((event.name, event.outcome), tuple[str, str])
    assert_type(event.status, int | None)
    assert_type(event.duration, float)


async def told_later(event: package.ContextEvent) -> None:
    """A hook may be asynchronous."""
    told(event)


def of_this_shop(connection: HTTPConnection) -> package.StorefrontToken | None:
    """A function may be a source of tokens."""
    token = connection.headers.get("x-token")
    return package.StorefrontToken(token) if token else None


def installing(store: RedisStore, catalog: SiteCatalog, sessions: StorefrontSessions) -> Iterator[Starlette | FastAPI]:
    """Each keyword, in the forms that it takes."""
    yield Starlette(middleware=[Middleware(package.SessionContextMiddleware, tenant="acme")])
    yield Starlette(
        routes=[*assert_type(switcher_routes("/choose"), list[Route])],
        middleware=[
            Middleware(
                package.SessionContextMiddleware,
                tenant="acme",
                token=[sessions, package.CookieToken("token"), package.BearerToken(), of_this_shop],
                secret_key=["k" * 32, b"k" * 32],
                continuity=package.ContinuityPolicy(document=lambda connection: "consent" in connection.cookies),
                defaults=package.ContextDefaults(site_code="main", currency="EUR"),
                preload=lambda connection: connection.url.path == "/",
                cache=package.CachePolicy(ttl=30),
                upstream=package.UpstreamPolicy(deadline=1),
                store=store,
                sites=catalog,
                carts=CartFollows(),
                resolve=[
                    UrlPrefix({"de": {"language": "de"}}),
                    Host({"shop.example": {"site_code": "main"}}),
                    CookieValue("currency", "currency"),
                    AcceptLanguage(["en", "de"]),
                    CountryHeader("x-country"),
                ],
                http_client="httpx",
                on_event=[told, told_later],
            )
        ],
    )
    app = FastAPI()
    install(app)
    app.add_middleware(package.SessionContextMiddleware, tenant="acme", token=ShowcaseCookie("acme"), on_event=told)
    app.add_middleware(
        package.SessionContextMiddleware, tenant="acme", token=EmporixSdkCookies(), http_client="aiohttp"
    )
    yield app


async def endpoint(
    ctx: SessionCtx, same: Annotated[package.SessionContext, Depends(loaded_session_context)]
) -> dict[str, object]:
    """FastAPI's way to it."""
    assert_type(ctx, package.SessionContext)
    assert_type(same, package.SessionContext)
    return ctx.to_dict()


def templates(request: Request, environment: Environment) -> None:
    """What Jinja gets."""
    install_filters(environment, languages=["en"])
    context_processor(request)


async def sessions_of_shoppers(request: Request, sessions: StorefrontSessions) -> None:
    """Guests and customers."""
    assert_type(await sessions.login(request, "jane@example.com", "secret"), package.Transition)
    assert_type(await sessions.logout(request), package.Transition)
    assert_type(await sessions.account(request), Account)
    assert_type(await sessions.companies(request), Companies)
    JWTVerifier(jwks_url="https://id.example/keys", algorithms=["RS256"], audience="shop")


async def platform() -> None:
    """Emporix without the middleware."""
    own = OwnContextClient("acme", http_client="httpx", timeout=1.0)
    assert_type(await own.get("token"), package.ContextDocument)
    service = ServiceToken("acme", client_id="id", client_secret="secret")
    assert_type(await service.value(), str)
    managed = ManagedContextClient("acme", service_token=service)
    assert_type(await managed.get("session"), package.ContextDocument)
    assert_type(await ShopperTokens("acme", "id").begin(currency="EUR"), TokenAnswer)
    SiteCatalog(PublicToken("id"))
    SiteCatalog(service, ttl=60)


def stores() -> tuple[ContextStore, ContextStore]:
    """What may be passed as a store."""
    return MemoryStore(), RedisStore("redis://localhost", budget=0.1)


def keeping(tokens: TokenStore) -> Iterator[StorefrontSessions]:
    """What may be passed to keep tokens in."""
    for keep in (tokens, MemoryStore(), RedisStore("redis://localhost")):
        yield StorefrontSessions("client-id", keep=keep)


def pretending() -> None:
    """Emporix for tests."""
    emporix = FakeEmporix("acme", context_at="login", quirks=Quirks(refresh_bearer="customer"))
    session = assert_type(emporix.new_session(currency="EUR"), FakeSession)
    assert_type(session.token, str)
    assert_type(emporix.count("context.get"), int)
    emporix.fault("context.get", Fault(status=503, retry_after=1), times=None)


def caught(error: package.SessionContextError) -> type[package.SessionContextError] | None:
    """Whoever catches the base class has caught each of them."""
    kinds: tuple[type[package.SessionContextError], ...] = (
        package.CartNotFound,
        package.ChangeRefused,
        package.CommitConflict,
        package.ConfigurationError,
        package.ContextFull,
        package.ContextNotFound,
        package.ContextNotLoaded,
        package.ContextSealed,
        package.ContextUnavailable,
        package.EmporixError,
        package.EmporixFailed,
        package.EmporixNotAsked,
        package.EmporixUnreachable,
        package.InvalidChange,
        package.LoginRefused,
        package.MalformedAnswer,
        package.NoToken,
        package.SharedCacheLeak,
        package.TokenRejected,
        package.TooManyRequests,
        package.UnknownField,
        package.VersionConflict,
    )
    return next((kind for kind in kinds if isinstance(error, kind)), None)
