"""The cookies of a request: every value of every name, in the order of the browser (RFC 6265, sections 4.2 and 5.4).

A browser may send one name several times: once for each path and domain that it has a cookie of, longest path first.
HTTP/2 may spread them over several header fields (RFC 9113, section 8.2.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from starlette.types import Scope

__all__ = ["SECURE", "cookie_attributes", "cookie_headers", "cookies", "cookies_in"]

MOST: Final = 1_000
"""Cookies of one header field that are read: browsers keep fewer than 200 of one host."""

SECURE: Final = frozenset({"https", "wss"})

_BLANKS: Final = " \t"
_ESCAPED: Final = re.compile(r"\\(?:([0-3][0-7]{2})|(.))")


def cookies(scope: Scope) -> Iterator[tuple[str, str]]:
    """Yield the name and the value of each cookie of a connection, in order; a name may come several times."""
    for header in cookie_headers(scope):
        yield from cookies_in(header)


def cookie_headers(scope: Scope) -> list[bytes]:
    """Return the values of the ``Cookie`` header fields of a connection."""
    return [value for name, value in scope["headers"] if name == b"cookie"]


def cookies_in(header: bytes) -> Iterator[tuple[str, str]]:
    """Yield the name and the value of each cookie in one ``Cookie`` header field, in order.

    Blanks around both are left out, and so are the quotes around a value.
    """
    for part in header.decode("latin-1").split(";", MOST)[:MOST]:
        name, equals, value = part.partition("=")
        if equals:
            value = value.strip(_BLANKS)
            quoted = value[:1] == '"' == value[-1:] and len(value) > 1
            yield name.strip(_BLANKS), _unquoted(value) if quoted else value


def cookie_attributes(*, secure: bool) -> bytes:
    """Return how a cookie of ours is kept (RFC 6265bis, section 4.1.2): no script reads it.

    Args:
        secure: whether it goes over https alone.
    """
    return b"; HttpOnly; SameSite=Lax" + (b"; Secure" if secure else b"")


def _unquoted(value: str) -> str:
    """Return a value without its quotes, and with the characters that Python's `http.cookies` escapes between them."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)) if found[1] else found[2], value[1:-1])
