"""A JWT of the shop's own in front of the Emporix token (RFC 7519, with the advice of RFC 8725)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final
from weakref import WeakSet

import jwt
from starlette.requests import HTTPConnection

from ..checks import number, printable
from ..clock import Clock, SystemClock
from ..credentials import StorefrontToken, usable
from ..emporix.transport import HttpClient
from ..errors import ConfigurationError
from ..events import ContextEvent, Events
from ..frames import WithoutLocals
from ..tokens import BearerToken, OwnSource, TokenChain, TokenSource
from .jwks import PublishedKeys
from .keys import GivenKey, KeySet, VerifyingKey, checked_algorithms, given_keys

__all__ = ["JWTVerifier"]

SYSTEM_CLOCK: Final[Clock] = SystemClock()
ENFORCED: Final = {"enforce_minimum_key_length": True, "verify_exp": False, "verify_nbf": False, "verify_iat": False}

# What went wrong, in a word that tells operators where to look; the first class that fits counts.
_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (jwt.InvalidAudienceError, "audience"),
    (jwt.InvalidIssuerError, "issuer"),
    (jwt.MissingRequiredClaimError, "claims"),
    (jwt.InvalidSignatureError, "signature"),
    (jwt.InvalidAlgorithmError, "algorithm"),
    (jwt.InvalidKeyError, "key"),
)


class JWTVerifier(WithoutLocals, OwnSource):
    """A token source for shops that put a JWT of their own in front: one that is not in order counts as no token.

    It is in order if a known key has signed it with an allowed algorithm, it has begun and not ended (``exp`` has to be
    there), issuer and audience are the expected ones, and no header parameter has to be understood (``crit``). Nothing
    of a token is believed before its signature, and no address that it names is ever asked.

    Args:
        key: a public key in PEM form, a JWK, a secret for ``HS256`` and its like, or several of those.
        jwks_url: where the issuer publishes its keys instead.
        algorithms: those that are allowed, such as ``["RS256"]``; what a token says about itself does not count.
        issuer: the only ``iss`` that is accepted, or several; `None` for any.
        audience: what ``aud`` has to name, or several of which it has to name one; `None` for tokens without ``aud``.
        leeway: seconds by which clocks may differ.
        claim: the claim that has the Emporix token; `None` where the JWT itself is what Emporix is asked with.
        source: where the JWT is found in a request.
        ttl: seconds after which the keys of `jwks_url` are fetched again.
        total_timeout: seconds that the whole of such a fetch may take.
        http_client: makes it, see `SessionContextMiddleware`; `None` to have one built.
        clock: where time comes from.

    Raises:
        ConfigurationError: one of them cannot work: keys that do not fit the algorithms, neither or both of `key` and
            `jwks_url`, secrets and public keys at the same time.
    """

    def __init__(
        self,
        *,
        key: GivenKey | Sequence[GivenKey] | None = None,
        jwks_url: str | None = None,
        algorithms: Sequence[str],
        issuer: str | Sequence[str] | None = None,
        audience: str | Sequence[str] | None = None,
        leeway: float = 0.0,
        claim: str | None = None,
        source: TokenSource | Sequence[TokenSource] | None = None,
        ttl: float = 300.0,
        total_timeout: float = 2.0,
        http_client: HttpClient | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if (key is None) is (jwks_url is None):
            raise ConfigurationError("JWTVerifier needs either key=... or jwks_url=...")
        allowed = checked_algorithms(algorithms, published=jwks_url is not None)
        self._allowed = frozenset(allowed)
        self._issuer = _names(issuer, "issuer")
        self._audience = _names(audience, "audience")
        self._leeway = number(leeway, "JWTVerifier(leeway=...)", at_least=0, at_most=3600, unit="seconds")
        self._claim = None if claim is None else printable(claim, "JWTVerifier(claim=...)")
        self._source = TokenChain(BearerToken() if source is None else source)
        self._clock = clock
        self._told: WeakSet[Events] = WeakSet()
        ttl = number(ttl, "JWTVerifier(ttl=...)", above=0, unit="seconds")
        total_timeout = number(total_timeout, "JWTVerifier(total_timeout=...)", above=0, unit="seconds")
        self._keys: KeySet | PublishedKeys
        if key is not None:
            self._keys = given_keys(key, allowed)
        else:
            self._keys = PublishedKeys(
                jwks_url,
                allowed,
                http_client=http_client,
                ttl=ttl,
                total_timeout=total_timeout,
                clock=clock,
                told=self._fetched,
            )
        self.vary = self._source.vary

    async def __call__(self, connection: HTTPConnection) -> StorefrontToken | None:
        """Return the Emporix token of a request, `None` where it brings no JWT that is in order."""
        brought = await self._source.find(connection)
        claims = None if brought is None else await self.verified(brought.value)
        if brought is None or claims is None:
            return None
        value = brought.value if self._claim is None else claims.get(self._claim)
        if not isinstance(value, str) or not usable(value):
            self._refused("claims")
            return None
        return StorefrontToken(value, expires_at=_moment(claims["exp"]))

    async def verified(self, token: str) -> Mapping[str, Any] | None:
        """Return the claims of a JWT that is in order, `None` for any other text.

        Args:
            token: what may be a JWT.
        """
        claims = await self._judged(token)
        if isinstance(claims, str):
            self._refused(claims)
            return None
        return claims

    def tell(self, events: Events) -> None:
        """Have a middleware's operators told of tokens that are refused, and of keys that cannot be fetched."""
        self._told.add(events)

    async def aclose(self) -> None:
        """Close the HTTP client of this event loop where it was built here; a later fetch builds another."""
        if isinstance(self._keys, PublishedKeys):
            await self._keys.aclose()

    def __repr__(self) -> str:
        return f"JWTVerifier(algorithms={sorted(self._allowed)})"

    async def _judged(self, token: str) -> Mapping[str, Any] | str:
        """Return the claims of a token that is in order, or what is wrong with it."""
        header = _header(token)
        if header is None:
            return "malformed"
        algorithm, key_id = header
        if algorithm not in self._allowed:
            return "algorithm"
        found = self._keys.matching(algorithm, key_id)
        judged: Mapping[str, Any] | str = "key"
        for key in found if isinstance(found, list) else await found:
            judged = self._claims(token, key)
            if judged != "signature":  # another key may have signed it
                break
        return judged

    def _claims(self, token: str, key: VerifyingKey) -> Mapping[str, Any] | str:
        """Return the claims of a token that a key has signed and that is in order now, or what is wrong with it."""
        try:
            claims = jwt.decode(
                token,
                key.value,
                algorithms=[key.algorithm],
                options={**ENFORCED, "require": ["exp"]},  # type: ignore[arg-type]
                audience=self._audience,
                issuer=self._issuer,
            )
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is no token
            return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "malformed")
        return self._untimely(claims) or claims

    def _untimely(self, claims: Mapping[str, Any]) -> str:
        """Return what is wrong with the times of a token by this host's clock (RFC 7519, sections 4.1.4 to 4.1.6)."""
        now = self._clock.time()
        ends, begins = _moment(claims.get("exp")), [claims[name] for name in ("nbf", "iat") if name in claims]
        moments = [_moment(each) for each in begins]
        if ends is None or None in moments:
            return "claims"
        if now >= ends + self._leeway:
            return "expired"
        return "not yet valid" if any(each is not None and now < each - self._leeway for each in moments) else ""

    def _refused(self, reason: str) -> None:
        for events in tuple(self._told):
            events.emit(ContextEvent(name="token.unverified", operation="load", outcome=reason))

    def _fetched(self, failure: str) -> None:
        for events in tuple(self._told):
            if failure:
                events.emit(ContextEvent(name="keys.failed", operation="load", outcome=failure))
            else:
                events.over("keys.failed", "load")


def _header(token: object) -> tuple[str, str | None] | None:
    """Return the algorithm and the key's id that an unverified token names; `None` for what is no JWT that is taken."""
    if not isinstance(token, str) or not usable(token) or token.count(".") != 2:
        return None
    try:
        header = jwt.get_unverified_header(token)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it is no token
        return None
    algorithm, key_id = header.get("alg"), header.get("kid")
    # RFC 7515, section 4.1.11: what has to be understood and is not makes a token invalid. None of it is, here.
    if "crit" in header or "b64" in header or not isinstance(algorithm, str):
        return None
    return algorithm, key_id if isinstance(key_id, str) else None


def _moment(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _names(value: object, where: str) -> list[str] | None:
    if value is None:
        return None
    several = [value] if isinstance(value, str) else value
    if isinstance(several, Sequence) and several and all(isinstance(each, str) and each for each in several):
        return list(several)
    raise ConfigurationError(f"JWTVerifier({where}=...) must be a string, or several, and none of them empty.")
