"""One request on the page: a line, and behind it what it read, changed, and had Emporix asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from ..events import ContextEvent
from ..model.fields import SWITCHES
from ..observing import Call
from ..remedies import KINDS
from .markup import Html, element, joined
from .records import NO_TOKEN, NOT_KNOWN, Facts, Load, Read, RequestRecord

__all__ = ["calls_table", "events_list", "request_view"]

UNREAD: Final = "not read"
ASKS: Final = "context.get"
CACHES: Final = {
    "hit": ("fresh", "good", "This process knew the context."),
    "stale": ("stale", "warn", "Older than the TTL: shown while it is renewed, or as Emporix cannot be asked."),
    "miss": ("miss", "", "Emporix was asked."),
    "store": ("store", "good", "Another worker had asked, or another session's request here."),
    "document": ("document cookie", "good", "The browser brought the document along."),
    "missing": ("no context", "", "Emporix has no context for this session yet."),
    "token": ("no token", "", "The request brought no token, and nothing was asked."),
    "degraded": ("degraded", "bad", "Emporix could not be asked: what is known otherwise shows, and defaults."),
    "rejected": ("rejected", "bad", "Emporix refused the token: defaults show."),
}
"""What a load found: in a word, how loud it is, and what it means."""
OUTCOMES: Final = {"applied": "good", "already": "good", "parked": "warn"}
"""How loud it is what became of changes; everything else is bad."""
NOT_LOADED: Final = ("not loaded", "quiet", "The context was not loaded.")


def request_view(record: RequestRecord, calls: Sequence[Call], *, tenant: bool, is_open: bool) -> Html:
    """Return a request.

    Args:
        record: of it.
        calls: that it made, or shared.
        tenant: whether to name the shop.
        is_open: whether the details show at once.
    """
    details = element("div", *_details(record, calls), id=f"r{record.number}")
    return element("details", element("summary", *_line(record, calls, tenant=tenant)), details, open=is_open)


def calls_table(calls: Sequence[Call], began: float | None) -> list[Html]:
    """Return a table of calls; `began` is when the request did, in monotonic seconds."""
    rows = [[each.operation, _answer(each), _took(each, began)] for each in calls]
    return _table("Calls to Emporix", ("call", "answer", "took" if began is None else "took (begun after)"), rows)


def events_list(events: Iterable[ContextEvent]) -> list[Html]:
    """Return a list of events, with what can be done about them."""
    items = [element("li", *_event(event)) for event in events]
    return [element("h3", "Events"), element("ul", *items)] if items else []


def _line(record: RequestRecord, calls: Sequence[Call], *, tenant: bool) -> list[Html]:
    status = " ".join(each for each in (str(record.status or ""), record.error) if each)
    if not status and record.ended is None:
        status = "open"
    words = [
        f"{datetime.fromtimestamp(record.at).astimezone():%H:%M:%S}",
        record.tenant if tenant else "",
        element("b", f"{record.method} {record.path}"),
        element("span", status, class_="bad" if record.error or (record.status or 0) >= 500 else ""),
        _cache_word(record, calls),
        _changed(record),
        _count(len(calls), "call"),
        _milliseconds(record.seconds),
    ]
    return [element("span", each) for each in words if each]


def _details(record: RequestRecord, calls: Sequence[Call]) -> list[Html]:
    facts = record.facts
    return [
        element("ul", *(element("li", each) for each in _facts(record, calls)), class_="facts"),
        *_fields(record),
        *([] if facts is None else _carried(record, facts)),
        *events_list(record.told),
        *calls_table(calls, record.began),
    ]


def _facts(record: RequestRecord, calls: Sequence[Call]) -> list[str]:
    load = record.loads[-1] if record.loads else None
    _, _, meaning = CACHES.get(_cache(record, calls), NOT_LOADED)
    shopper = NOT_KNOWN if record.facts is None else record.facts.shopper
    return [
        meaning,
        *([f"Waited: {_milliseconds(record.waited)}"] if record.waited else []),
        *(_document(load) if load is not None else []),
        *([f"Shopper: {shopper}"] if shopper not in {NOT_KNOWN, NO_TOKEN} else []),
    ]


def _document(load: Load) -> list[str]:
    version = [] if load.version is None else [f"Version: {load.version}"]
    return [*version, *([] if load.age is None else [f"Age: {load.age:.1f} s"])]


def _fields(record: RequestRecord) -> list[Html]:
    unread = {} if record.facts is None else {name: each for name, each in record.facts.unread.items() if each.value}
    named = [*SWITCHES, *sorted({*record.reads, *record.changes} - {*SWITCHES})]
    rows = [_field(field, record.reads.get(field), unread.get(field), record.changes.get(field, "")) for field in named]
    return _table("Fields", ("field", "value", "changed to"), [row for row in rows if any(row[1:])])


def _field(name: str, read: Read | None, unread: Read | None, changed: str) -> list[str]:
    seen = read or unread
    if seen is None:
        return [name, "", changed]
    words = [element("b", seen.value) if seen.value else "", seen.source, "" if read is not None else f"({UNREAD})"]
    return [name, joined(*(each for word in words if word for each in (word, " "))), changed]


def _carried(record: RequestRecord, facts: Facts) -> list[Html]:
    out, cleared = record.cookies_out
    lines = [
        *([f"Parked: {', '.join(facts.parked)}"] if facts.parked else []),
        *([f"The browser brought {'; '.join(facts.notes)}"] if facts.notes else []),
        *([f"Travelling document: {facts.document}"] if facts.document else []),
        *([f"Cookies of ours in the response: {out} set, {cleared} cleared"] if out or cleared else []),
    ]
    items = [element("li", each) for each in lines]
    return [element("h3", "Waiting, and carried by the browser"), element("ul", *items)] if items else []


def _event(event: ContextEvent) -> list[str]:
    kind = KINDS[event.name]
    told = kind.remedies.get(event.outcome, kind.remedy)
    facts = [
        event.operation,
        event.outcome,
        str(event.status or ""),
        _count(event.attempts, "attempt"),
        _milliseconds(event.duration) if event.duration else "",
    ]
    words = f" {', '.join(fact for fact in facts if fact)}"
    means = [element("p", f"{told[0].upper()}{told[1:]}.", class_="quiet")] if told else []
    return [element("code", event.name), words, *means]


def _changed(record: RequestRecord) -> str:
    """Return how much was changed, and what became of that last."""
    words = _count(len(record.changes), "change")
    ends = [event.name.partition(".")[2] for event in record.told if event.name.startswith(("commit.", "changes."))]
    if not ends:
        return words
    became = element("span", ends[-1], class_=OUTCOMES.get(ends[-1], "bad"))
    return joined(f"{words}, ", became) if words else became


def _cache(record: RequestRecord, calls: Sequence[Call]) -> str:
    """Return what the last load found, and where: a miss without a call has found it in another place than Emporix."""
    if not record.loads:
        return "token" if record.facts is not None and record.facts.shopper == NO_TOKEN else ""
    load = record.loads[-1]
    if load.cache not in {"miss", "hit"} or load.travelled:
        return "document" if load.travelled and load.cache != "stale" else load.cache
    asked = any(each.operation == ASKS for each in calls)
    return "store" if load.cache == "miss" and not asked else load.cache


def _cache_word(record: RequestRecord, calls: Sequence[Call]) -> Html:
    word, kind, _ = CACHES.get(_cache(record, calls), NOT_LOADED)
    return element("span", word, class_=kind)


def _answer(call: Call) -> Html:
    failed = call.status is None or call.status >= 500
    return element("span", call.failure or str(call.status), class_="bad" if failed else "")


def _took(call: Call, began: float | None) -> str:
    after = "" if began is None else f" ({_milliseconds(call.began - began)})"
    return f"{_milliseconds(call.seconds)}{after}"


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Html]:
    """Return a table, or nothing where it would have no rows."""
    if not rows:
        return []
    named = [element("th", each, scope="col") for each in heads]
    body = [
        element("tr", element("th", element("code", row[0]), scope="row"), *(element("td", each) for each in row[1:]))
        for row in rows
    ]
    head = element("thead", element("tr", *named))
    return [element("table", element("caption", caption), head, element("tbody", *body))]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}" if number else ""


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
