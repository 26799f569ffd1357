"""The sites of a tenant, and the currencies and countries that are active in it, page by page."""

from __future__ import annotations

import json
from typing import Any, Final

from ..errors import MalformedAnswer
from ..model.sites import Site
from .answers import READING, error_of
from .client import PlatformClient

__all__ = ["SiteSettings"]

# What the services have on a page by default: they surely take that much.
SITES_ON_A_PAGE: Final = 16
CODES_ON_A_PAGE: Final = 60
MOST_PAGES: Final = 64


class SiteSettings(PlatformClient):
    """Reads Site Settings, and from the Country and Currency services what is active, for one tenant."""

    async def sites(self, token: str) -> list[Site]:
        """Return the active sites.

        Args:
            token: any valid one of the tenant.

        Raises:
            TokenRejected: Emporix does not take the token.
            EmporixError: as for `OwnContextClient.get`.
        """
        path = f"/site/{self.tenant}/sites"
        found = [Site.parse(each) for each in await self._pages("site.list", path, token, SITES_ON_A_PAGE)]
        return [site for site in found if site is not None]

    async def currencies(self, token: str) -> frozenset[str]:
        """Return the codes of the currencies that the tenant has; arguments and errors are those of `sites`."""
        path = f"/currency/{self.tenant}/currencies"
        return _codes(await self._pages("currency.list", path, token, CODES_ON_A_PAGE))

    async def countries(self, token: str) -> frozenset[str]:
        """Return the codes of the countries that are active; arguments and errors are those of `sites`."""
        path = f"/country/{self.tenant}/countries"
        return _codes(await self._pages("country.list", path, token, CODES_ON_A_PAGE, active="true"))

    async def _pages(self, operation: str, path: str, token: str, size: int, **query: str) -> list[Any]:
        """Return the items of all pages: the last one is not full."""
        items: list[Any] = []
        for number in range(1, MOST_PAGES + 1):
            params = {"pageNumber": str(number), "pageSize": str(size), **query}
            answer = await self._http.call(operation, "GET", path, token=token, params=params)
            if answer.status != 200:
                raise error_of(operation, answer, READING)
            page = _list(answer.body)
            if page is None:
                raise MalformedAnswer(operation, answer.status, "no JSON array")
            items += page
            if len(page) < size:
                break
        return items


def _list(body: bytes | None) -> list[Any] | None:
    try:
        data = json.loads(body or b"")
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, list) else None


def _codes(items: list[Any]) -> frozenset[str]:
    return frozenset(
        each["code"]
        for each in items
        if isinstance(each, dict) and isinstance(each.get("code"), str) and each.get("active") is not False
    )
