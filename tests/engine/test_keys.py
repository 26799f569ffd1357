"""Cache keys and names."""

from __future__ import annotations

import hmac

import pytest

from session_ctx_middleware.engine.keys import Keys

KEYS = Keys("acme", "https://emporix")
KINDS = (b"token", b"session")


def test_keys_keep_apart() -> None:
    """Keys give nothing away, and keep tenants and tokens apart."""
    keys_ = Keys("acme", "https://a", b"s" * 32)
    others = [
        Keys("acme", "https://a", b"t" * 32),
        Keys("acmf", "https://a", b"s" * 32),
        Keys("acme", "https://b", b"s" * 32),
    ]

    assert keys_.key("token") == Keys("acme", "https://a", b"s" * 32).key("token")
    assert len({keys_.key("token"), keys_.key("token2"), *(other.key("token") for other in others)}) == 5
    assert b"token" not in keys_.key("token")
    assert keys_.session("token") != keys_.key("token").hex()
    assert Keys("acme", "https://a").key("t") != Keys("acme", "https://a").key("t")


@pytest.mark.parametrize("length", [1, 32, 64, 65, 300])
def test_keys_are_hmac(length: int) -> None:
    """Keys are HMAC-SHA256, whatever the length of the secret."""
    secret = bytes(range(1, 256)) * 2
    keys_ = Keys("acme", "https://emporix.example", secret[:length])
    text = b"\x1fhttps://emporix.example\x1facme\x1f"
    for value in ("t", "token" * 200):
        key, name = (hmac.digest(secret[:length], kind + text + value.encode(), "sha256")[:16] for kind in KINDS)
        assert keys_.key(value) == key
        assert keys_.session(value) == f"session-{name.hex()}"
