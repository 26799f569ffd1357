"""Encrypted notes say nothing to anybody but the workers, and workers that sign and such that encrypt get along."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import ContinuityPolicy, SessionContext
from session_ctx_middleware import continuity as module
from session_ctx_middleware.clock import SystemClock
from session_ctx_middleware.engine import Notes
from session_ctx_middleware.sealing import Keyring, Sealer
from session_ctx_middleware.testing import FakeEmporix

from ..support.shop import Handler, Shop
from .browser import OTHER_SECRET, SECRET, Browser, attribute, tier

ENCRYPTED = ContinuityPolicy(encrypted=True)
MakeShop = Callable[..., Shop]


def decoded(value: str) -> bytes:
    return b"".join(base64.urlsafe_b64decode(part + "===") for part in value.split("."))


@pytest.mark.parametrize("policy", [ENCRYPTED, ContinuityPolicy(document=True)])
async def test_next_worker_reads_it(policy: ContinuityPolicy, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What was changed shows on the next worker, and whoever has the cookie cannot read it."""
    one, two = (make_shop(secret_key=SECRET, continuity=policy) for _ in range(2))
    browser = Browser(emporix.new_session(exists=False).token)

    await browser.visit(one, attribute)
    await browser.switch(two, currency="USD")

    assert await browser.currency(one) == "USD"
    assert (await browser.visit(two, tier)).text == "gold"
    for value in browser.cookies.values():
        assert not [word for word in (b"gold", b"tier", b"currency") if word in decoded(value)]


async def test_key_rotation(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Keys are rotated without losing an encrypted note."""
    keys = (OTHER_SECRET, [SECRET, OTHER_SECRET], SECRET)
    old, both, new = (make_shop(secret_key=key, continuity=ENCRYPTED) for key in keys)
    browser = Browser(emporix.new_session(exists=False).token)

    await browser.switch(old, currency="USD")
    await browser.switch(both, language="fr")

    assert await browser.currency(both) == "USD"
    assert await browser.currency(new) == "USD"


@pytest.mark.parametrize("first", ["signs", "encrypts"])
async def test_one_worker_after_the_other(first: str, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """While encryption is turned on or off worker by worker, no choice is lost."""
    signs, encrypts = make_shop(secret_key=SECRET), make_shop(secret_key=SECRET, continuity=ENCRYPTED)
    one, two = (signs, encrypts) if first == "signs" else (encrypts, signs)
    browser = Browser(emporix.new_session(exists=False).token)

    await browser.switch(one, currency="USD")
    await browser.switch(two, language="fr")

    assert [await browser.currency(shop) for shop in (one, two, one, two)] == ["USD"] * 4


async def test_signing_needs_no_package(
    make_shop: MakeShop, emporix: FakeEmporix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker without the package signs, and ignores notes that it cannot open."""
    encrypts, signs = make_shop(secret_key=SECRET, continuity=ENCRYPTED), make_shop(secret_key=SECRET)
    browser = Browser(emporix.new_session(exists=False).token)

    await browser.switch(encrypts, currency="USD")
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    assert await browser.currency(signs) is None
    await browser.switch(signs, currency="CHF")

    assert await browser.currency(signs) == "CHF"


@pytest.mark.parametrize("encrypted", [False, True])
async def test_sealed_once(
    encrypted: bool, make_shop: MakeShop, emporix: FakeEmporix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note is signed or sealed once, whatever had to be tried for size, and no note is longer than it may be."""
    sealed: list[str] = []
    signed: list[bytes] = []
    seal, sign = Sealer.seal, module._jws.encode

    def watched_seal(sealer: Sealer, data: bytes, name: str) -> str:
        sealed.append(name)
        return seal(sealer, data, name)

    def watched_sign(data: bytes, *args: Any, **options: Any) -> str:
        signed.append(data)
        return sign(data, *args, **options)

    monkeypatch.setattr(Sealer, "seal", watched_seal)
    monkeypatch.setattr(module._jws, "encode", watched_sign)
    policy = ContinuityPolicy(encrypted=encrypted, max_bytes=600)
    shop = make_shop(secret_key=SECRET, continuity=policy)
    browser = Browser(emporix.new_session(exists=False).token)

    def endpoint_of(number: int) -> Handler:
        async def endpoint(ctx: SessionContext, _: Request) -> None:
            for each in range(3):
                ctx.set_attribute(f"key-{number}-{each}", "v" * 60)

        return endpoint

    for number in range(6):
        sealed.clear()
        signed.clear()
        await browser.visit(shop, endpoint_of(number))
        kept = [header for header in browser.last if "Max-Age=0" not in header]
        assert len(sealed if encrypted else signed) == len(kept)
        assert not (signed if encrypted else sealed)
        assert kept
        assert max(len(header.partition(";")[0]) for header in kept) <= 600


def test_sizes_are_exact() -> None:
    """What a note will take is known before it is signed or sealed."""
    for encrypted in (False, True):
        cookies = module.ContinuityCookies(
            Keyring([SECRET.encode()], "acme", "https://api.emporix.io"),
            tenant="acme",
            base_url="https://api.emporix.io",
            name="session_ctx",
            https_only=False,
            encrypted=encrypted,
            max_bytes=3072,
            clock=SystemClock(),
        )
        prefix = cookies._prefixes[0]
        for size in range(20):
            notes = Notes(era=10**size, ended=1.0)
            assert cookies._size(prefix, notes) == len(prefix) + 16 + len(cookies._value(prefix + b"0" * 16, notes))
