"""Whether a form was sent by a page of this shop, and where it may lead: other sites are not to post into it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from .errors import ConfigurationError

__all__ = ["checked_origin", "checked_origins", "foreign_origin", "local_target"]

OWN: Final = frozenset({"same-origin", "none"})
"""Where a request may come from: this site, or nobody (an address that was typed, a form that is sent once more)."""
LONGEST: Final = 2048
LOCAL: Final = re.compile(r"/[!-~]*")
PORTS: Final = {"http": 80, "https": 443}


def checked_origins(origins: object) -> frozenset[str]:
    """Return origins that are trusted besides one's own.

    Args:
        origins: such as ``["https://app.acme.example"]``.

    Raises:
        ConfigurationError: one of them is no origin (RFC 6454: scheme, host and port, and nothing else).
    """
    if isinstance(origins, str) or not isinstance(origins, Iterable):
        raise ConfigurationError("trusted_origins=... must be a list of origins such as 'https://app.acme.example'.")
    return frozenset(checked_origin(each, "Each of trusted_origins=...") for each in origins)


def checked_origin(origin: object, where: str) -> str:
    """Return an origin as browsers write it.

    Args:
        origin: such as ``"https://app.acme.example"``.
        where: how the text names the option.

    Raises:
        ConfigurationError: that is none (RFC 6454: scheme, host and port, and nothing else).
    """
    found = _origin(origin) if isinstance(origin, str) else None
    if found is None or found != origin:
        raise ConfigurationError(
            f"{where} must be an origin in lower case without a path, such as 'https://app.acme.example'."
        )
    return found


def foreign_origin(connection: HTTPConnection, trusted: Collection[str] = ()) -> str | None:
    """Return where a form was sent from, where that is another place than this shop; else `None`.

    Browsers tell by ``Sec-Fetch-Site`` (Fetch Metadata, W3C), older ones by ``Origin`` (RFC 6454, section 7). A client
    that sends neither is no browser: nobody can have made it do so with the shopper's cookies. A neighbour on the same
    site is another place: what runs there is not what runs here.

    Args:
        connection: the request.
        trusted: origins that may send forms as well.
    """
    site, origin = connection.headers.get("sec-fetch-site"), connection.headers.get("origin")
    if site in OWN or (site is None and origin is None):
        return None
    sent_from = _origin(origin or "")
    if sent_from is not None and (sent_from in trusted or (site is None and _is_own(sent_from, connection))):
        return None
    return sent_from or (site if site in {"same-site", "cross-site"} else "an unknown place")


def local_target(target: object, otherwise: str) -> str:
    """Return where to go on, if that is a page of this shop; what a browser could take for another host is not.

    Args:
        target: a path with a query; of any origin.
        otherwise: what is taken instead.
    """
    if not isinstance(target, str) or len(target) > LONGEST or not LOCAL.fullmatch(target) or "\\" in target:
        return otherwise
    path = target.partition("?")[0].partition("#")[0]
    # Dot segments go before anything else is read (RFC 3986, section 5.2.4), by whatever stands between us as well.
    return otherwise if "//" in path or "/./" in path or "/../" in path else target


def _origin(text: str) -> str | None:
    """Return an origin as browsers write it, without the port of its scheme; `None` for anything else."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in PORTS or not parts.hostname or parts.path or parts.query or parts.fragment:
        return None
    if "@" in parts.netloc or not parts.hostname.isascii() or len(text) > LONGEST:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" if port in {None, PORTS[parts.scheme]} else f"{parts.scheme}://{host}:{port}"


def _is_own(origin: str, connection: HTTPConnection) -> bool:
    host = connection.headers.get("host", "")
    own = {_origin(f"{connection.scope['scheme']}://{host}")}
    # A proxy in front that ends TLS does not always say so.
    own.add(_origin(f"https://{host}"))
    return origin in own
