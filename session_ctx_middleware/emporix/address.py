"""Where Emporix is: rules for base addresses and tenants, and path segments that nothing can escape from."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from ..checks import flag, is_visible, matching
from ..errors import ConfigurationError

__all__ = ["BASE_URL", "check_base_url", "check_tenant", "is_insecure", "is_loopback", "segment"]

BASE_URL: Final = "https://api.emporix.io"

_TENANT: Final = re.compile(r"[a-z][a-z0-9]{2,15}")
_TENANT_RULE: Final = (
    "tenant must be the name of your Emporix tenant: 3 to 16 lower-case letters and digits, a letter first."
)


def check_tenant(tenant: object) -> str:
    """Return the name of a tenant as it is.

    Args:
        tenant: what somebody configured.

    Raises:
        ConfigurationError: not 3 to 16 lower-case letters and digits that begin with a letter.
    """
    return matching(tenant, _TENANT, _TENANT_RULE)


def check_base_url(url: object, *, insecure_http: object = False) -> str:
    """Return a base address without a slash at its end.

    Args:
        url: an https address; http only towards the machine itself. A path prefix is allowed.
        insecure_http: allow http towards other hosts as well.

    Raises:
        ConfigurationError: not such an address, or one with credentials, a query or a fragment.
    """
    may_be_read = flag(insecure_http, "insecure_http=...")
    parts = _split(url)
    if parts is None:
        raise ConfigurationError(f"base_url must be an absolute address such as {BASE_URL}.")
    # What was given is never quoted: it may hold credentials.
    if "@" in parts.netloc:
        raise ConfigurationError("base_url must not contain credentials.")
    if "?" in str(url) or "#" in str(url):
        raise ConfigurationError("base_url must not contain a query or a fragment.")
    if is_insecure(url) and not may_be_read:
        raise ConfigurationError(
            "base_url must begin with https://; http:// is for localhost, or with insecure_http=True for a fake "
            "Emporix in a network of containers."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def is_insecure(url: object) -> bool:
    """Tell whether everybody on the way to an address reads the tokens that are sent there."""
    parts = _split(url)
    return parts is not None and parts.scheme == "http" and not is_loopback(parts.hostname)


def segment(text: object) -> str:
    """Return one segment of a path, with everything percent-encoded that could end it.

    Args:
        text: a session id, or the name of an attribute.

    Raises:
        ValueError: empty, not encodable, or a dot segment, which addresses another resource however it is written.
    """
    if not isinstance(text, str) or text in {"", ".", ".."}:
        raise ValueError("cannot be a segment of a path")
    return quote(text, safe="")


def _split(url: object) -> SplitResult | None:
    if not is_visible(url) or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def is_loopback(host: str | None) -> bool:
    """Tell whether a host is the machine itself: ``localhost``, or a loopback address (RFC 1122, RFC 4291)."""
    if host is None or host == "localhost":
        return host is not None
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
