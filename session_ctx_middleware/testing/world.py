"""What the fake platform knows: sessions, tokens, contexts, customers, carts. No HTTP in here."""

from __future__ import annotations

import copy
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from .catalogue import CUSTOMERS, SITES, Customer

__all__ = ["ANONYMOUS", "Cart", "Session", "Token", "World"]

ANONYMOUS: Final = "ANONYMOUS"
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


@dataclass(slots=True, repr=False)
class Session:
    """A browser session, with or without a context.

    Args:
        session_id: its id.
        seed: fields, by Emporix' names, that its context begins with.
        customer: who is logged in.
        context: the context as it is now.
        history: what the context was since when, in seconds since the epoch; the last 20 states.
        appears_at: when a context appears by itself, in seconds since the epoch; `None` for never.
    """

    session_id: str
    seed: dict[str, Any] = field(default_factory=dict)
    customer: Customer | None = None
    context: dict[str, Any] | None = None
    history: list[tuple[float, dict[str, Any] | None]] = field(default_factory=list)
    appears_at: float | None = None

    def log_in(self, customer: Customer) -> None:
        """Make the session a customer's."""
        self.customer = customer

    def write(self, context: dict[str, Any] | None, moment: float) -> None:
        """Replace the context, and note since when it is what it is."""
        if not self.history:
            self.history.append((float("-inf"), self.context))
        self.context = copy.deepcopy(context)  # the caller, and the recorded call, keep their own
        self.history.append((moment, copy.deepcopy(context)))
        del self.history[:-20]

    def take_appearance(self, now: float) -> float | None:
        """Return since when a context should be there that is not, and count it as there; `None` for none."""
        due = self.appears_at
        if self.context is not None or due is None or now < due:
            return None
        self.appears_at = None
        return due

    def cancel_appearance(self) -> None:
        """Let no context appear by itself."""
        self.appears_at = None


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A token that was handed out; `session` is `None` for a service token."""

    ends_at: float
    session: Session | None = None
    scope: str = ""


@dataclass(slots=True, repr=False)
class Cart:
    """A shopping cart."""

    cart_id: str
    session_id: str
    site_code: str
    currency: str
    created_at: str
    items: list[dict[str, Any]] = field(default_factory=list)

    def move(self, site_code: str, currency: str) -> None:
        """Move the cart to another site, with that site's currency."""
        self.site_code = site_code
        self.currency = currency

    def change_currency(self, currency: str) -> None:
        """Have everything priced in another currency."""
        self.currency = currency

    def add(self, item: Mapping[str, Any]) -> str:
        """Put an item into the cart, and return its id."""
        item_id = str(len(self.items))
        self.items.append({"quantity": 1, "effectiveQuantity": 1, **item, "id": item_id})
        return item_id


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class World:
    """The state of one tenant: its sessions and carts by id, its tokens by value, customer ids by saas token.

    Args:
        context_at: when a context appears: with the first cart, or after anonymous login.
        context_delay: seconds after login until it appears.
        replica_lag: seconds for which a GET still answers what was before a write.
        same_values_raise_version: whether a PATCH that changes nothing raises the version.
        rng: where ids and tokens come from.
        now: seconds since the epoch.
    """

    context_at: Literal["cart", "login"]
    context_delay: float
    replica_lag: float
    same_values_raise_version: bool
    rng: random.Random
    now: Callable[[], float]
    sessions: dict[str, Session] = field(init=False, default_factory=dict)
    access: dict[str, Token] = field(init=False, default_factory=dict)
    refresh: dict[str, Token] = field(init=False, default_factory=dict)
    saas: dict[str, str] = field(init=False, default_factory=dict)
    carts: dict[str, Cart] = field(init=False, default_factory=dict)

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

    def issue(self, session: Session | None, seconds: float, scope: str = "") -> str:
        """Hand out an access token."""
        value = self.new_secret()
        self.access[value] = Token(self.now() + seconds, session, scope)
        return value

    def issue_refresh(self, session: Session) -> str:
        """Hand out a refresh token."""
        value = self.new_secret()
        self.refresh[value] = Token(self.now() + REFRESH_SECONDS, session)
        return value

    def valid(self, tokens: Mapping[str, Token], value: str) -> Token | None:
        """Return a token that was handed out and has not ended."""
        token = tokens.get(value)
        return token if token is not None and self.now() < token.ends_at else None

    # Contexts

    def create(self, session: Session, *, at: float | None = None, **fields: Any) -> None:
        """Make a session's context appear, now or at an earlier moment, as login asked or with the site's defaults."""
        site = SITES.get(fields.get("siteCode") or session.seed.get("siteCode") or "main", SITES["main"])
        moment = self.now() if at is None else at
        stamp = self._stamp(moment)
        context: dict[str, Any] = {
            "sessionId": session.session_id,
            "customerId": session.customer.customer_id if session.customer else ANONYMOUS,
            "siteCode": site["code"],
            "currency": site["currency"],
            "targetLocation": site["homeBase"]["address"]["country"],
            "language": site["defaultLanguage"],
            **session.seed,
            **fields,
            "metadata": {"version": 1, "createdAt": stamp, "modifiedAt": stamp},
        }
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
        session.log_in(customer)
        if self.current(session) is not None:
            self.change(session, {"customerId": customer.customer_id, **customer.preferences})
        else:
            session.seed.update(customer.preferences)

    def customer(self, email: object, password: object) -> Customer | None:
        """Return the customer with these credentials."""
        found = CUSTOMERS.get(str(email))
        return found if found is not None and found.password == password else None

    def open_cart(self, session: Session, site_code: str) -> Cart | None:
        """Return the session's cart of a site."""
        mine = (cart for cart in self.carts.values() if cart.session_id == session.session_id)
        return next((cart for cart in mine if cart.site_code == site_code), None)

    def new_cart(self, session: Session, site_code: str, currency: str) -> Cart:
        """Create a cart and note it in the session's context, which appears with the first one."""
        cart_id, stamp = f"{self.rng.getrandbits(96):024x}", self._stamp(self.now())
        cart = Cart(cart_id, session.session_id, site_code, currency, stamp)
        self.carts[cart.cart_id] = cart
        if self.current(session) is None:
            self.create(session, cartId=cart.cart_id)
        else:
            self.change(session, {"cartId": cart.cart_id})
        return cart

    def _stamp(self, moment: float) -> str:
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _without_absent(context: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is `None`, and an attribute map without attributes."""
    return {key: value for key, value in context.items() if value is not None and (key, value) != ("context", {})}
