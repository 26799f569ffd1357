"""May a document be shown? The value that decides, driven directly."""

from __future__ import annotations

import pytest

from session_ctx_middleware import ContextDocument
from session_ctx_middleware.engine.announced import denied
from session_ctx_middleware.engine.consistency import LAG, START, Consistency
from session_ctx_middleware.engine.incarnations import Incarnation
from session_ctx_middleware.engine.merging import merged
from session_ctx_middleware.engine.verdict import Verdict
from session_ctx_middleware.model.changes import ContextChanges
from session_ctx_middleware.model.operation import Operation, Taken


def taken(op_id: str, value: str) -> ContextChanges:
    return ContextChanges({"currency": Operation(value, op_id, at=1.0, recorded=1.0)})


def fingerprint(incarnation: Incarnation) -> str:
    return str(incarnation)


def is_hidden(known: Consistency, document: ContextDocument) -> bool:
    return known.judge(document, 0.0, 0.0, fingerprint) is Verdict.HIDE


@pytest.mark.parametrize("heard_first", [True, False])
def test_own_change_does_not_cover(heard_first: bool) -> None:
    """An own change does not cover a later one that others have announced."""
    document = ContextDocument(version=3, session_id="s", created_at="2026")
    known = START.published(document, 0.0)
    if heard_first:
        known = known.announced_by_peer(document.identity, 6, 0.0)
    known = known.committed(taken("a", "USD"), Taken(4))  # its answer was late
    assert is_hidden(known, document) is heard_first

    assert is_hidden(known.announced_by_peer(document.identity, 6, 0.0), document)


def test_less_informed_token() -> None:
    """A token that has heard less does not cover what another one lacks."""
    document = ContextDocument(version=3, session_id="s", created_at="2026")
    known = START.published(document, 0.0).committed(taken("a", "USD"), Taken(4))
    told = known.announced_by_peer(document.identity, 6, 0.0)

    assert is_hidden(merged(told, known), document)
    assert is_hidden(merged(known, told), document)


def test_late_answer_is_the_truth() -> None:
    """A document that was asked for long after the last write is the truth, whatever version it has."""
    known = START.published(ContextDocument(version=7, session_id="s"), 0.0).committed(taken("a", "USD"), Taken(7))
    restored = ContextDocument(version=3, session_id="s", currency="EUR")

    assert known.judge(restored, LAG, 0.0, fingerprint) is Verdict.OVERLAY
    assert known.judge(restored, LAG + 0.1, 0.0, fingerprint) is Verdict.SHOW
    assert known.published(restored, LAG + 0.1).judge(restored, LAG + 0.1, 0.0, fingerprint) is Verdict.SHOW
    assert known.published(restored, LAG + 0.1).floor == 3


def test_late_answer_of_an_earlier_context() -> None:
    """A context that was restored as it was before it was created anew is the truth after a while, too."""
    older, newer = (ContextDocument(version=3, session_id="s", created_at=day) for day in ("2026-01-01", "2026-01-02"))
    known = START.published(older, 0.0).published(newer, 1.0)

    assert known.judge(older, 2.0, 2.0, fingerprint) is Verdict.HIDE
    assert known.judge(older, 12.0, 12.0, fingerprint) is Verdict.SHOW
    followed = known.published(older, 12.0)
    assert followed.judge(older, 13.0, 13.0, fingerprint) is Verdict.SHOW


def test_denied_floor() -> None:
    """A floor is given up for a lower version only once whoever announces that must have heard of the floor."""
    document = ContextDocument(version=7, session_id="s")
    known = START.published(document, 0.0)

    assert denied(known, 3, 2.0) is known
    assert denied(known, 7, 2.1) is known
    assert denied(known, 3, 2.1).floor == 3


def test_versions_of_changes_that_were_replaced() -> None:
    """That a version was made is known for longer than the change which made it, whichever token it came by."""
    first, second = (
        ContextChanges({"currency": Operation(value, value, at=at, recorded=at, taken=Taken(int(at), "c", at, "x"))})
        for value, at in (("USD", 2.0), ("GBP", 3.0))
    )
    known = START.remembering(first)

    assert known.made == ()
    assert known.remembering(second).made == (("c", 2, 2.0),)
    assert (
        merged(known, START.remembering(second)).made
        == merged(START.remembering(second), known).made
        == (("c", 2, 2.0),)
    )
