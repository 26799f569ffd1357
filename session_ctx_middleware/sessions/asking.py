"""Asking functions of the shop, whose errors break no page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from starlette.requests import HTTPConnection

from ..events import ContextEvent, Events

__all__ = ["careful"]

T = TypeVar("T")

BEGIN: Final = "begin"


def careful(
    function: Callable[[HTTPConnection], T], events: Events, name: str, *, otherwise: T
) -> Callable[[HTTPConnection], T]:
    """Return a function of the shop that breaks no page: where it raises, that is told, and `otherwise` counts."""

    def asked(connection: HTTPConnection) -> T:
        try:
            return function(connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, only its class is told
            events.emit(ContextEvent(name=name, operation=BEGIN, outcome=type(error).__name__))
            return otherwise

    return asked
