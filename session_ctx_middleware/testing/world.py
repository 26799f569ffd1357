"""What the fake platform does with sessions, tokens, contexts, customers and carts. No HTTP in here."""

from __future__ import annotations

import copy
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from .catalogue import CUSTOMERS, SITES, Customer
from .quirks import Quirks
from .records import Cart, CartKey, Session, Token

__all__ = ["ANONYMOUS", "World"]

ANONYMOUS: Final = "ANONYMOUS"
COMPANY: Final = "legalEntityId"
WISHLIST: Final = "wishlist"
ACCESS_SECONDS: Final = 3599
REFRESH_SECONDS: Final = 86399
CUSTOMER_SECONDS: Final = 2591999
PATCHABLE: Final[tuple[str, ...]] = ("siteCode", "currency", "targetLocation", "language", "context")
FIELDS: Final[Mapping[str, str]] = {
    "site_code": "siteCode",
    "currency": "currency",
    "language": "language",
    "target_location": "targetLocation",
    "customer_id": "customerId",
    "cart_id": "cartId",
    "attributes": "context",
}


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class World:
    """The state of one tenant: its sessions and carts by id, its tokens by value, its customers by e-mail address.

    Args:
        context_at: when a context appears: with the first cart, or after anonymous login.
        context_delay: seconds after login until it appears.
        replica_lag: seconds for which a GET still answers what was before a write.
        same_values_raise_version: whether a PATCH that changes nothing raises the version.
        quirks: which of the readings that contradict each other are true.
        more_sites: how many sites there are besides those of the catalogue.
        rng: where ids and tokens come from.
        now: seconds since the epoch.
    """

    context_at: Literal["cart", "login"]
    context_delay: float
    replica_lag: float
    same_values_raise_version: bool
    quirks: Quirks
    more_sites: int
    rng: random.Random
    now: Callable[[], float]
    sessions: dict[str, Session] = field(init=False, default_factory=dict)
    access: dict[str, Token] = field(init=False, default_factory=dict)
    refresh: dict[str, Token] = field(init=False, default_factory=dict)
    saas: dict[str, Token] = field(init=False, default_factory=dict)
    codes: dict[str, str] = field(init=False, default_factory=dict)
    carts: dict[str, Cart] = field(init=False, default_factory=dict)
    customers: dict[str, Customer] = field(init=False, default_factory=lambda: dict(CUSTOMERS))
    orders: dict[str, dict[str, Any]] = field(init=False, default_factory=dict)
    unpriced: set[tuple[str, str]] = field(init=False, default_factory=set)
    sites: dict[str, dict[str, Any]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.sites.update(SITES)
        for code in (f"site-{number:03}" for number in range(self.more_sites)):
            self.sites[code] = {**SITES["main"], "code": code, "default": False}

    # Sessions and tokens

    def new_id(self) -> str:
        """Return a random UUID."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def new_secret(self) -> str:
        """Return an opaque token of 28 characters, as the platform's gateway makes them."""
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        return "".join(self.rng.choices(letters, k=28))

    def new_session(self, seed: Mapping[str, Any] | None = None, *, appears: bool = True) -> Session:
        """Begin an anonymous session.

        Args:
            seed: fields, by Emporix' names, that its context begins with.
            appears: whether its context appears when the settings say so, or only when it is created.
        """
        appears_at = self.now() + self.context_delay if appears and self.context_at == "login" else None
        session = Session(self.new_id(), dict(seed or {}), appears_at=appears_at)
        self.sessions[session.session_id] = session
        return session

    def issue(self, session: Session | None, seconds: float, scope: str = "", **of: Any) -> str:
        """Hand out an access token; `of` says which ``customer`` it is of, and which ``company``."""
        value = self.new_secret()
        self.access[value] = Token(self.now() + seconds, session, scope, **of)
        return value

    def issue_refresh(self, session: Session, seconds: float = REFRESH_SECONDS, **of: Any) -> str:
        """Hand out a refresh token."""
        value = self.new_secret()
        self.refresh[value] = Token(self.now() + seconds, session, **of)
        return value

    def redeem(self, value: str) -> Token | None:
        """Return what a refresh token stands for, and take it back where it is good for one time."""
        token = self.valid(self.refresh, value)
        if token is not None and self.quirks.refresh_reuse == "refused":
            del self.refresh[value]
        return token

    def valid(self, tokens: Mapping[str, Token], value: str) -> Token | None:
        """Return a token that was handed out and has not ended."""
        token = tokens.get(value)
        return token if token is not None and self.now() < token.ends_at else None

    # Contexts

    def create(self, session: Session, *, at: float | None = None, **fields: Any) -> None:
        """Make a session's context appear, now or at an earlier moment, as login asked or with the site's defaults."""
        site = self.site(fields.get("siteCode") or session.seed.get("siteCode"))
        moment = self.now() if at is None else at
        stamp = self._stamp(moment)
        context: dict[str, Any] = {
            "sessionId": session.session_id,
            "customerId": session.customer.customer_id if session.customer else self._nobody(),
            "siteCode": site["code"],
            "currency": site["currency"],
            "targetLocation": site["homeBase"]["address"]["country"],
            "language": self._cased(site["defaultLanguage"]),
            **session.seed,
            **fields,
            "metadata": {"version": 1, "createdAt": stamp, "modifiedAt": stamp},
        }
        if self.quirks.language_at == "attribute":
            context["context"] = {"language": context.pop("language"), **(context.get("context") or {})}
        session.write(_without_absent(context), moment)

    def current(self, session: Session) -> dict[str, Any] | None:
        """Return a session's context as it is now."""
        due = session.take_appearance(self.now())
        if due is not None:
            self.create(session, at=due)  # when it was due, not when somebody first looked
        return session.context

    def seen(self, session: Session) -> dict[str, Any] | None:
        """Return a session's context as a replica sees it."""
        self.current(session)
        moment = self.now() - self.replica_lag
        states = [state for written, state in session.history if written <= moment]
        if self.replica_lag <= 0 or not session.history:
            return session.context
        return states[-1] if states else session.history[0][1]

    def change(self, session: Session, fields: Mapping[str, Any]) -> int:
        """Change a context, and return the version that this makes."""
        known = self.current(session)
        if known is None:
            raise LookupError("this session has no context")
        context = {**copy.deepcopy(known), **fields}
        metadata, moment = context["metadata"], self.now()
        metadata.update(version=metadata["version"] + 1, modifiedAt=self._stamp(moment))
        session.write(_without_absent(context), moment)
        return int(metadata["version"])

    def raises_version(self, context: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
        """Tell whether a PATCH with these fields makes a new version."""
        return self.same_values_raise_version or any(context.get(name) != value for name, value in fields.items())

    def rewrite(self, session: Session, document: Mapping[str, Any]) -> None:
        """Replace a context as a whole, its version included."""
        session.write(dict(document), self.now())
        session.cancel_appearance()

    def delete(self, session: Session) -> None:
        """Make a context vanish."""
        session.write(None, self.now())
        session.cancel_appearance()

    # Customers and carts

    def log_in(self, session: Session, customer: Customer) -> None:
        """Make a session a customer's; the customer's preferences overwrite what was chosen before."""
        preferences = customer.preferences if self.quirks.preferences == "overwrite" else {}
        session.log_in(customer)
        if self.current(session) is not None:
            self.change(session, {"customerId": customer.customer_id, **preferences})
        else:
            session.seed.update(preferences)

    def scope_to(self, session: Session, company: str | None) -> None:
        """Let a session's context name the company that its customer acts for, or none."""
        context = self.current(session)
        attributes = dict((session.seed if context is None else context).get("context") or {})
        if attributes.get(COMPANY) == company:
            return
        attributes[COMPANY] = company
        known = {"context": {key: value for key, value in attributes.items() if value is not None}}
        if context is None:
            session.seed.update(known)
        else:
            self.change(session, known)

    def customer(self, email: object, password: object) -> Customer | None:
        """Return the customer with these credentials."""
        found = self.customers.get(str(email))
        return found if found is not None and found.password == password else None

    def register(self, email: str) -> Customer:
        """Return the customer with this address, a new one where there is none yet."""
        number = f"C{len(self.customers) + 1:04}"
        return self.customers.setdefault(email, Customer(number, email, self.new_secret()))

    def site(self, code: object) -> dict[str, Any]:
        """Return a site; the main one for a code that there is not."""
        return self.sites.get(str(code), self.sites["main"])

    def open_cart(self, key: CartKey) -> Cart | None:
        """Return the cart of a key."""
        return next((cart for cart in self.carts.values() if cart.key == key), None)

    def new_order(self, order: Mapping[str, Any]) -> str:
        """Keep an order, and return its id."""
        order_id = f"EON{1000 + len(self.orders)}"
        self.orders[order_id] = dict(order)
        return order_id

    def new_cart(self, session: Session, key: CartKey, currency: str) -> Cart:
        """Create a cart; a shopping cart is noted in the session's context, which appears with the first one."""
        cart_id, stamp = f"{self.rng.getrandbits(96):024x}", self._stamp(self.now())
        cart = self.carts[cart_id] = Cart(cart_id, key, currency, stamp)
        if key.kind == WISHLIST:
            return cart
        if self.current(session) is None:
            self.create(session, cartId=cart.cart_id)
        else:
            self.change(session, {"cartId": cart.cart_id})
        return cart

    def _nobody(self) -> str | None:
        return ANONYMOUS if self.quirks.anonymous_customer == "named" else None

    def _cased(self, language: str) -> str:
        return language.upper() if self.quirks.language_case == "upper" else language

    def _stamp(self, moment: float) -> str:
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _without_absent(context: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is `None`, and an attribute map without attributes."""
    return {key: value for key, value in context.items() if value is not None and (key, value) != ("context", {})}
