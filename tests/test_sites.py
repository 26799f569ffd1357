"""A shop whose sites are known: what they do not offer is refused, and another site brings along what goes with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from session_ctx_middleware import Commit, ContextDefaults, InvalidChange, SessionContext
from session_ctx_middleware.emporix import PublicToken, SiteCatalog
from session_ctx_middleware.errors import ConfigurationError
from session_ctx_middleware.resolution import AcceptLanguage, Host, UrlPrefix
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop, held, patches

MakeShop = Callable[..., Shop]

SEES_EURO = {"Session-Variant": "acme~main~EUR~de~AT", "Cookie": "session_variant=acme~main~EUR~de~AT"}


@pytest.fixture
def catalog() -> SiteCatalog:
    return SiteCatalog(PublicToken("storefront"))


@pytest.fixture
async def shop(make_shop: MakeShop, catalog: SiteCatalog) -> Shop:
    shop = make_shop(sites=catalog, defaults=ContextDefaults(site_code="main", currency="EUR"))
    await shop.visit(nothing)  # an application builds its middleware with the first request
    return shop


async def nothing(_: SessionContext, __: Any) -> None:
    pass


async def noting(ctx: SessionContext, _: Any) -> None:
    ctx.set_attribute("gift", "yes")


def here(emporix: FakeEmporix, **fields: Any) -> Any:
    """Begin a session on the European site."""
    chosen = {"site_code": "main", "currency": "EUR", "language": "de", "target_location": "AT", **fields}
    return emporix.new_session(**chosen)


def switching(*, loads: bool, **values: str) -> Any:
    async def endpoint(ctx: SessionContext, _: Any) -> str:
        if loads:
            await ctx
        ctx.switch(**values)
        return " ".join(f"{each}" for each in (ctx.currency, ctx.language)) if loads else ""

    return endpoint


@pytest.mark.parametrize("loads", [True, False], ids=["loaded", "not loaded"])
async def test_another_site(shop: Shop, emporix: FakeEmporix, catalog: SiteCatalog, loads: bool) -> None:
    """Another site brings its own currency, language and country in the same PATCH, where it lacks the shopper's."""
    session = here(emporix)
    if loads:
        await catalog.load()

    answer = await shop.visit(switching(loads=loads, site_code="us"), token=session.token, method="POST")

    assert answer.status_code == 200
    assert answer.text == ("USD en" if loads else "")
    (patch,) = patches(emporix)
    assert {**patch, "metadata": None} == {
        "siteCode": "us",
        "currency": "USD",
        "language": "en",
        "targetLocation": "US",
        "metadata": None,
    }


async def test_what_the_new_site_offers_stays(shop: Shop, emporix: FakeEmporix, catalog: SiteCatalog) -> None:
    """What both sites offer stays, and what is chosen along with the site counts."""
    session = here(emporix, currency="USD", language="en", target_location="US")
    await catalog.load()

    await shop.visit(switching(loads=True, site_code="us", currency="CAD"), token=session.token, method="POST")

    (patch,) = patches(emporix)
    assert set(patch) == {"siteCode", "currency", "metadata"}
    assert patch["currency"] == "CAD"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"currency": "CAD"}, "EUR, USD, CHF"),
        ({"language": "es"}, "en, de, fr"),
        ({"target_location": "CA"}, "DE, AT, FR, US"),
        ({"site_code": "moon"}, "main, us"),
        ({"site_code": "us", "language": "de"}, "en, es"),
    ],
)
async def test_refused(
    shop: Shop, emporix: FakeEmporix, catalog: SiteCatalog, values: dict[str, str], named: str
) -> None:
    """What is not offered is refused at once, in words that name what is."""
    session = here(emporix)
    await catalog.load()

    answer = await shop.visit(switching(loads=True, **values), token=session.token, method="POST")

    assert answer.status_code == 422
    assert named in answer.text
    assert not patches(emporix)


async def test_refused_when_it_is_sent(shop: Shop, emporix: FakeEmporix) -> None:
    """Where the sites are not known yet, what is not offered is dropped when it is sent, and nothing else is."""
    session = here(emporix)
    seen: list[Any] = []

    async def endpoint(ctx: SessionContext, _: Any) -> None:
        ctx.switch(currency="CAD", language="fr")
        with pytest.raises(InvalidChange, match="EUR, USD, CHF"):
            await ctx.commit()
        seen.extend([ctx.currency, ctx.language])
        seen.append(await ctx.commit())

    assert (await shop.visit(endpoint, token=session.token, method="POST")).status_code == 200
    assert seen == ["EUR", "fr", Commit.NOTHING]
    assert [set(patch) for patch in patches(emporix)] == [{"language", "metadata"}]
    assert [event.outcome for event in shop.named("commit.refused")] == ["InvalidChange"]


async def test_dropped_at_the_end(shop: Shop, emporix: FakeEmporix) -> None:
    """The same at the end of a request blocks no page."""
    session = here(emporix)
    answer = await shop.visit(switching(loads=False, currency="CAD"), token=session.token, method="POST")

    assert answer.status_code == 200
    assert not patches(emporix)
    assert shop.named("commit.refused")


async def test_sites_that_cannot_be_read(shop: Shop, emporix: FakeEmporix) -> None:
    """Where nobody can say what is offered, everything is taken, and no page waits twice."""
    session = here(emporix)
    emporix.fault("site", Fault(hang=True), times=None)
    began = asyncio.get_running_loop().time()

    for currency in ("CAD", "USD"):
        await shop.visit(switching(loads=False, currency=currency), token=session.token, method="POST")

    assert held(emporix, session.session_id)["currency"] == "USD"
    assert asyncio.get_running_loop().time() - began < 5.0


async def test_outage(shop: Shop, emporix: FakeEmporix, catalog: SiteCatalog) -> None:
    """While nobody can say on which site the shopper is, what he chooses is not judged by another one."""
    session = here(emporix, site_code="us", currency="USD", language="en", target_location="US")
    await catalog.load()
    emporix.fault("context", Fault(status=503), times=None)

    assert (
        await shop.visit(switching(loads=True, currency="CAD"), token=session.token, method="POST")
    ).text == "CAD None"
    assert (await shop.visit(switching(loads=False, currency="CAD"), token=session.token, method="POST")).is_success
    emporix.clear_faults()
    await asyncio.sleep(10.0)
    await shop.visit(switching(loads=True, language="es"), token=session.token, method="POST")

    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"]) == ("CAD", "es")


@pytest.mark.parametrize("notes", [False, True], ids=["page", "attribute"])
async def test_site_chosen_in_an_outage(shop: Shop, emporix: FakeEmporix, catalog: SiteCatalog, notes: bool) -> None:
    """Another site that was chosen while nobody knew what the shopper has brings its own along when it is sent."""
    session = here(emporix)
    await catalog.load()
    emporix.fault("context", Fault(status=503), times=None)
    await shop.visit(switching(loads=False, site_code="us"), token=session.token, method="POST")
    emporix.clear_faults()
    await asyncio.sleep(30.0)

    if notes:  # a change beside it takes along what waits
        await shop.visit(noting, token=session.token, method="POST")
    assert (await shop.currency(session.token)) == "USD"

    document = held(emporix, session.session_id)
    switches = [document[name] for name in ("siteCode", "currency", "language", "targetLocation")]
    assert switches == ["us", "USD", "en", "US"]
    assert len(patches(emporix)) == 1
    assert not shop.named("commit.refused")


@pytest.mark.parametrize(
    ("chosen", "then"),
    [
        ({"currency": "CAD"}, "main EUR"),
        ({"site_code": "moon", "currency": "CAD"}, "main EUR"),
        ({"site_code": "moon", "currency": "CHF"}, "main CHF"),
        ({"site_code": "us", "currency": "CHF"}, "us USD"),
        ({"site_code": "us", "currency": "CAD"}, "us CAD"),
    ],
    ids=str,
)
@pytest.mark.parametrize("later", [{}, {"target_location": "US"}], ids=["page", "change"])
async def test_values_chosen_in_an_outage(
    shop: Shop, catalog: SiteCatalog, chosen: dict[str, str], then: str, later: dict[str, str]
) -> None:
    """What was chosen while nothing was known is checked when it can be, and does not get to Emporix unchecked."""
    emporix = shop.emporix
    session = here(emporix)
    for operation in ("context", "site"):
        emporix.fault(operation, Fault(status=503), times=None)
    await shop.visit(switching(loads=False, **chosen), token=session.token, method="POST")
    emporix.clear_faults()
    await asyncio.sleep(30.0)
    await catalog.load()

    assert (await shop.visit(switching(loads=True, **later), token=session.token)).is_success

    document = held(emporix, session.session_id)
    assert f"{document['siteCode']} {document['currency']}" == then
    assert bool(shop.named("commit.refused")) is (then != f"{chosen.get('site_code', 'main')} {chosen['currency']}")


async def test_unknown_site_with_other_values(shop: Shop, emporix: FakeEmporix) -> None:
    """What is switched along with a site that there is not has to suit the site that the shopper stays on."""
    session = here(emporix)
    values = {"site_code": "moon", "currency": "CAD", "language": "fr"}
    await shop.visit(switching(loads=False, **values), token=session.token, method="POST")

    document = held(emporix, session.session_id)
    assert [document[name] for name in ("siteCode", "currency", "language")] == ["main", "EUR", "fr"]


@pytest.mark.parametrize("chosen", [{}, {"currency": "USD"}])
async def test_there_and_back(shop: Shop, emporix: FakeEmporix, catalog: SiteCatalog, chosen: dict[str, str]) -> None:
    """Who comes back to a site within one request has what he had there, but for what he has chosen himself."""
    session = here(emporix)
    await catalog.load()

    async def endpoint(ctx: SessionContext, _: Any) -> None:
        await ctx
        ctx.switch_site("us")
        with pytest.raises(InvalidChange):
            ctx.switch_site("moon")
        assert (ctx.site_code, ctx.currency, ctx.language) == ("us", "USD", "en")
        ctx.switch(site_code="main", **chosen)

    await shop.visit(endpoint, token=session.token, method="POST")

    document = held(emporix, session.session_id)
    switches = [document[name] for name in ("siteCode", "currency", "language", "targetLocation")]
    assert switches == ["main", chosen.get("currency", "EUR"), "de", "AT"]


@pytest.mark.parametrize("loads", [True, False], ids=["loaded", "not loaded"])
async def test_address_beside_the_session(
    make_shop: MakeShop, emporix: FakeEmporix, catalog: SiteCatalog, loads: bool
) -> None:
    """What goes along to another site depends on what the session has, not on what the address of the page names."""
    shop = make_shop(sites=catalog, resolve=Host({"shop.test": {"language": "en"}}))
    session = here(emporix, language="fr")
    await shop.visit(nothing)
    if loads:
        await catalog.load()

    await shop.visit(switching(loads=loads, site_code="us"), token=session.token, method="POST")

    assert held(emporix, session.session_id)["language"] == "en"


async def test_outage_of_the_sites(shop: Shop, emporix: FakeEmporix) -> None:
    """Once the sites could not be read, no page waits for the next attempt."""
    session = here(emporix)
    emporix.fault("site", Fault(hang=True), times=None)
    await shop.visit(switching(loads=False, currency="USD"), token=session.token, method="POST")
    await asyncio.sleep(60.0)
    began = asyncio.get_running_loop().time()

    await shop.visit(switching(loads=False, currency="CHF"), token=session.token, method="POST")

    assert asyncio.get_running_loop().time() - began < 0.1


async def test_remembered_value(shop: Shop, emporix: FakeEmporix, catalog: SiteCatalog) -> None:
    """What a session has and its site offers no more shows as the site's own, and blocks no other change."""
    session = here(emporix, currency="JPY", language="es")
    await catalog.load()

    async def page(ctx: SessionContext, _: Any) -> str:
        await ctx
        assert [ctx.source(field) for field in ("currency", "target_location")] == ["default", "document"]
        return f"{ctx.currency} {ctx.currency} {ctx.language} {ctx.target_location}"

    assert (await shop.visit(page, token=session.token)).text == "EUR EUR en AT"
    assert [event.outcome for event in shop.named("sites.corrected")] == ["currency", "language"]

    answer = await shop.visit(switching(loads=True, target_location="FR"), token=session.token, method="POST")
    assert answer.status_code == 200
    assert held(emporix, session.session_id)["targetLocation"] == "FR"


async def test_variant_of_a_shared_page(shop: Shop, emporix: FakeEmporix, catalog: SiteCatalog) -> None:
    """A page that caches may share is shared under the values that it shows, not under those that are remembered."""
    session = here(emporix, currency="JPY")
    await catalog.load()

    async def page(ctx: SessionContext, _: Any) -> str:
        await ctx
        ctx.share_by_variant(60)
        return f"{ctx.currency}"

    answer = await shop.visit(page, token=session.token)

    assert answer.text == "EUR"
    assert answer.headers["set-cookie"].startswith("session_variant=acme~main~EUR~de~AT;")
    answer = await shop.visit(page, token=session.token, headers=SEES_EURO)
    assert (answer.text, answer.headers["cache-control"]) == ("EUR", "public, max-age=0, s-maxage=60")


async def test_sites_that_come_while_a_page_is_made(shop: Shop, emporix: FakeEmporix, catalog: SiteCatalog) -> None:
    """A page that has read a value before the sites were known is in no cache under what they make of it."""
    session = here(emporix, currency="JPY")

    async def page(ctx: SessionContext, _: Any) -> str:
        await ctx
        ctx.share_by_variant(60)
        text = f"{ctx.currency}"
        await catalog.load()
        return text

    answer = await shop.visit(page, token=session.token, headers=SEES_EURO)
    assert (answer.text, answer.headers["cache-control"]) == ("JPY", "private")


async def test_single_switches(shop: Shop, emporix: FakeEmporix, catalog: SiteCatalog) -> None:
    """The forms for one field are checked alike; attributes are nobody's business."""
    session = here(emporix)
    await catalog.load()

    async def endpoint(ctx: SessionContext, _: Any) -> None:
        await ctx
        with pytest.raises(InvalidChange):
            ctx.switch_currency("CAD")
        with pytest.raises(InvalidChange):
            ctx.switch_site("moon")
        ctx.switch_language("de-CH")
        ctx.set_attribute("gift", "yes")

    await shop.visit(endpoint, token=session.token, method="POST")
    document = held(emporix, session.session_id)
    assert (document["currency"], document["language"], document["context"]) == ("EUR", "de-CH", {"gift": "yes"})


async def test_choice_before_the_context(make_shop: MakeShop, emporix: FakeEmporix, catalog: SiteCatalog) -> None:
    """A choice that has to wait is completed, too."""
    shop = make_shop(sites=catalog, defaults=ContextDefaults(site_code="main", currency="EUR", language="de"))
    session = emporix.new_session(exists=False)
    await shop.visit(switching(loads=False, site_code="us"), token=session.token, method="POST")

    async def page(ctx: SessionContext, _: Any) -> str:
        await ctx
        return f"{ctx.site_code} {ctx.currency} {ctx.language} {ctx.target_location}"

    assert (await shop.visit(page, token=session.token)).text == "us USD en US"


async def test_values_of_the_request(make_shop: MakeShop, emporix: FakeEmporix, catalog: SiteCatalog) -> None:
    """What an address names or a browser prefers, and the site does not offer, is not shown, and becomes no choice."""
    resolvers = [UrlPrefix({"1": {"currency": "CAD"}}, persist=True), AcceptLanguage(["es", "de"])]
    shop = make_shop(sites=catalog, resolve=resolvers)
    session = emporix.new_session(site_code="main", currency="EUR", language=None, target_location="DE")
    await shop.visit(nothing)
    await catalog.load()

    async def page(ctx: SessionContext, _: Any) -> str:
        return f"{(await ctx).currency} {ctx.language}"

    navigation = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "accept-language": "es"}
    answer = await shop.visit(page, token=session.token, headers=navigation)

    assert (answer.status_code, answer.text) == (200, "EUR en")
    assert not patches(emporix)
    assert shop.named("commit.refused")
    assert not shop.named("sites.corrected")


async def test_in_a_template(shop: Shop, emporix: FakeEmporix, catalog: SiteCatalog) -> None:
    """A switcher offers the sites by their names, and what the shopper's own site has."""
    session = here(emporix)
    emporix._world.sites["main"] = {**emporix._world.sites["main"], "homeBase": {"timezone": "Europe/Berlin"}}

    async def page(ctx: SessionContext, _: Any) -> str:
        await ctx
        before = (catalog.offers(ctx), catalog.time_zone(ctx), catalog.site_of(ctx))
        assert before == ({}, "UTC", None)
        await catalog.load()
        offers = catalog.offers(ctx)
        assert offers["site_code"] == [("main", "Europe"), ("us", "United States")]
        assert offers["currency"] == ["EUR", "USD", "CHF"]
        assert offers["target_location"] == ["DE", "AT", "FR", "US"]
        return catalog.time_zone(ctx)

    assert (await shop.visit(page, token=session.token)).text == "Europe/Berlin"


def test_configuration(catalog: SiteCatalog) -> None:
    """Anything else is said at construction."""
    from session_ctx_middleware import SessionContextMiddleware

    async def app(*_: Any) -> None:
        """Never called."""

    for wrong in (SiteCatalog, "main", [catalog], PublicToken("c")):
        with pytest.raises(ConfigurationError, match="sites="):
            SessionContextMiddleware(app, tenant="acme", sites=wrong)  # type: ignore[arg-type]
