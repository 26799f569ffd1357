"""What operators are told of tokens, sessions and sites; see `remedies`."""

from __future__ import annotations

from typing import Final

from .remedy import DAY, INFO, WARNING, Kind

__all__ = ["SESSION_KINDS"]

SESSION_KINDS: Final[dict[str, Kind]] = {
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
        remedies={
            "lost": "the store of StorefrontSessions has lost a session that should be there, and another one was "
            "begun; choices that the browser knows go along. Keep sessions in a Redis that evicts nothing and survives "
            "a restart",
        },
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
    "cart.moved": Kind(),
    "cart.accepted": Kind(),
    "cart.half": Kind(
        level=WARNING,
        quiet=60,
        remedy="a shopper's cart and session do not agree on site or currency, or nobody can say. Switching once more "
        "mends it; show what ctx.cart_outcome says",
    ),
    "cart.failed": Kind(
        level=WARNING,
        quiet=60,
        remedy="a cart could not follow its shopper to another site or currency, and the session stayed with it. See "
        "whether the Cart Service answers, and offer only what its sites have",
    ),
    "cart.gone": Kind(
        level=INFO, remedy="the cart that a session names is not there any more; ctx.open_cart() begins another"
    ),
    "cart.merged": Kind(),
    "sites.corrected": Kind(
        level=WARNING, quiet=DAY, remedy="a site does not offer a remembered value any more, and shows its own"
    ),
}
"""Every event about whose session a request is of, by its name."""
