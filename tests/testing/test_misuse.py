"""What a test gets wrong is said at once: a misspelt name would never strike, and count nothing for ever."""

from __future__ import annotations

from typing import Any

import pytest

from session_ctx_middleware.testing import FakeEmporix, Fault


@pytest.mark.parametrize("pattern", ["con", "context.gett", "contxt", "context.patches", "orders"])
def test_misspelt_operation(pattern: str) -> None:
    """An operation that does not exist can neither fail nor be counted; the text names what there is."""
    emporix = FakeEmporix()

    with pytest.raises(ValueError, match=r"No operation is called .* There is "):
        emporix.fault(pattern, Fault(status=500))
    with pytest.raises(ValueError, match="No operation is called"):
        emporix.count(pattern)


def test_misspelt_operation_gets_a_hint() -> None:
    """The operation that was meant is named."""
    with pytest.raises(ValueError, match=r"context\.patch"):
        FakeEmporix().fault("context.ptach", Fault(status=500))


@pytest.mark.parametrize(
    "values",
    [
        {"drop": "befor"},
        {"by": "nobody"},
        {"probability": 1.5},
        {"probability": -0.1},
        {"status": 42},
        {"status": 600},
        {"delay": -1.0},
        {"delay_after": -1.0},
    ],
)
def test_impossible_fault(values: dict[str, Any]) -> None:
    """A fault that cannot happen is refused."""
    with pytest.raises(ValueError, match=f"Fault.{next(iter(values))}="):
        Fault(**values)


def test_unknown_argument() -> None:
    """Misspelt arguments are refused, and the fields that there are named."""
    emporix = FakeEmporix()

    with pytest.raises(TypeError):
        Fault(statsu=500)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="no curency"):
        emporix.new_session(curency="USD")
    with pytest.raises(ValueError, match="context_at"):
        FakeEmporix(context_at="carts")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["document", "create_context", "edit", "revoke", "new_token"])
def test_session_in_place_of_its_id(method: str) -> None:
    """A whole session in the place of its id or token is refused: nothing would ever be found, or revoked."""
    emporix = FakeEmporix()
    session: Any = emporix.new_session()

    with pytest.raises(TypeError, match=r"write session\.(session_id|token)"):
        getattr(emporix, method)(session)


def test_ids_are_random() -> None:
    """Two starts never share a token or a session id, unless a seed asks for the same ones."""
    one, other = FakeEmporix().new_session(), FakeEmporix().new_session()
    first, second = FakeEmporix(seed=3).new_session(), FakeEmporix(seed=3).new_session()

    assert one.session_id != other.session_id
    assert one.token != other.token
    assert (first.session_id, first.token) == (second.session_id, second.token)
