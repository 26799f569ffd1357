"""From values to HTML: the templates, and what every page shows."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from session_ctx_middleware import ContextDefaults, SessionContext
from session_ctx_middleware.emporix import SiteCatalog

from .choices import choices_for
from .models import Cart, localized
from .notices import SOURCES, notices
from .visit import get_visit
from .wording import money, tally

__all__ = ["STATIC", "Renderer"]

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
DRAWINGS: Final = frozenset({"kettle", "grinder", "cup", "filter", "scale", "tray", "beans", "book"})


class Renderer:
    """Renders pages.

    Args:
        sites: what the shop offers.
        defaults: the same where nobody knows its sites.
    """

    def __init__(self, sites: SiteCatalog, defaults: ContextDefaults) -> None:
        self._sites = sites
        self._defaults = defaults
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        environment.filters.update(money=money, tally=tally)
        environment.globals.update(localized=localized, drawings=DRAWINGS, sources=SOURCES)
        for name in environment.list_templates():
            environment.get_template(name)  # read now: a page must not wait for a disk
        self._templates = Jinja2Templates(env=environment)

    async def page(
        self,
        request: Request,
        name: str,
        ctx: SessionContext,
        *,
        currencies: Collection[str] = (),
        cart: Cart | None = None,
        **values: Any,
    ) -> Response:
        """Render a page.

        Args:
            request: the request.
            name: the template.
            ctx: the loaded context.
            currencies: of the prices on the page.
            cart: the cart on the page.
            values: what else the template needs.
        """
        visit = get_visit(request)
        note = request.query_params.get("note") or f"cart-{request.query_params.get('cart')}"
        frame = {
            "session_ctx": ctx,
            "choices": await run_in_threadpool(choices_for, ctx, self._sites, self._defaults),
            "notices": list(notices(ctx, visit, note=note, currencies=currencies, cart=cart)),
            "here": request.url.path,
            "is_logged_in": ctx.is_logged_in,
            "calls": visit.present(),
            "earlier": visit.earlier,
        }
        # In a thread: the first price in a language makes Babel read a file, and event loops wait for nobody.
        return await run_in_threadpool(self._templates.TemplateResponse, request, name, {**frame, **values})
