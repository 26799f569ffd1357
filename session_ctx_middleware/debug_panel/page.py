"""The page: the last requests, newest first, each with what its context had and what that took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..events import ContextEvent
from ..health import Health, Monitored
from ..observing import Call
from .attribution import OwnedCall, calls_of
from .markup import Html, element, joined
from .records import RequestRecord
from .request_view import calls_table, events_list, request_view
from .style import STYLE

__all__ = ["Shown", "page"]

NOBODY_YET: Final = "No request has touched its session context yet. Open a page of the shop, then reload this one."
ELSEWHERE: Final = "What is of no request in particular: background calls, and news of the middleware."
PARTS: Final = {"emporix": "Emporix", "breaker": "breaker", "store": "store"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the page shows.

    Args:
        middleware: that serves it.
        records: of requests, the oldest first.
        calls: that were made.
        elsewhere: events of no request.
        untouched: how many requests did not touch their context.
    """

    middleware: Monitored
    records: Sequence[RequestRecord]
    calls: Sequence[OwnedCall]
    elsewhere: Sequence[ContextEvent]
    untouched: int


def page(shown: Shown) -> str:
    """Return the page as HTML."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width"),
        element("title", "Session context"),
        element("style", Html(STYLE)),
    )
    body = element("body", _header(shown.middleware), element("main", *_sections(shown)))
    return "<!doctype html>" + element("html", head, body, lang="en")


def _header(middleware: Monitored) -> Html:
    health: Health = middleware.health()
    well = [
        element("li", f"{word}: ", _word("well" if getattr(health, part) else "not well", good=getattr(health, part)))
        for part, word in PARTS.items()
    ]
    counted = [
        element("li", f"{name}: {count}") for name, count in middleware.stats().items() if count and "." not in name
    ]
    return element(
        "header",
        element("h1", "Session context"),
        element("ul", *well, class_="facts"),
        element("ul", *counted, class_="facts quiet"),
    )


def _sections(shown: Shown) -> list[Html]:
    calls, shared = calls_of(shown.records, shown.calls)
    several = len({record.tenant for record in shown.records}) > 1
    requests = [
        element("li", request_view(record, calls[record.number], tenant=several, is_open=number == 0))
        for number, record in enumerate(reversed(shown.records))
    ]
    return [
        element("h2", "Requests"),
        element("p", _summary(shown), class_="quiet"),
        element("ol", *requests, class_="requests", reversed=True),
        *_elsewhere(shared, shown.elsewhere),
    ]


def _summary(shown: Shown) -> str:
    if not shown.records:
        return NOBODY_YET
    number = shown.untouched
    others = f" {number} other{'' if number == 1 else 's'} did not touch it, and paid nothing." if number else ""
    return f"The last {len(shown.records)} that touched their session context, newest first.{others}"


def _elsewhere(calls: Sequence[Call], events: Sequence[ContextEvent]) -> list[Html]:
    tables = [*calls_table(calls, None), *events_list(events)]
    return [element("h2", "Elsewhere"), element("p", ELSEWHERE, class_="quiet"), joined(*tables)] if tables else []


def _word(text: str, *, good: bool) -> Html:
    return element("span", text, class_="good" if good else "bad")
