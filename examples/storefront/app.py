"""The storefront, put together.

``uvicorn examples.storefront.app:create_app --factory`` starts it; `make demo` does that, with FakeEmporix behind it.
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from session_ctx_middleware import SessionContextMiddleware
from session_ctx_middleware.emporix import CartFollows, PublicToken, SiteCatalog
from session_ctx_middleware.sessions import StorefrontSessions

from . import accounts, pages
from .catalog import Catalog
from .costs import Ledger
from .platform import Platform, build_client
from .rendering import STATIC, Renderer
from .settings import Settings
from .visit import VisitLayer

if TYPE_CHECKING:
    from session_ctx_middleware.emporix import HttpClient

__all__ = ["create_app"]


def create_app(settings: Settings | None = None, client: HttpClient | None = None, **options: Any) -> Starlette:
    """Build the application.

    Args:
        settings: read from the environment where they are not given.
        client: calls Emporix, for tests: of the library that `platform.py` uses. It is closed with the application.
        options: further keywords of the middleware.
    """
    mimetypes.init()  # reads files, which otherwise the first request for the style sheet would wait for
    settings = settings or Settings.from_environment(os.environ)
    ledger = Ledger()
    http: Any = client or build_client()
    http.event_hooks["request"].append(ledger.note)
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
            Route("/cart", pages.cart),
            Route("/cart/items", pages.add_to_cart, methods=["POST"]),
            Route("/switch", pages.switch, methods=["POST"]),
            Route("/account", accounts.account),
            Route("/login", accounts.log_in, methods=["POST"]),
            Route("/logout", accounts.log_out, methods=["POST"]),
            Route("/company", accounts.act_for, methods=["POST"]),
            Route("/health", health),
            Mount("/static", StaticFiles(directory=STATIC), name="static"),
        ],
        middleware=[
            Middleware(VisitLayer, ledger=ledger),
            Middleware(
                SessionContextMiddleware,
                tenant=settings.tenant,
                base_url=settings.base_url,
                token=sessions,
                secret_key=settings.secret_key,
                defaults=settings.defaults,
                sites=sites,
                carts=CartFollows(),
                http_client=http,  # one client for all calls, so that all are counted
                **options,
            ),
        ],
        lifespan=lifespan,
    )
    app.state.shop = pages.Shop(
        platform=platform,
        catalog=Catalog(platform),
        sites=sites,
        sessions=sessions,
        ledger=ledger,
        renderer=Renderer(sites, settings.defaults),
    )
    return app


async def health(_: Request) -> Response:
    """Tell that the shop is up. The context is not touched, so this begins no session and calls nobody."""
    return PlainTextResponse("ok")
