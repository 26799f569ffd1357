"""What becomes of a shopper's session, choices and cart when he gets another token. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from ..credentials import StorefrontToken
from .carts import CartMerge
from .document import ContextDocument, Value
from .personal import Personal
from .view import Snapshot

__all__ = [
    "ANONYMOUS",
    "COMPANY",
    "Belongings",
    "Follows",
    "Side",
    "Transition",
    "TransitionKind",
    "company_of",
    "customer_of",
    "fate",
    "is_another",
    "kind_of",
]

TransitionKind: TypeAlias = Literal["login", "logout", "company", "refresh", "replaced"]
Follows: TypeAlias = Literal["everything", "choices", "nothing"]
"""What a shopper takes along: also attributes that wait, just the four switches, or nothing at all."""

ANONYMOUS: Final = "ANONYMOUS"
"""What some contexts name as the customer of a guest's session; others name nobody."""
COMPANY: Final = "legalEntityId"
"""The attribute in which contexts name the company that a customer acts for."""


def customer_of(document: ContextDocument) -> str | None:
    """Return the customer of a context, `None` for a guest."""
    return None if document.customer_id == ANONYMOUS else document.customer_id


def company_of(document: ContextDocument | None) -> str | None:
    """Return the company that the customer of a context acts for, `None` for none."""
    company = None if document is None else document.attributes.get(COMPANY)
    return company if isinstance(company, str) else None


@dataclass(frozen=True, slots=True)
class Transition:
    """What has become of a session that went over to another token.

    Args:
        kind: what happened: ``login``, ``logout``, ``company``, ``refresh``, or ``replaced`` by another session of the
            same shopper.
        session_kept: whether the session at Emporix is the same.
        kept: the names of fields that the shopper has as before; attributes that wait as ``attributes.<key>``.
        dropped: the names of those that he had before and has no more.
        cart: what became of a guest's cart at a login; `None` without ``carts=CartFollows()``.
    """

    kind: TransitionKind
    session_kept: bool
    kept: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    cart: CartMerge | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Side(Personal):
    """Whose a token is, as far as anybody has told.

    Args:
        session_id: of the session; `None` where nobody has told it.
        customer_id: `None` for a guest.
        company: the legal entity that the customer acts for.
        is_known: whether Emporix could be asked, and took the token.
    """

    session_id: str | None = None
    customer_id: str | None = None
    company: str | None = None
    is_known: bool = False

    @classmethod
    def of(cls, known: Snapshot, session_id: str | None) -> Side:
        """Return what a read has found.

        Args:
            known: what it found. Who has no context yet counts as a guest.
            session_id: of the token, as told otherwise.
        """
        document, is_known = known.document, not (known.degraded or known.rejected)
        if document is None:
            return cls(session_id, is_known=is_known)
        customer = customer_of(document)
        return cls(document.session_id or session_id, customer, company_of(document), is_known)


@dataclass(frozen=True, slots=True, repr=False)
class Belongings(Personal):
    """What a shopper has before he gets another token.

    Args:
        token: that he has; `None` for none.
        side: whose it is.
        document: the context.
        switches: the values that the shopper sees, but for the shop's defaults.
        chosen: when he has chosen those, as far as is known here or to his browser, in seconds since the epoch.
        waiting: the changes of attributes that Emporix does not have yet, by their paths.
    """

    token: StorefrontToken | None
    side: Side
    document: ContextDocument | None = None
    switches: Mapping[str, str] = field(default_factory=dict)
    chosen: Mapping[str, float] = field(default_factory=dict)
    waiting: Mapping[str, Value] = field(default_factory=dict)

    @property
    def cart_id(self) -> str | None:
        """The cart that the context names."""
        return None if self.document is None else self.document.cart_id


def kind_of(before: Side, after: Side) -> TransitionKind:
    """Return what a change of tokens that somebody else has made amounts to."""
    same = before.session_id is not None and before.session_id == after.session_id
    if before.is_known and after.is_known:
        if before.customer_id != after.customer_id:
            return "logout" if after.customer_id is None else "login"
        if before.company != after.company:
            return "company"
    return "refresh" if same else "replaced"


def is_another(before: Side, after: Side) -> bool:
    """Tell whether what belonged to the one before may not be shown to the one after: in doubt it may not."""
    if not before.is_known:
        return before.session_id is None or before.session_id != after.session_id
    return before.customer_id is not None and (not after.is_known or after.customer_id != before.customer_id)


def fate(
    before: Belongings, after: ContextDocument | None, kind: TransitionKind, *, session_kept: bool
) -> dict[str, bool]:
    """Return which fields of a context that only Emporix writes, and of its attributes, the shopper still has.

    Args:
        before: what there was.
        after: the context now, `None` where nobody knows it.
        kind: what happened; a cart does not go along to another company.
        session_kept: whether it is that of the same session.
    """
    was = before.document
    if was is None:
        return {}
    found: dict[str, bool] = {}
    if was.cart_id is not None:
        found["cart_id"] = session_kept and kind != "company" and (after is None or after.cart_id == was.cart_id)
    if before.side.customer_id is not None:
        found["customer_id"] = after is not None and after.customer_id == before.side.customer_id
    if was.attributes:
        found["attributes"] = session_kept and (after is None or was.attributes.keys() <= after.attributes.keys())
    return found
