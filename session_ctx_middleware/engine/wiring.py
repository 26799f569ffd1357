"""Building the parts of one event loop's engine: each gets the finished parts that it needs, in this order."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..clock import Clock
from ..events import Events
from ..observing import CallObserver
from ..platform_time import PlatformTime
from ..policies import CachePolicy, UpstreamPolicy
from ..stores import Attachment, ContextStore
from ..stores.reported import reported
from ..tasks import Tasks
from .announcing import Announcer
from .bases import Bases
from .binding import Binding
from .commits import Commits
from .entries import Entries
from .flights import Flights
from .given_up import GivenUp
from .handover import Handover
from .hearings import Hearings
from .keys import Keys
from .loads import Loads
from .moves import Moves
from .neighbours import Neighbour
from .pacing import Pauses, TokenBuckets
from .patching import Patching
from .peers import Peers
from .pending import Pending
from .ports import ContextSource
from .publishing import Publisher
from .reads import Reads
from .requirements import Requirements
from .resilience import ProtectedSource, Protection
from .sharing import Sharing
from .stats import Stats
from .travelling import Travelling

__all__ = ["EngineOptions", "Parts", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the engines of all event loops of one middleware share.

    Args:
        cache: how long what is known may be used.
        upstream: how much of Emporix may be used.
        store: where parked changes live.
        keys: names for tokens and sessions.
        clock: where time and randomness come from.
        stats: the counters.
        events: who is told what happens.
        protection: what this process knows about the health of Emporix; nothing, unless somebody says it.
        receipts: whether receipts may be left at Emporix.
        platform_time: Emporix' time; unknown, unless somebody says it.
        documents_travel: whether browsers bring documents.
        observer: watches the calls; nobody, unless somebody says so.
    """

    cache: CachePolicy
    upstream: UpstreamPolicy
    store: ContextStore
    keys: Keys
    clock: Clock
    stats: Stats
    events: Events = field(default_factory=Events)
    protection: Protection | None = None
    receipts: bool = True
    platform_time: PlatformTime | None = None
    documents_travel: bool = False
    observer: CallObserver | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an engine uses directly.

    Args:
        tasks: its detached work.
        entries: what is cached.
        sharing: the store.
        requirements: what browsers have seen on other workers.
        binding: tells whose a note is.
        handover: what browsers take along.
        pending: what is parked.
        reads: answer reads.
        commits: send changes.
        peers: do what other processes say.
        source: Emporix, protected.
        flights: GETs in the air.
        travelling: documents that browsers bring and take along.
        moves: what goes along to another token.
    """

    tasks: Tasks
    entries: Entries
    sharing: Sharing
    requirements: Requirements
    binding: Binding
    handover: Handover
    pending: Pending
    reads: Reads
    commits: Commits
    peers: Peers
    source: ProtectedSource
    flights: Flights
    travelling: Travelling
    moves: Moves


def build(options: EngineOptions, source: ContextSource, attachment: Attachment, neighbour: Neighbour) -> Parts:
    """Return the parts of an engine.

    Args:
        options: what the engines of all loops share.
        source: Emporix, over a client of this loop.
        attachment: how well the store keeps this loop informed.
        neighbour: the engine as others of this process see it.
    """
    clock, keys, cache, upstream, stats = options.clock, options.keys, options.cache, options.upstream, options.stats
    tasks, pauses, binding = Tasks(clock, options.observer), Pauses(clock), Binding(keys)
    # What another process may have changed since the last event loop ended is known to the store alone.
    entries = Entries(cache.max_entries, keys, clock, None if options.store.shared else neighbour.entries)
    flights = Flights(upstream.hung_after)
    protected = ProtectedSource(
        source,
        policy=upstream,
        clock=clock,
        stats=stats,
        events=options.events,
        protection=options.protection or Protection(clock),
    )
    store = reported(options.store, options.events)
    sharing = Sharing(
        store,
        attachment,
        keys=keys,
        lifetime=cache.longest,
        clock=clock,
        events=options.events,
        neighbour=neighbour,
    )
    pending = Pending(sharing, entries, neighbour.neighbourhood.known_sessions, clock, options.events)
    platform = options.platform_time or PlatformTime(clock)
    requirements = Requirements(
        keys=keys, binding=binding, buckets=TokenBuckets(clock), clock=clock, platform_time=platform
    )
    given_up = GivenUp(clock, options.events)
    handover = Handover(
        keys=keys,
        binding=binding,
        clock=clock,
        untold=neighbour.neighbourhood.untold,
        platform_time=platform,
        given_up=given_up,
    )
    publisher = Publisher(
        cache=cache,
        entries=entries,
        keys=keys,
        requirements=requirements,
        attachment=attachment,
        pauses=pauses,
        clock=clock,
        stats=stats,
        refused_for=cache.longest if options.documents_travel or options.store.shared else 0.0,
    )
    hearings = Hearings(
        handover=handover,
        pending=pending,
        publisher=publisher,
        sharing=sharing,
        entries=entries,
        clock=clock,
    )
    loads = Loads(
        source=protected,
        sharing=sharing,
        pending=pending,
        handover=handover,
        publisher=publisher,
        entries=entries,
        flights=flights,
        tasks=tasks,
        cache=cache,
        clock=clock,
        hearings=hearings,
    )
    reads = Reads(
        cache=cache,
        entries=entries,
        loads=loads,
        publisher=publisher,
        requirements=requirements,
        attachment=attachment,
        keys=keys,
        clock=clock,
        stats=stats,
        slow_after=upstream.deadline / 2,
    )
    travelling = Travelling(
        entries=entries,
        publisher=publisher,
        requirements=requirements,
        loads=loads,
        sharing=sharing,
        pending=pending,
        cache=cache,
        clock=clock,
        stats=stats,
        events=options.events,
    )
    patching = Patching(
        source=protected,
        entries=entries,
        publisher=publisher,
        sharing=sharing,
    )
    commits = Commits(
        policy=upstream,
        entries=entries,
        bases=Bases(loads=loads, publisher=publisher, handover=handover, clock=clock),
        patching=patching,
        pending=pending,
        announcer=Announcer(entries=entries, publisher=publisher, sharing=sharing),
        handover=handover,
        pauses=pauses,
        tasks=tasks,
        clock=clock,
        events=options.events,
        receipts=options.receipts,
    )
    peers = Peers(
        entries=entries,
        sharing=sharing,
        pending=pending,
        publisher=publisher,
        requirements=requirements,
        pauses=pauses,
        tasks=tasks,
        clock=clock,
        handover=handover,
    )
    return Parts(
        tasks=tasks,
        entries=entries,
        sharing=sharing,
        requirements=requirements,
        binding=binding,
        handover=handover,
        pending=pending,
        reads=reads,
        commits=commits,
        peers=peers,
        source=protected,
        flights=flights,
        travelling=travelling,
        moves=Moves(entries=entries, handover=handover, sharing=sharing),
    )
