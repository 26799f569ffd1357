"""Notes are found in whatever form a browser, a proxy or HTTP/2 sends cookies, and one that is bent hides no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from session_ctx_middleware.testing import FakeEmporix

from ..support.shop import Shop
from .browser import Browser, page

Form = Callable[[str, str], Sequence[str]]

FORMS: dict[str, Form] = {
    "as browsers do": lambda name, note: [f"a=1; {name}={note}; b=2"],
    "a bent one in front": lambda name, note: [f"{name}=bent; {name}={note}"],
    "a bent one behind": lambda name, note: [f"{name}={note}; {name}=bent"],
    "the same twice": lambda name, note: [f"{name}={note}; {name}={note}"],
    "over several headers": lambda name, note: ["a=1", f"{name}=bent", f"{name}={note}", "b=2"],
    "blanks": lambda name, note: [f" a = 1;\t{name} =\t{note}\t;"],
    "no blanks": lambda name, note: [f"a=1;{name}={note};b=2"],
    "quotes": lambda name, note: [f'a="1"; {name}="{note}"'],
    "nonsense beside it": lambda name, note: [f';;=;x;"; {name}={note};=="'],
    "bytes beside it": lambda name, note: [f"a=\xff\xe9; {name}={note}"],
}


async def shown(shop: Shop, token: str, cookies: Sequence[str]) -> tuple[str, list[str]]:
    """Return the currency that a page shows, and the cookies that it sets, where the request has these headers."""
    shop.browser.cookies.clear()
    shop._handlers["forms"] = page
    headers = [("authorization", f"Bearer {token}"), *(("cookie", each.encode("latin-1")) for each in cookies)]
    response = await shop.browser.get("/forms", headers=headers)  # type: ignore[arg-type]
    return response.text, response.headers.get_list("set-cookie")


@pytest.mark.parametrize("form", FORMS)
async def test_note_is_found(form: str, workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """The choice shows, and the note is neither cleared nor written anew."""
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    await browser.switch(workers[0], currency="USD")
    ((name, note),) = browser.cookies.items()

    found, set_cookies = await shown(workers[1], session.token, FORMS[form](name, note))

    assert found == "USD"
    assert set_cookies == []


async def test_two_notes_over_two_headers(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """Notes that HTTP/2 has spread over several headers are joined."""
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    await browser.switch(workers[0], currency="USD")
    first = dict(browser.cookies)
    browser.cookies.clear()
    await browser.switch(workers[1], language="fr")
    headers = [f"{name}={note}" for name, note in (first | browser.cookies).items()]

    found, set_cookies = await shown(workers[2], session.token, headers)

    assert found == "USD"
    cleared = {header.partition("=")[0] for header in set_cookies if "Max-Age=0" in header}
    assert cleared == first.keys() | browser.cookies.keys()
