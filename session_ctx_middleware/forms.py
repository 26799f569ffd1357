"""The session context of a request as plain JSON values."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from .model.fields import SWITCHES
from .model.frozen_json import plain
from .model.unmodelled import Unmodelled

__all__ = ["PlainForm"]

SHOWN: Final = (*SWITCHES, "cart_id", "is_logged_in", "exists", "attributes")
"""What pages show. Session, customer and version are of no use there, and do no good in a log."""


class PlainForm(Unmodelled):
    """Gives the effective values that pages show, for `json`, JSON responses, FastAPI and templates."""

    def to_dict(self) -> dict[str, object]:
        """Return site, currency, language, location, cart, whether the shopper is logged in, and the attributes.

        Returns:
            Plain values that may be changed: neither the session nor the customer nor the version is among them.

        Raises:
            ContextNotLoaded: the context has not been loaded.
        """
        return {name: plain(getattr(self, name)) for name in SHOWN}

    def __iter__(self) -> Iterator[tuple[str, object]]:
        """Yield the pairs of `to_dict`, so that ``dict(ctx)`` works; FastAPI's encoder tries that."""
        return iter(self.to_dict().items())

    @property
    def __pydantic_serializer__(self) -> Any:
        """What pydantic asks an object that it does not know for, when FastAPI encodes a typed return value."""
        return _serializer()


@cache
def _serializer() -> Any:
    try:
        from pydantic_core import SchemaSerializer, core_schema
    except ImportError:
        raise AttributeError("Without pydantic there is no __pydantic_serializer__.") from None
    written = core_schema.plain_serializer_function_ser_schema(PlainForm.to_dict)
    return SchemaSerializer(core_schema.any_schema(serialization=written))
