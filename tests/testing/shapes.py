"""What an answer of each operation holds at least, by Emporix' OpenAPI files; written by hand.

A shape is a type, a tuple of types, a dictionary of the keys that must be there, or a list of one shape. A key that
ends in a question mark may be missing.
"""

from __future__ import annotations

from typing import Any, Final

NUMBER: Final = (int, float)
ANONYMOUS_TOKEN: Final = {
    "token_type": str,
    "access_token": str,
    "expires_in": int,
    "refresh_token": str,
    "refresh_token_expires_in": int,
    "sessionId": str,
    "scope": str,
}
CUSTOMER_TOKEN: Final = {
    "token_type": str,
    "access_token": str,
    "expires_in": int,
    "refresh_token": str,
    "refresh_token_expires_in": int,
    "session_id": str,
    "accessToken": str,
    "expiresIn": int,
    "refreshToken": str,
    "refreshTokenExpiresIn": int,
}
LOGGED_IN: Final = {
    "token_type": str,
    "access_token": str,
    "expires_in": int,
    "refresh_token": str,
    "refresh_token_expires_in": int,
    "saas_token": str,
}
CONTEXT: Final = {
    "sessionId": str,
    "customerId?": str,
    "siteCode?": str,
    "currency?": str,
    "targetLocation?": str,
    "language?": str,
    "cartId?": str,
    "context?": dict,
    "metadata": {"version": int, "createdAt": str, "modifiedAt": str},
}
CART: Final = {
    "id": str,
    "siteCode": str,
    "currency": str,
    "type?": str,
    "items": [{"id": str, "quantity": NUMBER, "effectiveQuantity": NUMBER}],
    "metadata": {"version": int, "createdAt": str, "modifiedAt": str},
}
SITE: Final = {
    "code": str,
    "name": str,
    "active": bool,
    "default": bool,
    "defaultLanguage": str,
    "languages": [str],
    "currency": str,
    "availableCurrencies": [str],
    "homeBase": {"address": {"country": str, "zipCode": str}},
    "shipToCountries": [str],
    "taxDeterminationBasedOn": str,
}
PRODUCT: Final = {"id": str, "code": str, "name": dict, "description": dict, "published": bool}
PRICE: Final = {
    "priceId": str,
    "itemId": {"id": str, "itemType": str},
    "site": {"code": str},
    "currency": str,
    "location": {"countryCode": str},
    "originalValue": NUMBER,
    "effectiveValue": NUMBER,
    "totalValue": NUMBER,
    "quantity": {"quantity": NUMBER, "unitCode": str},
    "includesTax": bool,
    "metadata": {"version": str},
}
NOTHING: Final = None

SUCCESS: Final[dict[str, tuple[int, Any]]] = {
    "context.get": (200, CONTEXT),
    "context.patch": (204, NOTHING),
    "context.attribute_add": (201, str),
    "context.attribute_remove": (204, NOTHING),
    "managed.get": (200, CONTEXT),
    "managed.put": (204, NOTHING),
    "managed.attribute_add": (204, NOTHING),
    "managed.attribute_remove": (204, NOTHING),
    "anonymous.login": (200, ANONYMOUS_TOKEN),
    "anonymous.refresh": (200, ANONYMOUS_TOKEN),
    "customer.login": (200, {**CUSTOMER_TOKEN, "saas_token": str, "saasToken": str, "initialPassword": bool}),
    "customer.refresh": (200, CUSTOMER_TOKEN),
    "customer.profile": (200, {"id": str, "customerNumber": str, "accounts": [{"id": str}], "businessModel": str}),
    "customer.validate": (
        200,
        {
            "token_type": str,
            "expires_in": int,
            "scope": str,
            "sessionId": str,
            "email": str,
            "legalEntityId": (str, type(None)),
        },
    ),
    "customer.logout": (204, NOTHING),
    "customer.exchange": (
        200,
        {**LOGGED_IN, "session_id": str, "subject_access_token": str, "session_idle_time": int, "scope": str},
    ),
    "customer.social_login": (
        200,
        {
            **LOGGED_IN,
            "expires_in": str,
            "refresh_token_expires_in": str,
            "social_access_token": str,
            "session_idle_time": int,
        },
    ),
    "customer.opt_in": (200, LOGGED_IN),
    "customer.assisted_login": (200, LOGGED_IN),
    "oauth.token": (
        200,
        {
            "access_token": str,
            "token_type": str,
            "expires_in": int,
            "session_idle_time": int,
            "refresh_token": str,
            "refresh_token_expires_in": int,
            "scope": str,
        },
    ),
    "cart.create": (201, {"cartId": str, "yrn": str}),
    "cart.find": (200, CART),
    "cart.get": (200, CART),
    "cart.delete": (204, NOTHING),
    "cart.add_item": (201, {"itemId": str, "yrn": str}),
    "cart.update_item": (204, NOTHING),
    "cart.remove_item": (204, NOTHING),
    "cart.change_site": (200, NOTHING),
    "cart.change_currency": (200, NOTHING),
    "cart.refresh": (204, NOTHING),
    "cart.validate": (200, {"isValid": bool}),
    "cart.merge": (200, NOTHING),
    "country.list": (200, [{"code": str, "name": dict, "active": bool}]),
    "currency.list": (200, [{"code": str, "name": str}]),
    "site.list": (200, [SITE]),
    "site.get": (200, SITE),
    "product.list": (200, [PRODUCT]),
    "product.get": (200, PRODUCT),
    "price.match": (200, [PRICE]),
    "price.match_for": (200, [PRICE]),
    "checkout.order": (200, {"orderId": str, "paymentDetails": (dict, type(None)), "checkoutId": str}),
}


def misfits(shape: Any, value: Any, at: str = "answer") -> list[str]:
    """Return where a value is not of a shape."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{at} is no object"]
        found: list[str] = []
        for key, inner in shape.items():
            name = key.removesuffix("?")
            if name in value:
                found += misfits(inner, value[name], f"{at}.{name}")
            elif name == key:
                found.append(f"{at}.{name} is missing")
        return found
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{at} is no array"]
        return [text for index, item in enumerate(value) for text in misfits(shape[0], item, f"{at}[{index}]")]
    kinds = shape if isinstance(shape, tuple) else (shape,)
    return [] if type(value) in kinds else [f"{at} is a {type(value).__name__}"]
