"""Which path is which operation (the OpenAPI files of Emporix are the model)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import unquote

from . import accounts, carts, checkout, contexts, customers, shopping, sites
from .answers import Answer
from .faults import matches
from .request import Incoming

__all__ = ["Route", "check_pattern", "find_route"]

Service: TypeAlias = Callable[[Incoming], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation: its name, its method, and what does it."""

    operation: str
    method: str
    pattern: re.Pattern[str]
    service: Service


def _route(operation: str, method: str, path: str, service: Service) -> Route:
    return Route(operation, method, re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path)), service)


_ME: Final = "/session-context/{tenant}/me/context"
_ANY: Final = "/session-context/{tenant}/context/{session_id}"
_CART: Final = "/cart/{tenant}/carts"
_CUSTOMER: Final = "/customer/{tenant}"

_ROUTES: Final = (
    _route("context.get", "GET", _ME, contexts.get_context),
    _route("context.patch", "PATCH", _ME, contexts.patch_context),
    _route("context.attribute_add", "POST", _ME + "/attributes", contexts.add_attribute),
    _route("context.attribute_remove", "DELETE", _ME + "/attributes/{name}", contexts.remove_attribute),
    _route("managed.get", "GET", _ANY, contexts.managed_get),
    _route("managed.put", "PUT", _ANY, contexts.managed_put),
    _route("managed.attribute_add", "POST", _ANY + "/attributes", contexts.managed_add_attribute),
    _route("managed.attribute_remove", "DELETE", _ANY + "/attributes/{name}", contexts.managed_remove_attribute),
    _route("anonymous.login", "GET", "/customerlogin/auth/anonymous/login", accounts.anonymous_login),
    _route("anonymous.refresh", "GET", "/customerlogin/auth/anonymous/refresh", accounts.anonymous_refresh),
    _route("customer.login", "POST", _CUSTOMER + "/login", customers.customer_login),
    _route("customer.refresh", "GET", _CUSTOMER + "/refreshauthtoken", customers.customer_refresh),
    _route("customer.logout", "GET", _CUSTOMER + "/logout", customers.customer_logout),
    _route("customer.validate", "GET", _CUSTOMER + "/validateauthtoken", customers.customer_validate),
    _route("customer.profile", "GET", _CUSTOMER + "/me", customers.customer_profile),
    _route("customer.exchange", "POST", _CUSTOMER + "/exchangeauthtoken", customers.exchange),
    _route("customer.social_login", "POST", _CUSTOMER + "/socialLogin", customers.social_login),
    _route("customer.opt_in", "GET", _CUSTOMER + "/signup/optin/{code}", customers.opt_in),
    _route("customer.assisted_login", "POST", _CUSTOMER + "/assisted-buying-login", customers.assisted_login),
    _route("oauth.token", "POST", "/oauth/token", accounts.oauth_token),
    _route("cart.create", "POST", _CART, carts.create_cart),
    _route("cart.find", "GET", _CART, carts.find_cart),
    _route("cart.get", "GET", _CART + "/{cart_id}", carts.get_cart),
    _route("cart.delete", "DELETE", _CART + "/{cart_id}", carts.delete_cart),
    _route("cart.add_item", "POST", _CART + "/{cart_id}/items", carts.add_item),
    _route("cart.update_item", "PUT", _CART + "/{cart_id}/items/{item_id}", carts.update_item),
    _route("cart.remove_item", "DELETE", _CART + "/{cart_id}/items/{item_id}", carts.remove_item),
    _route("cart.change_site", "POST", _CART + "/{cart_id}/changeSite", carts.change_site),
    _route("cart.change_currency", "POST", _CART + "/{cart_id}/changeCurrency", carts.change_currency),
    _route("cart.refresh", "PUT", _CART + "/{cart_id}/refresh", carts.refresh_cart),
    _route("cart.validate", "GET", _CART + "/{cart_id}/validate", carts.validate_cart),
    _route("cart.merge", "POST", _CART + "/{cart_id}/merge", carts.merge_carts),
    _route("site.list", "GET", "/site/{tenant}/sites", sites.list_sites),
    _route("site.get", "GET", "/site/{tenant}/sites/{code}", sites.get_site),
    _route("country.list", "GET", "/country/{tenant}/countries", sites.list_countries),
    _route("currency.list", "GET", "/currency/{tenant}/currencies", sites.list_currencies),
    _route("product.list", "GET", "/product/{tenant}/products", shopping.list_products),
    _route("product.get", "GET", "/product/{tenant}/products/{product_id}", shopping.get_product),
    _route("price.match", "POST", "/price/{tenant}/match-prices-by-context", shopping.match_prices_by_context),
    _route("price.match_for", "POST", "/price/{tenant}/match-prices", shopping.match_prices),
    _route("checkout.order", "POST", "/checkout/{tenant}/checkouts/order", checkout.place_order),
)


def find_route(method: str, raw_path: str) -> tuple[Route, Mapping[str, str]] | None:
    """Return the operation of a call and what its path says, decoded; `None` where there is no such operation."""
    for route in _ROUTES:
        if route.method == method and (match := route.pattern.fullmatch(raw_path)):
            return route, {name: unquote(value) for name, value in match.groupdict().items()}
    return None


def check_pattern(pattern: str) -> str:
    """Return what names at least one operation: itself, its service, or ``*``.

    Raises:
        ValueError: nothing is called so; the text names what is.
    """
    if any(matches(pattern, name) for name in _NAMES):
        return pattern
    close = difflib.get_close_matches(pattern, _NAMES, 3, 0.5) or sorted(_NAMES)
    raise ValueError(f"No operation is called {pattern!r}. There is {', '.join(close)}; or a whole service, or '*'.")


_NAMES: Final = frozenset(route.operation for route in _ROUTES)
