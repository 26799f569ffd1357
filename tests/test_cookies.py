"""Cookies are read as browsers send them: several of one name, over several headers, with blanks and quotes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection
from starlette.responses import Response

from session_ctx_middleware import BearerToken, CookieToken
from session_ctx_middleware.cookies import MOST, cookies, cookies_in
from session_ctx_middleware.tokens import LONGEST_REMEMBERED, TokenChain

NAMES = st.text("!#$%&'*+-.^_`|~abcXYZ019", min_size=1, max_size=8)
VALUES = st.text([chr(code) for code in range(0x21, 0x7F) if chr(code) not in '";,\\'], max_size=20)


def scope(*headers: str | bytes) -> dict[str, Any]:
    values = [value.encode("latin-1") if isinstance(value, str) else value for value in headers]
    return {"type": "http", "headers": [(b"host", b"shop.test"), *((b"cookie", value) for value in values)]}


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], []),
        ([""], []),
        (["a=1"], [("a", "1")]),
        (["a=1; b=2; a=3"], [("a", "1"), ("b", "2"), ("a", "3")]),
        (["a=1;b=2;;; ;c=3;"], [("a", "1"), ("b", "2"), ("c", "3")]),
        (["a=1; b=2", "a=3"], [("a", "1"), ("b", "2"), ("a", "3")]),
        ([" a = 1 ;\tb\t=\t2\t"], [("a", "1"), ("b", "2")]),
        (["a=1 2"], [("a", "1 2")]),
        (["a=\xa01\xa0"], [("a", "\xa01\xa0")]),
        (["a=b=c=="], [("a", "b=c==")]),
        (["a=; =b; c"], [("a", ""), ("", "b")]),
        (['a="1"; b=""; c="; d=1"2; e="1'], [("a", "1"), ("b", ""), ("c", '"'), ("d", '1"2'), ("e", '"1')]),
        ([r'a="1\0542\"3\\4\073"'], [("a", '1,2"3\\4;')]),
        ([r"a=1\0542"], [("a", r"1\0542")]),
        (["A=1; a=2"], [("A", "1"), ("a", "2")]),
    ],
)
def test_cookies(headers: list[str], found: list[tuple[str, str]]) -> None:
    """Every value of every name is there, in the order of the browser."""
    assert list(cookies(scope(*headers))) == found


@given(st.lists(st.lists(st.tuples(NAMES, VALUES), max_size=6), max_size=3))
def test_what_browsers_send(sent: list[list[tuple[str, str]]]) -> None:
    """What a browser sends comes out, whatever characters it is made of."""
    headers = ["; ".join(f"{name}={value}" for name, value in pairs) for pairs in sent]

    assert list(cookies(scope(*headers))) == [pair for pairs in sent for pair in pairs]


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20))
def test_what_servers_set(value: str) -> None:
    """A value that Python's `http.cookies` had to quote is what it was before."""
    response = Response()
    response.set_cookie("shop", value)
    sent = response.headers["set-cookie"].partition("; Path")[0]

    assert list(cookies(scope(sent))) == [("shop", value)]


@given(st.lists(st.binary(max_size=80) | st.text('a0=;"\\ ').map(str.encode)))
def test_whatever_is_sent(headers: list[bytes]) -> None:
    """Nothing that anybody can send raises anything, or comes out as more than it was."""
    found = list(cookies(scope(*headers)))

    assert not [name for name, _ in found if set(name) & {";", "="}]
    assert sum(len(name + value) for name, value in found) <= sum(map(len, headers))


def test_no_end_of_cookies() -> None:
    """A header with more cookies than any browser keeps costs no more than that many."""
    found = list(cookies_in(b"a=1;" * 20_000))

    assert found == [("a", "1")] * MOST


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        (["shop=first; shop=second"], "first"),
        (["shop=first", "shop=second"], "first"),
        (["shop=; shop=second"], "second"),
        (["shop=not a token; shop=second"], "second"),
        (["shop=\xff", "other=1", "shop=second"], "second"),
        (["shop=" + "x" * 9000 + "; shop=second"], "second"),
        (["other=1", " shop = second ;a=b"], "second"),
        (['shop="second"'], "second"),
        (['shop="a\\054b"'], "a,b"),
        (["workshop=first; shop=second; shopping=third"], "second"),
        (["SHOP=first"], None),
        (["a=shop=first"], None),
        (["shop"], None),
        (["shop="], None),
        ([], None),
    ],
)
async def test_token(headers: list[str], token: str | None) -> None:
    """Of several cookies of one name the first one counts that can be a token."""
    source = CookieToken("shop")
    chain = TokenChain(source)

    assert source(HTTPConnection(scope(*headers))) == token
    assert chain.now(scope(*headers)) == token
    found = await chain.find(HTTPConnection(scope(*headers)))
    assert (found and found.value) == token


def test_unusable_cookie_hides_no_header() -> None:
    """Where no cookie of the name can be a token, the next source is asked."""
    request = scope("shop=a b; shop=")
    request["headers"].append((b"authorization", b"Bearer b1"))

    assert TokenChain([CookieToken("shop"), BearerToken()]).now(request) == "b1"


def test_long_headers_are_read() -> None:
    """A header that is too long to be remembered is read like any other."""
    filler = f"filler={'x' * LONGEST_REMEMBERED}; "

    assert CookieToken("shop").from_scope(scope(filler + "shop=a b; shop=second")) == "second"
