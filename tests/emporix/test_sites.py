"""The catalog of sites: all pages of them, loaded once however many ask, and used on where that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from session_ctx_middleware import ContextEvent
from session_ctx_middleware.emporix import PublicToken, ServiceToken, SiteCatalog
from session_ctx_middleware.errors import ConfigurationError
from session_ctx_middleware.events import Events
from session_ctx_middleware.testing import FakeEmporix, Fault, Quirks

from ..support.virtual_time import WALL_START, VirtualClock

URL = "https://emporix.test"


class World:
    """FakeEmporix with many sites, and what a catalog of it has told."""

    def __init__(self, library: Any, **options: Any) -> None:
        self.emporix = FakeEmporix(now=lambda: WALL_START + asyncio.get_running_loop().time(), **options)
        self.client = self.emporix.client(library, base_url=URL)
        self.clock = VirtualClock()
        self.told: list[ContextEvent] = []

    @property
    def options(self) -> Any:
        return {"base_url": URL, "http_client": self.client, "clock": self.clock}

    def catalog(self, token: Any = None, **options: Any) -> SiteCatalog:
        catalog = SiteCatalog(token or PublicToken("storefront"), **options)
        catalog.bind("acme", self.options, Events((self.told.append,), self.clock))
        return catalog


@pytest.fixture
async def world(library: Any) -> AsyncIterator[World]:
    world = World(library, more_sites=40)
    async with world.client:
        yield world


async def test_all_pages(world: World) -> None:
    """All sites are there, however many pages they take, by one session that belongs to no shopper."""
    catalog = world.catalog()

    every = await asyncio.gather(*(catalog.load() for _ in range(20)))

    sites = every[0]
    assert sites is not None
    assert all(each is sites for each in every)
    assert len(sites) == 42
    assert world.emporix.count("site.list") == 3
    assert world.emporix.count("anonymous.login") == 1
    site = catalog.site("main")
    assert site is not None
    assert site.currencies == ("EUR", "USD", "CHF")
    assert catalog.site("nowhere") is None
    await catalog.aclose()


async def test_what_is_active(library: Any) -> None:
    """Where a site lists nothing, all that is active in the tenant may be chosen, from all pages of it."""
    world = World(library, quirks=Quirks(site_lists="sparse"))
    async with world.client:
        catalog = world.catalog()
        await catalog.load()
        site = catalog.site("main")
        assert site is not None
        assert len(site.currencies) > 60
        assert len(site.locations) > 60
        assert not site.offers("target_location", "XX")

        world.emporix.fault("country", Fault(status=503), times=None)
        world.emporix.fault("currency", Fault(status=500), times=None)
        careless = world.catalog()
        await careless.load()
        site = careless.site("main")
        assert site is not None
        assert site.offers("target_location", "XX"), "who cannot say what is active forbids nothing"


async def test_renewed_in_the_background(world: World) -> None:
    """After ten minutes it is renewed, and nobody waits for that; the token outlives the hour that it is good for."""
    catalog = world.catalog()
    first = await catalog.load()
    world.emporix.clear_calls()
    await asyncio.sleep(599.0)
    assert await catalog.load() is first
    assert world.emporix.count() == 0
    await asyncio.sleep(2.0)
    world.emporix.fault("site.list", Fault(delay=1.0))

    assert await catalog.load() is first
    await asyncio.sleep(2.0)
    assert await catalog.load() is not first
    assert world.emporix.count("site.list") == 3
    assert world.emporix.count("anonymous.login") == 0
    await asyncio.sleep(3 * 3600.0)
    await catalog.load()
    await asyncio.sleep(1.0)
    assert world.emporix.count("anonymous.login") == 1
    assert not world.told


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(drop="before"), Fault(body={}), Fault(body=b"[]")])
async def test_failure(world: World, fault: Fault) -> None:
    """What was there goes on counting; nobody asks again at once, and operators are told once."""
    catalog = world.catalog()
    world.emporix.fault("site.list", fault, times=None)
    assert [await catalog.load() for _ in range(5)] == [None] * 5
    assert world.emporix.count("site.list") == 1
    assert [event.name for event in world.told] == ["sites.failed"]
    world.emporix.clear_faults()
    await asyncio.sleep(6.0)
    first = await catalog.load()
    assert first is not None

    world.emporix.fault("site.list", fault, times=None)
    await asyncio.sleep(700.0)
    assert await catalog.load() is first
    await asyncio.sleep(0.1)
    assert catalog.sites is first


async def test_refused_token(world: World) -> None:
    """A token that Emporix refuses is replaced, once."""
    catalog = world.catalog()
    world.emporix.fault("site.list", Fault(status=401))
    assert await catalog.load() is not None
    assert world.emporix.count("anonymous.login") == 2

    refused = world.catalog()
    world.emporix.fault("site.list", Fault(status=401), times=None)
    assert await refused.load() is None


async def test_impatient(world: World) -> None:
    """Who has no time leaves; the load goes on for the others."""
    catalog = world.catalog()
    world.emporix.fault("site.list", Fault(delay=3.0))
    assert await catalog.load(patience=1.0) is None
    await asyncio.sleep(3.0)
    assert catalog.sites is not None


async def test_service_token(world: World) -> None:
    """A service token does as well."""
    token = ServiceToken(
        "acme", client_id=FakeEmporix.client_id, client_secret=FakeEmporix.client_secret, **world.options
    )
    assert await world.catalog(token).load() is not None
    assert world.emporix.count("anonymous.login") == 0


async def test_configuration(world: World) -> None:
    """What cannot work is said at once."""
    none: list[Any] = ["client-id", None, PublicToken]
    for each in none:
        with pytest.raises(ConfigurationError, match="PublicToken"):
            SiteCatalog(each)
    with pytest.raises(ConfigurationError):
        PublicToken("")
    with pytest.raises(ConfigurationError):
        SiteCatalog(PublicToken("c"), ttl=0)
    token = PublicToken("storefront")
    catalog = world.catalog(token)
    with pytest.raises(ConfigurationError, match="one middleware"):
        catalog.bind("acme", world.options, Events())
    with pytest.raises(ConfigurationError, match="one SiteCatalog"):
        world.catalog(token)
    other = ServiceToken("other", client_id="c", client_secret="s", **world.options)
    with pytest.raises(ConfigurationError, match="tenant"):
        world.catalog(other)
    with pytest.raises(ConfigurationError, match="sites="):
        await SiteCatalog(PublicToken("storefront")).load()
    assert repr(catalog) == "SiteCatalog(PublicToken('storefront'))"
