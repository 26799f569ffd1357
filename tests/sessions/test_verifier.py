"""A JWT in front of the Emporix token: one that is in order counts, everything else is no token."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import HTTPConnection, Request

from session_ctx_middleware import ConfigurationError, CookieToken, SessionContext, StorefrontToken
from session_ctx_middleware.sessions import JWTVerifier
from session_ctx_middleware.testing import FakeEmporix

from ..support.examples import EXAMPLES
from ..support.shop import Shop
from .keys import (
    AUDIENCE,
    EC,
    ED,
    EMPORIX_TOKEN,
    ISSUER,
    NOW,
    OTHER_RSA,
    RSA,
    SECRET,
    WEAK_RSA,
    claims,
    glued,
    jwk,
    part,
    pem,
    signed,
)

some = settings(max_examples=EXAMPLES or 40)


class StandingClock:
    """A clock of one moment."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def verifier(**options: Any) -> JWTVerifier:
    defaults: dict[str, Any] = {
        "key": pem(RSA),
        "algorithms": ["RS256"],
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "clock": StandingClock(),
    }
    return JWTVerifier(**{**defaults, **options})


def connection(token: str | None, kind: str = "http", header: str = "authorization") -> HTTPConnection:
    value = b"" if token is None else token.encode("latin-1", "replace")
    prefix = b"Bearer " if header == "authorization" else b"shop="
    headers = [] if token is None else [(header.encode(), prefix + value)]
    return HTTPConnection({"type": kind, "headers": headers})


# In order


@pytest.mark.parametrize(
    ("key", "private", "algorithm"),
    [
        (pem(RSA), RSA, "RS256"),
        (pem(RSA).encode(), RSA, "PS384"),
        (pem(EC), EC, "ES256"),
        (pem(ED), ED, "EdDSA"),
        (jwk(EC), EC, "ES256"),
        (SECRET, SECRET, "HS256"),
        ({"kty": "oct", "k": part(SECRET.encode())}, SECRET, "HS256"),
        ([pem(OTHER_RSA), pem(RSA)], RSA, "RS256"),
        ([jwk(OTHER_RSA, "old"), jwk(RSA, "new")], RSA, "RS256"),
    ],
    ids=["rsa", "pss", "ec", "ed", "jwk", "secret", "secret-jwk", "several", "several-jwk"],
)
async def test_in_order(key: Any, private: Any, algorithm: str) -> None:
    """A token of a known key is in order, and its claims can be had."""
    found = await verifier(key=key, algorithms=[algorithm]).verified(signed(private, algorithm))
    assert found == claims()


async def test_padded() -> None:
    """Some load balancers pad what they sign."""
    token = signed(RSA, "RS256")
    assert len(token.rpartition(".")[2]) % 4 == 2
    assert await verifier().verified(f"{token}==") == claims()


async def test_token_itself() -> None:
    """Without a claim, the JWT is what Emporix is asked with; nothing is served beyond its end."""
    token = signed()
    assert await verifier()(connection(token)) == StorefrontToken(token, expires_at=NOW + 600)


async def test_token_in_a_claim() -> None:
    """A claim may hold the Emporix token; one that cannot be sent is none."""
    shop = verifier(claim="tok")
    assert await shop(connection(signed())) == StorefrontToken(EMPORIX_TOKEN, expires_at=NOW + 600)
    for odd in (None, 3, "", "two words", "x" * 9000, ["x"]):
        assert await shop(connection(signed(tok=odd))) is None


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_other_source(kind: str) -> None:
    """The JWT may come from elsewhere, also of a WebSocket's handshake; responses vary with that."""
    shop = verifier(source=CookieToken("shop"))
    token = signed()
    assert await shop(connection(token, kind)) is None
    found = await shop(connection(token, kind, "cookie"))
    assert found is not None
    assert found.value == token
    assert shop.vary == ("Cookie",)


# Times, issuer, audience


@pytest.mark.parametrize(
    ("changes", "leeway", "is_in_order"),
    [
        ({"exp": NOW + 1}, 0, True),
        ({"exp": NOW}, 0, False),
        ({"exp": NOW - 29}, 30, True),
        ({"exp": NOW - 30}, 30, False),
        ({"nbf": NOW}, 0, True),
        ({"nbf": NOW + 1}, 0, False),
        ({"nbf": NOW + 30}, 30, True),
        ({"iat": NOW + 1}, 0, False),
        ({"iat": None}, 0, True),
        ({"exp": None}, 0, False),
        ({"exp": str(NOW + 9)}, 0, False),
        ({"exp": True}, 0, False),
        ({"exp": float("inf")}, 0, False),
        ({"exp": float("nan")}, 0, False),
        ({"exp": 10**400}, 0, False),
        ({"nbf": "soon"}, 0, False),
        ({"nbf": float("nan")}, 0, False),
        ({"iat": []}, 0, False),
    ],
    ids=str,
)
async def test_times(changes: dict[str, Any], leeway: float, is_in_order: bool) -> None:
    """A token has begun and not ended, by this host's clock and the leeway; its end has to be a number."""
    token = glued({"alg": "HS256"}, claims(**changes))
    body = token.rpartition(".")[0]
    token = f"{body}.{part(hmac.digest(SECRET.encode(), body.encode(), 'sha256'))}"
    found = await verifier(key=SECRET, algorithms=["HS256"], leeway=leeway).verified(token)
    assert (found is not None) is is_in_order


@pytest.mark.parametrize(
    ("changes", "options", "is_in_order"),
    [
        ({"iss": "https://evil.example/"}, {}, False),
        ({"iss": None}, {}, False),
        ({"iss": [ISSUER]}, {}, False),
        ({"iss": "https://evil.example/"}, {"issuer": None}, True),
        ({"iss": ISSUER}, {"issuer": ["https://other.example/", ISSUER]}, True),
        ({"iss": ISSUER[:-1]}, {"issuer": [ISSUER]}, False),
        ({"aud": "admin"}, {}, False),
        ({"aud": None}, {}, False),
        ({"aud": ["admin", AUDIENCE]}, {}, True),
        ({"aud": ["admin", 3]}, {}, False),
        ({"aud": {AUDIENCE: 1}}, {}, False),
        ({"aud": "app"}, {"audience": [AUDIENCE, "app"]}, True),
        ({"aud": AUDIENCE}, {"audience": None}, False),
        ({"aud": None}, {"audience": None}, True),
    ],
    ids=str,
)
async def test_issuer_and_audience(changes: dict[str, Any], options: dict[str, Any], is_in_order: bool) -> None:
    """Issuer and audience are the expected ones; an audience that nobody expects is somebody else's."""
    token = jwt.PyJWS().encode(json.dumps(claims(**changes)).encode(), RSA, "RS256")
    assert (await verifier(**options).verified(token) is not None) is is_in_order


# Attacks


def hmac_signed(secret: bytes, header: dict[str, Any], name: str = "sha256") -> str:
    """Sign with any bytes as an HMAC secret, which PyJWT refuses to."""
    body = f"{part(header)}.{part(claims())}"
    return f"{body}.{part(hmac.digest(secret, body.encode(), name))}"


def bent(token: str, position: int) -> str:
    head, _, signature = token.rpartition(".")
    letter = "A" if signature[position] != "A" else "B"
    return f"{head}.{signature[:position]}{letter}{signature[position + 1 :]}"


GOOD = signed()
HEAD, PAYLOAD, SIGNATURE = GOOD.split(".")
ATTACKS: dict[str, str] = {
    "none": glued({"alg": "none"}, claims()),
    "None": glued({"alg": "None"}, claims()),
    "none, signed": glued({"alg": "none"}, claims(), b"x"),
    "no algorithm": glued({}, claims(), b"x"),
    "algorithm of another type": glued({"alg": ["RS256"]}, claims(), b"x"),
    "no signature": f"{HEAD}.{PAYLOAD}.",
    "two parts": f"{HEAD}.{PAYLOAD}",
    "four parts": f"{GOOD}.x",
    "HS256 with the public key": hmac_signed(pem(RSA).encode(), {"alg": "HS256"}),
    "HS256 with the public key, stripped": hmac_signed(pem(RSA).strip().encode(), {"alg": "HS256"}),
    "RS256 that is HMAC": hmac_signed(pem(RSA).encode(), {"alg": "RS256"}),
    "HS512 with the public key": hmac_signed(pem(RSA).encode(), {"alg": "HS512"}, "sha512"),
    "HS256 with nothing": hmac_signed(b"", {"alg": "HS256"}),
    "another key": signed(OTHER_RSA),
    "another key, its own JWK": signed(OTHER_RSA, header={"jwk": jwk(OTHER_RSA)}),
    "another key, its own address": signed(OTHER_RSA, header={"jku": "https://evil.example/jwks.json"}),
    "another key, its own chain": signed(OTHER_RSA, header={"x5u": "https://evil.example/x", "x5c": ["x"]}),
    "another algorithm of the same key": signed(RSA, "PS256"),
    "another curve": signed(EC, "ES256"),
    "key id as a path": signed(OTHER_RSA, header={"kid": "../../dev/null"}),
    "bent signature": bent(GOOD, 10),
    "bent payload": f"{HEAD}.{part(claims(tok='victim'))}.{SIGNATURE}",
    "bent header": f"{part({'alg': 'RS256', 'kid': 'x'})}.{PAYLOAD}.{SIGNATURE}",
    "crit": signed(header={"crit": ["exp"], "exp": 1}),
    "crit of b64": signed(header={"crit": ["b64"]}),
    "crit that is empty": glued({"alg": "RS256", "crit": []}, claims(), b"x"),
    "unencoded payload": f"{part({'alg': 'RS256', 'b64': False, 'crit': ['b64']})}..{SIGNATURE}",
    "payload that is no object": jwt.PyJWS().encode(b"[1]", RSA, "RS256"),
    "payload that is no JSON": jwt.PyJWS().encode(b"\xff{", RSA, "RS256"),
    "payload of 3,000 levels": jwt.PyJWS().encode(b"[" * 3000, RSA, "RS256"),
    "header of 3,000 levels": f"{part(b'[' * 3000)}.{PAYLOAD}.{SIGNATURE}",
    "header that is no object": f"{part([1])}.{PAYLOAD}.{SIGNATURE}",
    "key id of another type": f"{part({'alg': 'RS256', 'kid': {}})}.{PAYLOAD}.{SIGNATURE}",
    "blank": f"{HEAD}. {PAYLOAD}.{SIGNATURE}",
    "line break": f"{GOOD}\n",
    "not ASCII": f"{GOOD}é",
    "five parts, as if encrypted": f"{part({'alg': 'dir', 'enc': 'A256GCM'})}..a.b.c",
    "zip": signed(OTHER_RSA, header={"zip": "DEF"}),
    "huge": signed(pad="x" * 9000),
    "a million dots": "." * 1_000_000,
    "empty": "",
    "opaque": EMPORIX_TOKEN,
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("form", ["pem", "jwk"])
async def test_attacks(attack: str, form: str) -> None:
    """Nothing but a signature of the issuer's key opens the door; no attack is an exception."""
    shop = verifier(key=pem(RSA) if form == "pem" else jwk(RSA))
    assert await shop.verified(ATTACKS[attack]) is None
    assert await shop(connection(ATTACKS[attack])) is None
    assert await shop.verified(GOOD) == claims()


@pytest.mark.parametrize("wrong", [None, b"bytes", 3, ["x"]])
async def test_no_text(wrong: Any) -> None:
    """What is no text is no token."""
    assert await verifier().verified(wrong) is None


@some
@given(st.text(max_size=300) | st.builds(lambda *parts: ".".join(parts), st.text(), st.text(), st.text()))
async def test_any_text(text: str) -> None:
    """No text is an exception."""
    assert await verifier().verified(text) is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@some
@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x5c"]), VALUES), st.binary())
async def test_any_header(header: dict[str, Any], signature: bytes) -> None:
    """No header opens the door, or is an exception."""
    assert await verifier().verified(glued({"alg": "RS256", **header}, claims(), signature)) is None


@some
@given(st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "sub", "jti", "tok"]), VALUES))
async def test_any_claims(changes: dict[str, Any]) -> None:
    """Whatever an issuer has signed, it is in order or no token, and what is in order is in time."""
    body = f"{part({'alg': 'HS256'})}.{part({**claims(), **changes})}"
    token = f"{body}.{part(hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).digest())}"
    found = await verifier(key=SECRET, algorithms=["HS256"], claim="tok")(connection(token))
    assert found is None or (found.expires_at or 0) > NOW


@given(st.integers(0, len(GOOD) - 1), st.characters(min_codepoint=33, max_codepoint=126))
async def test_any_bent_letter(position: int, letter: str) -> None:
    """A token in which one letter was changed is none, but for letters that say nothing."""
    token = GOOD[:position] + letter + GOOD[position + 1 :]
    found = await verifier().verified(token)
    assert found is None if token != GOOD else found == claims()


# Configuration


@pytest.mark.parametrize(
    "options",
    [
        {"key": None},
        {"jwks_url": "https://issuer.example/keys"},
        {"algorithms": []},
        {"algorithms": "RS256"},
        {"algorithms": None},
        {"algorithms": ["none"]},
        {"algorithms": ["RS256", "none"]},
        {"algorithms": ["RS999"]},
        {"algorithms": ["RS256", "HS256"]},
        {"algorithms": ["HS256"]},
        {"key": jwk(RSA), "algorithms": ["HS256"]},
        {"key": json.dumps(jwk(RSA)), "algorithms": ["HS256"]},
        {"key": "short", "algorithms": ["HS256"]},
        {"key": SECRET, "algorithms": ["HS512"]},
        {"key": SECRET},
        {"key": pem(EC)},
        {"key": pem(WEAK_RSA)},
        {"key": jwk(WEAK_RSA)},
        {"key": jwk(RSA, use="enc")},
        {"key": jwk(RSA, alg="PS256")},
        {"key": []},
        {"key": [pem(RSA), pem(EC)]},
        {"key": 3},
        {"key": ""},
        {"key": [3]},
        {"issuer": ""},
        {"issuer": []},
        {"issuer": 3},
        {"audience": [None]},
        {"audience": b"x"},
        {"leeway": -1},
        {"leeway": "3"},
        {"leeway": 1e9},
        {"claim": ""},
        {"source": 3},
        {"source": []},
        {"ttl": 0},
        {"total_timeout": 0},
        *(
            {"key": None, "jwks_url": url}
            for url in (
                "http://issuer.example/keys",
                "issuer.example/keys",
                "https://user:pass@issuer.example/keys",
                "https://issuer.example/keys#x",
                "file:///etc/passwd",
                "https://[/keys",
                "",
                3,
            )
        ),
        {"key": None, "jwks_url": "https://issuer.example/keys", "algorithms": ["HS256"]},
    ],
)
def test_configuration(options: dict[str, Any]) -> None:
    """What cannot work, or would let strangers in, is said when it is built; no text quotes a key."""
    with pytest.raises(ConfigurationError) as raised:
        verifier(**options)
    assert "BEGIN" not in str(raised.value)
    assert SECRET not in str(raised.value)


def test_without_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is missing, it is named; secrets need none."""
    monkeypatch.setattr("session_ctx_middleware.sessions.keys.has_crypto", False)
    with pytest.raises(ConfigurationError, match=r"session-ctx-middleware\[sessions\]"):
        verifier()
    verifier(key=SECRET, algorithms=["HS256"])


def test_repr() -> None:
    """A verifier shows no key."""
    assert repr(verifier(key=SECRET, algorithms=["HS512", "HS256"][1:])) == "JWTVerifier(algorithms=['HS256'])"


# In a shop


async def test_in_a_shop(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, caplog: pytest.LogCaptureFixture
) -> None:
    """A shop with a JWT in front reads its session by it; forged ones are told once, counted, and never quoted."""
    caplog.set_level(logging.DEBUG)
    session = emporix.new_session(currency="CHF")
    shop = make_shop(token=verifier(claim="tok"))

    async def page(ctx: SessionContext, _: Request) -> str:
        found = (await ctx).currency or "nothing"
        counts = ctx.middleware.stats()
        return f"{found} {ctx.has_token} {counts['token.unverified']}"

    assert (await shop.visit(page, token=signed(tok=session.token))).text == "CHF True 0"
    forged = signed(OTHER_RSA, tok=session.token)
    for times in (1, 2):
        assert (await shop.visit(page, token=forged)).text == f"nothing False {times}"
    told = [record for record in caplog.records if getattr(record, "session_ctx_name", "") == "token.unverified"]
    assert [record.levelno for record in told] == [logging.WARNING, logging.DEBUG]
    assert told[0].session_ctx_outcome == "signature"  # type: ignore[attr-defined]
    said = "\n".join(str(vars(record)) for record in caplog.records)
    assert forged not in said
    assert session.token not in said


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (signed(OTHER_RSA), "signature"),
        (signed(EC, "ES256"), "algorithm"),
        (signed(exp=NOW - 1), "expired"),
        (signed(nbf=NOW + 9), "not yet valid"),
        (signed(iss="x"), "issuer"),
        (signed(aud="x"), "audience"),
        (signed(exp=None), "claims"),
        (signed(tok=None), "claims"),
        ("a.b.c", "malformed"),
        (signed(header={"kid": "another"}), "key"),
    ],
    ids=lambda each: each if " " in each or len(each) < 12 else "",
)
async def test_reasons(
    token: str, reason: str, make_shop: Callable[..., Shop], caplog: pytest.LogCaptureFixture
) -> None:
    """Operators hear what is wrong."""
    shop = make_shop(token=verifier(key=jwk(RSA, "known"), claim="tok"))

    async def page(ctx: SessionContext, _: Request) -> str:
        return str((await ctx).has_token)

    assert (await shop.visit(page, token=token)).text == "False"
    outcomes = [vars(record).get("session_ctx_outcome") for record in caplog.records]
    assert outcomes[0] == reason
