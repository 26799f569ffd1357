"""May a document be shown? The value that decides, driven directly."""

from __future__ import annotations

import pytest

from session_ctx_middleware import ContextDocument
from session_ctx_middleware.engine.consistency import START, Consistency, Incarnation, Verdict
from session_ctx_middleware.model.changes import ContextChanges, Operation


def taken(op_id: str, value: str) -> ContextChanges:
    return ContextChanges({"currency": Operation(value, op_id, at=1.0, recorded=1.0)})


def fingerprint(incarnation: Incarnation) -> str:
    return str(incarnation)


def is_hidden(known: Consistency, document: ContextDocument) -> bool:
    return known.judge(document, 0.0, fingerprint) is Verdict.HIDE


@pytest.mark.parametrize("heard_first", [True, False])
def test_own_change_does_not_cover(heard_first: bool) -> None:
    """An own change does not cover a later one that others have announced."""
    document = ContextDocument(version=3, session_id="s", created_at="2026")
    known = START.published(document)
    if heard_first:
        known = known.announced_by_peer(document.identity, 6)
    known = known.committed(taken("a", "USD"), 4)  # its answer was late
    assert is_hidden(known, document) is heard_first

    assert is_hidden(known.announced_by_peer(document.identity, 6), document)


def test_less_informed_token() -> None:
    """A token that has heard less does not cover what another one lacks."""
    document = ContextDocument(version=3, session_id="s", created_at="2026")
    known = START.published(document).committed(taken("a", "USD"), 4)
    told = known.announced_by_peer(document.identity, 6)

    assert is_hidden(told.merged(known), document)
    assert is_hidden(known.merged(told), document)
