"""Keeping a personal response out of caches that serve everybody (RFC 9111, RFC 9213)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from starlette.datastructures import MutableHeaders

__all__ = ["Vary", "invites_shared_caches", "make_private"]

_SHARED: Final = ("public", "s-maxage", "proxy-revalidate")
_CLOSED: Final = frozenset({"private", "no-store"})
_TARGETED: Final = ("surrogate-control", "cdn-cache-control", "edge-control")
_EXPIRES: Final = "x-accel-expires"
_WATCHED: Final = (b"cache-control", b"surrogate-control", b"edge-control", b"x-accel-expires", b"vary")


class Vary:
    """The request headers that a response depends on.

    Args:
        names: of the headers.
    """

    __slots__ = ("fields", "names")

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self.fields = ((b"vary", ", ".join(names).encode("latin-1")), (b"cache-control", b"private"))
        """What a response gets that says nothing about caches by itself."""


def make_private(headers: list[tuple[bytes, bytes]], vary: Vary) -> bool:
    """Mark a response as made for one shopper.

    Args:
        headers: the response's, changed in place: ``Vary`` names where the token comes from, ``Cache-Control`` gets
            ``private`` unless it forbids storing altogether, and what invites shared caches goes.
        vary: what the response depends on.

    Returns:
        Whether the response had invited shared caches to keep it.
    """
    for name, _ in headers:
        if name.lower().endswith(_WATCHED):
            # ASGI wants lower case, and Starlette relies on it; an application may not know.
            headers[:] = [(low if (low := each.lower()).endswith(_WATCHED) else each, value) for each, value in headers]
            return _repair(MutableHeaders(raw=headers), vary.names)
    headers += vary.fields
    return False


def invites_shared_caches(headers: list[tuple[bytes, bytes]]) -> bool:
    """Tell whether a response asks caches that serve everybody to keep it."""
    return make_private([*headers], Vary(()))


def _repair(headers: MutableHeaders, vary: Sequence[str]) -> bool:
    _vary(headers, vary)
    directives = [part.strip() for part in _split(", ".join(headers.getlist("cache-control")))]
    kept = [part for part in directives if part and _name(part) not in _SHARED]
    if not _is_closed(", ".join(kept)):
        kept.insert(0, "private")
    leaked = any(_name(part) in {"public", "s-maxage"} for part in directives)
    headers["cache-control"] = ", ".join(kept)
    return _close_targeted(headers) or leaked


def _vary(headers: MutableHeaders, names: Sequence[str]) -> None:
    there = [part.strip() for value in headers.getlist("vary") for part in value.split(",") if part.strip()]
    known = {part.lower() for part in there}
    if "*" not in known:
        headers["vary"] = ", ".join([*there, *(name for name in names if name.lower() not in known)])


def _close_targeted(headers: MutableHeaders) -> bool:
    """Close the header fields that speak to one kind of cache and override ``Cache-Control`` there."""
    open_fields = [
        name
        for name, value in headers.items()
        if (name.endswith(_TARGETED) and not _is_closed(value)) or (name == _EXPIRES and value.strip() != "0")
    ]
    for name in open_fields:
        headers[name] = "0" if name == _EXPIRES else "no-store"
    return bool(open_fields)


def _name(directive: str) -> str:
    return directive.partition("=")[0].strip().lower()


def _is_closed(value: str) -> bool:
    """Tell whether every cache reads that it must not keep the response."""
    parts, unended = _scan(value)
    if unended:
        # Some caches take what follows for a part of the quoted text.
        parts = value.partition('"')[0].split(",")[:-1]
    return any(part.strip().lower() in _CLOSED for part in parts)


def _split(value: str) -> list[str]:
    """Split at commas outside quotes (RFC 9110, section 5.6.4): ``private="set-cookie, x"`` is one directive."""
    parts, unended = _scan(value)
    # Where a quote does not end, every cache reads something else: it may be anything.
    return value.split(",") if unended else parts


def _scan(value: str) -> tuple[list[str], bool]:
    """Return what stands between commas outside quotes, and whether the last quote does not end."""
    parts, quoted, escaped = [""], False, False
    for character in value:
        if character == '"' and not escaped:
            quoted = not quoted
        escaped = quoted and character == "\\" and not escaped
        if character == "," and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts, quoted
