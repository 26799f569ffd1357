"""Checks of configuration name the option, say what to give, and quote nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import pytest

from session_ctx_middleware import UpstreamPolicy
from session_ctx_middleware.checks import (
    cookie_name,
    flag_or_function,
    function,
    functions,
    header_names,
    is_visible,
    matching,
    number,
    printable,
    secret_keys,
    whole,
)
from session_ctx_middleware.errors import ConfigurationError

SEVERAL = "hooks=... must be functions."
BARE = "without a prefix and of at most 64 characters"


async def waits(*_: object) -> bool:
    """Do what nobody awaits."""
    return False


class Waits:
    """Is called in a way that nobody awaits."""

    async def __call__(self, *_: object) -> bool:
        return False


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: number("secret", "x"), "x must be a number."),
    (lambda: number(True, "x"), "x must be a number."),
    (lambda: number(float("inf"), "x"), "x must be a number."),
    (
        lambda: number(0, "x", above=0, at_most=10, unit="seconds"),
        "x must be a number of seconds above 0 and at most 10.",
    ),
    (lambda: number(11, "x", above=0, at_most=10), "x must be a number above 0 and at most 10."),
    (lambda: number(-1, "x", at_least=0.5), "x must be a number of at least 0.5."),
    (lambda: whole(0, "x"), "x must be a whole number of at least 1."),
    (lambda: whole(1.5, "x"), "x must be a whole number of at least 1."),
    (lambda: whole(True, "x"), "x must be a whole number of at least 1."),
    (lambda: printable(" ", "x"), "x must be a string of printable ASCII characters."),
    (lambda: printable(b"secret", "x"), "x must be a string of printable ASCII characters."),
    (lambda: matching("secret!", re.compile("[a-z]+"), "letters"), "letters"),
    (lambda: matching(7, re.compile(".*"), "letters"), "letters"),
    (lambda: cookie_name("", "x"), "x must be the name of a cookie, such as 'shop_token'."),
    (lambda: cookie_name("a;b", "x"), "x must be the name of a cookie, such as 'shop_token'."),
    (lambda: cookie_name(None, "x"), "x must be the name of a cookie, such as 'shop_token'."),
    (lambda: cookie_name("__Host-a", "x", bare=True), f"x must be the name of a cookie, {BARE}."),
    (lambda: cookie_name("a" * 65, "x", bare=True), f"x must be the name of a cookie, {BARE}."),
    (lambda: number(10**400, "x"), "x must be a number."),
    (lambda: function("secret", "x"), "x must be a function."),
    (lambda: function(bool, "x"), "x must be a function."),
    (lambda: function(waits, "x"), "x must be a plain function: nobody awaits an async one there."),
    (lambda: flag_or_function(partial(waits), "x"), "x must be a plain function: nobody awaits an async one there."),
    (lambda: flag_or_function(Waits(), "x"), "x must be a plain function: nobody awaits an async one there."),
    *(
        (
            lambda names=names: header_names(names, "x"),
            "x must be a tuple of names of request headers, such as ('X-Shopper',).",
        )
        for names in ("X-Shopper", None, 3, (3,), ("",), ("X\r\nSet-Cookie: a=b",), ("X-Schlüssel",), {"X-A": 1})
    ),
    (lambda: functions(7, SEVERAL), SEVERAL),
    (lambda: functions("secret", SEVERAL), SEVERAL),
    (lambda: functions([print, None], SEVERAL), SEVERAL),
]


@pytest.mark.parametrize(("check", "text"), REFUSED)
def test_refused(check: Callable[[], object], text: str) -> None:
    """A value that cannot be is refused."""
    with pytest.raises(ConfigurationError, match=f"^{re.escape(text)}$"):
        check()


@pytest.mark.parametrize(
    "given", ["short secret", b"short", [], ["x" * 32, b"short"], 7, [7], {}, {"x" * 32: 1}, {"x" * 32}, "\ud800" * 32]
)
def test_refused_secrets(given: object) -> None:
    """A secret that is too short or of a wrong type is refused."""
    with pytest.raises(ConfigurationError, match=r"^secret_key=\.\.\. must have 32 bytes or more") as refused:
        secret_keys(given)
    assert "short" not in str(refused.value)


def test_taken() -> None:
    """A value that can be is taken."""
    assert (number(1, "x"), whole(3, "x"), printable("a b", "x")) == (1.0, 3, "a b")
    assert matching("abc", re.compile("[a-z]+"), "letters") == "abc"
    assert [cookie_name(name, "x") for name in ("shop", "__Host-shop")] == ["shop", "__Host-shop"]
    assert secret_keys(None) == []
    assert secret_keys("ü" * 16) == ["ü".encode() * 16]
    assert secret_keys([b"k" * 32, "l" * 40]) == [b"k" * 32, b"l" * 40]
    assert (functions(print, SEVERAL), functions((), SEVERAL), functions([print], SEVERAL)) == ((print,), (), (print,))


@pytest.mark.parametrize(("text", "visible"), [("~!", True), ("", False), ("a b", False), ("ä", False), (b"a", False)])
def test_visible(text: object, visible: bool) -> None:
    """Only visible ASCII counts as visible."""
    assert is_visible(text) is visible


def test_hanging_call() -> None:
    """A read hangs when two turns and two calls have taken all the time that they may."""
    assert UpstreamPolicy(deadline=1.0, total_timeout=2.0).hung_after == 6.0
