"""What the way to Emporix is like, and everything on it that answers in Emporix' name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["CLEAR", "DOWN", "GATEWAYS", "STORMY", "Gateway", "Weather"]


@dataclass(frozen=True, slots=True)
class Weather:
    """How calls go at the moment: seconds, and how often something strikes.

    Args:
        latency: each way takes up to so many seconds.
        lag: replicas are so many seconds behind.
        fail_before: the connection fails before the call has an effect.
        fail_after: the connection fails after that.
        hang: no answer comes.
        throttled: 429.
        server_error: 503 before, or half as often 502 after the effect.
        garbage: an answer that is not JSON.
        duplicate: something on the way sends a PATCH twice.
        swallowed: something on the way answers a PATCH with 2xx, and Emporix never sees it.
        gateway: something on the way answers that is not Emporix.
        drip: the answer comes, one blank a second, for a minute.
        slow: the answer to a PATCH takes up to so many seconds longer than its effect.
    """

    latency: float = 0.05
    lag: float = 0.0
    fail_before: float = 0.0
    fail_after: float = 0.0
    hang: float = 0.0
    throttled: float = 0.0
    server_error: float = 0.0
    garbage: float = 0.0
    duplicate: float = 0.0
    swallowed: float = 0.0
    gateway: float = 0.0
    drip: float = 0.0
    slow: float = 0.0


CLEAR: Final = Weather()
DOWN: Final = Weather(fail_before=1.0)
STORMY: Final = (
    CLEAR,
    CLEAR,
    Weather(latency=0.8),
    Weather(fail_before=0.4, fail_after=0.4),
    Weather(server_error=0.5, garbage=0.2),
    Weather(hang=0.5),
    Weather(throttled=0.3),
    Weather(lag=0.3),
    DOWN,
    Weather(duplicate=0.5, latency=0.2),
    Weather(latency=0.3, fail_after=0.5, lag=0.2),
)


@dataclass(frozen=True, slots=True)
class Gateway:
    """An answer that is not Emporix' own word."""

    status: int
    kind: bytes
    body: bytes


_HTML: Final = b"<!doctype html><title>Sorry</title><p>Please try again later."
_FAULT: Final = b'{"fault":{"faultstring":"no route","detail":{"errorcode":"messaging.adaptors.http.flow.NoRoute"}}}'

GATEWAYS: Final = (
    Gateway(404, b"text/html", _HTML),
    Gateway(404, b"application/json", _FAULT),
    Gateway(403, b"text/html", _HTML),
    Gateway(502, b"text/html", _HTML),
    Gateway(503, b"text/html", _HTML),
    Gateway(404, b"text/plain", b""),
)
