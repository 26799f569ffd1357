"""What Emporix' sources contradict each other about: each reading can be chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

__all__ = ["Quirks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """How the platform behaves where OpenAPI files, tutorials and storefronts say different things.

    The defaults are what most of them say; a shop should work with every other value, too.

    Args:
        refresh_bearer: which token a customer's refresh has to bring: none (``optional``), or that of an ``anonymous``
            session or of a ``customer``.
        refresh_follows: whose session is refreshed where the refresh token and the bearer are of two.
        refresh_parameter: what a customer's refresh token is called in the query.
        refresh_reuse: whether a refresh token may be used a second time, for anonymous sessions and for customers.
        refresh_names_session: whether a refresh tells the session's id.
        refresh_saas_token: whether a customer's refresh hands out a saas token.
        company_at_refresh: what becomes of the company where a refresh does not name it.
        session_id: how the session's id is spelt in token answers; ``documented`` is ``sessionId`` for anonymous
            sessions and ``session_id`` for customers.
        social_session: what tells a social login which session it goes on with: the bearer, or the ``session-id``
            header alone.
        preferences: whether a customer's preferences overwrite at login what the session had chosen.
        autoprovisioning: whether a token exchange makes an account for somebody unknown, or answers 404.
        initial_password: the type of ``initialPassword``.
        anonymous_customer: whether a context without a customer says ``ANONYMOUS``, or nothing.
        language_at: where contexts have their language: in the ``document`` itself, or as an ``attribute``.
        language_case: how contexts spell the language of their site.
        cart_headers: whether carts need ``session-id`` (guests) and ``saas-token`` (customers).
        cart_site: the site of a cart that names none.
        currency_delay: seconds after which a cart's new currency is seen.
        unpriced_items: what becomes of a cart's new currency where an item has no price in it: it is ``accepted``, and
            the validation names the item, or ``refused``.
        merge_names_cart: whether a merge has the session's context name the customer's cart.
        site_lists: whether sites list all that they offer, or leave out what goes without saying.
        site_missing: the form of the 404 for an unknown site.

    Raises:
        ValueError: a value has no meaning; the text names those that have one.
    """

    refresh_bearer: Literal["optional", "anonymous", "customer"] = "optional"
    refresh_follows: Literal["refresh token", "bearer"] = "refresh token"
    refresh_parameter: Literal["refreshToken", "refresh_token"] = "refreshToken"
    refresh_reuse: Literal["tolerated", "refused"] = "tolerated"
    refresh_names_session: bool = True
    refresh_saas_token: bool = False
    company_at_refresh: Literal["dropped", "kept"] = "dropped"
    session_id: Literal["documented", "sessionId", "session_id"] = "documented"
    social_session: Literal["bearer", "header"] = "bearer"
    preferences: Literal["overwrite", "ignored"] = "overwrite"
    autoprovisioning: bool = True
    initial_password: Literal["boolean", "text"] = "boolean"  # noqa: S105 - a type
    anonymous_customer: Literal["named", "absent"] = "named"
    language_at: Literal["document", "attribute"] = "document"
    language_case: Literal["lower", "upper"] = "lower"
    cart_headers: Literal["optional", "required"] = "optional"
    cart_site: Literal["main", "default"] = "main"
    currency_delay: float = 0.0
    unpriced_items: Literal["accepted", "refused"] = "accepted"
    merge_names_cart: bool = True
    site_lists: Literal["complete", "sparse"] = "complete"
    site_missing: Literal["service", "bare"] = "service"

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            _check(name, kind, getattr(self, name))

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Quirks:
        """Return the quirks that a command line names.

        Args:
            texts: ``name=value`` each.

        Raises:
            ValueError: no such quirk, or no such value.
        """
        chosen: dict[str, Any] = {}
        for text in texts:
            name, equals, value = text.partition("=")
            if not equals or name not in _KINDS:
                raise ValueError(f"{text!r} is no quirk. There are {', '.join(f'{known}=...' for known in _KINDS)}.")
            chosen[name] = _parsed(_KINDS[name], value)
        return cls(**chosen)


def _check(name: str, kind: Any, value: object) -> None:
    allowed = _allowed(kind)
    if allowed and not any(type(value) is type(each) and value == each for each in allowed):
        raise ValueError(f"Quirks({name}=...) is {' or '.join(map(repr, allowed))}.")
    if kind is float and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0):
        raise ValueError(f"Quirks({name}=...) is a number of seconds from 0.")


def _allowed(kind: Any) -> tuple[object, ...]:
    return get_args(kind) if get_origin(kind) is Literal else (True, False) if kind is bool else ()


def _parsed(kind: Any, text: str) -> object:
    if kind is float:
        return float(text)
    return {"true": True, "false": False}.get(text, text) if kind is bool else text


_KINDS: Final[dict[str, Any]] = {each.name: get_type_hints(Quirks)[each.name] for each in fields(Quirks)}
