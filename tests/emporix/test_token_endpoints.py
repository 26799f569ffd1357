"""The token endpoints of FakeEmporix: whatever reading of its sources is true, and whatever goes wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from traceback import walk_tb
from typing import Any

import pytest

from session_ctx_middleware.emporix import ShopperTokens, TokenAnswer, ValidToken
from session_ctx_middleware.errors import (
    EmporixError,
    EmporixFailed,
    EmporixUnreachable,
    LoginRefused,
    MalformedAnswer,
    TokenRejected,
    TooManyRequests,
)
from session_ctx_middleware.testing import FakeEmporix, Fault, Quirks

from ..support.virtual_time import WALL_START

KIM = ("kim@example.com", "paper-clips")
BACK = "https://shop.example/back"
URL = "https://emporix.test"

READINGS: list[dict[str, Any]] = [
    {},
    {"refresh_bearer": "anonymous"},
    {"refresh_bearer": "customer"},
    {"refresh_parameter": "refresh_token"},
    {"refresh_reuse": "refused"},
    {"refresh_names_session": False},
    {"refresh_saas_token": True},
    {"company_at_refresh": "kept"},
    {"session_id": "sessionId"},
    {"session_id": "session_id"},
    {"social_session": "header"},
    {"preferences": "ignored"},
    {"initial_password": "text"},
    {
        "refresh_bearer": "anonymous",
        "refresh_parameter": "refresh_token",
        "refresh_reuse": "refused",
        "refresh_names_session": False,
        "session_id": "session_id",
        "social_session": "header",
    },
]


class Shopper:
    """A shopper's tokens, as a shop keeps them: what an answer leaves out stays as it was."""

    def __init__(self, tokens: ShopperTokens, answer: TokenAnswer) -> None:
        self.tokens = tokens
        self.answer = answer
        self.session_id = answer.session_id

    def take(self, answer: TokenAnswer) -> TokenAnswer:
        self.answer, self.session_id = answer, answer.session_id or self.session_id
        return answer

    async def refresh(self, company: str | None = None) -> TokenAnswer:
        assert self.answer.refresh_token
        return self.take(
            await self.tokens.refresh_customer(
                self.answer.refresh_token,
                bearer=self.answer.access_token,
                other_bearer=self.guest,
                legal_entity_id=company,
            )
        )

    async def guest(self) -> str:
        return (await self.tokens.begin()).access_token


@asynccontextmanager
async def platform(library: Any, **quirks: Any) -> AsyncIterator[tuple[FakeEmporix, ShopperTokens]]:
    emporix = FakeEmporix(quirks=Quirks(**quirks), now=lambda: WALL_START + asyncio.get_running_loop().time())
    async with emporix.client(library, base_url=URL) as client:
        yield emporix, ShopperTokens("acme", "storefront", base_url=URL, http_client=client)


@pytest.mark.parametrize("quirks", READINGS, ids=lambda each: " ".join(map(str, each.values())) or "documented")
async def test_every_reading(quirks: dict[str, Any], library: Any) -> None:
    """Whichever reading is true, a session goes from guest to customer to company and keeps its id till the logout."""
    async with platform(library, **quirks) as (_, tokens):
        guest = Shopper(tokens, await tokens.begin(currency="CHF"))
        session_id = guest.session_id
        assert session_id is not None
        guest.take(await tokens.refresh_guest(guest.answer.refresh_token or ""))
        assert guest.session_id == session_id

        guest.take(await tokens.log_in(*KIM, guest_token=guest.answer.access_token))
        assert guest.answer.saas_token
        for company in (None, "le-north", "le-north", "le-south"):
            await guest.refresh(company)
            assert guest.session_id == session_id
            valid = await tokens.validate(guest.answer.access_token)
            assert valid == ValidToken(session_id, KIM[0], company, 2591999)

        await tokens.log_out(guest.answer.access_token)
        for dead in (tokens.validate(guest.answer.access_token), tokens.log_out(guest.answer.access_token)):
            with pytest.raises(TokenRejected):
                await dead
        with pytest.raises(TokenRejected):
            await guest.refresh("le-south")


@pytest.mark.parametrize("quirks", READINGS, ids=lambda each: " ".join(map(str, each.values())) or "documented")
async def test_every_way_in(quirks: dict[str, Any], library: Any) -> None:
    """Exchange, social login and opt-in go on with the guest's session under every reading."""
    async with platform(library, **quirks) as (emporix, tokens):
        for way in ("exchange", "social", "opt-in"):
            guest = await tokens.begin()
            code = emporix.login_code(KIM[0])
            logins: dict[str, Callable[..., Awaitable[TokenAnswer]]] = {
                "exchange": lambda code=code, guest=guest: tokens.exchange(code, guest_token=guest.access_token),
                "social": lambda code=code, guest=guest: tokens.social_login(
                    code, BACK, guest_token=guest.access_token, session_id=guest.session_id
                ),
                "opt-in": lambda code=code, guest=guest: tokens.opt_in(code, guest_token=guest.access_token),
            }
            answer = await logins[way]()
            assert (answer.expires_in, bool(answer.saas_token)) == (14399 if way == "exchange" else 2591999, True)
            assert answer.session_id in {None, guest.session_id}
            assert (await tokens.validate(answer.access_token)).session_id == guest.session_id


async def test_bearer_of_a_refresh_is_not_minted_in_vain(library: Any) -> None:
    """No guest's token is minted where the customer's does."""
    async with platform(library, refresh_bearer="customer") as (emporix, tokens):
        kim = Shopper(tokens, await tokens.log_in(*KIM))
        await kim.refresh()
        assert emporix.count("anonymous") == 0
        assert emporix.count("customer.refresh") == 1


async def test_refused_twice(library: Any) -> None:
    """A refresh is tried with two bearers at most, and an outage is no reason to mint anything."""
    async with platform(library) as (emporix, tokens):
        kim = Shopper(tokens, await tokens.log_in(*KIM))
        emporix.fault("customer.refresh", Fault(status=401), times=2)
        with pytest.raises(TokenRejected):
            await kim.refresh()
        assert emporix.count("customer.refresh") == 2
        emporix.fault("customer.refresh", Fault(status=503))
        with pytest.raises(EmporixFailed):
            await kim.refresh()
        assert (emporix.count("customer.refresh"), emporix.count("anonymous.login")) == (3, 1)


async def test_lost_company(library: Any) -> None:
    """A company that is not named at a refresh is lost, which is why it has to be."""
    async with platform(library) as (_, tokens):
        kim = Shopper(tokens, await tokens.log_in(*KIM))
        await kim.refresh("le-north")
        await kim.refresh()
        assert (await tokens.validate(kim.answer.access_token)).legal_entity_id is None


@pytest.mark.parametrize("provisioning", [True, False])
async def test_unknown_customer(provisioning: bool, library: Any) -> None:
    """Somebody whom the identity provider knows and Emporix does not is refused, where no account is made."""
    async with platform(library, autoprovisioning=provisioning) as (emporix, tokens):
        guest = await tokens.begin()
        login = tokens.exchange(emporix.login_code("new@example.com"), guest_token=guest.access_token)
        if provisioning:
            assert (await login).session_id == guest.session_id
        else:
            with pytest.raises(LoginRefused):
                await login


async def test_refused_logins(library: Any) -> None:
    """A wrong password, code or configuration is a refused login; a guest's token that has ended is another matter."""
    async with platform(library) as (emporix, tokens):
        guest = (await tokens.begin()).access_token
        for refused in (
            tokens.log_in(KIM[0], "wrong-password", guest_token=guest),
            tokens.log_in(KIM[0], "short", guest_token=guest),
            tokens.log_in("nobody@example.com", "paper-clips", guest_token=guest),
            tokens.exchange("unknown", guest_token=guest),
            tokens.exchange(emporix.login_code(KIM[0]), "nowhere", guest_token=guest),
            tokens.social_login("unknown", BACK, guest_token=guest),
            tokens.opt_in("unknown", guest_token=guest),
        ):
            with pytest.raises(LoginRefused):
                await refused
        await asyncio.sleep(3600)
        for token in (guest, "unknown"):
            for dead in (
                tokens.log_in(*KIM, guest_token=token),
                tokens.exchange(emporix.login_code(KIM[0]), guest_token=token),
                tokens.social_login(emporix.login_code(KIM[0]), BACK, guest_token=token),
                tokens.opt_in(emporix.login_code(KIM[0]), guest_token=token),
            ):
                with pytest.raises(TokenRejected):
                    await dead


async def test_unknown_client(library: Any) -> None:
    """A client id that Emporix does not know begins nothing."""
    async with platform(library) as (emporix, _), emporix.client(library, base_url=URL) as client:
        with pytest.raises(TokenRejected):
            await ShopperTokens("acme", "another", base_url=URL, http_client=client).begin()


# Faults

FAULTS: dict[str, tuple[Fault, type[EmporixError]]] = {
    "500": (Fault(status=500), EmporixFailed),
    "502 of a proxy": (Fault(status=502, by="proxy"), EmporixFailed),
    "503": (Fault(status=503, retry_after=3), EmporixFailed),
    "429": (Fault(status=429, retry_after=7), TooManyRequests),
    "401": (Fault(status=401), TokenRejected),
    "401 of a proxy": (Fault(status=401, by="proxy"), EmporixFailed),
    "404 of a gateway": (Fault(status=404, by="gateway"), EmporixFailed),
    "redirect": (Fault(status=302, headers={"location": "https://evil.example/"}), EmporixFailed),
    "reset": (Fault(drop="before"), EmporixUnreachable),
    "lost answer": (Fault(drop="after"), EmporixUnreachable),
    "silence": (Fault(hang=True), EmporixUnreachable),
    "slow": (Fault(delay=60), EmporixUnreachable),
    "slow after the effect": (Fault(delay_after=60), EmporixUnreachable),
    "not JSON": (Fault(body=b"<html>"), MalformedAnswer),
    "no token": (Fault(body={}), MalformedAnswer),
    "too large": (Fault(body=b"x" * 300_000), MalformedAnswer),
}
OPERATIONS = (
    "anonymous.login",
    "anonymous.refresh",
    "customer.login",
    "customer.refresh",
    "customer.validate",
    "customer.logout",
    "customer.exchange",
    "customer.social_login",
    "customer.opt_in",
)


class Canaries:
    """One shopper with everything that may be asked for him, and all that nobody may read of it."""

    def __init__(self, emporix: FakeEmporix, tokens: ShopperTokens, guest: TokenAnswer, kim: TokenAnswer) -> None:
        self._code = emporix.login_code(KIM[0])
        self._guest, self._kim, self._tokens = guest, kim, tokens
        held = [guest.access_token, guest.refresh_token, kim.access_token, kim.refresh_token, kim.saas_token]
        self.secrets = [each for each in (*held, self._code, *KIM, guest.session_id) if each]

    def call(self, operation: str) -> Awaitable[object]:
        tokens, guest, kim, code = self._tokens, self._guest, self._kim, self._code
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "anonymous.login": tokens.begin,
            "anonymous.refresh": lambda: tokens.refresh_guest(guest.refresh_token or ""),
            "customer.login": lambda: tokens.log_in(*KIM, guest_token=guest.access_token),
            "customer.refresh": lambda: tokens.refresh_customer(kim.refresh_token or "", bearer=kim.access_token),
            "customer.validate": lambda: tokens.validate(kim.access_token),
            "customer.logout": lambda: tokens.log_out(kim.access_token),
            "customer.exchange": lambda: tokens.exchange(code, guest_token=guest.access_token),
            "customer.social_login": lambda: tokens.social_login(code, BACK, guest_token=guest.access_token),
            "customer.opt_in": lambda: tokens.opt_in(code, guest_token=guest.access_token),
        }
        return calls[operation]()

    def read_in(self, text: str) -> list[str]:
        return [secret for secret in self.secrets if secret in text]


def locals_of(error: BaseException) -> str:
    """Return what an error tracker sends of the frames that are not the test's."""
    parts = [frame for frame, _ in walk_tb(error.__traceback__) if not frame.f_globals["__name__"].startswith("tests.")]
    return " ".join(f"{frame.f_code.co_name} {frame.f_locals!r}" for frame in parts)


async def failure(work: Awaitable[object]) -> EmporixError | None:
    try:
        await work
    except EmporixError as error:
        return error
    return None


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_faults(operation: str, fault: str, library: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Each fault of each endpoint is an error of its class within four seconds, from which nobody reads a secret."""
    caplog.set_level(logging.DEBUG)
    trouble, kind = FAULTS[fault]
    if (operation, fault) == ("customer.logout", "not JSON"):
        kind = EmporixFailed  # a page says nothing about a logout, whatever its status
    async with platform(library) as (emporix, tokens):
        guest = await tokens.begin()
        kim = await tokens.log_in(*KIM, guest_token=(await tokens.begin()).access_token)
        shopper = Canaries(emporix, tokens, guest, kim)
        emporix.fault(operation, trouble)
        began = asyncio.get_running_loop().time()
        error = await failure(shopper.call(operation))
        assert asyncio.get_running_loop().time() - began <= 4.01
        if error is None:
            assert (operation, fault) == ("customer.logout", "no token"), "whose answer has no body that could be wrong"
        else:
            assert type(error) is kind
            assert error.operation == operation
            assert shopper.read_in(f"{error!r} {error} {vars(error)} {locals_of(error)}") == []
            assert error.__context__ is None
            assert error.retry_after == (float(trouble.retry_after) if trouble.retry_after else None)
        said = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
        assert shopper.read_in(said) == []
        if trouble.body is None and trouble.drop != "after" and not trouble.delay_after:
            await shopper.call(operation)


async def test_reprs(library: Any) -> None:
    """Neither client nor answers show anything, whatever prints them."""
    async with platform(library) as (emporix, tokens):
        guest = await tokens.begin()
        kim = await tokens.log_in(*KIM, guest_token=guest.access_token)
        shopper = Canaries(emporix, tokens, guest, kim)
        shown = [guest, kim, await tokens.validate(kim.access_token), tokens]
        assert shopper.read_in(repr(shown)) == []
        assert "acme" in repr(tokens)
