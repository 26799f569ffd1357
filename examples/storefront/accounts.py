"""Logging in and out, and acting for a company: all that is left of it for the shop to write."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from session_ctx_middleware import ChangeRefused, ContextUnavailable, LoginRefused, TokenRejected
from session_ctx_middleware.emporix import Company
from session_ctx_middleware.switcher import same_origin_only

from .visit import Shop, Visit, back_to, begin

__all__ = ["account", "act_for", "log_in", "log_out"]

ACCOUNT = "/account"


async def account(request: Request) -> Response:
    """Show who is logged in, and the companies that he may act for; or the form to log in with."""
    visit = await begin(request)
    return visit.shop.renderer.page(visit, "account.html", companies=await _companies(visit))


@same_origin_only
async def log_in(request: Request) -> Response:
    """Log in; session, cart and choices stay."""
    form = await request.form()
    try:
        await _shop(request).sessions.login(request, str(form.get("email", "")), str(form.get("password", "")))
    except LoginRefused:
        return back_to(ACCOUNT, "not-you")
    except (ContextUnavailable, TokenRejected):
        return back_to(ACCOUNT, "not-now")
    return back_to("/", "welcome")


@same_origin_only
async def log_out(request: Request) -> Response:
    """Log out; nothing stays but site, currency, language and location."""
    await _shop(request).sessions.logout(request)
    return back_to("/", "bye")


@same_origin_only
async def act_for(request: Request) -> Response:
    """Act for another company, or for none."""
    company = str((await request.form()).get("company", "")) or None
    try:
        await _shop(request).sessions.switch_company(request, company)
    except TokenRejected:
        return back_to(ACCOUNT, "log-in")
    except ChangeRefused:
        return back_to(ACCOUNT, "not-yours")
    except ContextUnavailable:
        return back_to(ACCOUNT, "not-now")
    return back_to(ACCOUNT)


async def _companies(visit: Visit) -> Sequence[Company]:
    if not visit.account.is_customer or visit.is_offline:
        return ()
    try:
        return (await visit.shop.sessions.companies(visit.request)).every
    except (ContextUnavailable, TokenRejected):
        return ()


def _shop(request: Request) -> Shop:
    shop: Shop = request.app.state.shop
    return shop
