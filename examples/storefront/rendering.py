"""From values to HTML: the templates, and what every page shows."""

from __future__ import annotations

from gettext import GNUTranslations
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import jinja2
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from session_ctx_middleware import ContextDefaults
from session_ctx_middleware.emporix import SiteCatalog
from session_ctx_middleware.templating import install, install_texts

from .models import Cart, localized
from .notices import notices
from .visit import Visit

__all__ = ["STATIC", "TEXTS", "Renderer"]

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
TEXTS: Final = HERE / "texts"
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
        translations = {path.stem: _translations(path) for path in sorted(TEXTS.glob("*.po"))}
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        environment.globals.update(localized=localized, drawings=DRAWINGS)
        self._templates = Jinja2Templates(env=environment)
        install(self._templates, languages=["en", *translations], time_zone=sites.time_zone)
        install_texts(self._templates, translations)
        for name in environment.list_templates():
            environment.get_template(name)  # read now: a page must not wait for a disk

    def page(
        self,
        visit: Visit,
        name: str,
        *,
        status_code: int = 200,
        note: str = "",
        cart: Cart | None = None,
        **values: Any,
    ) -> Response:
        """Render a page.

        Args:
            visit: the visit.
            name: the template.
            status_code: of the response.
            note: the name of what is to be said; the query of the address may name one, too.
            cart: the cart on the page.
            values: what else the template needs.
        """
        query = visit.request.query_params
        said = note or query.get("note") or f"cart-{query.get('cart')}"
        site = self._sites.site_of(visit.ctx)
        frame = {
            "visit": visit,
            "offers": self._offers(visit),
            "site": site,
            "notices": list(notices(visit, said, cart)),
            "here": visit.request.url.path,
            "cart": cart,
        }
        page = self._templates.TemplateResponse(visit.request, name, {**frame, **values}, status_code=status_code)
        if visit.account.is_customer:
            page.headers["cache-control"] = "private, no-store"  # Back, after a logout, would show it from memory
        return page

    def _offers(self, visit: Visit) -> dict[str, Any]:
        """Return what may be chosen; the shop's defaults alone where nobody knows the sites."""
        known = self._sites.offers(visit.ctx)
        fields = ("site_code", "currency", "language", "target_location")
        return {field: known.get(field) or [getattr(self._defaults, field)] for field in fields}


def _translations(path: Path) -> GNUTranslations:
    """Return the texts of one language, from a file as translators know it."""
    with path.open("rb") as file:
        catalogue = read_po(file, locale=path.stem)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)
