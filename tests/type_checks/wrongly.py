"""What type checkers refuse: every comment is needed, or `make types` fails. Nobody runs this.

mypy answers for `type: ignore`, pyright for `pyright: ignore`.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request

from session_ctx_middleware import (
    CachePolicy,
    ContextDefaults,
    ContextDocument,
    ContinuityPolicy,
    CookieToken,
    SessionContext,
    SessionContextMiddleware,
    SessionState,
    StorefrontToken,
)
from session_ctx_middleware.emporix import OwnContextClient, SiteCatalog
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.stores.redis import RedisStore
from session_ctx_middleware.testing import FakeEmporix, Fault, Quirks


def installing(app: Starlette) -> None:
    """Keywords that there are not, and values of other types."""
    SessionContextMiddleware(app)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    SessionContextMiddleware(app, "acme")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    SessionContextMiddleware(app, tenant="acme", tennant="acme")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    SessionContextMiddleware(app, tenant="acme", cache=30)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SessionContextMiddleware(app, tenant="acme", store="redis://localhost")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SessionContextMiddleware(app, tenant="acme", defaults={"currency": "EUR"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SessionContextMiddleware(app, tenant="acme", token=CookieToken)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SessionContextMiddleware(app, tenant="acme", preload="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SessionContextMiddleware(app, tenant="acme", http_client="requests")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SessionContextMiddleware(app, tenant="acme", on_event=lambda: None)  # type: ignore[arg-type, misc]  # pyright: ignore[reportArgumentType]
    app.add_middleware(SessionContextMiddleware, tenant="acme", tll=30)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def policies() -> None:
    """Settings."""
    CachePolicy(60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    CachePolicy(tll=60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ContinuityPolicy(document="always")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ContextDefaults(site="main")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    StorefrontToken(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def reading(ctx: SessionContext, document: ContextDocument) -> None:
    """A context is read, not written to, and may lack each value."""
    ctx.currency = "EUR"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    document.currency = "EUR"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    ctx.attributes["gift"] = "yes"  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
    ctx.language.lower()  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    assert ctx.document.version  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    assert ctx.curency  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def writing(ctx: SessionContext) -> None:
    """Changes."""
    ctx.switch("EUR")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ctx.switch(currencies="EUR")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ctx.switch(currency=978)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ctx.set_attribute("gift", 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ctx.adopt("token")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def typed_state(request: Request[SessionState]) -> None:
    """There is nothing of another name."""
    assert request.state["session_context"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]


def clients() -> None:
    """Clients and stores."""
    OwnContextClient("acme", time_out=1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    SiteCatalog("client-id")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    RedisStore(6379)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    MemoryStore(10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def pretending(emporix: FakeEmporix) -> None:
    """Emporix for tests."""
    Fault(503)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Fault(drop="always")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Quirks(refresh_bearer="guest")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    emporix.fault("context.get", "503")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
