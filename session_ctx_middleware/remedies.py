"""What operators are told of each event: how urgent it is, how often, and what to do."""

from __future__ import annotations

import logging
from typing import Final

from .remedy import DAY, INFO, WARNING, Kind
from .session_remedies import SESSION_KINDS

__all__ = ["KINDS", "Kind"]

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
    "share.refused": Kind(
        level=INFO,
        remedy="a page that asked for share_by_variant was kept private; that is as it should be for a browser's first "
        "page. Otherwise see docs/caches.md",
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
        "outside of the middleware, or something else than the variant was read for a page that is everybody's. Load "
        "it before, answer with Cache-Control: private, or put SessionContextMiddleware(app) around the whole "
        "application",
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
    **SESSION_KINDS,
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
    "panel.on": Kind(
        level=WARNING,
        remedy="the debug panel is on: whoever uses this machine sees what its shoppers see. Leave debug_panel=... out "
        "in production",
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
