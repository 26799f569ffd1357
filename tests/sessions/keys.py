"""Keys of an issuer and of an attacker, and tokens that they sign."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

NOW = 1_800_000_000.0
ISSUER = "https://login.shop.example/"
AUDIENCE = "storefront"
SECRET = "a secret of the shop that has 32 bytes or more"
EMPORIX_TOKEN = "tpYgJPZqddEQ2zwfzNtx79noBP65"

RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
WEAK_RSA = rsa.generate_private_key(65537, 1024)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> str:
    """Return the public half of a key, as it is configured."""
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return str(key.public_key().public_bytes(*form), "ascii")


def jwk(key: Any, key_id: str | None = None, **more: Any) -> dict[str, Any]:
    """Return the public half of a key, as it is published."""
    kinds = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256", ed25519.Ed25519PrivateKey: "EdDSA"}
    name = next(name for kind, name in kinds.items() if isinstance(key, kind))
    parts = jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True)
    return {**parts, **({} if key_id is None else {"kid": key_id}), **more}


def claims(**changes: Any) -> dict[str, Any]:
    """Return claims that are in order, but for the changes; `None` leaves one out."""
    found = {"iss": ISSUER, "aud": AUDIENCE, "iat": NOW - 10, "exp": NOW + 600, "tok": EMPORIX_TOKEN, **changes}
    return {name: value for name, value in found.items() if value is not None}


def signed(key: Any = RSA, algorithm: str = "RS256", *, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """Return a token."""
    return jwt.encode(claims(**changes), key, algorithm, headers=header)


def part(value: object) -> str:
    """Return a segment of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def glued(header: object, payload: object, signature: bytes = b"") -> str:
    """Return a token of any parts."""
    return f"{part(header)}.{part(payload)}.{part(signature)}"
