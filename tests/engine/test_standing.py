"""Which changes still count against a document: the whole table, case by case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal

import pytest

from session_ctx_middleware import ContextDocument
from session_ctx_middleware.engine.consistency import LAG
from session_ctx_middleware.engine.made import DISPUTED_SECONDS
from session_ctx_middleware.engine.notes import Noted, Notes
from session_ctx_middleware.engine.standing import Against, weigh
from session_ctx_middleware.model.changes import ContextChanges
from session_ctx_middleware.model.document import REMOVED, Value
from session_ctx_middleware.model.operation import SOMEHOW, Operation, Taken, value_digest

HERE, ELSEWHERE = "here", "elsewhere"
STAMP, AT = 1_000.0, 2_000.0
OLDER, SAME, NEWER = STAMP - 1, STAMP, STAMP + 1

Stands = Literal["sent", "shown over it", "done"]


def by(version: int, context: str = HERE, replaced: Value = None) -> Taken:
    return Taken(version, context, AT, "" if replaced is None else value_digest(replaced))


RIVAL = replace(by(4, replaced="en"), at=AT + 0.5)
"""How Emporix took a switch to French."""


@dataclass(frozen=True)
class Case:
    """A switch to USD against a document that has version 5.

    Args:
        stands: how it counts.
        taken: how Emporix took it.
        shows: the currency of the document.
        receipts: of the document, for fields.
        asked: when the document was asked for, in seconds after the change was taken.
        missing: whether there is no document.
        path: of the field.
        value: that was chosen.
        brought: whether the shopper's browser has it.
        rival: how Emporix took another change that the browser has.
        again: whether it was parked again before.
        overtaken: how Emporix took changes with earlier timestamps after it.
    """

    stands: Stands
    taken: Taken | None = None
    shows: str = "EUR"
    receipts: Mapping[str, float] = field(default_factory=dict)
    asked: float = 1.0
    missing: bool = False
    path: str = "currency"
    value: Value = "USD"
    brought: bool = False
    rival: Taken | None = None
    again: bool = False
    overtaken: tuple[Taken, ...] = ()


def receipt(at: float) -> dict[str, float]:
    return {"currency": at}


CASES = {
    "parked, no document": Case("sent", missing=True),
    "parked": Case("sent"),
    "parked, the value is there": Case("sent", shows="USD"),
    "parked, an older receipt": Case("sent", receipts=receipt(OLDER)),
    "parked, its own receipt": Case("done", receipts=receipt(SAME)),
    "parked, a newer receipt": Case("done", receipts=receipt(NEWER)),
    "parked, a newer receipt of another field": Case("sent", receipts={"language": NEWER}),
    "taken, no document": Case("shown over it", by(6), missing=True),
    "taken in a later version": Case("shown over it", by(6)),
    "taken in a later version that nobody can place": Case("shown over it", by(6, context="")),
    "taken in this version": Case("done", by(5)),
    "taken in an earlier version": Case("done", by(4)),
    "taken in an earlier version, the value is there": Case("done", by(4), shows="USD"),
    "taken elsewhere": Case("sent", by(4, ELSEWHERE)),
    "taken elsewhere in a later version": Case("sent", by(6, ELSEWHERE)),
    "taken elsewhere, the value is there": Case("sent", by(4, ELSEWHERE), shows="USD"),
    "taken elsewhere, an older receipt": Case("sent", by(4, ELSEWHERE), receipts=receipt(OLDER)),
    "taken elsewhere, a newer receipt": Case("done", by(4, ELSEWHERE), receipts=receipt(NEWER)),
    "taken somehow": Case("done", SOMEHOW),
    "taken somehow, an older receipt": Case("shown over it", SOMEHOW, receipts=receipt(OLDER)),
    "taken somehow, its own receipt": Case("done", SOMEHOW, receipts=receipt(SAME)),
    "removed somehow, an older receipt": Case(
        "done", SOMEHOW, path="attributes.a", value=REMOVED, receipts={"attributes.a": OLDER}
    ),
    "exactly its version, and what it replaced": Case("sent", by(5, replaced="EUR")),
    "exactly its version, and something else": Case("done", by(5, replaced="GBP")),
    "exactly its version, and its own value": Case("done", by(5, replaced="EUR"), shows="USD"),
    "a later version, and what it replaced": Case("done", by(4, replaced="EUR")),
    "a later version, what it replaced, and the browser has it": Case(
        "shown over it", by(4, replaced="EUR"), brought=True
    ),
    "a later version, something else, and the browser has it": Case("done", by(4, replaced="GBP"), brought=True),
    "a later version, its own value, and the browser has it": Case(
        "done", by(4, replaced="EUR"), shows="USD", brought=True
    ),
    "a later version, what it replaced, for longer than a replica lags": Case(
        "done", by(4, replaced="EUR"), brought=True, asked=LAG + 0.1
    ),
    "a disputed version, and what it replaced": Case("sent", by(4, replaced="EUR"), brought=True, rival=RIVAL),
    "a disputed version, and what it replaced, long after": Case(
        "sent", by(4, replaced="EUR"), brought=True, rival=RIVAL, asked=LAG + 3600
    ),
    "a disputed version, once more": Case("done", by(4, replaced="EUR"), brought=True, rival=RIVAL, again=True),
    "a disputed version, and something else": Case("done", by(4, replaced="GBP"), brought=True, rival=RIVAL),
    "a disputed version of a change on its way to the browser": Case("sent", by(4, replaced="EUR"), rival=RIVAL),
    "a disputed version of a change that the browser does not have": Case(
        "done", by(4, replaced="EUR"), rival=RIVAL, asked=DISPUTED_SECONDS + 0.1
    ),
    "a disputed version in a later one": Case("shown over it", by(6, replaced="EUR"), brought=True, rival=RIVAL),
    "another one in another version": Case(
        "shown over it", by(4, replaced="EUR"), brought=True, rival=replace(RIVAL, version=3)
    ),
    "an earlier version, and what it replaced": Case("shown over it", by(6, replaced="EUR")),
    "exactly its version of another context": Case("sent", by(5, ELSEWHERE, replaced="GBP")),
    "earlier, as late as a replica may be": Case("shown over it", by(6), asked=LAG),
    "earlier, too late for a replica": Case("sent", by(6), asked=LAG + 0.1),
    "earlier, too late, the value is there": Case("shown over it", by(6), shows="USD", asked=LAG + 0.1),
    "earlier, too late, its own receipt": Case("done", by(6), receipts=receipt(SAME), asked=LAG + 0.1),
    "earlier, too late, a newer receipt": Case("done", by(6), receipts=receipt(NEWER), asked=LAG + 0.1),
    "an older one was sent over it": Case("sent", by(4), receipts=receipt(OLDER)),
    "an older one with the same value": Case("done", by(4), shows="USD", receipts=receipt(OLDER)),
    "an older receipt in an earlier version": Case("shown over it", by(6), receipts=receipt(OLDER)),
    "before one that seems to be older": Case("shown over it", by(4), overtaken=(by(6),)),
    "before one that seems to be older, its value is there": Case("done", by(4), shows="USD", overtaken=(by(6),)),
    "with one that seems to be older": Case("done", by(4), overtaken=(by(5),)),
    "before one of another context": Case("done", by(4), overtaken=(by(6, ELSEWHERE),)),
    "before one, a newer receipt": Case("done", by(4), overtaken=(by(6),), receipts=receipt(NEWER)),
    "before one, too late for a replica": Case("done", by(4), overtaken=(by(6),), asked=LAG + 0.1),
    "before one, and versions have fallen": Case("done", by(4), overtaken=(replace(by(6), at=AT - 10),)),
    "before one, and versions have fallen, a slow answer": Case(
        "done", replace(by(4), took=2.5), overtaken=(replace(by(6), at=AT - 10),)
    ),
    "before one that was answered sooner": Case(
        "shown over it", replace(by(4), took=2.5), overtaken=(replace(by(6), at=AT - 2.2),)
    ),
    "exactly its version, what it replaced, before one": Case("sent", by(5, replaced="EUR"), overtaken=(by(6),)),
    "a newer one was sent over it": Case("done", by(4), receipts=receipt(NEWER)),
    "an earlier version with a newer receipt": Case("done", by(6), receipts=receipt(NEWER)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_standing(case: Case) -> None:
    """A change is sent, shown over the document, or done with; what Emporix never saw is no more taken."""
    document = ContextDocument(version=5, session_id="s", currency=case.shows, receipts=case.receipts)
    operation = Operation(case.value, "id", STAMP, STAMP, case.taken, again=case.again, overtaken_by=case.overtaken)
    brought = [Noted(case.path, operation)] if case.brought else []
    if case.rival is not None:
        brought.append(Noted("language", Operation("fr", "rival", STAMP, STAMP, case.rival)))
    asked_on = AT + case.asked
    against = Against(document, HERE, asked_on, asked_on=asked_on, notes=Notes(tuple(brought)))
    against = Against(None) if case.missing else against
    change = ContextChanges({case.path: operation})

    standing = weigh(change, against)

    assert {
        "sent": set(standing.pending.operations),
        "shown over it": set(standing.overlay.operations),
    } == {"sent": set(), "shown over it": set()} | ({} if case.stands == "done" else {case.stands: {case.path}})
    assert all(operation.taken is None for operation in standing.pending.operations.values())


def test_each_field_for_itself() -> None:
    """One change says nothing about another one."""
    document = ContextDocument(version=5, currency="EUR", receipts={"currency": NEWER, "attributes.a": OLDER})
    changes = {
        "currency": Operation("USD", "1", STAMP, STAMP),
        "language": Operation("fr", "2", STAMP, STAMP, by(6)),
        "attributes.a": Operation("x", "3", STAMP, STAMP),
        "attributes.b": Operation("y", "4", STAMP, STAMP, by(3)),
    }

    standing = weigh(ContextChanges(changes), Against(document, HERE, asked_on=AT))

    assert set(standing.pending) == {"attributes.a"}
    assert set(standing.overlay) == {"language"}


EARLIER = 1_500.0


@pytest.mark.parametrize(
    ("asked_at", "asked_on", "stands"),
    [(AT - 1, AT - 1, True), (AT + 1, AT + 1, False), (inf, None, False), (AT - 1, None, False), (inf, AT - 1, True)],
)
def test_replaced_by_a_change_that_nobody_here_knows(asked_at: float, asked_on: float | None, *, stands: bool) -> None:
    """It shows over a document from before Emporix had it, or a later one, and not over others."""
    document = ContextDocument(version=5, session_id="s", currency="EUR")
    change = ContextChanges({"currency": Operation("USD", "id", STAMP, STAMP, replace(SOMEHOW, at=AT))})

    standing = weigh(change, Against(document, HERE, asked_at, asked_on=asked_on))

    assert bool(standing.overlay.operations) is stands
    assert not standing.pending.operations


@pytest.mark.parametrize(("taken", "shown"), [(replace(SOMEHOW, at=AT), True), (SOMEHOW, False)])
def test_removal_that_was_replaced(taken: Taken, *, shown: bool) -> None:
    """A removal shows over a document from before it; what only tells that there was a change does not."""
    document = ContextDocument(version=5, session_id="s", attributes={"a": "x"})
    change = ContextChanges({"attributes.a": Operation(REMOVED, "id", STAMP, STAMP, taken)})

    assert bool(weigh(change, Against(document, HERE, AT - 1, asked_on=AT - 1)).overlay.operations) is shown


def test_version_that_was_known_before_it_fell() -> None:
    """That a version is long known says nothing about a change that was taken with it later: it fell in between."""
    document = ContextDocument(version=9, session_id="s", currency="EUR")
    change = ContextChanges({"currency": Operation("USD", "id", STAMP, STAMP, by(12))})
    heard = ((14, EARLIER),)

    assert weigh(change, Against(document, HERE, AT + 1, heard, asked_on=AT + 1, notes=Notes())).overlay.operations
    for against in (Against(document, HERE, AT + 1, heard, asked_on=AT + 1), Against(document, HERE, AT + 1, heard)):
        assert weigh(change, against).pending.operations, "no browser tells of it, or nobody tells Emporix' time"


@pytest.mark.parametrize(("asked_on", "shown"), [(AT - 1, True), (AT + 1, False), (AT + 3600, False), (None, False)])
def test_document_from_another_host(asked_on: float | None, *, shown: bool) -> None:
    """A change shows over one from before it, whatever the version; its age does not prove that nobody has seen it."""
    document = ContextDocument(version=9, session_id="s", currency="EUR")
    change = ContextChanges({"currency": Operation("USD", "id", STAMP, STAMP, by(4))})
    later = ContextChanges({"currency": Operation("USD", "id", STAMP, STAMP, by(12))})
    against = Against(document, HERE, inf, asked_on=asked_on)

    assert bool(weigh(change, against).overlay.operations) is shown
    assert weigh(later, against).overlay.operations


@pytest.mark.parametrize(
    ("sooner", "version", "shown"),
    [(1.9, 9, False), (1.9, 4, False), (1.9, 3, True), (2.1, 9, True), (2.1, 3, True)],
)
def test_document_between_a_patch_and_its_answer(sooner: float, version: int, *, shown: bool) -> None:
    """What was asked for before a PATCH was sent is from before it; from then until it is answered, versions tell."""
    document = ContextDocument(version=version, session_id="s", currency="EUR")
    change = ContextChanges({"currency": Operation("USD", "id", STAMP, STAMP, replace(by(4), took=2.0))})

    standing = weigh(change, Against(document, HERE, inf, asked_on=AT - sooner))

    assert bool(standing.overlay.operations) is shown
    assert not standing.pending.operations


@pytest.mark.parametrize(("sooner", "recorded", "shown"), [(0.5, STAMP, False), (0.5, AT, True), (1.5, STAMP, True)])
def test_document_at_about_the_time_of_a_patch(sooner: float, recorded: float, *, shown: bool) -> None:
    """Two workers know Emporix' time to a second: within it versions tell, and when the change was made."""
    document = ContextDocument(version=9, session_id="s", currency="EUR")
    change = ContextChanges({"currency": Operation("USD", "id", STAMP, recorded, by(4))})

    standing = weigh(change, Against(document, HERE, AT - sooner, asked_on=AT - sooner))

    assert bool(standing.overlay.operations) is shown
    assert not standing.pending.operations


@pytest.mark.parametrize(("sooner", "settled"), [(0.1, False), (-LAG, False), (-LAG - 0.1, True)])
def test_slow_answer_settles_nothing_sooner(sooner: float, *, settled: bool) -> None:
    """Whether a replica may still lag counts from the answer to a PATCH."""
    document = ContextDocument(version=5, session_id="s", currency="EUR")
    against = Against(document, HERE, AT - sooner, asked_on=AT - sooner)

    assert against.is_settled(replace(by(6), took=30.0)) is settled


@pytest.mark.parametrize(("asked_at", "sent"), [(EARLIER + 0.1, True), (EARLIER - 0.1, False)])
def test_document_that_was_asked_for_where_the_change_was_taken(asked_at: float, *, sent: bool) -> None:
    """In one process its own clock says what came first, not Emporix' time, of which it knows less."""
    document = ContextDocument(version=5, session_id="s", currency="EUR")
    taken = replace(by(5, replaced="EUR"), asked=EARLIER)
    change = ContextChanges({"currency": Operation("USD", "id", STAMP, STAMP, taken)})
    sooner, later = (Against(document, HERE, asked_at, asked_on=AT + off) for off in (-0.5, 0.5))

    standings = [weigh(change, against) for against in (sooner, later)]

    assert [bool(each.pending.operations) for each in standings] == [sent] * 2
    assert [bool(each.overlay.operations) for each in standings] == [not sent] * 2


@pytest.mark.parametrize(("asked_at", "sent"), [(EARLIER + 2, False), (EARLIER + 1.5 + LAG, True), (inf, False)])
def test_version_that_was_claimed_before(asked_at: float, *, sent: bool) -> None:
    """A version that a swallowed change was to have made says nothing about one of this process that has made it."""
    document = ContextDocument(version=4, session_id="s", currency="EUR")
    taken = replace(by(5, replaced="EUR"), asked=EARLIER, heard=EARLIER + 1)
    change = ContextChanges({"currency": Operation("USD", "id", STAMP, STAMP, taken)})
    heard = ((5, EARLIER - LAG),)

    assert bool(weigh(change, Against(document, HERE, asked_at, heard)).pending.operations) is sent


@pytest.mark.parametrize(
    ("at", "asked_on", "sent"),
    [(AT - 1, AT + 1, True), (AT, AT + 1, False), (AT - 1, AT + 61, False), (AT - 1, None, False)],
    ids=["another moment", "the same PATCH", "long ago", "nobody tells the time"],
)
def test_version_that_two_changes_of_this_process_have_made(at: float, asked_on: float | None, *, sent: bool) -> None:
    """Of two changes with one version, made at different moments, the one whose field is as it was was never seen."""
    document = ContextDocument(version=6, session_id="s", currency="EUR", language="fr")
    change = Operation("USD", "id", STAMP, STAMP, by(5, replaced="EUR"))
    other = Operation("fr", "other", STAMP, STAMP, replace(by(5, replaced="en"), at=at))
    taken = ContextChanges({"currency": change, "language": other})

    standing = weigh(taken, Against(document, HERE, AT + 1, asked_on=asked_on, taken=taken))

    assert set(standing.pending.operations) == ({"currency"} if sent else set())


@pytest.mark.parametrize(("asked", "shown"), [(1.0, True), (LAG + 1, False)])
def test_older_receipt_of_a_backup(asked: float, *, shown: bool) -> None:
    """A change that Emporix had, or a later one, shows over an older document for as long as a replica may lag."""
    document = ContextDocument(version=9, session_id="s", currency="EUR", receipts={"currency": OLDER})
    change = ContextChanges({"currency": Operation("USD", "id", STAMP, STAMP, replace(SOMEHOW, at=AT))})

    standing = weigh(change, Against(document, HERE, AT + asked, asked_on=AT + asked))

    assert bool(standing.overlay.operations) is shown
    assert not standing.pending.operations


@pytest.mark.parametrize(("asked", "shown"), [(1.0, True), (3.0, False), (None, True)])
def test_recorded_by_a_clock_that_is_ahead(asked: float | None, *, shown: bool) -> None:
    """When Emporix took a change says more than when another host's clock says that it was recorded."""
    document = ContextDocument(version=9, session_id="s", currency="EUR")
    change = ContextChanges({"currency": Operation("USD", "id", STAMP, AT + 100, by(4))})
    asked_on = None if asked is None else AT + asked

    standing = weigh(change, Against(document, HERE, AT + (asked or 1.0), asked_on=asked_on))

    assert bool(standing.overlay.operations) is shown


LATER = AT + 3600


@pytest.mark.parametrize(("now_on", "shown"), [(AT + 20, False), (LATER, True), (None, True)])
@pytest.mark.parametrize(
    "taken", [replace(by(4), at=LATER), replace(SOMEHOW, at=LATER)], ids=["in a version", "somehow"]
)
def test_taken_at_a_moment_that_is_to_come(taken: Taken, now_on: float | None, *, shown: bool) -> None:
    """When Emporix is said to have taken a change later than now, that says nothing about a document."""
    document = ContextDocument(version=9, session_id="s", currency="EUR")
    change = ContextChanges({"currency": Operation("USD", "id", STAMP, AT + 30, taken)})

    standing = weigh(change, Against(document, HERE, AT + 20, asked_on=AT + 20, now_on=now_on))

    assert bool(standing.overlay.operations) is shown
    assert not standing.pending.operations


@pytest.mark.parametrize(("heard", "sent"), [(AT, True), (AT + 15, False)])
def test_swallowed_at_a_moment_that_is_to_come(heard: float, *, sent: bool) -> None:
    """Then it counts since when its version is known here whether Emporix has ever seen it."""
    document = ContextDocument(version=9, session_id="s", currency="EUR")
    change = ContextChanges({"currency": Operation("USD", "id", STAMP, STAMP, replace(by(10), at=LATER))})
    now = AT + 20

    against = Against(document, HERE, now, ((10, heard),), asked_on=now, notes=Notes(), now_on=now)
    standing = weigh(change, against)

    assert bool(standing.pending.operations) is sent
    assert bool(standing.overlay.operations) is not sent
