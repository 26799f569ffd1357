"""How long an answer took, as other processes tell it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_ctx_middleware.model.packing import LONGEST, tenths_of, took_of


@given(st.floats(0.0, LONGEST))
def test_tenths(took: float) -> None:
    """What was written is what is read, to a tenth of a second."""
    assert took_of(tenths_of(took)) == pytest.approx(took, abs=0.051)


@pytest.mark.parametrize("tenths", [10**9, 2**53 - 1])
def test_longest(tenths: int) -> None:
    """Nobody makes a change one from before everything."""
    assert took_of(tenths) == LONGEST


@pytest.mark.parametrize("tenths", [-1, 1.5, "1", None, True, 2**53])
def test_no_number(tenths: object) -> None:
    """Garbage is refused."""
    with pytest.raises(ValueError, match="version"):
        took_of(tenths)
