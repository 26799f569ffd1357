"""How long things are kept, and how long anything may take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Final, Self

from starlette.requests import HTTPConnection

from .checks import flag, flag_or_function, function, number, whole
from .errors import ConfigurationError
from .model.changes import OnConflict
from .sealing import require_encryption

__all__ = ["CachePolicy", "ContinuityPolicy", "UpstreamPolicy"]

SMALLEST_COOKIE: Final = 512
LARGEST_COOKIE: Final = 4096
"""Bytes that every browser takes for one cookie (RFC 6265, section 6.1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CachePolicy:
    """How long answers of Emporix are used. All times are in seconds.

    Freshness is that of RFC 9111, section 4.2; the two stale windows are those of RFC 5861.

    Args:
        ttl: a document is fresh for this long, counted from when it was asked for.
        missing_ttl: that there is no context is remembered for this long.
        stale_while_revalidate: after `ttl`, a document is still served for this long while one background GET
            renews it.
        stale_if_error: after `ttl`, a document is served for this long when Emporix cannot be asked.
        rejected_ttl: a refused token is not tried again for this long.
        failure_throttle: after a GET that Emporix failed, this session asks again only this long after it, or up to
            half of that sooner.
        jitter: up to this share of `ttl` is taken off at random, so that entries do not expire in step.
        max_entries: documents kept; above that one goes that nobody has asked for lately (CLOCK).
    """

    ttl: float = 60.0
    missing_ttl: float = 2.0
    stale_while_revalidate: float = 60.0
    stale_if_error: float = 600.0
    rejected_ttl: float = 3.0
    failure_throttle: float = 2.0
    jitter: float = 0.1
    max_entries: int = 10_000

    @property
    def longest(self) -> float:
        """Seconds after which nobody uses a document any more, whatever happens."""
        return self.ttl + max(self.stale_while_revalidate, self.stale_if_error)

    def __post_init__(self) -> None:
        _check_numbers(self, at_least=0.0)
        number(self.ttl, "CachePolicy(ttl=...)", above=0, unit="seconds")
        if not 0 <= self.jitter < 1:
            raise ConfigurationError("CachePolicy(jitter=...) is a share of the ttl: 0 to below 1.")
        whole(self.max_entries, "CachePolicy(max_entries=...)")


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamPolicy:
    """How much of Emporix one request may use, and for how long. All times are in seconds.

    Args:
        deadline: a request waits at most this long for reading its context.
        commit_deadline: a request waits at most this long for a commit.
        timeout: one HTTP call ends by itself when connecting, sending or a pause in the answer takes this long; cut to
            `total_timeout`.
        total_timeout: one HTTP call ends after this long, whatever it is doing.
        max_concurrency: calls to Emporix at once, per process and event loop; who would get an answer within the
            deadline waits for a turn, by the speed of the last answers, and everybody else is answered at once.
        max_flights: has no effect any more; time bounds the queue.
        max_attempts: PATCH attempts of one commit when others write the same context.
        get_retry: repeat a GET once after a connection error, 502, 503 or 504.
        on_conflict: ``f(field, base, ours, theirs) -> value`` decides when somebody else changed the same field
            (``attributes.<key>`` for an attribute); without it the later change, ours, wins.
    """

    deadline: float = 2.0
    commit_deadline: float = 3.0
    timeout: float = 5.0
    total_timeout: float = 4.0
    max_concurrency: int = 50
    max_flights: int = 1_000
    max_attempts: int = 4
    get_retry: bool = True
    on_conflict: OnConflict | None = None

    @property
    def hung_after(self) -> float:
        """Seconds after which a read counts as hanging, and nobody new waits for it: two turns and two calls."""
        return 2 * (self.deadline + self.total_timeout)

    def __post_init__(self) -> None:
        _check_numbers(self, at_least=0.001)
        for name in ("max_concurrency", "max_flights", "max_attempts"):
            whole(getattr(self, name), f"UpstreamPolicy({name}=...)")
        if self.on_conflict is not None:
            function(self.on_conflict, "UpstreamPolicy(on_conflict=...)")


@dataclass(frozen=True, kw_only=True, slots=True)
class ContinuityPolicy:
    """What a shopper's browser carries from one worker to the next, where there is a ``secret_key``.

    Args:
        encrypted: encrypt what the browser carries (AES-GCM) instead of signing it; needs the extra ``encryption``.
        document: `True`, or ``f(connection) -> bool`` for the shopper's consent: the browser carries the document,
            too, so that a worker that knows nothing need not ask Emporix; implies `encrypted`.
        receipts: write into the context, under a reserved attribute, which parked changes it has, so that no slow
            worker sends an older one over a newer one.
        max_bytes: the longest cookie, name and value.
    """

    encrypted: bool = False
    document: bool | Callable[[HTTPConnection], bool] = False
    receipts: bool = True
    max_bytes: int = 3072

    @property
    def seals(self) -> bool:
        """Whether anything is encrypted."""
        return self.encrypted or self.document is not False

    @property
    def consents(self) -> Callable[[HTTPConnection], bool] | None:
        """The function that tells whether a shopper has agreed; `None` where nobody has to be asked."""
        return self.document if callable(self.document) else None

    def checked(self, secrets: Sequence[bytes]) -> Self:
        """Return this policy; raise `ConfigurationError` where a secret or the package to encrypt with is missing."""
        if not self.seals:
            return self
        option = f"continuity=ContinuityPolicy({'encrypted' if self.encrypted else 'document'}=...)"
        if not secrets:
            raise ConfigurationError(
                f"{option} needs secret_key=..., such as secrets.token_urlsafe(32) makes, the same on every worker."
            )
        require_encryption(option)
        return self

    def __post_init__(self) -> None:
        flag(self.encrypted, "ContinuityPolicy(encrypted=...)")
        flag_or_function(self.document, "ContinuityPolicy(document=...)")
        flag(self.receipts, "ContinuityPolicy(receipts=...)")
        whole(self.max_bytes, "ContinuityPolicy(max_bytes=...)", at_least=SMALLEST_COOKIE, at_most=LARGEST_COOKIE)


def _check_numbers(policy: CachePolicy | UpstreamPolicy, *, at_least: float) -> None:
    for field in fields(policy):
        if field.type == "float":
            number(getattr(policy, field.name), f"{type(policy).__name__}({field.name}=...)", at_least=at_least)
