"""Logging in and out, and acting for a company: all that is left of it for the shop to write."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from session_ctx_middleware import ChangeRefused, ContextUnavailable, LoginRefused, TokenRejected
from session_ctx_middleware.emporix import Company
from session_ctx_middleware.switcher import same_origin_only

from .pages import Basics, Shop, back_to, begin

__all__ = ["account", "act_for", "log_in", "log_out"]

ACCOUNT = "/account"


async def account(request: Request) -> Response:
    """Show who is logged in, and the companies that he may act for; or the form to log in with."""
    basics = await begin(request)
    sessions = basics.shop.sessions
    return await basics.shop.renderer.page(
        request,
        "account.html",
        basics.ctx,
        account=await sessions.account(request),
        companies=await _companies(request, basics),
    )


@same_origin_only
async def log_in(request: Request) -> Response:
    """Log in; session, cart and choices stay."""
    form = await request.form()
    try:
        await _shop(request).sessions.login(request, str(form.get("email", "")), str(form.get("password", "")))
    except LoginRefused:
        return back_to(ACCOUNT, note="not-you")
    except ContextUnavailable:
        return back_to(ACCOUNT, note="not-now")
    return back_to("/", note="welcome")


@same_origin_only
async def log_out(request: Request) -> Response:
    """Log out; nothing stays but site, currency, language and location."""
    await _shop(request).sessions.logout(request)
    return back_to("/", note="bye")


@same_origin_only
async def act_for(request: Request) -> Response:
    """Act for another company, or for none."""
    company = str((await request.form()).get("company", "")) or None
    try:
        await _shop(request).sessions.switch_company(request, company)
    except TokenRejected:
        return back_to(ACCOUNT, note="log-in")
    except ChangeRefused:
        return back_to(ACCOUNT, note="not-yours")
    except ContextUnavailable:
        return back_to(ACCOUNT, note="not-now")
    return back_to(ACCOUNT)


async def _companies(request: Request, basics: Basics) -> Sequence[Company]:
    if not basics.ctx.is_logged_in or basics.is_offline:
        return ()
    try:
        return (await basics.shop.sessions.companies(request)).every
    except (ContextUnavailable, TokenRejected):
        return ()


def _shop(request: Request) -> Shop:
    shop: Shop = request.app.state.shop
    return shop
