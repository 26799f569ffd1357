"""Assisted buying: Emporix' Management Dashboard opens the shop for somebody of its staff, as a customer.

It does so with the customer's tokens in the address. They are taken from there once, and the browser goes on to a clean
address, so that they are in no history, no ``Referer`` and no cache.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from ..errors import ContextUnavailable, TokenRejected
from ..same_origin import checked_origins, local_target

__all__ = ["PARAMETERS", "assisted"]

PARAMETERS: Final[Mapping[str, str]] = {
    "customerToken": "access_token",
    "customerTokenExpiresIn": "expires_in",
    "saasToken": "saas_token",
}
UNSEEN: Final = {"referrer-policy": "no-referrer", "cache-control": "no-store"}
NOT_FROM_THERE: Final = "This page is opened from the Management Dashboard alone."

Enter = Callable[[Mapping[str, str]], Awaitable[object]]


async def assisted(connection: HTTPConnection, enter: Enter, *, opened_from: Collection[str], to: str) -> Response:
    """Return the answer to a request with which somebody of the staff comes in.

    Args:
        connection: the request.
        enter: logs in with a token answer.
        opened_from: the origins of pages that may open it.
        to: where the browser goes on.

    Raises:
        ConfigurationError: one of `opened_from` is no origin.
    """
    answer = _taken(connection)
    # Anybody can send a link with his own tokens, and would see what the shopper then enters (login CSRF). No page can
    # say that another one has sent it.
    if _origin_of(connection.headers.get("referer", "")) not in checked_origins(opened_from):
        return PlainTextResponse(NOT_FROM_THERE, 403, UNSEEN)
    try:
        await enter(answer)
    except TokenRejected:
        return PlainTextResponse("Emporix does not take this customer's token.", 403, UNSEEN)
    except ContextUnavailable:
        return PlainTextResponse("Emporix could not be asked. Open the shop once more.", 503, UNSEEN)
    return RedirectResponse(local_target(to, "/"), 303, UNSEEN)


def _taken(connection: HTTPConnection) -> dict[str, str]:
    """Return the token answer in the address of a request, which has it no more from then on: servers log addresses."""
    found = {
        name: connection.query_params[wire] for wire, name in PARAMETERS.items() if wire in connection.query_params
    }
    connection.scope["query_string"] = b""
    return found


def _origin_of(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
