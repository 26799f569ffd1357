"""Keys are good for one purpose, tenant and platform; what is sealed opens only where it belongs."""

from __future__ import annotations

import base64
import subprocess
import sys
from itertools import product
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_ctx_middleware import ConfigurationError
from session_ctx_middleware.checks import cookie_name
from session_ctx_middleware.sealing import HEAD_BYTES, Keyring, Sealer, hkdf, tenant_tag

URL = "https://api.emporix.io"
OLD, NEW = b"o" * 32, b"n" * 32
KEYRING = Keyring([OLD], "acme", URL)
SEALER = KEYRING.sealer("note")
TEXTS = st.text(max_size=40)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

# RFC 5869, appendix A: what goes in, and what comes out.
VECTORS = [
    (
        "0b" * 22,
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        (
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
            "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
            "cc30c58179ec3e87c14c01d5c1f3434f1d87"
        ),
    ),
    (
        "0b" * 22,
        "",
        "",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]


@pytest.mark.parametrize(("secret", "salt", "info", "derived"), VECTORS)
def test_vectors_of_the_rfc(secret: str, salt: str, info: str, derived: str) -> None:
    """Keys are derived as RFC 5869 says."""
    found = hkdf(bytes.fromhex(secret), salt=bytes.fromhex(salt), info=bytes.fromhex(info), length=len(derived) // 2)

    assert found.hex() == derived


@pytest.mark.parametrize("length", [0, 255 * 32 + 1])
def test_no_key_of_such_a_length(length: int) -> None:
    """HKDF gives 255 blocks at most."""
    with pytest.raises(ValueError, match="8160"):
        hkdf(OLD, salt=b"", info=b"", length=length)


@given(
    one=st.tuples(TEXTS, TEXTS, TEXTS, st.booleans()),
    other=st.tuples(TEXTS, TEXTS, TEXTS, st.booleans()),
)
def test_every_purpose_has_its_own_key(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    """Keys are the same exactly where secret, purpose, tenant and base URL are."""
    keys = [
        Keyring([OLD if old else NEW], tenant, url).signing_keys(purpose) for purpose, tenant, url, old in (one, other)
    ]
    places = [(purpose, tenant, url.rstrip("/"), old) for purpose, tenant, url, old in (one, other)]

    assert (keys[0] == keys[1]) == (places[0] == places[1])


def test_what_runs_together_is_kept_apart() -> None:
    """Where one name ends and the next begins makes a difference."""
    pairs = [("ab", "c"), ("a", "bc"), ('a","b', "c"), ("a", 'b","c'), ("", "abc"), ("abc", "")]
    places = [(purpose, tenant, URL) for purpose, tenant in pairs] + [("a", "b", "c" + URL), ("a", "bc", URL + "/x")]
    keys = {bytes(Keyring([OLD], tenant, url).signing_keys(purpose)[0]) for purpose, tenant, url in places}

    assert len(keys) == len(places)


def test_keys_sign() -> None:
    """The keys are long enough for HS256, the newest comes first, and no sealed text is signed with one."""
    old, (new, also_old) = KEYRING.signing_keys("note"), Keyring([NEW, OLD], "acme", URL).signing_keys("note")

    assert old == [also_old]
    assert jwt.decode(jwt.encode({"a": 1}, new, "HS256"), new, ["HS256"]) == {"a": 1}
    assert len({*old, new, *KEYRING._derived("seal", "note", 32)}) == 3


@given(data=st.binary(max_size=300), name=TEXTS)
def test_sealed_text_opens(data: bytes, name: str) -> None:
    """What was sealed opens, is safe in cookies and URLs, and looks different every time."""
    text = SEALER.seal(data, name)

    assert SEALER.open(text, name) == data
    assert not set(text) - set(ALPHABET)
    assert text != SEALER.seal(data, name)
    assert len(text) == SEALER.length(len(data))


@given(data=st.binary(max_size=60), at=st.integers(0), to=st.characters(), way=st.sampled_from(["set", "cut", "put"]))
def test_bent_text_never_opens(data: bytes, at: int, to: str, way: str) -> None:
    """A text of which one character is another, missing or too many does not open, wherever it is."""
    text = SEALER.seal(data, "n")
    at %= len(text)
    bent = text[:at] + (to if way != "cut" else "") + text[at + (way != "put") :]

    assert SEALER.open(bent, "n") == (data if bent == text else None)


def test_every_single_change() -> None:
    """No character of a text can be replaced, not even the bits that its last one does not need."""
    text = SEALER.seal(b"12", "n")
    bent = [text[:at] + letter + text[at + 1 :] for at in range(len(text)) for letter in ALPHABET]

    assert {SEALER.open(each, "n") for each in bent if each != text} == {None}
    assert [each for each in bent if SEALER.open(each, "n") is not None] == [text] * len(text)


@given(st.text(max_size=300) | st.text(ALPHABET, max_size=300) | st.binary(max_size=200).map(base64.b64encode).map(str))
def test_foreign_text_never_opens(text: str) -> None:
    """Whatever somebody else made up does not open, and raises nothing."""
    assert SEALER.open(text, "n") is None


@given(st.data())
def test_cut_short(data: st.DataObject) -> None:
    """No part of a text opens, and no two texts run together."""
    text = SEALER.seal(b"some data", "n")
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, len(text)))
    if (begin, end) != (0, len(text)):
        assert SEALER.open(text[begin:end], "n") is None
    for more in ("=", "==", "A", "\n", " ", text):
        assert SEALER.open(text + more, "n") is None
        assert SEALER.open(more + text, "n") is None


@given(place=st.tuples(TEXTS, TEXTS, TEXTS, TEXTS), part=st.integers(0, 4))
def test_opens_only_where_it_belongs(place: tuple[str, str, str, str], part: int) -> None:
    """Another purpose, tenant, base URL, name or secret opens nothing."""
    purpose, tenant, url, name = place
    text = Keyring([OLD], tenant, url).sealer(purpose).seal(b"data", name)

    purpose, tenant, url, name = (f"{each}x" if part == at else each for at, each in enumerate(place))
    assert Keyring([NEW if part == 4 else OLD], tenant, url).sealer(purpose).open(text, name) is None


@pytest.mark.parametrize("name", ["\ud800", "\xff", "\0", "a" * 5000])
def test_odd_names(name: str) -> None:
    """A name that no cookie has is a name like any other."""
    assert SEALER.open(SEALER.seal(b"", name), name) == b""
    assert SEALER.open(SEALER.seal(b"", name), "other") is None


def test_rotation() -> None:
    """What was sealed under the old key opens for as long as that is listed; new texts are sealed under the first."""
    old, both, new = (Keyring(keys, "acme", URL).sealer("note") for keys in ([OLD], [NEW, OLD], [NEW]))
    sealed = {sealer: sealer.seal(b"data", "n") for sealer in (old, both, new)}
    opens = [(by, at) for by, at in product((old, both, new), repeat=2) if at.open(sealed[by], "n") == b"data"]

    assert opens == [(old, old), (old, both), (both, both), (both, new), (new, both), (new, new)]


def test_two_keys_of_one_name() -> None:
    """Two keys that happen to have one name both open what they have sealed."""
    one, two = Sealer([OLD], [b"same"], b""), Sealer([NEW], [b"same"], b"")
    both = Sealer([OLD, NEW], [b"same", b"same"], b"")

    assert [both.open(sealer.seal(b"data", "n"), "n") for sealer in (one, two)] == [b"data"] * 2


def test_head_is_authenticated() -> None:
    """A text does not open when it is said to be of another format or key that is listed, too."""
    one, other = (Keyring([key], "acme", URL).sealer("note") for key in (OLD, NEW))
    both = Keyring([NEW, OLD], "acme", URL).sealer("note")
    heads = [base64.urlsafe_b64decode(sealer.seal(b"", "n") + "==")[:HEAD_BYTES] for sealer in (one, other)]
    raw = base64.urlsafe_b64decode(one.seal(b"1", "n") + "==")
    swapped = base64.urlsafe_b64encode(heads[1] + raw[HEAD_BYTES:]).rstrip(b"=").decode()

    assert heads[0] != heads[1]
    assert both.open(swapped, "n") is None


def test_tenant_tag() -> None:
    """A tag is of a tenant and a platform alone, and may be part of a cookie's name."""
    urls = [URL, "https://api.emporix.io/x", "https://api.emporix.i", "http://localhost:80", "http://localhost:8080"]
    tags = {tenant_tag(tenant, url) for tenant in ("acme", "acm", "acme2") for url in urls}

    assert len(tags) == 15
    assert {len(tag) for tag in tags} == {8}
    assert all(cookie_name(tag, "") and tag.isalnum() for tag in tags)
    assert tenant_tag("acme", URL + "/") == tenant_tag("acme", URL) == "5fe9dc66"


def test_slash_at_the_end() -> None:
    """Workers whose addresses differ in a slash at the end understand each other."""
    other = Keyring([OLD], "acme", URL + "/")

    assert other.signing_keys("note") == KEYRING.signing_keys("note")
    assert other.sealer("note").open(SEALER.seal(b"data", "n"), "n") == b"data"


def test_nothing_secret_is_shown() -> None:
    """Neither secrets nor keys are in a repr."""
    secrets = [OLD, *KEYRING.signing_keys("note"), *KEYRING._derived("seal", "note", 32)]
    shown = repr(KEYRING) + repr(SEALER) + str(SEALER)

    assert not [secret for secret in secrets if repr(secret)[2:-1] in shown or secret.hex() in shown]


def test_no_secret() -> None:
    """Without a secret there is nothing to seal with."""
    with pytest.raises(ConfigurationError, match="secret_key"):
        Keyring([], "acme", URL).sealer("note")
    assert Keyring([], "acme", URL).signing_keys("note") == []


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, keys can be derived, and sealing says what to install."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)

    assert KEYRING.signing_keys("note")
    with pytest.raises(ConfigurationError, match=r"session-ctx-middleware\[encryption\]"):
        KEYRING.sealer("note")


def test_package_is_no_need() -> None:
    """A shop that seals nothing does not need the package."""
    probe = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from session_ctx_middleware.sealing import Keyring, tenant_tag\n"
        "print(len(Keyring([b'k' * 32], 'acme', 'x').signing_keys('note')), tenant_tag('acme', 'x'))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["1", tenant_tag("acme", "x")]
