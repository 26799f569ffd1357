"""The language of an older storefront, which keeps it in an attribute: read where a shop wants that, and only there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import ContextDefaults, SessionContext
from session_ctx_middleware.errors import ConfigurationError
from session_ctx_middleware.testing import FakeEmporix, Quirks

from .support.shop import Shop
from .support.virtual_time import WALL_START

MakeShop = Callable[..., Shop]
OLDER = ContextDefaults(language="en", language_attribute="language")


@pytest.fixture
def emporix() -> FakeEmporix:
    return FakeEmporix(
        quirks=Quirks(language_at="attribute"), now=lambda: WALL_START + asyncio.get_running_loop().time()
    )


async def language(ctx: SessionContext, _: Request) -> str:
    await ctx
    return f"{ctx.language} {ctx.source('language')}"


@pytest.mark.parametrize(
    ("defaults", "attributes", "shown"),
    [
        (OLDER, {"language": "fr"}, "fr document"),
        (ContextDefaults(language="en"), {"language": "fr"}, "en default"),
        (ContextDefaults(language_attribute="lang"), {"lang": "it", "language": "fr"}, "it document"),
        (OLDER, {"language": ""}, "en default"),
        (OLDER, {"language": {"code": "fr"}}, "en default"),
        (OLDER, {}, "en default"),
    ],
)
async def test_reading(
    defaults: ContextDefaults, attributes: dict[str, Any], shown: str, make_shop: MakeShop, emporix: FakeEmporix
) -> None:
    """An attribute counts before the default where the shop names it, and where it is a language at all."""
    session = emporix.new_session(language=None, attributes=attributes)

    assert (await make_shop(defaults=defaults).visit(language, token=session.token)).text == shown


async def test_the_context_comes_first(make_shop: MakeShop) -> None:
    """A language beside the other fields counts, whatever an older storefront has left in an attribute."""
    emporix = FakeEmporix(now=lambda: WALL_START + asyncio.get_running_loop().time())
    session = emporix.new_session(language="de", attributes={"language": "fr"})
    shop = make_shop(emporix=emporix, defaults=OLDER)

    assert (await shop.visit(language, token=session.token)).text == "de document"
    await shop.switch(session.token, language="it")
    assert (await shop.visit(language, token=session.token)).text == "it document"
    assert (emporix.document(session.session_id) or {})["context"] == {"language": "fr"}


async def test_own_changes(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What this request sets in the attribute shows at once; a switch of the language counts before it."""
    session = emporix.new_session(language=None, attributes={"language": "fr"})

    async def changes(ctx: SessionContext, _: Request) -> str:
        await ctx
        ctx.set_attribute("language", "es")
        seen = f"{ctx.language}"
        ctx.switch(language="pt")
        return f"{seen} {ctx.language} {ctx.source('language')}"

    assert (await make_shop(defaults=OLDER).visit(changes, token=session.token)).text == "es pt change"


@pytest.mark.parametrize("name", ["", "k" * 65, "_session_ctx", 7])
def test_configuration(name: Any) -> None:
    """What no attribute can be called is said at construction."""
    with pytest.raises(ConfigurationError, match="language_attribute"):
        ContextDefaults(language_attribute=name)
