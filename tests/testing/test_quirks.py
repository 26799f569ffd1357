"""Where sources contradict each other, each reading can be chosen; and what is chosen wrongly is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import fields
from typing import Any

import pytest

from session_ctx_middleware.testing import FakeEmporix, Quirks
from session_ctx_middleware.testing.__main__ import main

from .conftest import JANE, JOE, KIM, Platform, open_platform

Opened = Callable[..., AbstractAsyncContextManager[Platform]]


@pytest.fixture
def opened(http_library: Any) -> Opened:
    """Open platforms with quirks."""

    @asynccontextmanager
    async def build(**quirks: Any) -> AsyncIterator[Platform]:
        emporix = FakeEmporix(quirks=Quirks(**quirks), now=lambda: 1000.0)
        async with open_platform(emporix, http_library) as platform:
            yield platform

    return build


# Choosing


@pytest.mark.parametrize("name", [each.name for each in fields(Quirks)])
def test_value_without_a_meaning(name: str) -> None:
    """A quirk takes no value but its own."""
    values: tuple[Any, ...] = ("nonsense", 7 if name != "currency_delay" else -1, None)
    for value in values:
        with pytest.raises(ValueError, match=rf"Quirks\({name}=\.\.\.\) is "):
            Quirks(**{name: value})


def test_misspelt_quirk() -> None:
    """A quirk that does not exist is refused, as an argument and on a command line, which names those that do."""
    with pytest.raises(TypeError):
        Quirks(refresh_barer="customer")  # type: ignore[call-arg]
    for text in ("refresh_barer=customer", "refresh_bearer"):
        with pytest.raises(ValueError, match=r"no quirk.*refresh_bearer=\.\.\."):
            Quirks.parse([text])


def test_quirks_of_a_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The server takes quirks by name, and says at once what is wrong with one."""
    texts = ["refresh_bearer=customer", "refresh_names_session=false", "currency_delay=1.5"]
    assert Quirks.parse(texts) == Quirks(refresh_bearer="customer", refresh_names_session=False, currency_delay=1.5)
    with pytest.raises(SystemExit):
        main(["--quirk", "refresh_bearer=me"])
    assert "'optional' or 'anonymous' or 'customer'" in capsys.readouterr().err


# A customer's refresh


@pytest.mark.parametrize(
    ("wanted", "accepted"),
    [
        ("optional", {"none", "anonymous", "customer", "unknown"}),
        ("anonymous", {"anonymous"}),
        ("customer", {"customer"}),
    ],
)
async def test_bearer_of_a_refresh(wanted: str, accepted: set[str], opened: Opened) -> None:
    """A refresh wants no bearer, an anonymous session's, or a customer's."""
    async with opened(refresh_bearer=wanted) as platform:
        guest = platform.emporix.new_session()
        jane = (await platform.login(JANE, guest.token)).json()
        bearers = {"none": None, "anonymous": guest.token, "customer": jane["access_token"], "unknown": "unknown"}
        for name, bearer in bearers.items():
            answer = await platform.refresh_customer(jane["refresh_token"], bearer)
            assert answer.status_code == (200 if name in accepted else 401), name


@pytest.mark.parametrize("follows", ["refresh token", "bearer"])
async def test_session_of_a_refresh(follows: str, opened: Opened) -> None:
    """Where refresh token and bearer are of two sessions, one of them is gone on with."""
    async with opened(refresh_follows=follows) as platform:
        jane = (await platform.login(JANE)).json()
        other = platform.emporix.new_session()
        fresh = (await platform.refresh_customer(jane["refresh_token"], other.token)).json()
        assert fresh["session_id"] == (other.session_id if follows == "bearer" else jane["session_id"])
        assert (await platform.validated(fresh["access_token"]))["email"] == JANE["email"]


@pytest.mark.parametrize("name", ["refreshToken", "refresh_token"])
async def test_parameter_of_a_refresh(name: str, opened: Opened) -> None:
    """One spelling of the refresh token's parameter is known; the other one is none."""
    async with opened(refresh_parameter=name) as platform:
        jane = (await platform.login(JANE)).json()
        for sent in ("refreshToken", "refresh_token"):
            query = {sent: jane["refresh_token"]}
            answer = await platform.call("GET", "/customer/acme/refreshauthtoken", params=query)
            assert answer.status_code == (200 if sent == name else 400)


@pytest.mark.parametrize(("reuse", "status"), [("tolerated", 200), ("refused", 401)])
async def test_reuse_of_a_refresh_token(reuse: str, status: int, opened: Opened) -> None:
    """An old refresh token is tolerated or refused; its successor is good."""
    async with opened(refresh_reuse=reuse) as platform:
        guest, jane = await platform.anonymous(), (await platform.login(JANE)).json()
        for refresh, token in (
            (platform.refresh, guest["refresh_token"]),
            (platform.refresh_customer, jane["refresh_token"]),
        ):
            first = await refresh(token)
            assert first.status_code == 200
            assert (await refresh(token)).status_code == status
            assert (await refresh(first.json()["refresh_token"])).status_code == 200


@pytest.mark.parametrize("spelling", ["documented", "sessionId", "session_id"])
async def test_spelling_of_the_session_id(spelling: str, opened: Opened) -> None:
    """The session's id is spelt in two ways, or in one."""
    async with opened(session_id=spelling) as platform:
        query = {"tenant": "acme", "client_id": "storefront"}
        guest = (await platform.call("GET", "/customerlogin/auth/anonymous/login", params=query)).json()
        jane = (await platform.login(JANE, guest["access_token"])).json()
        other = {"sessionId": "session_id", "session_id": "sessionId"}
        for answer, documented in (
            (guest, "sessionId"),
            ((await platform.refresh(guest["refresh_token"])).json(), "sessionId"),
            (jane, "session_id"),
            ((await platform.refresh_customer(jane["refresh_token"])).json(), "session_id"),
            (await platform.validated(jane["access_token"]), "sessionId"),
        ):
            name = documented if spelling == "documented" else spelling
            assert answer[name] == jane.get("session_id", jane.get("sessionId"))
            assert other[name] not in answer


async def test_silent_refresh(opened: Opened) -> None:
    """A refresh may keep the session's id to itself."""
    async with opened(refresh_names_session=False) as platform:
        guest, jane = await platform.anonymous(), (await platform.login(JANE)).json()
        for answer in (
            await platform.refresh(guest["refresh_token"]),
            await platform.refresh_customer(jane["refresh_token"]),
        ):
            assert answer.status_code == 200
            assert not {"sessionId", "session_id"} & answer.json().keys()


async def test_saas_token_of_a_refresh(opened: Opened) -> None:
    """A refresh may hand out a saas token."""
    async with opened(refresh_saas_token=True) as platform:
        jane = (await platform.login(JANE)).json()
        fresh = (await platform.refresh_customer(jane["refresh_token"])).json()
        assert fresh["saas_token"] == fresh["saasToken"]


# Companies


@pytest.mark.parametrize(("kept", "company"), [("dropped", None), ("kept", "le-north")])
async def test_refresh_without_the_company(kept: str, company: str | None, opened: Opened) -> None:
    """A refresh that does not name the company drops it from token, validation and context, or keeps it."""
    async with opened(company_at_refresh=kept) as platform:
        session = platform.emporix.new_session(attributes={"gift": "yes"})
        kim = (await platform.login(KIM, session.token)).json()
        scoped = (await platform.refresh_customer(kim["refresh_token"], legalEntityId="le-north")).json()
        assert (await platform.context(scoped["access_token"]))["context"] == {
            "gift": "yes",
            "legalEntityId": "le-north",
        }
        later = (await platform.refresh_customer(scoped["refresh_token"])).json()
        assert (await platform.validated(later["access_token"]))["legalEntityId"] == company
        assert (await platform.context(later["access_token"]))["context"].get("legalEntityId") == company


# Logging in


@pytest.mark.parametrize(("preferences", "site"), [("overwrite", "us"), ("ignored", "main")])
async def test_preferences(preferences: str, site: str, opened: Opened) -> None:
    """A customer's preferences overwrite the context at login, or do not."""
    async with opened(preferences=preferences) as platform:
        session = platform.emporix.new_session()
        kim = (await platform.login(KIM, session.token)).json()
        assert (await platform.context(kim["access_token"]))["siteCode"] == site


@pytest.mark.parametrize(("kind", "value"), [("boolean", False), ("text", "false")])
async def test_initial_password(kind: str, value: object, opened: Opened) -> None:
    """`initialPassword` is of one type or another."""
    async with opened(initial_password=kind) as platform:
        assert (await platform.login(JOE)).json()["initialPassword"] == value


@pytest.mark.parametrize("on", [True, False])
async def test_autoprovisioning(on: bool, opened: Opened) -> None:
    """An exchange makes an account for somebody unknown, or answers 404."""
    async with opened(autoprovisioning=on) as platform:
        query = {"subjectAccessToken": platform.emporix.login_code("new@example.com")}
        token = platform.emporix.new_session().token
        answer = await platform.call("POST", "/customer/acme/exchangeauthtoken", token, params=query)
        assert answer.status_code == (200 if on else 404)


@pytest.mark.parametrize("told_by", ["bearer", "header"])
async def test_session_of_a_social_login(told_by: str, opened: Opened) -> None:
    """A social login goes on with the bearer's session, or with that of the header alone."""
    async with opened(social_session=told_by) as platform:
        for sent, kept in ((True, True), (False, told_by == "bearer")):
            session = platform.emporix.new_session()
            query = {"code": platform.emporix.login_code(JANE["email"]), "redirect_uri": "https://shop.example"}
            headers = {"session-id": session.session_id} if sent else {}
            answer = await platform.call(
                "POST", "/customer/acme/socialLogin", session.token, params=query, headers=headers
            )
            validated = await platform.validated(answer.json()["access_token"])
            assert (validated["sessionId"] == session.session_id) is kept


# Contexts


@pytest.mark.parametrize(
    ("quirks", "expected"),
    [
        ({}, ("ANONYMOUS", "en", None)),
        ({"anonymous_customer": "absent"}, (None, "en", None)),
        ({"language_case": "upper"}, ("ANONYMOUS", "EN", None)),
        ({"language_at": "attribute"}, ("ANONYMOUS", None, {"language": "en"})),
    ],
)
async def test_forms_of_a_context(quirks: dict[str, Any], expected: Any, opened: Opened) -> None:
    """A context names nobody in two ways, spells its language in two, and has it in two places."""
    async with opened(**quirks) as platform:
        context = await platform.context(platform.emporix.new_session().token)
        assert (context.get("customerId"), context.get("language"), context.get("context")) == expected


async def test_language_that_cannot_be_patched(opened: Opened) -> None:
    """Where the language is an attribute, a PATCH of the field is ignored like any other unknown one."""
    async with opened(language_at="attribute") as platform:
        session = platform.emporix.new_session()
        assert (await platform.patch(session.token, 1, language="de", currency="CHF")).status_code == 204
        context = await platform.context(session.token)
        assert ("language" in context, context["currency"]) == (False, "CHF")


# Carts and sites


async def test_required_headers_of_guests(opened: Opened) -> None:
    """A guest's cart may need the id of the session that the token is of."""
    async with opened(cart_headers="required") as platform:
        session, other = platform.emporix.new_session(), platform.emporix.new_session()
        for session_id, status in ((None, 400), (other.session_id, 400), (session.session_id, 201)):
            headers = {} if session_id is None else {"session-id": session_id}
            body = {"currency": "EUR"}
            answer = await platform.call("POST", "/cart/acme/carts", session.token, json=body, headers=headers)
            assert answer.status_code == status
        assert (await platform.find_cart(session.token)).status_code == 400
        assert (await platform.find_cart(session.token, sessionId=session.session_id)).status_code == 200


async def test_required_headers_of_customers(opened: Opened) -> None:
    """A customer's cart may need the customer's own saas token, which ends after four hours."""
    async with opened(cart_headers="required") as platform:
        jane, joe = (await platform.login(JANE)).json(), (await platform.login(JOE)).json()
        for saas_token, status in (
            (None, 400),
            ("unknown", 403),
            (joe["saas_token"], 403),
            (jane["saas_token"], 404),
        ):
            headers = {} if saas_token is None else {"saas-token": saas_token}
            answer = await platform.find_cart(jane["access_token"], headers)
            assert answer.status_code == status
        platform.emporix.now = lambda: 1000.0 + 14400
        answer = await platform.find_cart(jane["access_token"], {"saas-token": jane["saas_token"]})
        assert answer.status_code == 403


@pytest.mark.parametrize("site", ["main", "default"])
async def test_cart_without_a_site(site: str, opened: Opened) -> None:
    """A cart that names no site is of the main one, or of one that is called default."""
    async with opened(cart_site=site) as platform:
        token = platform.emporix.new_session().token
        await platform.cart(token)
        assert (await platform.find_cart(token, siteCode=site)).json()["siteCode"] == site


async def test_late_currency(opened: Opened) -> None:
    """A cart's new currency may be seen a while after it was accepted."""
    async with opened(currency_delay=2.0) as platform:
        token = platform.emporix.new_session().token
        cart = f"/cart/acme/carts/{(await platform.cart(token)).json()['cartId']}"
        answer = await platform.call("POST", f"{cart}/changeCurrency", token, json={"currency": "USD"})
        assert answer.status_code == 200
        for moment, currency in ((1001.9, "EUR"), (1002.0, "USD")):
            platform.emporix.now = lambda moment=moment: moment  # type: ignore[misc]
            assert (await platform.call("GET", cart, token)).json()["currency"] == currency


async def test_sparse_sites(opened: Opened) -> None:
    """A site may leave out what goes without saying."""
    async with opened(site_lists="sparse") as platform:
        token = platform.emporix.new_session().token
        for site in (
            (await platform.call("GET", "/site/acme/sites/us", token)).json(),
            (await platform.call("GET", "/site/acme/sites", token)).json()[1],
        ):
            assert (site["currency"], site["availableCurrencies"], site["shipToCountries"]) == ("USD", [], [])
            assert "taxDeterminationBasedOn" not in site


async def test_bare_404_of_a_site(opened: Opened) -> None:
    """The 404 for an unknown site may be of another form than all others."""
    async with opened(site_missing="bare") as platform:
        answer = await platform.call("GET", "/site/acme/sites/nowhere", platform.emporix.new_session().token)
        assert answer.status_code == 404
        assert answer.json() == {"status": 404, "type": "application/json", "message": "Site not found"}
