"""What is kept of a shopper's session from one request to the next: its tokens, and when they end."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from ..cbor import dumps, loads
from ..checks import is_visible
from ..credentials import StorefrontToken
from ..emporix import TokenAnswer
from ..model.personal import Personal

__all__ = ["RENEW_BEFORE", "KeptSession"]

RENEW_BEFORE: Final = 120.0
"""Seconds before its end from which on an access token is renewed."""
SKEW: Final = 3600.0
"""Seconds by which clocks of hosts may differ before one of them gives up a session that Emporix would go on with."""
SOONER: Final = 0.5
"""Share of its life that a token is used at least: one that lives for a minute is not renewed with every request."""
MAX_TEXT: Final = 8 * 1024
SAAS_SECONDS: Final = 4 * 3600.0
"""Seconds for which a saas token is good whose text does not say so."""
FIELDS: Final = 9
LATER: Final = (0, 0, 0, "", "", 0, "", "", "")
"""What counts where an earlier release has kept a session, and did not know these fields."""
MOST: Final = 1_000_000
FINGERPRINT: Final = 12
UNTOLD: Final = 24 * 3600.0
"""Seconds for which a refresh token is kept in a store where nobody has told when it ends."""


@dataclass(frozen=True, slots=True, repr=False)
class KeptSession(Personal):
    """The tokens of one session; moments are seconds since the epoch.

    Args:
        access_token: goes behind ``Bearer``.
        access_ends: when it ends.
        renew_at: from when on it is renewed.
        refresh_token: gets the next access token; empty where there is none.
        refresh_ends: when that ends; 0 where nobody knows.
        session_id: of the Emporix session; empty where nobody has told it.
        saas_token: of a customer, for carts and orders; empty for guests.
        legal_entity_id: the company that a customer acts for; empty where that is none.
        is_customer: whether these are a customer's tokens, which are refreshed elsewhere than a guest's.
        era: how often the shopper had logged out in this browser before; a session of an earlier era is nobody's.
        generation: how many others of its era it has followed; of several the last one counts, however late the answers
            come that keep them.
        saas_ends: when the saas token ends.
        guest_refresh: gets a guest's token of the session that the customer has logged in to; empty for none.
        who: a fingerprint of who has logged in; empty where nobody knows, or for guests.
        is_assisted: whether somebody of the shop's staff acts for the customer.
        key: the id that it is kept under in a store; empty where the browser has it all.
        left_cart: a fingerprint of the cart that the customer had when he went over to another company.
        left_company: the company that it is of; empty for none.
    """

    access_token: str
    access_ends: float
    renew_at: float
    refresh_token: str = ""
    refresh_ends: float = 0.0
    session_id: str = ""
    saas_token: str = ""
    legal_entity_id: str = ""
    is_customer: bool = False
    era: int = 0
    generation: int = 0
    saas_ends: float = 0.0
    guest_refresh: str = ""
    who: str = ""
    is_assisted: bool = False
    key: str = ""
    left_cart: str = ""
    left_company: str = ""

    @classmethod
    def granted(cls, answer: TokenAnswer, now: float, *, is_customer: bool = False) -> KeptSession:
        """Return what an answer that begins a session gives.

        Args:
            answer: of a token endpoint.
            now: when it was asked for.
            is_customer: whether a customer has logged in.
        """
        fresh = cls("", 0.0, 0.0, is_customer=is_customer)
        return fresh.renewed(answer, now)

    def renewed(self, answer: TokenAnswer, now: float) -> KeptSession:
        """Return the same session with the tokens of an answer; what that leaves out stays as it was.

        Args:
            answer: of a refresh.
            now: when it was asked for.
        """
        ends = now + answer.expires_in
        refresh_ends = self.refresh_ends
        if answer.refresh_token is not None:
            refresh_ends = now + (answer.refresh_expires_in or 0.0) if answer.refresh_expires_in else 0.0
        renew_at = ends - min(RENEW_BEFORE, SOONER * answer.expires_in)
        if self.is_customer and answer.refresh_expires_in:
            # It ends weeks before the access token, and with it the way to another company, or to other tokens at all.
            renew_at = min(renew_at, now + SOONER * answer.refresh_expires_in)
        return replace(
            self,
            access_token=answer.access_token,
            access_ends=ends,
            renew_at=renew_at,
            refresh_token=answer.refresh_token or self.refresh_token,
            refresh_ends=refresh_ends,
            session_id=answer.session_id or self.session_id,
            saas_token=answer.saas_token or self.saas_token,
            saas_ends=now + SAAS_SECONDS if answer.saas_token else self.saas_ends,
        )

    def following(self, before: KeptSession | None, era: int) -> KeptSession:
        """Return the same session in the place of another one of its browser.

        Args:
            before: the other one, `None` where there was none.
            era: of the browser.
        """
        era = era if before is None else max(era, before.era)
        generation = before.generation + 1 if before is not None and before.era == era else 0
        return replace(self, era=era, generation=generation, key="")

    def leaving(self, cart_id: str | None) -> KeptSession:
        """Return the same session, whose cart stays with the company that the customer acts for so far.

        Args:
            cart_id: of that cart, `None` where there is none.
        """
        if cart_id is None or self.hides(cart_id):
            return self
        return replace(self, left_cart=_fingerprint(cart_id), left_company=self.legal_entity_id)

    def hides(self, cart_id: str) -> bool:
        """Tell whether a cart is of another company than the one that the customer acts for now."""
        if not self.left_cart or self.left_company == self.legal_entity_id:
            return False
        return _fingerprint(cart_id) == self.left_cart

    @property
    def ticket(self) -> KeptSession:
        """What a browser needs of a session that is kept elsewhere: its id, and which of several it is."""
        return KeptSession(
            "",
            self.access_ends,
            0.0,
            refresh_ends=self.refresh_ends,
            era=self.era,
            generation=self.generation,
            key=self.key,
        )

    def lives_for(self, now: float) -> float:
        """Return for how many seconds it may be of use; hosts whose clocks differ agree on that."""
        ends = self.refresh_ends if self.refresh_ends or not self.refresh_token else now + UNTOLD
        return max(1.0, max(ends, self.access_ends) + SKEW - now)

    @property
    def line(self) -> tuple[int, int]:
        """What a later session of the same browser has a higher one of."""
        return self.era, self.generation

    @property
    def token(self) -> StorefrontToken:
        """The access token, and what is known about it."""
        return StorefrontToken(self.access_token, self.session_id or None, self.access_ends)

    def good_saas_token(self, now: float) -> str | None:
        """Return the saas token, `None` where there is none, or its ``exp`` has passed."""
        if not self.saas_token:
            return None
        ends = StorefrontToken(self.saas_token, expires_at=self.saas_ends or None).ends_at()
        return None if ends is not None and ends <= now else self.saas_token

    def should_live(self, now: float) -> bool:
        """Tell of a ticket whether its session has not ended of itself."""
        return now < max(self.access_ends, self.refresh_ends)

    def is_good(self, now: float) -> bool:
        """Tell whether the access token has not ended."""
        return now < self.access_ends

    def is_due(self, now: float) -> bool:
        """Tell whether the access token should be renewed, and can be."""
        return now >= self.renew_at and bool(self.refresh_token) and not self._is_past_refresh(now)

    def is_over(self, now: float) -> bool:
        """Tell whether neither token can be of use any more; hosts whose clocks differ agree on that."""
        return (not self.refresh_token or self._is_past_refresh(now)) and not self.is_good(now)

    def _is_past_refresh(self, now: float) -> bool:
        return 0 < self.refresh_ends <= now - SKEW

    def encode(self) -> bytes:
        """Return it as bytes, without those that end soon of themselves."""
        return dumps(
            [
                self.access_token,
                round(self.access_ends),
                round(self.renew_at),
                self.refresh_token,
                round(self.refresh_ends),
                self.session_id,
                self.saas_token,
                self.legal_entity_id,
                int(self.is_customer),
                self.era,
                self.generation,
                round(self.saas_ends),
                self.guest_refresh,
                self.who,
                int(self.is_assisted),
                self.key,
                self.left_cart,
                self.left_company,
            ]
        )

    @classmethod
    def decode(cls, data: bytes) -> KeptSession | None:
        """Return what was encoded, `None` for anything else; what a later release has added at the end is left out."""
        try:
            found = loads(data)
        except ValueError:
            return None
        if not isinstance(found, list) or len(found) < FIELDS:
            return None
        every = [*found, *LATER[len(found) - FIELDS :]] if len(found) < FIELDS + len(LATER) else found
        access, ends, renew_at, refresh, refresh_ends, session, saas, company, customer = every[:FIELDS]
        era, generation, saas_ends, guest_refresh, who, assisted, key, left_cart, left_company = every[
            FIELDS : FIELDS + len(LATER)
        ]
        texts = (refresh, session, saas, company, guest_refresh, who, key, left_cart, left_company)
        if not all(isinstance(text, str) and len(text) <= MAX_TEXT for text in texts) or not _has_token(access, key):
            return None
        if not all(_is_moment(moment) for moment in (ends, renew_at, refresh_ends, saas_ends)):
            return None
        if not all(_is_count(count) for count in (era, generation)):
            return None
        return cls(
            access,
            ends,
            renew_at,
            refresh,
            refresh_ends,
            session,
            saas,
            company,
            bool(customer),
            era,
            generation,
            saas_ends,
            guest_refresh,
            who,
            bool(assisted),
            key,
            left_cart,
            left_company,
        )


def _fingerprint(cart_id: str) -> str:
    return sha256(cart_id.encode("utf-8", "surrogatepass")).hexdigest()[:FINGERPRINT]


def _has_token(access: object, key: str) -> bool:
    return is_visible(access) or (access == "" and key != "")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST


def _is_moment(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
