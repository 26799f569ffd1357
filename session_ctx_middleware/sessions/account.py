"""Who is logged in, and for whom he acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..emporix import Company
from ..model.personal import Personal
from .kept import KeptSession

__all__ = ["Account", "Companies", "CompanyState"]

CompanyState: TypeAlias = Literal["b2c", "b2b", "unresolved"]


@dataclass(frozen=True, slots=True, repr=False)
class Account(Personal):
    """Who is logged in, as far as the session itself says; Emporix is not asked.

    Args:
        is_customer: whether a customer is.
        legal_entity_id: the company that he acts for, `None` for none.
        needs_login_for_checkout: whether he has to log in again before a checkout: his saas token has ended, or there
            is none, and a refresh brings no other.
        is_assisted: whether somebody of the shop's staff acts for him.
    """

    is_customer: bool = False
    legal_entity_id: str | None = None
    needs_login_for_checkout: bool = False
    is_assisted: bool = False

    def _outline(self) -> str:
        return "customer" if self.is_customer else "guest"

    @classmethod
    def of(cls, kept: KeptSession | None, now: float) -> Account:
        """Return what a session says.

        Args:
            kept: the session, `None` where there is none.
            now: seconds since the epoch.
        """
        if kept is None or not kept.is_customer:
            return cls()
        return cls(
            is_customer=True,
            legal_entity_id=kept.legal_entity_id or None,
            needs_login_for_checkout=kept.good_saas_token(now) is None,
            is_assisted=kept.is_assisted,
        )


@dataclass(frozen=True, slots=True, repr=False)
class Companies(Personal):
    """The companies that a customer may act for.

    Args:
        every: all of them.
        active: the id of the one that he acts for now, `None` for none.
    """

    every: tuple[Company, ...] = ()
    active: str | None = None

    def _outline(self) -> str:
        return self.state

    @property
    def state(self) -> CompanyState:
        """``b2b`` for who acts for a company, ``b2c`` for who has none, ``unresolved`` for who has to choose one."""
        if self.active is not None:
            return "b2b"
        return "unresolved" if self.every else "b2c"
