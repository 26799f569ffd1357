"""Keeping a personal response out of caches that serve everybody (RFC 9111, RFC 9213)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from starlette.datastructures import MutableHeaders

__all__ = ["Headers", "Vary", "forbids_keeping", "is_private", "made_private", "without_targeted"]

Headers: TypeAlias = "list[tuple[bytes, bytes]]"

_CACHE_CONTROL: Final = "cache-control"
_SHARED: Final = ("public", "s-maxage", "proxy-revalidate")
_INVITING: Final = frozenset({"public", "s-maxage"})
_CLOSED: Final = frozenset({"private", "no-store"})
_FORBIDDING: Final = frozenset({"private", "no-store", "no-cache"})
_NOT_AT_ALL: Final = re.compile(r'(max-age|s-maxage)\s*=\s*"?0+"?')
# A cache that understands the status ignores the no-store next to it (RFC 9111, section 5.2.2.3).
_EXCEPTION: Final = "must-understand"
_DIRECTIVES: Final = "-control"
_SECONDS: Final = ("-expires", "-ttl", "-max-age", "-maxage", "-lifetime")
_WATCHED: Final = tuple(ending.encode() for ending in (_DIRECTIVES, *_SECONDS, "vary"))
# Words in names of fields that speak to one kind of cache, or to one product; those that end in Cache-Control are many
# (RFC 9213), and each product has its own.
_CACHES: Final = frozenset(
    [
        "accel",
        "akamai",
        "cache",
        "caching",
        "cdn",
        "edge",
        "fastly",
        "litespeed",
        "nginx",
        "proxy",
        "souin",
        "squid",
        "surrogate",
        "varnish",
        "vc",
    ]
)
_NOTHING_KEPT: Final = ("no-store", "no-cache")  # LiteSpeed keeps what is `private`, and knows `no-cache` alone
_MARKUP: Final = frozenset({"content", "esi"})  # how the page is to be put together, not how long it is kept


class Vary:
    """The request headers that a response depends on.

    Args:
        names: of the headers.
    """

    __slots__ = ("fields", "names")

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self.fields = ((b"vary", ", ".join(self.names).encode("latin-1")), (b"cache-control", b"private"))
        """What a response gets that says nothing about caches by itself."""


def made_private(headers: Iterable[tuple[bytes, bytes]], vary: Vary) -> tuple[Headers, bool]:
    """Return the headers of a response that is made for one shopper.

    Args:
        headers: the application's, which stay as they are.
        vary: what the response depends on.

    Returns:
        New headers, in which ``Vary`` names where the token comes from, ``Cache-Control`` has ``private`` unless it
        forbids storing altogether, and nothing invites shared caches; and whether the given ones had invited them.
    """
    own = list(headers)
    for name, _ in own:
        if name.lower().endswith(_WATCHED):
            return _repaired(own, vary.names)
    own += vary.fields
    return own, False


def is_private(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether every cache that serves everybody reads that it must not keep a response."""
    fields = MutableHeaders(raw=_lower_case(headers))
    said = ", ".join(fields.getlist(_CACHE_CONTROL))
    return _is_closed(said) and not _invites(_split(said)) and not any(map(_is_open, *_columns(fields)))


def _repaired(headers: Headers, vary: Sequence[str]) -> tuple[Headers, bool]:
    fields = MutableHeaders(raw=_lower_case(headers))
    _vary(fields, vary)
    directives = _split(", ".join(fields.getlist(_CACHE_CONTROL)))
    kept = [part for part in directives if part and _name(part) not in _SHARED]
    if not _is_closed(", ".join(kept)):
        kept.insert(0, "private")
    fields[_CACHE_CONTROL] = ", ".join(kept)
    leaked = _invites(directives) or any(map(_is_open, *_columns(fields)))
    for name in {name for name in fields if _is_targeted(name)}:
        fields[name] = _closed(name, ", ".join(fields.getlist(name)))
    return fields.raw, leaked


def _lower_case(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return headers in which the names that matter here are in lower case."""
    # ASGI wants lower case, and Starlette relies on it; an application may not know.
    return [(low if (low := name.lower()).endswith(_WATCHED) else name, value) for name, value in headers]


def forbids_keeping(fields: MutableHeaders) -> bool:
    """Tell whether some cache must not keep a response, or some part of it, whatever the reason.

    Args:
        fields: with names in lower case.
    """
    return any(_forbids(name, ", ".join(fields.getlist(name))) for name in {*fields})


def _forbids(name: str, value: str) -> bool:
    targeted = _is_targeted(name)
    if targeted and name.endswith(_SECONDS):
        return not value.strip(" @0")
    if not targeted and name != _CACHE_CONTROL:
        return False
    directives = _split(value.lower())
    return any(_name(part) in _FORBIDDING or (targeted and _NOT_AT_ALL.fullmatch(part)) for part in directives)


def without_targeted(fields: MutableHeaders) -> Headers:
    """Return headers without what overrides ``Cache-Control`` for one kind of cache; directives for ESI stay.

    Args:
        fields: with names in lower case.
    """
    kept = [(name, _untargeted(name, value)) for name, value in fields.items()]
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in kept if value is not None]


def _untargeted(name: str, value: str) -> str | None:
    if not _is_targeted(name):
        return value
    return None if name.endswith(_SECONDS) else ", ".join(_markup(value)) or None


def _columns(fields: MutableHeaders) -> tuple[list[str], list[str]]:
    return fields.keys(), fields.values()


def _vary(headers: MutableHeaders, names: Sequence[str]) -> None:
    there = [part.strip() for value in headers.getlist("vary") for part in value.split(",") if part.strip()]
    known = {part.lower() for part in there}
    if "*" not in known:
        headers["vary"] = ", ".join([*there, *(name for name in names if name.lower() not in known)])


# Fields that speak to one kind of cache, and override ``Cache-Control`` there


def _is_targeted(name: str) -> bool:
    """Tell whether a field is for one kind of cache, by its name alone: there is no list of all products."""
    if name == _CACHE_CONTROL or not name.endswith((_DIRECTIVES, *_SECONDS)):
        return False
    return name == "x-ttl" or not _CACHES.isdisjoint(name.split("-"))


def _is_open(name: str, value: str) -> bool:
    if not _is_targeted(name):
        return False
    return value.strip() != "0" if name.endswith(_SECONDS) else not _is_closed(value)


def _closed(name: str, value: str) -> str:
    """Return what a field is to say: also in place of a value that is closed for some caches alone."""
    if name.endswith(_SECONDS):
        return "0"
    return ", ".join([*_NOTHING_KEPT, *_markup(value)])


def _markup(value: str) -> list[str]:
    parts, unended = _scan(value)
    return [] if unended else [part.strip() for part in parts if _name(part) in _MARKUP]


# Directives


def _name(directive: str) -> str:
    return directive.partition("=")[0].strip().lower()


def _invites(directives: Iterable[str]) -> bool:
    return any(_name(part) in _INVITING for part in directives)


def _is_closed(value: str) -> bool:
    """Tell whether every cache reads that it must not keep the response."""
    parts, unended = _scan(value)
    if unended:
        # Some caches take what follows for a part of the quoted text.
        parts = value.partition('"')[0].split(",")[:-1]
    said = {part.strip().lower() for part in parts}
    return "private" in said if _EXCEPTION in said else not said.isdisjoint(_CLOSED)


def _split(value: str) -> list[str]:
    """Split at commas outside quotes (RFC 9110, section 5.6.4): ``private="set-cookie, x"`` is one directive."""
    parts, unended = _scan(value)
    # Where a quote does not end, every cache reads something else: it may be anything.
    return [part.strip() for part in (value.split(",") if unended else parts)]


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
