"""What a request sees of its session context: plain attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .errors import ContextNotLoaded
from .model import view
from .model.document import ContextDocument
from .model.frozen_json import Json
from .model.transition import COMPANY, company_of
from .model.view import NOTHING_KNOWN, Source
from .shared_pages import SharedPages, is_customer

__all__ = ["ContextReading"]

PRICED_BY: Final = {"siteCode": "site_code", "targetCurrency": "currency", "targetLocation": "target_location"}


class ContextReading(SharedPages):
    """The attributes of a context, once it was loaded."""

    @property
    def site_code(self) -> str | None:
        """The effective site: this request's change, else parked change, else document, else default.

        With `resolve`, the address counts more than all but the first, a cookie or a header more than the default.
        """
        return self._effective("site_code")

    @property
    def currency(self) -> str | None:
        """The effective currency (ISO 4217)."""
        return self._effective("currency")

    @property
    def language(self) -> str | None:
        """The effective language tag (BCP 47)."""
        return self._effective("language")

    @property
    def target_location(self) -> str | None:
        """The effective country (ISO 3166-1 alpha-2)."""
        return self._effective("target_location")

    @property
    def attributes(self) -> Mapping[str, Json]:
        """The effective custom attributes, read-only."""
        return view.attributes(self._changes, self._read_more())

    @property
    def document(self) -> ContextDocument | None:
        """The context as Emporix sent it last, without any change that came after."""
        return self._read_more().document

    @property
    def cart_id(self) -> str | None:
        """The cart that Emporix has noted in the session; not one of another company than the customer acts for."""
        document = self._read_more().document
        cart_id = None if document is None else document.cart_id
        session = None if self._visitor is None else self._visitor.session
        return None if session is not None and cart_id is not None and session.hides(cart_id) else cart_id

    @property
    def customer_id(self) -> str | None:
        """The customer, ``"ANONYMOUS"`` or `None` for a guest."""
        document = self._read_more().document
        return None if document is None else document.customer_id

    @property
    def session_id(self) -> str | None:
        """The Emporix session."""
        document = self._read_more().document
        return None if document is None else document.session_id

    @property
    def version(self) -> int | None:
        """The version of `document`."""
        document = self._read_more().document
        return None if document is None else document.version

    @property
    def exists(self) -> bool:
        """Whether Emporix has a context for this session."""
        return self._read_more().document is not None

    @property
    def is_logged_in(self) -> bool:
        """Whether the session belongs to a customer."""
        return is_customer(self._read())

    @property
    def is_stale(self) -> bool:
        """Whether what is shown is older than the cache policy wants."""
        return self._read_more().stale

    @property
    def is_degraded(self) -> bool:
        """Whether Emporix could not be asked and nothing stale could serve."""
        return self._read_more().degraded

    @property
    def is_rejected(self) -> bool:
        """Whether Emporix refused the token."""
        return self._read_more().rejected

    def price_criteria(self) -> dict[str, str]:
        """Return what explicit price matching needs, from what the shopper sees: fields of Emporix' Price Service.

        Prices that are matched by context are those of what Emporix has: while anything is pending they are others.

        Returns:
            ``siteCode``, ``targetCurrency``, ``targetLocation``, and of a customer ``customerId`` and
            ``legalEntityId``, as far as they are known.
        """
        seen = {name: self._effective(field) for name, field in PRICED_BY.items()}
        if self.is_logged_in:
            seen |= {"customerId": self.customer_id, COMPANY: company_of(self._read_more().document)}
        return {name: value for name, value in seen.items() if value}

    @property
    def pending(self) -> Mapping[str, object]:
        """The changes that Emporix has not taken yet: this request's and parked ones.

        Fields by name, attributes by key under ``attributes``, `None` for one that shall be removed.
        """
        return self._changes.over(self._read_more().parked).pending()

    def source(self, field: str) -> Source:
        """Tell where the effective value of a field comes from.

        Args:
            field: the name of a property, or ``attributes.<key>``.

        Raises:
            UnknownField: there is no such field.
        """
        return view.source(field, self._changes, self._read_more(), self._deps.defaults, self._resolved)

    def _read_unless_chosen(self, field: str) -> view.Snapshot:
        """Return what was loaded; what this request has chosen is known whatever the load would find."""
        try:
            return self._read()
        except ContextNotLoaded:
            if field not in self._changes:
                raise
            return NOTHING_KNOWN

    def _effective(self, field: str) -> str | None:
        known = self._known
        if known is None or not self._used:
            known = self._read_unless_chosen(field)
        deps = self._deps
        if deps.resolvers is None:
            return view.switch_value(field, self._changes, known, deps.defaults)
        return view.switch_value(field, self._changes, known, deps.defaults, self._resolved)
