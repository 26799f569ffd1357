"""Writes the links of a page for search engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..checks import instance
from ..links import PageLinks

if TYPE_CHECKING:
    from jinja2.runtime import Context
    from markupsafe import Markup

__all__ = ["page_links"]


def page_links(links: PageLinks) -> Callable[[Context], Markup]:
    """Return what templates call as ``page_links()``.

    Args:
        links: of the shop.

    Raises:
        ConfigurationError: it is something else.
    """
    from jinja2 import pass_context
    from markupsafe import Markup

    instance(links, PageLinks, "links=...")
    canonical = Markup('<link rel="canonical" href="{}">')
    alternate = Markup('<link rel="alternate" hreflang="{}" href="{}">')

    @pass_context
    def written(context: Context) -> Markup:
        found = links.of(context["request"])
        if found is None:
            return Markup()
        lines = [canonical.format(found.canonical)]
        lines += [alternate.format(tag, url) for tag, url in found.alternates.items()]
        return Markup("\n").join(lines)

    return written
