"""The address of each call without anything that is in it: for those who count calls, and may not see addresses."""

from __future__ import annotations

from typing import Final

__all__ = ["ROUTES"]

_OWN: Final = "/session-context/{tenant}/me/context"
_MANAGED: Final = "/session-context/{tenant}/context/{sessionId}"
_CUSTOMER: Final = "/customer/{tenant}"
_CARTS: Final = "/cart/{tenant}/carts"

ROUTES: Final = {
    "anonymous.login": "/customerlogin/auth/anonymous/login",
    "anonymous.refresh": "/customerlogin/auth/anonymous/refresh",
    "cart.change_currency": f"{_CARTS}/{{cartId}}/changeCurrency",
    "cart.change_site": f"{_CARTS}/{{cartId}}/changeSite",
    "cart.create": _CARTS,
    "cart.find": _CARTS,
    "cart.get": f"{_CARTS}/{{cartId}}",
    "cart.merge": f"{_CARTS}/{{cartId}}/merge",
    "cart.validate": f"{_CARTS}/{{cartId}}/validate",
    "context.attribute_add": f"{_OWN}/attributes",
    "context.attribute_remove": f"{_OWN}/attributes/{{attributeName}}",
    "context.get": _OWN,
    "context.patch": _OWN,
    "country.list": "/country/{tenant}/countries",
    "currency.list": "/currency/{tenant}/currencies",
    "customer.exchange": f"{_CUSTOMER}/exchangeauthtoken",
    "customer.login": f"{_CUSTOMER}/login",
    "customer.logout": f"{_CUSTOMER}/logout",
    "customer.opt_in": f"{_CUSTOMER}/signup/optin/{{code}}",
    "customer.profile": f"{_CUSTOMER}/me",
    "customer.refresh": f"{_CUSTOMER}/refreshauthtoken",
    "customer.social_login": f"{_CUSTOMER}/socialLogin",
    "customer.validate": f"{_CUSTOMER}/validateauthtoken",
    "managed.attribute_add": f"{_MANAGED}/attributes",
    "managed.attribute_remove": f"{_MANAGED}/attributes/{{attributeName}}",
    "managed.get": _MANAGED,
    "managed.put": _MANAGED,
    "oauth.token": "/oauth/token",
    "site.list": "/site/{tenant}/sites",
}
"""Templates (RFC 6570), by the names of the calls."""
