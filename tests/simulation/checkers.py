"""What a history must not contain. Each checker returns the violations it finds, in words."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from .backplane import LATENCY, NOTICE_DELAY
from .driver import CACHE, PATHS, UPSTREAM
from .history import History, Read, Write

INF = float("inf")


class Order:
    """When each value of one path came to be: by whom, recorded when, at the server when."""

    def __init__(self, history: History, session: str, path: str) -> None:
        self.writes = [write for write in history.writes if (write.session, write.path) == (session, path)]
        self.own: dict[object, list[Write]] = {}
        for write in self.writes:
            self.own.setdefault(write.value, []).append(write)
        self.foreign: dict[object, float] = {}
        self.at_server: dict[object, list[float]] = {None: [-1.0]}
        for applied in history.server[session].log:
            if applied.path == path:
                self.at_server.setdefault(applied.value, []).append(applied.time)
                if applied.foreign:
                    self.foreign[applied.value] = applied.time
        self.log = [applied for applied in history.server[session].log if applied.path == path]

    def born(self, value: object) -> float:
        """Return the latest moment at which this value can have been somebody's newest wish."""
        if value in self.foreign:
            return self.foreign[value]
        if value in self.own:
            return max(write.end if write.end is not None else INF for write in self.own[value])
        return -1.0


def reads_your_writes(history: History) -> Iterator[str]:
    """A page shows no value older than one that was acknowledged before the page was asked for."""
    for session in history.server:
        for path in PATHS:
            order = Order(history, session, path)
            done = [write for write in order.writes if write.outcome == "acknowledged" and write.end is not None]
            for read in _healthy(history, session):
                value = read.values[path]
                for write in done:
                    if (
                        write.end is not None
                        and (write.token == read.token or not write.parked)
                        and write.end + _hearsay(history, write, read) < read.start
                        and not _forgotten_since(history, session, write.start, read.end)
                        and value != write.value
                        and order.born(value) < write.start
                        and not _sent_late(history, order, value, write)
                    ):
                        yield f"{path} was {value!r} at {read.start:.3f}, after {write.value!r} at {write.end:.3f}"
                        break


def monotonic_reads(history: History) -> Iterator[str]:
    """No page shows a value that the server had replaced before it took one that an earlier page has shown.

    Each worker by itself: a page that only reads gives the browser nothing to carry. And what is marked stale each
    token by itself, as each has a document of its own; what the shopper wrote is the business of the checker above.
    """
    for session in history.server:
        for path, worker in itertools.product(PATHS, range(history.setup.workers)):
            order = Order(history, session, path)
            pending: list[tuple[Read, float]] = []
            reads = [read for read in _healthy(history, session) if read.worker == worker]
            for read in sorted(reads, key=lambda read: read.start):
                value = read.values[path]
                newest, when = -1.0, "nothing"
                for other, time in pending:
                    if (
                        other.end < read.start
                        and time > newest
                        and (other.token == read.token or not read.stale)
                        and not _forgotten_since(history, session, other.end, read.end)
                    ):
                        newest, when = time, f"{other.values[path]!r}"
                times = order.at_server.get(value, [INF])
                gone = _replaced_at(order, value)
                if gone < newest and not any(path_value == value for path_value in _open_values(order, read)):
                    yield f"{path} went back to {value!r} at {read.start:.3f}, after {when}"
                pending.append((read, min((t for t in times if t <= read.end), default=-1.0)))


def nothing_lost(history: History) -> Iterator[str]:
    """In the end the server holds the last acknowledged wish, or what somebody else wanted later."""
    for session in history.server:
        for path in PATHS:
            order = Order(history, session, path)
            final = history.server[session].values.get(path)
            for write in order.writes:
                if (
                    write.outcome == "acknowledged"
                    and not _forgotten_since(history, session, write.start, INF)
                    and not _cut_off(history, session)
                    and final != write.value
                    and order.born(final) < write.start
                ):
                    yield f"{path} ended as {final!r}, though {write.value!r} was acknowledged at {write.end}"


def nothing_untouched_overwritten(history: History) -> Iterator[str]:
    """No PATCH changes what no request of the session wanted changed so."""
    yield from history.foul_play


def isolation(history: History) -> Iterator[str]:
    """A document belongs to its token, and so does every value on the page."""
    for read in history.reads:
        if read.shown_session not in {None, read.session}:
            yield f"{read.token} was shown {read.shown_session}"
        for path in PATHS:
            value = read.values[path]
            order = Order(history, read.session, path) if value is not None else None
            if order is not None and value not in order.own and value not in order.foreign:
                yield f"{read.token} was shown {value!r} of somebody else"


def bounded_staleness(history: History) -> Iterator[str]:
    """What is not marked stale is at most one TTL old; what is marked is at most stale-if-error older."""
    for session in history.server:
        for path in PATHS:
            order = Order(history, session, path)
            for read in _healthy(history, session):
                age = CACHE.ttl + (max(CACHE.stale_while_revalidate, CACHE.stale_if_error) if read.stale else 0)
                horizon = read.start - age - UPSTREAM.deadline - 1.0
                value = read.values[path]
                if value in _open_values(order, read):
                    continue
                past = _replaced_at(order, value)
                if past < horizon:
                    yield f"{path} was {value!r} at {read.start:.3f}, which was past at {past:.3f}"


def no_resurrection(history: History) -> Iterator[str]:
    """Once a page of a revoked token was refused, no later page of that worker shows a context."""
    refused: dict[tuple[str, int], float] = {}
    for read in sorted(history.reads, key=lambda read: read.end):
        if read.rejected:
            refused.setdefault((read.token, read.worker), read.end)
        elif read.exists and (since := refused.get((read.token, read.worker), INF)) < read.start:
            yield f"{read.token} was refused at {since:.3f} and shown again at {read.start:.3f}"


def convergence(history: History) -> Iterator[str]:
    """After healing, every page shows what the server holds."""
    for token, read in history.final.items():
        if token in history.revoked:
            if not read.rejected:
                yield f"{token} was revoked and is not refused"
            continue
        held = history.server[read.session].values
        for path in PATHS:
            if read.values[path] != held.get(path):
                yield f"{token} shows {path} {read.values[path]!r}, Emporix has {held.get(path)!r}"


def one_patch_at_a_time(history: History) -> Iterator[str]:
    """One PATCH per session and process at a time."""
    if history.most_patches_at_once > 1 and history.setup.workers == 1:
        yield f"{history.most_patches_at_once} PATCH calls of one session at once"


def nothing_left_over(history: History) -> Iterator[str]:
    """No task, lane, flight or pinned slot is left, and the loop had nothing to complain about."""
    yield from history.left_over


def only_our_errors(history: History) -> Iterator[str]:
    """No exception outside the tree."""
    yield from history.errors


CHECKERS: tuple[Callable[[History], Iterator[str]], ...] = (
    reads_your_writes,
    monotonic_reads,
    nothing_lost,
    nothing_untouched_overwritten,
    isolation,
    bounded_staleness,
    no_resurrection,
    convergence,
    one_patch_at_a_time,
    nothing_left_over,
    only_our_errors,
)


def violations(history: History) -> dict[str, list[str]]:
    """Return what each checker finds, without those that find nothing."""
    found = {checker.__name__: list(checker(history)) for checker in CHECKERS}
    return {name: texts for name, texts in found.items() if texts}


def _healthy(history: History, session: str) -> list[Read]:
    return [read for read in history.reads if read.session == session and not read.degraded and not read.rejected]


def _replaced_at(order: Order, value: object) -> float:
    """Return when the server last replaced a value; infinity while it holds it, or never had it."""
    for index in range(len(order.log) - 1, -1, -1):
        if order.log[index].value == value:
            return order.log[index + 1].time if index + 1 < len(order.log) else INF
    if value is None and order.log:
        return order.log[0].time
    return INF


def _open_values(order: Order, read: Read) -> set[object]:
    """Return own wishes that were on their way, or kept, while a page was made: it may show any of them."""
    return {write.value for write in order.writes if write.start <= read.end and write.outcome != "discarded"}


def _forgotten_since(history: History, session: str, start: float, end: float) -> bool:
    # Other workers hear of it a little later, and drop what they have at that moment.
    late = 0.0 if history.setup.store == "none" else 2 * (LATENCY + NOTICE_DELAY)
    return any(start - late <= moment <= end for moment in history.forgotten.get(session, ()))


def _hearsay(history: History, write: Write, read: Read) -> float:
    """Return after how long a worker knows of a change that another one has sent, when the browser does not tell it."""
    if history.setup.store == "none" or history.setup.cookie or write.worker == read.worker:
        return 0.0
    # What is stored for a token is found by its name; a worker that has not seen the other one cannot take it away.
    return LATENCY + NOTICE_DELAY if write.token == read.token else CACHE.longest


def _sent_late(history: History, order: Order, value: object, write: Write) -> bool:
    """Tell whether Emporix took an earlier wish, which one worker was sending, after the one of another worker.

    With a store alone nothing tells the first worker before it is done: docs/workers.md says so.
    """
    if history.setup.workers == 1 or history.setup.cookie:
        return False
    return max(order.at_server.get(value, [-1.0])) > max(order.at_server.get(write.value, [INF]))


def _cut_off(history: History, session: str) -> bool:
    """Tell whether any token of a session was revoked: a wish that came with it may have died with it."""
    return any(token in history.revoked for token, read in history.final.items() if read.session == session)
