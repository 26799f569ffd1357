"""A browser's cookies: names, prefixes, ages and limits as RFC 6265bis and today's browsers have them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["Jar"]

MAX_PAIR = 4096
"""Bytes of a name and a value together; a browser drops what is larger without a word."""
KEPT_DOCUMENTS = 20
MAX_COOKIES = 180
"""Of one host; above that the one goes that has not been used for longest."""


@dataclass(slots=True)
class _Cookie:
    value: bytes
    until: float
    used: float


class Jar:
    """The cookies of one host name; ports and paths keep nobody apart.

    Args:
        now: seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._cookies: dict[bytes, _Cookie] = {}
        self.refused: list[str] = []
        """Cookies that no browser would have taken, and why."""
        self.documents: deque[tuple[bytes, bytes]] = deque(maxlen=KEPT_DOCUMENTS)
        """The latest cookies that held a document: names and values."""

    def __len__(self) -> int:
        return len(self._cookies)

    def header(self) -> bytes | None:
        """Return the ``Cookie`` field of a request, `None` where there are none."""
        now = self._now()
        for name in [name for name, cookie in self._cookies.items() if cookie.until <= now]:
            del self._cookies[name]
        for cookie in self._cookies.values():
            cookie.used = now
        return b"; ".join(name + b"=" + cookie.value for name, cookie in self._cookies.items()) or None

    def put(self, name: bytes, value: bytes, seconds: float) -> None:
        """Keep a cookie as if the shop had set it by itself."""
        self._keep(name, value, seconds)

    def receive(self, headers: Iterable[tuple[bytes, bytes]], *, secure: bool) -> None:
        """Take the cookies of a response.

        Args:
            headers: of the response.
            secure: whether it came over https.
        """
        for name, value in headers:
            if name == b"set-cookie":
                self._set(value, secure=secure)

    def clear(self) -> None:
        """Lose all of them."""
        self._cookies.clear()

    def _set(self, field: bytes, *, secure: bool) -> None:
        pair, *parts = field.split(b";")
        name, separator, value = (part.strip() for part in pair.partition(b"="))
        attributes = {key.strip().lower(): worth.strip() for key, _, worth in (part.partition(b"=") for part in parts)}
        why = _refusal(name, value, attributes, secure=secure)
        if why or not separator:
            self.refused.append(why or "no name")
            return
        self._keep(name, value, float(attributes.get(b"max-age", b"inf")))

    def _keep(self, name: bytes, value: bytes, seconds: float) -> None:
        if seconds <= 0:
            self._cookies.pop(name, None)
            return
        if name.endswith(b"doc"):
            self.documents.append((name, value))
        self._cookies[name] = _Cookie(value, self._now() + seconds, self._now())
        if len(self._cookies) > MAX_COOKIES:
            del self._cookies[min(self._cookies, key=lambda each: self._cookies[each].used)]


def _refusal(name: bytes, value: bytes, attributes: dict[bytes, bytes], *, secure: bool) -> str:
    if len(name) + len(value) > MAX_PAIR:
        return "too large"
    if b"secure" in attributes and not secure:
        return "Secure, over http"
    if name.startswith(b"__Host-") and (
        not secure or b"secure" not in attributes or attributes.get(b"path") != b"/" or b"domain" in attributes
    ):
        return "__Host- without what that asks for"
    if name.startswith(b"__Secure-") and b"secure" not in attributes:
        return "__Secure- without Secure"
    return ""
