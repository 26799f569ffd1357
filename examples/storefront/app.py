"""The storefront, put together.

``uvicorn examples.storefront.app:create_app --factory`` starts it; ``python -m session_ctx_middleware.cli demo`` does
that, with FakeEmporix behind it.
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from session_ctx_middleware import InvalidChange, SessionContextMiddleware
from session_ctx_middleware.debug_panel import DebugPanel
from session_ctx_middleware.emporix import CartFollows, PublicToken, SiteCatalog
from session_ctx_middleware.resolution import AcceptLanguage
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.switcher import switcher_routes

from . import accounts, cart, checkout, pages
from .catalog import Catalog
from .platform import Platform, build_client
from .rendering import STATIC, Renderer
from .settings import Settings
from .visit import Shop

if TYPE_CHECKING:
    from session_ctx_middleware.emporix import HttpClient

__all__ = ["create_app"]

LANGUAGES: Final = ("en", "de", "fr")
"""What a new visitor's browser may ask for: the languages of the site that he comes to first."""
POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def create_app(settings: Settings | None = None, client: HttpClient | None = None, **options: Any) -> Starlette:
    """Build the application.

    Args:
        settings: read from the environment where they are not given.
        client: calls Emporix, for tests: of the library that `platform.py` uses. It is closed with the application.
        options: further keywords of the middleware.
    """
    mimetypes.init()  # reads files, which otherwise the first request for the style sheet would wait for
    settings = settings or Settings.from_environment(os.environ)
    http: Any = client or build_client()
    platform = Platform(settings, http)
    sessions = StorefrontSessions(settings.client_id)
    sites = SiteCatalog(PublicToken(settings.client_id))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with http:
            yield

    app = Starlette(
        routes=[
            Route("/", pages.home),
            Route("/products/{product_id:path}", pages.product),
            Route("/cart", cart.show),
            Route("/cart/items", cart.add, methods=["POST"]),
            Route("/cart/items/{product_id:path}", cart.change, methods=["POST"]),
            Route("/checkout", checkout.show, methods=["GET"]),
            Route("/checkout", checkout.place_order, methods=["POST"]),
            Route("/thanks", checkout.thanks),
            *switcher_routes(),
            Route("/account", accounts.account),
            Route("/login", accounts.log_in, methods=["POST"]),
            Route("/logout", accounts.log_out, methods=["POST"]),
            Route("/company", accounts.act_for, methods=["POST"]),
            Route("/health", health),
            Mount("/static", StaticFiles(directory=STATIC), name="static"),
        ],
        exception_handlers={404: pages.not_found, InvalidChange: pages.not_offered},
        middleware=[
            Middleware(ContentPolicy),
            Middleware(
                SessionContextMiddleware,
                tenant=settings.tenant,
                base_url=settings.base_url,
                token=sessions,
                secret_key=settings.secret_key,
                defaults=settings.defaults,
                resolve=AcceptLanguage(LANGUAGES),
                sites=sites,
                carts=CartFollows(),
                http_client=http,  # one pool of connections for all calls
                debug_panel=DebugPanel() if settings.is_watched else None,
                **options,
            ),
        ],
        lifespan=lifespan,
    )
    app.state.shop = Shop(
        platform=platform,
        catalog=Catalog(platform),
        sites=sites,
        sessions=sessions,
        renderer=Renderer(sites, settings.defaults),
    )
    return app


class ContentPolicy:
    """Says that pages of the shop load nothing but its own style sheet and pictures, and run no scripts.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""

        async def send_wrapper(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("content-security-policy", POLICY)
            await send(message)

        await self._app(scope, receive, send_wrapper)


async def health(_: Request) -> Response:
    """Tell that the shop is up. The context is not touched, so this begins no session and calls nobody."""
    return PlainTextResponse("ok")
