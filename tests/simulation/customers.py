"""Visits in which a shopper logs in and out, while other pages of the same browser are on their way.

The shop leaves everything to `StorefrontSessions`, and Emporix is `FakeEmporix`: here the tokens themselves are at
stake, where the other visits bring their own. A seed decides everything.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
from starlette.requests import Request

from session_ctx_middleware import (
    CachePolicy,
    ContextDefaults,
    ContinuityPolicy,
    SessionContext,
    SessionContextError,
    SessionContextMiddleware,
    Transition,
    UpstreamPolicy,
)
from session_ctx_middleware.emporix import CartFollows
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault, Quirks

from ..support.virtual_time import WALL_START, VirtualClock, VirtualTimeLoop
from .jar import Jar

__all__ = ["SHOPS", "ShopSetup", "play"]

PEOPLE: Final = {
    "jane@example.com": ("correct-horse", "C0001", ()),
    "joe@example.com": ("battery-staple", "C0002", ()),
    "kim@example.com": ("paper-clips", "C0003", ("le-north", "le-south")),
}
ANY: Final = object()
"""What is expected where the last answer was lost, so that nobody can know."""
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TOKENS: Final = ("anonymous", "customer")
FAULTS: Final = (
    Fault(status=500, probability=0.5),
    Fault(status=503, probability=0.9),
    Fault(status=429, retry_after=1),
    Fault(status=401, by="proxy", probability=0.7),
    Fault(drop="before", probability=0.6),
    Fault(hang=True, probability=0.5),
    Fault(delay=0.4),
    Fault(delay_after=1.0),
)
"""What passes, and has no effect that nobody hears of."""
DOUBTFUL: Final = (Fault(drop="after", probability=0.4), Fault(status=502, apply=True, probability=0.4))
"""What has an effect that nobody hears of."""


@dataclass(frozen=True, slots=True)
class ShopSetup:
    """What a shop runs on, and what Emporix is like.

    Args:
        workers: processes that share no memory.
        store: whether they share a store: for contexts, or for ``tokens`` as well.
        document: whether the browser carries the document.
        skew: seconds by which the clocks of workers differ at most.
        doubtful: whether answers get lost on the way back.
        carts: whether carts follow.
        appears: when a context appears.
        quirks: which reading is true.
    """

    workers: int = 1
    store: str = "none"
    document: bool = False
    skew: float = 0.0
    doubtful: bool = True
    carts: bool = False
    appears: str = "login"
    quirks: dict[str, Any] = field(default_factory=dict)


SHOPS: Final = {
    "one process": ShopSetup(),
    "before the cart": ShopSetup(appears="cart"),
    "3 workers": ShopSetup(workers=3),
    "3 workers, document": ShopSetup(workers=3, document=True),
    "3 workers, clocks an hour apart": ShopSetup(workers=3, skew=1800.0),
    "3 workers, store": ShopSetup(workers=3, store="contexts"),
    "3 workers, tokens in the store": ShopSetup(workers=3, store="tokens"),
    "3 workers, a refresh token once": ShopSetup(
        workers=3, store="tokens", doubtful=False, quirks={"refresh_reuse": "refused"}
    ),
    "3 workers, carts follow": ShopSetup(workers=3, carts=True),
    "3 workers, other readings": ShopSetup(
        workers=3,
        quirks={
            "refresh_bearer": "anonymous",
            "refresh_follows": "bearer",
            "session_id": "session_id",
            "refresh_names_session": False,
            "anonymous_customer": "absent",
        },
    ),
}


class Every(list[str]):
    """The currencies of a site that has all."""

    def __contains__(self, item: object) -> bool:
        return True


@dataclass(slots=True)
class Choice:
    """A currency that was chosen: when the request left, when its answer was there, and whether it need not count."""

    value: str
    sent: float
    known: float | None = None
    void: bool = False


@dataclass(slots=True)
class Expected:
    """What pages have to show, as far as it is known: `ANY` where it is not."""

    session: Any = ANY
    customer: Any = None
    company: Any = None
    cart: Any = None


class Visit:
    """One seed.

    Args:
        seed: decides everything.
        setup: what the shop runs on.
        steps: moments at which the browser does something.
    """

    def __init__(self, seed: int, setup: ShopSetup, steps: int) -> None:
        self.rng = rng = random.Random(seed)
        self.loop = asyncio.get_running_loop()
        self.setup, self.steps = setup, steps
        self.emporix = FakeEmporix(
            context_at="cart" if setup.appears == "cart" else "login",
            quirks=Quirks(**setup.quirks),
            seed=rng.randrange(2**32),
            now=lambda: WALL_START + self.loop.time(),
        )
        main = self.emporix._world.sites["main"]
        self.emporix._world.sites["main"] = {**main, "availableCurrencies": Every(main["availableCurrencies"])}
        self.client = self.emporix.client(httpx2, base_url="http://emporix.test")
        self.jar = Jar(self.loop.time)
        self.shared = MemoryStore(shared=True)
        self.shops = [self._open() for _ in range(setup.workers)]
        self.expected = Expected()
        self.choices: list[Choice] = []
        self.secrets: dict[str, tuple[int, str]] = {}
        self.era = 0
        self.moves: list[tuple[float, float]] = []
        self.found: list[str] = []
        self.counts: Counter[str] = Counter()
        self.story: list[str] = []
        self._numbers = itertools.count(1)
        self._moving = asyncio.Lock()
        self._settled = asyncio.Event()
        self._settled.set()
        self._pausing = False
        self._logged_in_at = 0.0
        self._asking = 0

    def _open(self) -> tuple[SessionContextMiddleware, StorefrontSessions]:
        setup, rng = self.setup, self.rng
        clock = VirtualClock(rng.randrange(2**32))
        clock.wall_offset = rng.uniform(-setup.skew, setup.skew)
        store = MemoryStore(clock=clock) if setup.store == "none" else self.shared.sibling()
        sessions = StorefrontSessions("storefront", keep=store if setup.store == "tokens" else "cookie")
        app = SessionContextMiddleware(
            _application,
            tenant=self.emporix.tenant,
            base_url="http://emporix.test",
            insecure_http=True,
            token=sessions,
            secret_key="s" * 32,
            continuity=ContinuityPolicy(document=setup.document),
            defaults=ContextDefaults(currency="EUR"),
            cache=CachePolicy(ttl=5, missing_ttl=0.5, stale_while_revalidate=5, stale_if_error=60, rejected_ttl=1),
            upstream=UpstreamPolicy(deadline=1.0, commit_deadline=1.5, total_timeout=2.0),
            store=store,
            carts=CartFollows() if setup.carts else None,
            http_client=self.client,
            clock=clock,
        )
        return app, sessions

    # The browser

    async def ask(
        self, page: Callable[[SessionContext, Any, StorefrontSessions], Awaitable[Any]], *, sure: bool
    ) -> Any:
        """Return what a page returns, once its answer has reached the browser; `None` where that is lost."""
        rng, (app, sessions) = self.rng, self.rng.choice(self.shops)
        headers = [(b"host", b"shop.test"), (b"user-agent", b"a browser")]
        cookie = self.jar.header()
        if cookie is not None:
            headers.append((b"cookie", cookie))
        await asyncio.sleep(rng.uniform(0.001, 0.05))
        started: list[Any] = []
        done: list[Any] = []

        async def work(ctx: SessionContext, request: Any) -> None:
            done.append(await page(ctx, request, sessions))

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                started.append(message["headers"])

        self._asking += 1
        scope = {
            "type": "http",
            "method": "POST",
            "scheme": "https",
            "path": "/",
            "query_string": b"",
            "headers": headers,
            "simulated": work,
        }
        try:
            await app(scope, _receive, send)
        finally:
            self._asking -= 1
        await asyncio.sleep(rng.uniform(0.001, 0.05 if sure else 0.6))
        if not sure and rng.random() < 0.03:
            return None
        self.jar.receive(started[0], secure=True)
        return done[0]

    async def page(self, *, sure: bool = False) -> bool:
        """Look at a page, and judge what it shows; tell whether it had a session to show."""
        sent = self.loop.time()

        async def show(ctx: SessionContext, request: Any, sessions: StorefrontSessions) -> dict[str, Any]:
            await asyncio.sleep(self.rng.choice((0.0, 0.0, 0.3)))
            await ctx
            return {
                "session": ctx.session_id,
                "customer": ctx.customer_id if ctx.is_logged_in else None,
                "company": ctx.attributes.get("legalEntityId"),
                "cart": ctx.cart_id,
                "currency": ctx.currency,
                "secrets": [value for key, value in ctx.attributes.items() if key.startswith("s")],
                "blind": ctx.is_degraded or ctx.is_rejected or not ctx.has_token,
                "exists": ctx.exists,
                "stale": ctx.is_stale,
            }

        era = self.era
        seen = await self.ask(show, sure=sure)
        if seen is not None:
            self.counts["pages"] += 1
            self._judge(seen, sent, era)
        return seen is not None and not seen["blind"]

    async def choose(self) -> None:
        """Choose a currency that nobody has chosen before, and at times keep a secret."""
        rng, number = self.rng, next(self._numbers)
        value = LETTERS[number // 676 % 26] + LETTERS[number // 26 % 26] + LETTERS[number % 26]
        choice = Choice(value, self.loop.time())
        self.choices.append(choice)
        secret = f"secret-{number}" if rng.random() < 0.4 and self.expected.customer not in {None, ANY} else None
        if secret is not None:
            self.secrets[secret] = (self.era, self.expected.customer)

        async def switch(ctx: SessionContext, request: Any, sessions: StorefrontSessions) -> bool:
            ctx.switch(currency=value)
            if secret is not None:
                ctx.set_attribute(f"s{number % 5}", secret)
            await asyncio.sleep(rng.choice((0.0, 0.2, 1.0)))
            if not ctx.carts_follow:
                return True
            with suppress(SessionContextError):
                await ctx.commit()
            outcome = ctx.cart_outcome
            self.counts[f"cart {None if outcome is None else outcome.state}"] += 1
            return outcome is None or outcome.state in {"moved", "accepted"}

        if await self.ask(switch, sure=False):
            choice.known = None if choice.void else self.loop.time()
        elif self.setup.carts:
            choice.void = True
        self.tell(f"{choice}")

    async def cart(self) -> None:
        """Create a cart, as the shop's own call does."""
        async with self._moving:
            if self.expected.cart is not None or self.expected.session is ANY:
                return

            async def create(ctx: SessionContext, request: Any, sessions: StorefrontSessions) -> str | None:
                await ctx
                headers = ctx.auth.headers("POST", "http://emporix.test/cart/acme/carts")
                async with asyncio.timeout(3.0):
                    answer = await self.client.post(
                        f"/cart/{self.emporix.tenant}/carts",
                        json={"currency": "EUR", "siteCode": "main"},
                        headers=headers,
                    )
                if answer.status_code != 201:
                    return None
                await ctx.cart_created(answer.json()["cartId"])
                cart = str(answer.json()["cartId"])
                return cart if ctx.cart_id == cart else None  # else Emporix could not be asked

            self.expected.cart = ANY
            with suppress(SessionContextError, httpx2.HTTPError, TimeoutError):
                self.expected.cart = await self._move(create) or ANY

    # Logging in and out

    async def login(self) -> None:
        email = self.rng.choice([*PEOPLE])
        password, customer, _ = PEOPLE[email]
        async with self._moving:
            before = self.expected.customer

            blind = False

            async def log_in(ctx: SessionContext, request: Any, sessions: StorefrontSessions) -> Transition:
                nonlocal blind
                moved = await sessions.login(request, email, password)
                blind = ctx.is_degraded
                return moved

            moved = await self._moved(log_in)
            if moved is None:
                if before != customer:
                    self.expected.customer = self.expected.company = ANY
                self._pardon()
                return
            # Only a guest's token can log in to a session again, and the one of before has ended after a day.
            is_known = self.loop.time() - self._logged_in_at < 23 * 3600.0
            if (before is None or (before == customer and is_known)) and not moved.session_kept:
                self._violation("a login has not kept the session")
            self._logged_in_at = self.loop.time()
            if blind and self._overlapping():  # nobody could see what the login has written over
                self._pardon()
            if not moved.session_kept:
                company = self.expected.company
                self._somebody_else()
                self.expected.company = company if before == customer else None
            if moved.cart is not None and moved.cart.state != "nothing":
                self.counts[f"merge {moved.cart.state}"] += 1
                merged = moved.cart.state == "merged"
                self.expected.cart = (
                    moved.cart.cart_id if merged else ANY if moved.cart.state == "failed" else self.expected.cart
                )
            if before != customer:
                self.expected.company = ANY if before is ANY and moved.session_kept else None
            self.expected.customer = customer

    async def logout(self) -> None:
        async with self._moving:

            async def log_out(ctx: SessionContext, request: Any, sessions: StorefrontSessions) -> Transition:
                return await sessions.logout(request)

            assert await self._moved(log_out)
            self._somebody_else()
            await self._settle()

    async def company(self) -> None:
        customer = self.expected.customer
        async with self._moving:
            if customer != "C0003" or self.expected.customer != customer:
                return
            wanted = self.rng.choice((*PEOPLE["kim@example.com"][2], None))

            async def act_for(ctx: SessionContext, request: Any, sessions: StorefrontSessions) -> Transition:
                return await sessions.switch_company(request, wanted)

            moved = await self._moved(act_for)
            # A page that is on its way may refresh the session that it brought, which acts for the company before.
            late = self._asking and self.setup.workers > 1 and self.setup.store == "none"
            self.expected.company, self.expected.cart = wanted if moved and not late else ANY, ANY

    def _somebody_else(self) -> None:
        self.era += 1
        self.expected = Expected()
        # What a page chooses that does not know of the logout is void with everything else of before.
        for each in self._overlapping():
            each.known = None
            each.void = True

    def _overlapping(self) -> list[Choice]:
        """Return what was chosen while somebody logged in or out."""
        began, ended = self.moves[-1]
        return [each for each in self.choices if each.sent < ended and (each.known is None or each.known > began)]

    async def _settle(self) -> None:
        """Let nobody ask until the browser has a session: two first pages at once may begin two."""
        self._settled.clear()
        while not await self.page(sure=True):
            await asyncio.sleep(1.0)
        self._settled.set()

    async def _click(self, what: Callable[[], Awaitable[object]]) -> None:
        await self._settled.wait()
        await what()

    def _pardon(self) -> None:
        """Expect no more of what was chosen: Emporix may have written a customer's preferences over it."""
        for each in self.choices:
            each.known, each.void = None, True

    async def _moved(self, work: Callable[..., Awaitable[Transition]]) -> Transition | None:
        try:
            moved: Transition = await self._move(work)
        except SessionContextError as error:
            self.counts[type(error).__name__] += 1
            return None
        self.counts[moved.kind] += 1
        self.tell(f"{moved}")
        return moved

    async def _move(self, work: Callable[..., Awaitable[Any]]) -> Any:
        """Do what changes whose session it is; nobody does two such things at once, but other pages go on."""
        began = self.loop.time()
        index = len(self.moves)
        self.moves.append((began, float("inf")))
        try:
            return await self.ask(work, sure=True)
        finally:
            self.moves[index] = (began, self.loop.time())
            self.tell(f"{work.__name__} from {began:.3f}: {self.expected}")

    # What must not be

    def _judge(self, seen: dict[str, Any], sent: float, era: int) -> None:
        now, expected = self.loop.time(), self.expected
        for value in seen["secrets"]:
            of, who = self.secrets[value]
            if of != self.era and of < era:
                self._violation(f"a secret of {who} shows after the logout, in era {self.era}")
        if seen["blind"] or any(sent <= ended and began <= now for began, ended in self.moves):
            return
        known = [choice for choice in self.choices if choice.known is not None and choice.known < sent]
        if self.setup.appears == "cart":  # what waits is kept for a day
            known = [choice for choice in known if choice.sent > now - 23 * 3600.0]
        latest = max((choice.sent for choice in known), default=None)
        mine = next((choice for choice in self.choices if choice.value == seen["currency"]), None)
        older = mine is None or (mine.known is not None and latest is not None and mine.known < latest)
        if latest is not None and older:
            self._violation(f"the currency is {seen['currency']}, though one chosen at {latest:.3f} was known")
        if not seen["exists"] or seen["stale"]:
            return  # Emporix could not be asked: what is there of choices shows, and else what there was
        if expected.session is ANY:
            expected.session = seen["session"]
        for name in ("session", "customer", "company", "cart"):
            wanted = getattr(expected, name)
            if wanted is not ANY and seen[name] != wanted:
                self._violation(f"the {name} is {seen[name]!r} instead of {wanted!r}")

    def _violation(self, text: str) -> None:
        self.found.append(f"{self.loop.time():9.3f} {text}")
        self.tell(f"*** {text}")

    def tell(self, text: str) -> None:
        self.story.append(f"{self.loop.time():9.3f} {text}")

    # One visit

    async def play(self) -> None:
        rng = self.rng
        await self._settle()
        weather = asyncio.ensure_future(self._weather())
        tasks = []
        for _ in range(self.steps):
            await asyncio.sleep(rng.expovariate(1.5))
            await self._long_pause(rng)
            for _ in range(rng.choice((1, 1, 2, 4))):
                what = rng.choices(
                    (self.page, self.choose, self.login, self.logout, self.company, self.cart), (40, 14, 5, 3, 4, 4)
                )[0]
                tasks.append(asyncio.ensure_future(self._click(what)))
        await asyncio.gather(*tasks)
        weather.cancel()
        self.emporix.clear_faults()
        await asyncio.sleep(70.0)  # until every pause after a failure is over
        for _ in range(8):
            await asyncio.sleep(3.0)
            await self.page(sure=True)
        await self._agree()
        for app, _ in self.shops:
            await app.aclose()
        await self.client.aclose()

    async def _agree(self) -> None:
        """Switch once more in good weather: session and cart are to agree."""
        if not self.setup.carts:
            return

        async def switch(
            ctx: SessionContext, request: Any, sessions: StorefrontSessions
        ) -> tuple[str | None, str | None]:
            await ctx
            ctx.switch(currency="EUR")
            await ctx.commit()
            cart = None if ctx.cart_id is None else self.emporix.cart(ctx.cart_id)
            return (await ctx.refresh()).currency, None if cart is None else cart["currency"]

        session, cart = await self.ask(switch, sure=True)
        if session != "EUR" or cart not in {None, "EUR"}:
            self._violation(f"the session is in {session}, and its cart in {cart}")

    async def _long_pause(self, rng: random.Random) -> None:
        """Let time go by now and then, so that tokens are about to end: a guest's after an hour, a customer's a day."""
        if rng.random() < 0.05 and self.loop.time() < 16 * 3600.0:
            self._pausing = True
            await asyncio.sleep(rng.choice((60.0, 3490.0, 3500.0, 3610.0, 3610.0, 3610.0, 12.2 * 3600.0)))
            self._pausing = False

    async def _weather(self) -> None:
        rng = self.rng
        while True:
            await asyncio.sleep(rng.uniform(1.0, 8.0))
            self.emporix.clear_faults()
            if self._pausing:
                continue
            if rng.random() < 0.5:
                faults = (*FAULTS, *DOUBTFUL) if self.setup.doubtful else FAULTS
                operation, fault = rng.choice((*TOKENS, "context", "*")), rng.choice(faults)
                self.emporix.fault(operation, fault, times=None)
                self.counts["faults"] += 1
                self.tell(f"{operation}: {fault}")


async def _application(scope: Any, receive: Any, send: Any) -> None:
    request: Request = Request(scope, receive)
    try:
        await scope["simulated"](scope["state"]["session_ctx"], request)
    finally:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


def play(seed: int, setup: ShopSetup, steps: int = 60) -> Visit:
    """Play one seed in virtual time."""

    async def visit() -> Visit:
        one = Visit(seed, setup, steps)
        await one.play()
        return one

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(visit())
