"""The ``Server-Timing`` header: what a context has cost a request, for the developer tools of a browser."""

from __future__ import annotations

from collections.abc import Iterable

from .http_cache import Headers

__all__ = ["server_timing"]


def server_timing(costs: Iterable[tuple[str, float, str]]) -> Headers:
    """Return the field (W3C Server Timing): one entry for each cost that there was, in milliseconds.

    Args:
        costs: each with the name of its entry, the seconds that the request waited, and how it ended, in one word.
    """
    entries = [_entry(*cost) for cost in costs if any(cost[1:])]
    return [(b"server-timing", ", ".join(entries).encode("ascii"))] if entries else []


def _entry(name: str, seconds: float, ended: str) -> str:
    return f"{name};dur={1000 * seconds:.1f}" + (f';desc="{ended}"' if ended else "")
