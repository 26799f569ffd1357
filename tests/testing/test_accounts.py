from __future__ import annotations

from typing import Any

import jwt
import pytest

from session_ctx_middleware.testing import FakeEmporix

from .conftest import JANE, JOE, ME, Platform, expect_fault, open_platform

SEEDS = {"currency": "USD", "siteCode": "us", "language": "es", "targetLocation": "US"}


def later(emporix: FakeEmporix, seconds: float) -> None:
    """Let time pass for the platform."""
    start = emporix.now()
    emporix.now = lambda: start + seconds


# Anonymous sessions


async def test_anonymous_login(platform: Platform) -> None:
    """Each anonymous login is a new session."""
    first, second = await platform.anonymous(), await platform.anonymous()
    assert first["sessionId"] != second["sessionId"]
    assert first["access_token"] != second["access_token"]
    assert len(first["access_token"]) == 28
    assert first["access_token"].count(".") == 0
    assert (first["expires_in"], first["refresh_token_expires_in"]) == (3599, 86399)
    assert first["scope"] == "tenant=acme"


async def test_login_seeds_the_context(platform: Platform) -> None:
    """What the login asks for is in the context from its beginning."""
    token = (await platform.anonymous(**SEEDS, region="north"))["access_token"]
    assert (await platform.call("GET", ME, token)).status_code == 404
    await platform.cart(token)
    context = await platform.context(token)
    assert {key: context[key] for key in SEEDS} == SEEDS
    assert "region" not in context


async def test_seeded_site(platform: Platform) -> None:
    """A seeded site brings its own defaults."""
    token = (await platform.anonymous(siteCode="us"))["access_token"]
    await platform.cart(token)
    context = await platform.context(token)
    assert (context["currency"], context["targetLocation"], context["language"]) == ("USD", "US", "en")


async def test_context_with_the_first_cart(platform: Platform) -> None:
    """A context appears with the first cart."""
    token = (await platform.anonymous())["access_token"]
    later(platform.emporix, 1000)
    assert (await platform.call("GET", ME, token)).status_code == 404
    cart_id = (await platform.cart(token)).json()["cartId"]
    context = await platform.context(token)
    assert (context["cartId"], context["metadata"]["version"]) == (cart_id, 1)


async def test_context_some_time_after(http_library: Any) -> None:
    """A context may appear some time after the login."""
    emporix = FakeEmporix(context_at="login", context_delay=0.5, now=lambda: 1000.0)
    async with open_platform(emporix, http_library) as platform:
        token = (await platform.anonymous(currency="USD"))["access_token"]
        emporix.now = lambda: 1000.4
        assert (await platform.call("GET", ME, token)).status_code == 404
        assert (await platform.patch(token, 1, currency="CHF")).status_code == 404
        emporix.now = lambda: 1000.5
        assert (await platform.context(token))["currency"] == "USD"
        without = emporix.new_session(exists=False)
        assert (await platform.call("GET", ME, without.token)).status_code == 404


async def test_context_at_the_login(http_library: Any) -> None:
    """A context may be there at the login already."""
    emporix = FakeEmporix(context_at="login")
    async with open_platform(emporix, http_library) as platform:
        token = (await platform.anonymous())["access_token"]
        assert "cartId" not in await platform.context(token)
        await platform.cart(token)
        assert (await platform.context(token))["metadata"]["version"] == 2


async def test_refresh_keeps_the_session(platform: Platform) -> None:
    """A refresh keeps the session and raises the version."""
    before = await platform.anonymous()
    await platform.cart(before["access_token"])
    after = (await platform.refresh(before["refresh_token"])).json()
    assert after["sessionId"] == before["sessionId"]
    assert after["access_token"] != before["access_token"]
    assert after["refresh_token"] != before["refresh_token"]
    for token in (before["access_token"], after["access_token"]):
        assert (await platform.context(token))["metadata"]["version"] == 2


async def test_refresh_creates_no_context(platform: Platform) -> None:
    """A refresh without a context creates none."""
    session = await platform.anonymous()
    answer = await platform.refresh(session["refresh_token"])
    assert answer.status_code == 200
    assert platform.emporix.document(session["sessionId"]) is None


async def test_old_refresh_token(platform: Platform) -> None:
    """An old refresh token is tolerated."""
    old = (await platform.anonymous())["refresh_token"]
    assert [(await platform.refresh(old)).status_code for _ in range(2)] == [200, 200]


async def test_a_refresh_token_ends(platform: Platform) -> None:
    """A refresh token ends."""
    token = platform.emporix.new_session().refresh_token
    later(platform.emporix, 86399)
    for value in (token, "unknown"):
        expect_fault(await platform.refresh(value), 401, "keymanagement.service.invalid_refresh_token")


@pytest.mark.parametrize("path", ["login", "refresh"])
@pytest.mark.parametrize("client_id", [None, "backend", ""])
async def test_needs_the_client_id(client_id: str | None, path: str, platform: Platform) -> None:
    """An anonymous session needs the storefront's client id."""
    query = {"tenant": "acme", **({} if client_id is None else {"client_id": client_id})}
    answer = await platform.call("GET", f"/customerlogin/auth/anonymous/{path}", params=query)
    expect_fault(answer, 401, "oauth.v2.InvalidApiKey")


# Customers


async def test_login_keeps_the_session(platform: Platform) -> None:
    """A login with the anonymous token keeps the session."""
    session = platform.emporix.new_session(currency="CHF", language="de", attributes={"a": "1"})
    jane = (await platform.login(JANE, session.token)).json()
    assert jane["session_id"] == session.session_id
    context = await platform.context(jane["access_token"])
    assert context["customerId"] == "C0001"
    assert context["currency"] == "USD", "the customer's preference overwrites the choice"
    assert (context["language"], context["context"]) == ("de", {"a": "1"})
    assert context["metadata"]["version"] == 2
    assert await platform.context(session.token) == context


async def test_login_without_preferences(platform: Platform) -> None:
    """A customer without preferences keeps what was chosen."""
    session = platform.emporix.new_session(currency="CHF")
    joe = (await platform.login(JOE, session.token)).json()
    assert (await platform.context(joe["access_token"]))["currency"] == "CHF"


async def test_login_without_a_token(platform: Platform) -> None:
    """A login without a token is a new session."""
    session = platform.emporix.new_session()
    jane = (await platform.login(JANE)).json()
    assert jane["session_id"] != session.session_id
    assert (await platform.call("GET", ME, jane["access_token"])).status_code == 404
    await platform.cart(jane["access_token"])
    context = await platform.context(jane["access_token"])
    assert (context["customerId"], context["currency"]) == ("C0001", "USD")


@pytest.mark.parametrize("token", ["unknown", "expired"])
async def test_login_with_a_bad_token(token: str, platform: Platform) -> None:
    """A login with a token that is no good is refused."""
    sent = (await platform.anonymous())["access_token"] if token == "expired" else token
    later(platform.emporix, 3600)
    codes = {"unknown": "oauth.v2.InvalidAccessToken", "expired": "keymanagement.service.access_token_expired"}
    expect_fault(await platform.login(JANE, sent), 401, codes[token])


async def test_a_login_answers_both_spellings(platform: Platform) -> None:
    """A login answers both spellings."""
    jane = (await platform.login(JANE)).json()
    for new, old in {
        "access_token": "accessToken",
        "refresh_token": "refreshToken",
        "expires_in": "expiresIn",
        "refresh_token_expires_in": "refreshTokenExpiresIn",
        "saas_token": "saasToken",
    }.items():
        assert jane[new] == jane[old]
    assert (jane["expires_in"], jane["initialPassword"]) == (2591999, False)
    assert "sessionId" not in jane


async def test_saas_token(platform: Platform) -> None:
    """The saas token is a JWT of the customer."""
    jane = (await platform.login(JANE)).json()
    claims = jwt.decode(jane["saas_token"], options={"verify_signature": False})
    assert jwt.get_unverified_header(jane["saas_token"])["alg"] == "HS256"
    assert claims["sub"] == "C0001"
    assert claims["exp"] - claims["iat"] == 14400


@pytest.mark.parametrize(
    "credentials",
    [{**JANE, "password": "wrong-horse"}, {"email": "nobody@example.com", "password": "correct-horse"}],
    ids=["password", "email"],
)
async def test_wrong_credentials(credentials: dict[str, str], platform: Platform) -> None:
    """Wrong credentials change nothing."""
    session = platform.emporix.new_session()
    answer = await platform.login(credentials, session.token)
    assert answer.status_code == 401
    assert answer.json() == {"status": "Unauthorized", "code": 401, "message": "Invalid credentials"}
    assert (await platform.context(session.token))["customerId"] == "ANONYMOUS"


@pytest.mark.parametrize(
    "credentials", [{}, {**JANE, "password": "horse"}, {**JANE, "email": ""}, {**JANE, "email": 3}]
)
async def test_impossible_credentials(credentials: dict[str, Any], platform: Platform) -> None:
    """What cannot be an address and a password of six characters is a bad request."""
    answer = await platform.login(credentials, platform.emporix.new_session().token)
    assert (answer.status_code, answer.json()["type"]) == (400, "bad_request")


async def test_a_customers_token_is_validated(platform: Platform) -> None:
    """A customer's token is validated."""
    jane = (await platform.login(JANE)).json()
    validated = (await platform.call("GET", "/customer/acme/validateauthtoken", jane["access_token"])).json()
    assert (validated["sessionId"], validated["email"]) == (jane["session_id"], JANE["email"])
    for token in (platform.emporix.new_session().token, "unknown", None, await platform.service_token()):
        answer = await platform.call("GET", "/customer/acme/validateauthtoken", token)
        expect_fault(answer, 401, "oauth.v2.InvalidAccessToken")


async def test_refresh_of_a_customer(platform: Platform) -> None:
    """A customer's refresh keeps the session without another saas token."""
    jane = (await platform.login(JANE)).json()
    query = {"refreshToken": jane["refresh_token"]}
    answer = await platform.call("GET", "/customer/acme/refreshauthtoken", params=query)
    fresh = answer.json()
    assert fresh["session_id"] == jane["session_id"]
    assert fresh["access_token"] != jane["access_token"]
    assert not {"saas_token", "saasToken"} & set(fresh)
    await platform.cart(fresh["access_token"])
    assert (await platform.context(fresh["access_token"]))["customerId"] == "C0001"


async def test_only_own_refresh_tokens(platform: Platform) -> None:
    """Only a customer's valid refresh token is taken."""
    jane = (await platform.login(JANE)).json()
    anonymous = platform.emporix.new_session().refresh_token
    later(platform.emporix, 86399)
    for value in (jane["refresh_token"], anonymous, "unknown"):
        answer = await platform.call("GET", "/customer/acme/refreshauthtoken", params={"refreshToken": value})
        assert answer.status_code == 401
    fresh = platform.emporix.new_session().refresh_token
    answer = await platform.call("GET", "/customer/acme/refreshauthtoken", params={"refreshToken": fresh})
    assert answer.status_code == 401


async def test_logout_ends_all_tokens(platform: Platform) -> None:
    """After a logout, all tokens of the session are dead."""
    session = platform.emporix.new_session()
    bystander = platform.emporix.new_session()
    jane = (await platform.login(JANE, session.token)).json()
    logout = "/customer/acme/logout"
    answer = await platform.call("GET", logout, params={"accessToken": jane["access_token"]})
    assert (answer.status_code, answer.content) == (204, b"")
    for token in (jane["access_token"], session.token):
        expect_fault(await platform.call("GET", ME, token), 401, "oauth.v2.InvalidAccessToken")
    assert (await platform.refresh(session.refresh_token)).status_code == 401
    assert platform.emporix.document(session.session_id) is None
    assert (await platform.call("GET", ME, bystander.token)).status_code == 200
    again = await platform.call("GET", logout, params={"accessToken": jane["access_token"]})
    expect_fault(again, 401, "oauth.v2.InvalidAccessToken")


# Services


async def test_scopes_asked_for(platform: Platform) -> None:
    """A service token has the scopes that were asked for."""
    granted = (await platform.service("tenant=acme sessioncontext.context_manage")).json()
    assert granted["scope"] == "tenant=acme sessioncontext.context_manage"
    assert (granted["expires_in"], granted["refresh_token"]) == (14399, "")


async def test_unknown_scopes_are_dropped(platform: Platform) -> None:
    """Scopes that the key lacks are dropped in silence."""
    answer = await platform.service("tenant=acme session_context.context_manage cart.cart_manage site.site_manage")
    assert answer.status_code == 200
    assert answer.json()["scope"] == "tenant=acme cart.cart_manage"


async def test_no_scope_means_all_scopes(platform: Platform) -> None:
    """No scope means all scopes."""
    assert (await platform.service()).json()["scope"] == (
        "cart.cart_manage customer.assistedBuying_manage sessioncontext.context_manage"
    )


@pytest.mark.parametrize("wrong", [{"client_id": "storefront"}, {"client_secret": "guess"}])
async def test_wrong_keys_get_no_token(wrong: dict[str, str], platform: Platform) -> None:
    """Wrong keys get no token."""
    answer = await platform.service(**wrong)
    expect_fault(answer, 401, "oauth.v2.InvalidApiKey")
    assert answer.json()["fault"]["faultstring"] == "Invalid ApiKey"


async def test_only_client_credentials(platform: Platform) -> None:
    """Only client credentials get a token."""
    expect_fault(await platform.service(grant_type="password"), 400, "oauth.v2.UnsupportedGrantType")


async def test_a_service_token_ends(platform: Platform) -> None:
    """A service token ends."""
    session = platform.emporix.new_session()
    token = await platform.service_token()
    later(platform.emporix, 14399)
    answer = await platform.call("GET", f"/session-context/acme/context/{session.session_id}", token)
    expect_fault(answer, 401, "keymanagement.service.access_token_expired")
