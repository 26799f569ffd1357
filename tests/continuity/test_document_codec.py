"""What is sealed for a browser comes back as it was, and no bytes of anybody raise."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from session_ctx_middleware import ContextEvent
from session_ctx_middleware.document_codec import Sealed, decoded, encoded
from session_ctx_middleware.document_cookie import PURPOSE, DocumentCookies
from session_ctx_middleware.engine import Travelled
from session_ctx_middleware.events import Events
from session_ctx_middleware.model.document import ContextDocument
from session_ctx_middleware.model.frozen_json import plain
from session_ctx_middleware.sealing import Keyring

from .browser import PREFIX, SECRET

NAME = f"{PREFIX}doc"
KEYRING = Keyring([SECRET.encode()], "acme", "https://api.emporix.io")
SEALER = KEYRING.sealer(PURPOSE)
TOKEN = "token"


class Standing:
    """A clock that stands still."""

    def monotonic(self) -> float:
        return 0.0

    def time(self) -> float:
        return 1_790_000_000.0


def cookies(hooks: Any = ()) -> DocumentCookies:
    return DocumentCookies(
        KEYRING,
        tenant="acme",
        base_url="https://api.emporix.io",
        name="session_ctx",
        https_only=True,
        max_bytes=4096,
        longest=660.0,
        clock=Standing(),  # type: ignore[arg-type]
        events=Events(hooks),
    )


def scope(*values: bytes) -> dict[str, Any]:
    header = b"; ".join(NAME.encode() + b"=" + value for value in values)
    return {"type": "http", "headers": [(b"cookie", header)]}


texts = st.text(max_size=20) | st.just("half \ud83d")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
wire = st.fixed_dictionaries(
    {"metadata": st.fixed_dictionaries({"version": st.integers(0, 2**53 - 1)}, optional={"createdAt": texts})},
    optional={
        "sessionId": texts,
        "currency": json_values,
        "siteCode": texts,
        "context": st.dictionaries(texts, json_values, max_size=4) | json_values,
        "unknown": json_values,
    },
)
moments = st.floats(0, 1e10)


@settings(max_examples=40)
@given(wire, moments, texts, st.integers(0, 2**31), moments)
def test_round_trip(data: dict[str, Any], asked_at: float, token: str, era: int, asked_on: float) -> None:
    """Every document of Emporix, whatever is odd in it, comes back as it was."""
    document = ContextDocument.parse(json.dumps(data))
    back = decoded(encoded(Sealed(document, asked_at, token, era, asked_on)))

    assert back is not None
    assert plain(back.document.to_wire()) == plain(document.to_wire())
    assert (back.token, back.era, round(asked_at, 3)) == (token, era, back.asked_at)
    assert back.asked_on == round(asked_on, 1)


@given(st.binary(max_size=300))
def test_any_payload(payload: bytes) -> None:
    """Nothing that was sealed by whatever version raises when it is opened."""
    decoded(payload)
    decoded(b'{"f":1,"t":"","e":0,"a":1}\n' + payload)
    decoded(payload + b"\n{}")


@given(st.dictionaries(st.sampled_from("ftea"), json_values), json_values)
def test_any_json(head: dict[str, Any], body: object) -> None:
    """Nor does any JSON."""
    decoded(f"{json.dumps({'f': 1, 't': '', **head})}\n{json.dumps(body)}".encode())


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_any_cookie(values: list[bytes]) -> None:
    """No bytes of a browser raise, nor count for anything."""
    every = cookies()
    request = scope(*values)
    brought = every.find(request)

    assert every.open(request, brought, TOKEN, 0) is None
    assert every.is_current(brought, None, 0) is False


@settings(max_examples=40)
@given(wire, st.data())
def test_any_bit(data: dict[str, Any], draw: st.DataObject) -> None:
    """A cookie that was changed in any place opens no more; unchanged it does, for its token alone."""
    told: list[ContextEvent] = []
    every = cookies([told.append])
    document = ContextDocument.parse(json.dumps(data))
    header = every.set(scope(), Travelled(document, 5.0), TOKEN, 1)
    if header is None:
        assert [event.name for event in told] == ["document.left_out"]
        return
    value = header.partition(b";")[0].partition(b"=")[2]
    place = draw.draw(st.integers(0, len(value) - 1))
    other = draw.draw(st.sampled_from(b"abcXYZ019-_.;"))

    def opened(value: bytes, token: str, era: int) -> Travelled | None:
        request = scope(value)
        return every.open(request, every.find(request), token, era)

    whole = opened(value, TOKEN, 1)
    assert whole is not None
    assert whole.document.to_wire() == document.to_wire()
    assert opened(value, "another", 1) is None
    assert opened(value, TOKEN, 2) is None
    if value[place] != other:
        assert opened(value[:place] + bytes([other]) + value[place + 1 :], TOKEN, 1) is None
