"""How much of everything a shop needs: a small model, from one worker to a thousand, and its figures as tables.

``python -m benchmarks.sizing`` prints them. It is arithmetic, not a measurement; `tests/benchmarks/test_sizing.py`
compares its constants with a real redis-server, and its formulas with the middleware itself in virtual time.

The formula behind all of it counts fetches. Pages of one shopper arrive at random (Poisson) and go to a worker at
random. A worker that has fetched is silent for one TTL, then fetches again with the next page that comes along. Cut
the silent times out, and what is left is Poisson again; so the k-th fetch falls into a visit of D seconds exactly if
at least k pages arrive in the D - (k - 1) TTL seconds that are left, and the expected number of fetches is the sum of
those probabilities over k.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal

from .figures import Effort, Plot, Section

__all__ = ["Shop", "Sizing", "fetches", "markdown", "run", "size"]

SetUp = Literal["single", "cookie", "document", "redis"]

SET_UPS: Final[tuple[SetUp, ...]] = ("single", "cookie", "document", "redis")
WORKERS: Final = (1, 4, 16, 64, 256, 1000)
SESSIONS: Final = (100_000, 1_000_000, 10_000_000, 50_000_000)
DAY: Final = 86_400.0
MIB: Final = 2.0**20
NEGLIGIBLE: Final = 1e-12

LOAD_COMMANDS: Final = 1
"""Redis commands of a read that is not fresh in the worker: one script, with the number of the last notice."""
SAVE_COMMANDS: Final = 1
"""Redis commands when a GET has brought a document."""
MEETING_COMMANDS: Final = 3
"""Redis commands besides, when the worker that meets a session is the first: what is parked under the token, then under
token and session. With a document Redis says that along."""
COMMIT_COMMANDS: Final = 3
"""Redis commands of a commit: a floor for the token, one for the session, and the notice."""
COMMIT_NOTICES: Final = 1
"""Messages that a commit publishes; each worker gets each of them."""
IDLE_COMMANDS: Final = 2 / 5
"""Redis commands per second and worker without any traffic: the subscription is watched every 5 seconds."""
NOTICE_BYTES: Final = 368
"""A notice on the wire to one worker, with the name of the channel."""
COOKIE_NAME: Final = 31
"""Bytes of the document cookie's name on https, and the equals sign."""
SEALED_BYTES: Final = 120
"""Bytes that are sealed beside a document: its token, its moment, key, nonce and tag."""
SET_COOKIE: Final = 67
"""Bytes of the header field that sets it, besides name and value of the cookie, with the end of the line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shop:
    """What a shop is like.

    Args:
        set_up: ``single``: the load balancer keeps a shopper on one worker (or there is only one), nothing is shared;
            ``cookie``: any worker, with the continuity cookie; ``document``: the same, and the document travels in
            another one; ``redis``: any worker, with a `RedisStore`.
        workers: processes in all.
        sessions_per_day: visits.
        peak_factor: the busiest hour over the average one.
        pages: page views of a visit that read the context.
        pages_without_context: of these, how many come before there is a context: each of them asks, because "there is
            none" is believed for 2 seconds only.
        switches: changes of a visit that reach Emporix.
        seconds: how long a visit takes.
        ttl: seconds, as in `CachePolicy`.
        jitter: as in `CachePolicy`.
        stale_while_revalidate: seconds, as in `CachePolicy`.
        stale_if_error: seconds, as in `CachePolicy`; documents are kept for that long after their TTL.
        document_bytes: of one context as JSON.
        entry_bytes: of one document in a worker's memory, with everything around it.
        redis_overhead: bytes of one visit in Redis besides the document: names, fields, floors.
    """

    set_up: SetUp = "single"
    workers: int = 1
    sessions_per_day: float = 1_000_000
    peak_factor: float = 3.0
    pages: float = 12.0
    pages_without_context: float = 0.0
    switches: float = 0.5
    seconds: float = 480.0
    ttl: float = 60.0
    jitter: float = 0.1
    stale_while_revalidate: float = 60.0
    stale_if_error: float = 600.0
    document_bytes: int = 600
    entry_bytes: int = 2048
    redis_overhead: int = 870


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizing:
    """What it needs in the busiest hour; everything is a mean.

    Args:
        page_views: per second.
        live_sessions: visits that are going on.
        gets_per_page: GETs of the session context, per page view.
        gets: per second.
        waits_per_page: page views that wait for such a GET; the others get what is cached, or stale and renewed.
        patches: per second.
        entries: documents in each worker; `CachePolicy.max_entries` must be as large, or GETs come on top.
        worker_bytes: for these.
        redis_bytes: for documents, in Redis.
        redis_commands: per second.
        redis_traffic: bytes of documents and notices per second.
        notices: published per second.
        deliveries: of notices to workers, per second.
        delivery_bytes: of these, per second.
        request_bytes: that a page of a visit brings for its document.
        response_bytes: that a page is sent for it, on average.
    """

    page_views: float
    live_sessions: float
    gets_per_page: float
    gets: float
    waits_per_page: float
    patches: float
    entries: float
    worker_bytes: float
    redis_bytes: float = 0.0
    redis_commands: float = 0.0
    redis_traffic: float = 0.0
    notices: float = 0.0
    deliveries: float = 0.0
    delivery_bytes: float = 0.0
    request_bytes: float = 0.0
    response_bytes: float = 0.0


def fetches(pages: float, seconds: float, ttl: float, workers: int, stale: float = 0.0) -> tuple[float, float]:
    """Return the expected fetches of a visit, and how many of them a page waits for.

    Args:
        pages: of the visit, the first one at its beginning, the others at random.
        seconds: how long it takes.
        ttl: for how long a worker does not fetch again.
        workers: of which each page meets one at random.
        stale: seconds after the TTL for which a page does not wait for the fetch that it starts.
    """
    rate = max(pages - 1, 0.0) / seconds / workers
    others = workers - 1
    first = 1 - others * math.expm1(-rate * seconds)
    again = _dead_time_sum(rate, seconds - ttl, ttl) + others * _dead_time_sum(rate, seconds - ttl, ttl, at_least=2)
    # A page waits where the worker was silent for longer still: again a piece of time that is cut out.
    left = seconds - ttl - stale
    late = _dead_time_sum(rate, left, ttl) + others * _dead_time_sum(rate, left, ttl, at_least=2)
    return first + again, first + math.exp(-rate * stale) * late


def touched(cells: float, pages: float) -> float:
    """Return how many of some cells are expected to be hit by pages that meet one at random."""
    return cells * (1 - (1 - 1 / cells) ** pages) if cells > 1 else min(1.0, pages)


def size(shop: Shop) -> Sizing:
    """Return what a shop needs."""
    visits = shop.sessions_per_day / DAY * shop.peak_factor
    gets, waits = _gets(shop)
    gets += shop.pages_without_context
    waits += shop.pages_without_context
    entries = _entries(shop, visits)
    common = Sizing(
        page_views=visits * shop.pages,
        live_sessions=visits * shop.seconds,
        gets_per_page=gets / shop.pages,
        gets=visits * gets,
        waits_per_page=waits / shop.pages,
        patches=visits * shop.switches,
        entries=entries,
        worker_bytes=entries * shop.entry_bytes,
    )
    if shop.set_up == "document":
        return _with_document(shop, common)
    return _with_redis(shop, common, visits, gets) if shop.set_up == "redis" else common


def cookie_bytes(document_bytes: int) -> int:
    """Return how many bytes the cookie with a document takes, its name included."""
    return COOKIE_NAME + math.ceil((document_bytes + SEALED_BYTES) * 4 / 3)


def _gets(shop: Shop) -> tuple[float, float]:
    """Return GETs of a visit, and those that a page waits for.

    A change makes everybody ask again, so it cuts the visit into parts that each begin with a fetch; sending it needs
    a document too, so it counts as one more page.
    """
    parts = shop.switches + 1
    touches, seconds, ttl = _touches(shop), shop.seconds / parts, _mean_ttl(shop)
    workers = shop.workers if shop.set_up == "cookie" else 1
    gets, waits = fetches(touches, seconds, ttl, workers, shop.stale_while_revalidate)
    if shop.set_up == "redis" and gets > 1:
        # Who has no copy from the window before cannot show it while it is renewed.
        share = touched(shop.workers, touches / gets) / shop.workers
        waits = gets - (gets - waits) * share
    return parts * gets, parts * waits


def _with_document(shop: Shop, sizing: Sizing) -> Sizing:
    """Return what each page takes along: from the second one on it brings what the last GET has sent."""
    cookie = cookie_bytes(shop.document_bytes)
    pages = max(shop.pages - shop.pages_without_context, 1.0)
    return replace(
        sizing,
        waits_per_page=sizing.gets_per_page,  # what is stale is renewed while its page waits, for 150 ms at most
        request_bytes=cookie * (pages - 1) / shop.pages,
        response_bytes=(cookie + SET_COOKIE) * sizing.gets_per_page,
    )


def _touches(shop: Shop) -> float:
    """Return pages and changes of one part of a visit."""
    return (max(shop.pages - shop.pages_without_context, 1.0) + shop.switches) / (shop.switches + 1)


def _mean_ttl(shop: Shop) -> float:
    return shop.ttl * (1 - shop.jitter / 2)


def _dead_time_sum(rate: float, seconds: float, ttl: float, at_least: int = 1) -> float:
    """Return the sum of the probabilities that at least k pages come in what is left of some seconds, k = 1, 2, ...

    Args:
        rate: pages per second.
        seconds: what is left for the first term; each further one has one TTL less.
        ttl: seconds.
        at_least: k of the first term.
    """
    total, number = 0.0, at_least
    while seconds > 0 and rate > 0:
        mean = rate * seconds
        term = fewer = math.exp(-mean)
        for i in range(1, number):
            term *= mean / i
            fewer += term
        if 1 - fewer < NEGLIGIBLE:
            break
        total += 1 - fewer
        number += 1
        seconds -= ttl
    return total


def _entries(shop: Shop, visits: float) -> float:
    kept = shop.seconds + shop.ttl + shop.stale_if_error
    share = touched(shop.workers, shop.pages) / shop.workers if shop.set_up != "single" else 1 / shop.workers
    return visits * kept * share


def _with_redis(shop: Shop, sizing: Sizing, visits: float, gets: float) -> Sizing:
    parts = shop.switches + 1
    windows = max(_gets(shop)[0], parts)
    loads = windows * touched(shop.workers, parts * _touches(shop) / windows) + shop.pages_without_context
    meetings = min(gets, touched(shop.workers, shop.pages + shop.switches))
    commands = loads * LOAD_COMMANDS + gets * SAVE_COMMANDS + meetings * MEETING_COMMANDS
    commands += shop.switches * COMMIT_COMMANDS
    notices = visits * shop.switches * COMMIT_NOTICES
    delivery_bytes = notices * shop.workers * NOTICE_BYTES
    return replace(
        sizing,
        redis_bytes=visits
        * (shop.seconds + shop.ttl + shop.stale_if_error)
        * (shop.document_bytes + shop.redis_overhead),
        redis_commands=visits * commands + shop.workers * IDLE_COMMANDS,
        redis_traffic=visits * (loads + gets) * shop.document_bytes + delivery_bytes,
        notices=notices,
        deliveries=notices * shop.workers,
        delivery_bytes=delivery_bytes,
    )


HEADINGS: Final = (
    "workers",
    "visits a day",
    "page views/s",
    "live visits",
    "GETs a page",
    "GETs/s",
    "waits a page",
    "PATCHes/s",
    "entries a worker",
    "MiB a worker",
    "MiB in Redis",
    "Redis commands/s",
    "notices delivered/s",
    "MiB/s of notices",
    "bytes a request",
    "bytes a response",
)


def row(shop: Shop) -> list[str]:
    """Return a line of a table."""
    it = size(shop)
    per_page = f"{it.gets_per_page:.3f}", f"{it.waits_per_page:.3f}"
    return [
        f"{shop.workers:,}",
        f"{shop.sessions_per_day:,.0f}",
        _short(it.page_views),
        _short(it.live_sessions),
        per_page[0],
        _short(it.gets),
        per_page[1],
        _short(it.patches),
        _short(it.entries),
        _short(it.worker_bytes / MIB),
        *(
            _short(value) if shop.set_up == "redis" else "-"
            for value in (it.redis_bytes / MIB, it.redis_commands, it.deliveries, it.delivery_bytes / MIB)
        ),
        *(_short(value) if shop.set_up == "document" else "-" for value in (it.request_bytes, it.response_bytes)),
    ]


def markdown() -> str:
    """Return all tables."""
    return "\n".join(line for set_up in SET_UPS for line in _table(set_up))


def _table(set_up: SetUp) -> Iterator[str]:
    yield f"\n### {set_up}\n"
    yield f"| {' | '.join(HEADINGS)} |"
    yield "|" + " ---: |" * len(HEADINGS)
    for shop in _shops(set_up):
        yield f"| {' | '.join(row(shop))} |"


def _shops(set_up: SetUp) -> Iterator[Shop]:
    for workers in WORKERS:
        for sessions in SESSIONS:
            yield Shop(set_up=set_up, workers=workers, sessions_per_day=sessions)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def run(effort: Effort) -> Section:
    """Return the model's figures; there is nothing to measure."""
    del effort
    every = {set_up: list(_shops(set_up)) for set_up in SET_UPS}
    return Section(
        name="sizing",
        title="Sizing",
        method="A model, no measurement: 12 pages and 0.5 switches in 8 minutes, TTL 60 s, three times the average "
        "load; its formulas are tested against the middleware in virtual time, its Redis commands against a server.",
        columns=("set-up", *HEADINGS),
        rows=[[set_up, *row(shop)] for set_up in SET_UPS for shop in every[set_up]],
        plots=_plots(every),
        raw={set_up: [{**asdict(shop), **asdict(size(shop))} for shop in every[set_up]] for set_up in SET_UPS},
    )


def _plots(every: Mapping[SetUp, Sequence[Shop]]) -> Sequence[Plot]:
    workers = [float(count) for count in WORKERS]

    def of_day(set_up: SetUp, sessions: int) -> list[Sizing]:
        return [size(shop) for shop in every[set_up] if shop.sessions_per_day == sessions]

    gets: dict[str, Sequence[float]] = {
        set_up: [it.gets_per_page for it in of_day(set_up, SESSIONS[0])] for set_up in SET_UPS
    }
    notices = {f"{sessions:,} visits": [it.deliveries for it in of_day("redis", sessions)] for sessions in SESSIONS}
    return (
        Plot("sizing-gets", "GETs per page view, by workers", workers, gets, "GETs per page view", kind="lines"),
        Plot("sizing-notices", "Notices Redis delivers", workers, notices, "messages/s", kind="lines", log=True),
    )


if __name__ == "__main__":
    print(markdown())
