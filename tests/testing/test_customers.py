"""Ways to log in besides a password, companies, and whose carts are whose."""

from __future__ import annotations

from typing import Any

import pytest

from session_ctx_middleware.testing import FakeEmporix

from .conftest import JANE, JOE, KIM, Platform, expect_fault, open_platform

BACK = {"redirect_uri": "https://shop.example/back"}


async def exchange(platform: Platform, token: str | None, **query: str) -> Any:
    return await platform.call("POST", "/customer/acme/exchangeauthtoken", token, params=query)


async def social(platform: Platform, token: str | None, **query: str) -> Any:
    return await platform.call("POST", "/customer/acme/socialLogin", token, params=query)


async def opt_in(platform: Platform, token: str | None, code: str) -> Any:
    return await platform.call("GET", f"/customer/acme/signup/optin/{code}", token)


async def test_exchange(platform: Platform) -> None:
    """The token of an identity provider gives a customer's tokens in the running session, which live otherwise."""
    session = platform.emporix.new_session(attributes={"gift": "yes"})
    subject = platform.emporix.login_code(JOE["email"])
    joe = (await exchange(platform, session.token, subjectAccessToken=subject)).json()
    assert (joe["session_id"], joe["expires_in"], joe["refresh_token_expires_in"]) == (
        session.session_id,
        14399,
        15551999,
    )
    context = await platform.context(joe["access_token"])
    assert (context["customerId"], context["context"]) == ("C0002", {"gift": "yes"})


@pytest.mark.parametrize(
    ("query", "status"),
    [({"subjectAccessToken": "unknown"}, 401), ({}, 401), ({"config": "nowhere"}, 400), ({"config": "default"}, 401)],
)
async def test_refused_exchange(query: dict[str, str], status: int, platform: Platform) -> None:
    """An unknown subject token or configuration exchanges nothing."""
    session = platform.emporix.new_session()
    assert (await exchange(platform, session.token, **query)).status_code == status
    assert (await platform.context(session.token))["customerId"] == "ANONYMOUS"


async def test_social_login(platform: Platform) -> None:
    """A code is good for one login, whose numbers are texts and which does not tell the session."""
    session = platform.emporix.new_session()
    code = platform.emporix.login_code(JOE["email"])
    joe = (await social(platform, session.token, code=code, **BACK)).json()
    assert (joe["expires_in"], joe["refresh_token_expires_in"]) == ("2591999", "86399")
    assert not {"session_id", "sessionId"} & joe.keys()
    assert (await platform.validated(joe["access_token"]))["sessionId"] == session.session_id
    assert (await social(platform, session.token, code=code, **BACK)).status_code == 400
    fresh = platform.emporix.login_code(JOE["email"])
    assert (await social(platform, session.token, code=fresh)).status_code == 400


async def test_opt_in(platform: Platform) -> None:
    """The code of the mail that ends a sign-up logs the new customer in, once."""
    session = platform.emporix.new_session()
    code = platform.emporix.login_code("new@example.com")
    new = (await opt_in(platform, session.token, code)).json()
    assert "saas_token" in new
    assert "session_id" not in new
    assert (await platform.validated(new["access_token"]))["email"] == "new@example.com"
    assert (await opt_in(platform, session.token, code)).status_code == 400


async def test_ways_in_need_a_guest(platform: Platform) -> None:
    """No way leads in without an anonymous token."""
    for answer in (
        await exchange(platform, None),
        await social(platform, "unknown"),
        await opt_in(platform, None, "code"),
    ):
        expect_fault(answer, 401, "oauth.v2.InvalidAccessToken")


async def test_assisted_login(platform: Platform) -> None:
    """Staff with the scope gets a customer's tokens, in a session of its own."""
    path, body = "/customer/acme/assisted-buying-login", {"customerNumber": "C0002"}
    expect_fault(await platform.call("POST", path, json=body), 401, "oauth.v2.InvalidAccessToken")
    narrow = (await platform.service("cart.cart_manage")).json()["access_token"]
    expect_fault(await platform.call("POST", path, narrow, json=body), 403, "steps.oauth.v2.InsufficientScope")
    staff = await platform.service_token()
    assert (await platform.call("POST", path, staff, json={"customerNumber": "C9"})).status_code == 404
    token = (await platform.call("POST", path, staff, json=body)).json()["access_token"]
    assert (await platform.validated(token))["email"] == JOE["email"]


async def test_assisted_buying(platform: Platform) -> None:
    """The dashboard opens a shop with a customer's tokens in the query."""
    query = platform.emporix.assisted_buying(JOE["email"])
    assert query.keys() == {"customerToken", "customerTokenExpiresIn", "saasToken"}
    assert (await platform.validated(query["customerToken"]))["email"] == JOE["email"]


async def test_guests_token_is_none_of_a_customer(platform: Platform) -> None:
    """After a login, the anonymous token of the session still is no customer's."""
    session = platform.emporix.new_session()
    await platform.login(JANE, session.token)
    answer = await platform.call("GET", "/customer/acme/validateauthtoken", session.token)
    expect_fault(answer, 401, "oauth.v2.InvalidAccessToken")


async def test_company(platform: Platform) -> None:
    """A refresh scopes the token to a company: validation and context name it, a foreign one is refused."""
    session = platform.emporix.new_session()
    kim = (await platform.login(KIM, session.token)).json()
    assert (await platform.validated(kim["access_token"]))["legalEntityId"] is None
    answer = await platform.refresh_customer(kim["refresh_token"], legalEntityId="le-foreign")
    assert answer.status_code == 400
    fresh = (await platform.refresh_customer(kim["refresh_token"], legalEntityId="le-south")).json()
    assert fresh["session_id"] == session.session_id
    assert (await platform.validated(fresh["access_token"]))["legalEntityId"] == "le-south"
    assert (await platform.context(fresh["access_token"]))["context"] == {"legalEntityId": "le-south"}


async def test_company_before_the_context(platform: Platform) -> None:
    """A company that was chosen before there is a context is in it from its beginning."""
    kim = (await platform.login(KIM)).json()
    fresh = (await platform.refresh_customer(kim["refresh_token"], legalEntityId="le-south")).json()
    await platform.cart(fresh["access_token"])
    assert (await platform.context(fresh["access_token"]))["context"] == {"legalEntityId": "le-south"}


async def test_cart_of_a_company(platform: Platform) -> None:
    """Each company, and the customer alone, has a cart of its own; a guest's belongs to none."""
    session = platform.emporix.new_session()
    guests = (await platform.cart(session.token, legalEntityId="le-north")).json()["cartId"]
    kim = (await platform.login(KIM, session.token)).json()["access_token"]
    ids = {guests}
    ways: list[dict[str, Any]] = [{}, {"legalEntityId": "le-north"}, {"legalEntityId": "le-south"}]
    for fields in ways:
        ids.add((await platform.cart(kim, **fields)).json()["cartId"])
        assert (await platform.cart(kim, **fields)).status_code == 409
        found = (await platform.find_cart(kim, **fields)).json()
        assert found["id"] in ids
        assert (found.get("legalEntityId"), found["customerId"]) == (fields.get("legalEntityId"), "C0003")
    assert len(ids) == 4
    assert (await platform.find_cart(kim, sessionId=session.session_id)).json()["id"] == guests


async def test_cart_of_a_type(platform: Platform) -> None:
    """Each type has a cart of its own; a wishlist is not the session's cart."""
    session = platform.emporix.new_session()
    wishlist = (await platform.cart(session.token, type="wishlist")).json()["cartId"]
    assert "cartId" not in await platform.context(session.token)
    shopping = (await platform.cart(session.token, type="shopping")).json()["cartId"]
    assert (await platform.context(session.token))["cartId"] == shopping
    assert (await platform.find_cart(session.token, type="wishlist")).json()["id"] == wishlist
    assert (await platform.find_cart(session.token)).status_code == 404


async def test_cart_of_a_customer(platform: Platform) -> None:
    """A customer finds the same cart in every session; nobody else does."""
    jane, again = [(await platform.login(JANE)).json()["access_token"] for _ in range(2)]
    cart_id = (await platform.cart(jane)).json()["cartId"]
    assert (await platform.find_cart(again)).json()["id"] == cart_id
    assert (await platform.call("GET", f"/cart/acme/carts/{cart_id}", again)).status_code == 200
    joe = (await platform.login(JOE)).json()["access_token"]
    assert (await platform.call("GET", f"/cart/acme/carts/{cart_id}", joe)).status_code == 404


async def test_merge(platform: Platform) -> None:
    """A guest's items come into the customer's cart, where the currency is one; the guest's cart is closed."""
    session = platform.emporix.new_session()
    guests = (await platform.cart(session.token)).json()["cartId"]
    await platform.call("POST", f"/cart/acme/carts/{guests}/items", session.token, json={"itemYrn": "cup"})
    jane = (await platform.login(JANE, session.token)).json()["access_token"]
    own = f"/cart/acme/carts/{(await platform.cart(jane, currency='USD')).json()['cartId']}"
    differing = await platform.call("POST", f"{own}/merge", jane, json={"carts": [guests]})
    assert (differing.status_code, "same currency" in differing.json()["message"]) == (400, True)
    await platform.call("POST", f"{own}/changeCurrency", jane, json={"currency": "EUR"})
    assert (await platform.call("POST", f"{own}/merge", jane, json={"carts": [guests]})).status_code == 200
    assert [item["itemYrn"] for item in (await platform.call("GET", own, jane)).json()["items"]] == ["cup"]
    for wrong, status in (([guests], 404), ([own.rpartition("/")[2]], 400), (["unknown"], 404)):
        assert (await platform.call("POST", f"{own}/merge", jane, json={"carts": wrong})).status_code == status


async def test_merge_into_a_guests_cart(platform: Platform) -> None:
    """Nothing is merged into a guest's cart, nor into a stranger's."""
    session, other = platform.emporix.new_session(), platform.emporix.new_session()
    carts = [(await platform.cart(token)).json()["cartId"] for token in (session.token, other.token)]
    for cart_id in carts:
        answer = await platform.call(
            "POST", f"/cart/acme/carts/{cart_id}/merge", session.token, json={"carts": carts[1:]}
        )
        assert answer.status_code == 404


async def test_company_and_a_guests_cart(platform: Platform) -> None:
    """A guest's cart cannot be priced for a company."""
    session = platform.emporix.new_session()
    cart = f"/cart/acme/carts/{(await platform.cart(session.token)).json()['cartId']}/refresh"
    kim = (await platform.login(KIM, session.token)).json()
    assert (await platform.call("PUT", cart, kim["access_token"])).status_code == 204
    fresh = (await platform.refresh_customer(kim["refresh_token"], legalEntityId="le-north")).json()
    answer = await platform.call("PUT", cart, fresh["access_token"])
    assert (answer.status_code, "legal entity" in answer.json()["message"]) == (400, True)
    assert (await platform.call("PUT", cart, platform.emporix.new_session().token)).status_code == 404


# Pages


@pytest.mark.parametrize(
    ("path", "size", "total"),
    [("/site/acme/sites", 16, 20), ("/country/acme/countries", 60, 89), ("/currency/acme/currencies", 60, 66)],
)
async def test_pages(path: str, size: int, total: int, http_library: Any) -> None:
    """Lists come page by page, and their length in a header, which countries and currencies want to be asked for."""
    async with open_platform(FakeEmporix(more_sites=18), http_library) as platform:
        token = platform.emporix.new_session().token
        first = await platform.call("GET", path, token, headers={"X-Total-Count": "true"})
        rest = await platform.call("GET", path, token, params={"pageNumber": "2"})
        every = await platform.call("GET", path, token, params={"pageSize": "200"})
        header = "x-count" if "sites" in path else "x-total-count"
        assert first.headers[header] == str(len(every.json()))
        assert (header in rest.headers) is ("sites" in path)
        assert len(first.json()) == size
        assert first.json() + rest.json() == every.json()
        assert len({each["code"] for each in every.json()}) == len(every.json()) == total
        for wrong in ({"pageNumber": "0"}, {"pageSize": "x"}):
            assert (await platform.call("GET", path, token, params=wrong)).status_code == 400
        expect_fault(await platform.call("GET", path), 401, "oauth.v2.InvalidAccessToken")


async def test_names_of_currencies(platform: Platform) -> None:
    """A currency's name is a text in one language, and a map in all of them."""
    token = platform.emporix.new_session().token
    path = "/currency/acme/currencies"
    one = await platform.call("GET", path, token, headers={"Accept-Language": "en"})
    every = await platform.call("GET", path, token, headers={"Accept-Language": "*"})
    assert isinstance(one.json()[0]["name"], str)
    assert isinstance(every.json()[0]["name"], dict)
