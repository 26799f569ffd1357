"""What tests order, and how prices are asked for."""

from __future__ import annotations

from typing import Any, Final

_HOME: Final = {
    "contactName": "Ann Lee",
    "street": "Main Street",
    "streetNumber": "1",
    "zipCode": "10115",
    "city": "Berlin",
    "country": "DE",
}

ORDER: Final[dict[str, Any]] = {
    "currency": "EUR",
    "paymentMethods": [{"provider": "none", "method": "invoice"}],
    "shipping": {"methodId": "post", "zoneId": "europe", "methodName": "Post", "amount": 0},
    "addresses": [{**_HOME, "type": "SHIPPING"}, {**_HOME, "type": "BILLING"}],
    "customer": {"guest": True, "firstName": "Ann", "lastName": "Lee", "email": "ann@example.com"},
}
"""All but the cart."""

IN_FRANCS: Final = {"siteCode": "main", "targetCurrency": "CHF", "targetLocation": {"countryCode": "DE"}}
