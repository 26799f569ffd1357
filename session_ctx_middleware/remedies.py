"""What operators are told of each event: how urgent it is, how often, and what to do."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Final

__all__ = ["KINDS", "Kind"]

DAY: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How the events of one name are told.

    Args:
        level: of the log line.
        remedy: what it means, and what to do.
        remedies: the same for single outcomes.
        quiet: seconds that must pass without one until the next one is told again, or until it counts as over; what
            comes before is debug output. At 0 each one is told.
        over: name of the event that tells that it is over, where that is told; until then only the first one is.
        counter: its name in `stats()`; that of the event by default.
        counters: the same for single operations or outcomes.
        for_hooks: whether hooks are told, too.
    """

    level: int = logging.DEBUG
    remedy: str = ""
    remedies: dict[str, str] = field(default_factory=dict)
    quiet: float = 0.0
    over: str = ""
    counter: str = ""
    counters: dict[str, str] = field(default_factory=dict)
    for_hooks: bool = True


WARNING: Final = logging.WARNING
INFO: Final = logging.INFO

_NOT_EMPORIX: Final = (
    "What answers does not seem to be Emporix' Session Context Service. Check base_url=... (its path, too), tenant=... "
    "and the proxies in between. Pages show the last known values or the defaults, changes wait"
)
_DROPPED: Final = "Record changes only where the endpoint succeeds, or await ctx.commit() before what may fail"

KINDS: Final[dict[str, Kind]] = {
    "context.loaded": Kind(),
    "commit.applied": Kind(counter="applied"),
    "commit.already": Kind(counter="already"),
    "commit.parked": Kind(counter="parked"),
    "commit.refused": Kind(
        level=WARNING,
        remedy="Emporix does not want these changes, and they were dropped. Offer only what the site allows",
        remedies={
            "ContextFull": "the attributes would make the session context so large that Emporix' answer could not be "
            "read any more, and were dropped. Remove attributes before setting more",
            "TokenRejected": "Emporix refuses the token, and the changes were dropped. The shopper has to log in again",
        },
        counter="refused",
        counters={"parked": "dropped"},
    ),
    "commit.failed": Kind(
        level=WARNING,
        remedy="the changes were not sent. Those of a request are parked at its end; with secret_key=... the browser "
        "keeps those that a shutdown cut short",
        counter="failed",
    ),
    "changes.lost": Kind(
        level=WARNING,
        remedy="changes could not be kept anywhere, and were dropped",
        remedies={
            "no room": "more changes wait for Emporix than can be kept: per session 64 attributes and 8 KiB, per "
            "process 10,000 sessions. Store less in attributes before there is a cart; set secret_key=..., so that "
            "browsers keep what waits",
            "unreadable": "what waited in the store cannot be read. Keep the old encryption_key=... behind the new one "
            "for a day",
            "in memory": "choices that wait for Emporix end with this process. Set secret_key=..., so that browsers "
            "keep them, or share a RedisStore",
            "swallowed": "something on the way answered a change with success, twice, and Emporix has never had it, so "
            "that it is sent no more. Look for a proxy, mock or firewall between here and base_url=... that answers "
            "PATCH",
            "NoToken": "a request without a token changed the session context, and the changes were dropped. Check "
            "token=..., or ask ctx.has_token before you record",
        },
        quiet=60,
    ),
    "commit.unexpected": Kind(
        level=logging.ERROR,
        remedy="an error that nobody expected came up while changes were sent, and they wait. If it comes from "
        "UpstreamPolicy(on_conflict=...), mend that; else please report it",
        quiet=60,
    ),
    "changes.discarded": Kind(level=WARNING, remedy=f"the endpoint failed, and its changes were not sent. {_DROPPED}"),
    "changes.uncommitted": Kind(
        level=WARNING,
        remedy="a WebSocket was closed with changes that nobody has sent, and they were dropped. Await ctx.commit() "
        "after recording",
    ),
    "continuity.ignored": Kind(
        level=WARNING,
        remedy="a browser brought a continuity cookie that cannot be used, and it is cleared. One now and then does "
        "not matter; many of them: give every worker the same secret_key=..., and keep the old key behind the new one "
        "for a day",
        quiet=60,
    ),
    "continuity.overflow": Kind(
        level=WARNING,
        remedy="what waits for Emporix has no room in the continuity cookie. Store less in attributes before there is "
        "a cart, or share a RedisStore",
        quiet=60,
    ),
    "document.passed_over": Kind(
        counters={
            "of another token": "document_foreign",
            "from before a logout": "document_replayed",
            "too old": "document_expired",
            "outdated": "document_outdated",
        },
    ),
    "document.ignored": Kind(
        level=WARNING,
        remedy="a browser brought a travelling document that cannot be opened: bent, of another shop, or sealed with "
        "another key. One now and then does not matter; many of them: give every worker the same secret_key=..., and "
        "keep the old key behind the new one for a day",
        remedies={
            "from the future": "a travelling document was sealed more than two seconds from now, and counts for "
            "nothing. The clock of this worker or of another one is wrong; set both by NTP",
        },
        quiet=60,
        counters={"unreadable": "document_unreadable", "from the future": "document_ahead"},
    ),
    "document.left_out": Kind(
        level=WARNING,
        remedy="a document has no room in the browser, and does not travel: workers that do not know this shopper ask "
        "Emporix. Store less in attributes, raise ContinuityPolicy(max_bytes=...), or share a RedisStore",
        quiet=DAY,
    ),
    "consent.failed": Kind(
        level=logging.ERROR,
        remedy="the function that is asked for a shopper's consent raised this, which counts as no: "
        "ContinuityPolicy(document=...), or StorefrontSessions(persist=...). Mend it",
        quiet=60,
    ),
    "crawler.failed": Kind(
        level=logging.ERROR,
        remedy="StorefrontSessions(is_crawler=...) raised this, and the list of known crawlers decided. Mend it",
        quiet=60,
    ),
    "resolver.failed": Kind(
        level=logging.ERROR,
        remedy="a resolver (resolve=...) raised this, and told nothing about the request. Mend it",
        quiet=60,
    ),
    "leak.prevented": Kind(
        level=WARNING,
        remedy="a response that depends on the session context invited shared caches to keep it, and was made private. "
        "Drop public, s-maxage and the headers for CDNs from it, or do not read the context there; strict=True finds "
        "the place",
        quiet=60,
    ),
    "leak.late": Kind(
        level=WARNING,
        remedy="the session context was first touched after the start of a response that shared caches may keep, or "
        "outside of the middleware. Load it before, answer with Cache-Control: private, or put "
        "SessionContextMiddleware(app) around the whole application",
        quiet=60,
    ),
    "state.shared": Kind(
        level=WARNING,
        remedy="this server gives several requests one state, which ASGI forbids; each gets a copy now. Update the "
        "server, or what wraps this middleware",
        quiet=DAY,
    ),
    "document.odd": Kind(
        level=WARNING,
        remedy="a session context has a value in this field that cannot be used (of another type, out of range, not "
        "Unicode, or too deep), and it reads as None; everything else is as it is. Find out who writes it; setting the "
        "field, or removing the attribute, repairs it",
        quiet=DAY,
    ),
    "hook.failed": Kind(
        level=logging.ERROR,
        remedy="an on_event hook raised this. Mend the hook; nothing else is disturbed",
        quiet=60,
        for_hooks=False,
    ),
    "hook.dropped": Kind(
        level=WARNING,
        remedy="events were not told to an async hook: 1,000 calls of hooks wait, or a shutdown cut them short. Make "
        "the hook faster, or collect in it and send elsewhere",
        quiet=60,
        for_hooks=False,
    ),
    "token.missing": Kind(
        level=WARNING,
        remedy="requests that use the session context bring no token: values are the defaults. Check token=...; if "
        "all of them are guests without one, nothing is wrong",
        over="token.found",
    ),
    "token.found": Kind(level=INFO, remedy="requests bring tokens"),
    "token.unverified": Kind(
        level=WARNING,
        remedy="a request brought a JWT that JWTVerifier does not accept, and counts as one without a token. One now "
        "and then has been made up, or has ended; if all are refused, check what the outcome names",
        remedies={
            "expired": "a request brought a JWT that has ended, and counts as one without a token. If all have, check "
            "the clock of this host, or set leeway=... of JWTVerifier",
            "not yet valid": "a request brought a JWT that is of the future, and counts as one without a token. Check "
            "the clocks, or set JWTVerifier(leeway=...)",
            "key": "a request brought a JWT that names an unknown key, and counts as one without a token. If all do, "
            "check key=... or jwks_url=... of JWTVerifier",
        },
        quiet=60,
    ),
    "keys.failed": Kind(
        level=WARNING,
        remedy="the keys of JWTVerifier(jwks_url=...) cannot be fetched. Known ones are used until that works again; "
        "where there are none, requests count as ones without a token. Check the address, and the network",
        quiet=10,
        over="keys.answered",
    ),
    "keys.answered": Kind(level=INFO, remedy="the keys of JWTVerifier(jwks_url=...) can be fetched again"),
    "token.rejected": Kind(
        level=WARNING,
        remedy="Emporix refuses a token. One now and then is a login that has ended; many of them: check tenant=..., "
        "base_url=..., and that token=... finds the access token that Emporix issued",
        quiet=60,
        over="token.accepted",
    ),
    "token.accepted": Kind(level=INFO, remedy="Emporix accepts tokens again"),
    "tokens.failed": Kind(
        level=WARNING,
        remedy="the store of StorefrontSessions fails. Where it keeps the sessions, visitors see the defaults, and no "
        "session is begun or replaced; else each worker refreshes for itself. Check the store",
        remedies={
            "unreadable": "a session in the store of StorefrontSessions cannot be opened, and counts for nothing. Give "
            "every worker the same secret_key=..., and keep the old key behind the new one for a day",
        },
        quiet=10,
        over="tokens.answered",
    ),
    "tokens.answered": Kind(level=INFO, remedy="the store of StorefrontSessions works again"),
    "session.begun": Kind(),
    "session.renewed": Kind(),
    "session.none": Kind(),
    "session.moved": Kind(),
    "session.assisted": Kind(level=INFO, remedy="somebody of the staff acts for a customer (assisted buying)"),
    "logout.untold": Kind(
        level=WARNING,
        remedy="Emporix could not be told that a customer has logged out, and is told later. Here he is logged out",
        quiet=60,
    ),
    "session.replaced": Kind(
        level=WARNING,
        remedy="Emporix has refused a session's tokens, and another session was begun; choices that the browser knows "
        "go along. One now and then is somebody who comes back after a day",
        quiet=60,
    ),
    "session.unkept": Kind(
        level=WARNING,
        remedy="the tokens of a session are too large for a cookie, so that every request begins another one. Keep "
        "them in a store: StorefrontSessions(keep=...)",
        remedies={
            "store": "a session was begun that the store of StorefrontSessions could not keep, and the page shows the "
            "defaults. Check the store",
        },
        quiet=60,
    ),
    "session.failed": Kind(
        level=WARNING,
        remedy="sessions cannot be begun or refreshed. Pages show the defaults to new visitors, and go on with tokens "
        "that have not ended. See Emporix' status page",
        remedies={
            "TokenRejected": "Emporix refuses to begin or to refresh a session. Check StorefrontSessions(client_id), "
            "tenant=... and base_url=..., if all of them fail",
            "EmporixUnreachable": "Emporix does not answer when sessions are begun or refreshed. Check base_url=..., "
            "the network, DNS, and HTTPS_PROXY",
        },
        quiet=10,
        over="session.restored",
    ),
    "session.restored": Kind(level=INFO, remedy="sessions are begun and refreshed again"),
    "sites.failed": Kind(
        level=WARNING, quiet=60, over="sites.answered", remedy="the sites cannot be read. Check SiteCatalog(token)"
    ),
    "sites.answered": Kind(level=INFO, remedy="the sites can be read again"),
    "sites.corrected": Kind(
        level=WARNING, quiet=DAY, remedy="a site does not offer a remembered value any more, and shows its own"
    ),
    "upstream.failed": Kind(
        level=WARNING,
        remedy="Emporix fails. Pages show the last known values or the defaults, changes wait, and it is asked again. "
        "See Emporix' status page",
        remedies={
            "EmporixUnreachable": "Emporix does not answer. Check base_url=..., the network, DNS, and HTTPS_PROXY. "
            "Pages show the last known values or the defaults, changes wait, and it is asked again",
            "MalformedAnswer": _NOT_EMPORIX,
            "too large": "an answer is larger than 256 KiB, and is not read. Where it is a session context that has "
            "grown, OwnContextClient.remove_attribute(token, key) takes attributes out without reading it",
            "foreign answer": _NOT_EMPORIX,
        },
        quiet=10,
        over="upstream.answered",
    ),
    "upstream.answered": Kind(level=INFO, remedy="calls to Emporix succeed again"),
    "upstream.paused": Kind(
        level=WARNING,
        remedy="Emporix asked to be left alone (429, or Retry-After), and is. Pages show the last known values or the "
        "defaults, changes wait. Raise CachePolicy(ttl=...), or ask Emporix for a higher limit",
        quiet=60,
        over="upstream.resumed",
    ),
    "upstream.resumed": Kind(level=INFO, remedy="Emporix may be asked again, and answers"),
    "upstream.unavailable": Kind(
        level=WARNING,
        remedy="Emporix fails or is too slow. Pages show the last known values or the defaults, changes wait, and it "
        "is asked again every few seconds. Check base_url=..., the network, and whether Emporix is up",
    ),
    "upstream.insecure": Kind(
        level=WARNING,
        remedy="insecure_http=True sends tokens without encryption: whoever is on the way reads them. Do that for a "
        "fake Emporix only, in a network of your own",
    ),
    "upstream.restored": Kind(level=WARNING, remedy="Emporix answers again, and what waited is sent"),
    "upstream.shed": Kind(
        level=WARNING,
        remedy="more calls to Emporix were wanted than it answers in time, and some were not made. Pages show the last "
        "known values or the defaults, changes wait. If Emporix is fast, raise UpstreamPolicy(max_concurrency=...); "
        "else add workers, or a longer CachePolicy(ttl=...)",
        quiet=60,
    ),
    "store.failed": Kind(
        level=WARNING,
        remedy="the store fails. Pages and changes go on without it; other workers learn later of what happens here. "
        "Check the store",
        remedies={"ContextStoreUnavailable": "the store cannot be used at the moment; it has logged why"},
        quiet=10,
        over="store.answered",
    ),
    "store.answered": Kind(level=INFO, remedy="the store works again"),
    "workers.apart": Kind(
        level=WARNING,
        remedy="Several workers share nothing: what a shopper changes on one of them, the others show up to two "
        "minutes later. Give all of them the same secret_key=..., or a RedisStore",
    ),
}
"""Every event, by its name."""
