from __future__ import annotations

from typing import Any

import pytest

from .conftest import JANE, ME, Platform, expect_fault

WRONG_VERSIONS = [0, 2, -1, None, "1", 1.0, True, [1], {"a": 1}]


def conflict(session_id: str, version: str) -> dict[str, str]:
    return {"message": f"The context with sessionId {session_id} and version {version} has not been found."}


# Reading


async def test_a_context_is_read_with_the_defaults_of_its_site(platform: Platform) -> None:
    session = platform.emporix.new_session()
    context = await platform.context(session.token)
    stamp = context["metadata"]["createdAt"]
    assert stamp.endswith("Z")
    assert context == {
        "sessionId": session.session_id,
        "customerId": "ANONYMOUS",
        "siteCode": "main",
        "currency": "EUR",
        "targetLocation": "DE",
        "language": "en",
        "metadata": {"version": 1, "createdAt": stamp, "modifiedAt": stamp},
    }


async def test_a_session_without_context_is_a_404_with_its_id(platform: Platform) -> None:
    session = platform.emporix.new_session(exists=False)
    answer = await platform.call("GET", ME, session.token)
    assert answer.status_code == 404
    assert answer.json() == {"sessionId": session.session_id, "code": 404, "message": "Session not found"}


# Changing


async def test_a_change_answers_204_without_a_body_and_raises_the_version(platform: Platform) -> None:
    token = platform.emporix.new_session().token
    answer = await platform.patch(token, 1, siteCode="us", currency="USD", targetLocation="US", language="es")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "etag" not in answer.headers
    context = await platform.context(token)
    kept = {key: context[key] for key in ("siteCode", "currency", "targetLocation", "language")}
    assert kept == {"siteCode": "us", "currency": "USD", "targetLocation": "US", "language": "es"}
    assert context["metadata"]["version"] == 2


async def test_values_are_not_checked_against_anything(platform: Platform) -> None:
    token = platform.emporix.new_session().token
    assert (await platform.patch(token, 1, siteCode="no-such-site", currency="??")).status_code == 204
    context = await platform.context(token)
    assert (context["siteCode"], context["currency"]) == ("no-such-site", "??")


@pytest.mark.parametrize("version", WRONG_VERSIONS, ids=str)
async def test_a_change_of_another_version_is_a_404_that_names_it(version: Any, platform: Platform) -> None:
    session = platform.emporix.new_session()
    before = platform.emporix.document(session.session_id)
    answer = await platform.patch(session.token, version, currency="USD")
    assert answer.status_code == 404
    named = str(version) if type(version) is int else "null"
    assert answer.json() == conflict(session.session_id, named)
    assert platform.emporix.document(session.session_id) == before


@pytest.mark.parametrize("body", [{"currency": "USD"}, {"metadata": 1}, {"metadata": {}}, [], "text", None], ids=str)
async def test_a_change_without_a_version_is_a_404(body: Any, platform: Platform) -> None:
    session = platform.emporix.new_session()
    answer = await platform.call("PATCH", ME, session.token, json=body)
    assert answer.status_code == 404
    assert answer.json() == conflict(session.session_id, "null")


async def test_a_change_without_a_context_has_the_text_of_a_conflict(platform: Platform) -> None:
    session = platform.emporix.new_session(exists=False)
    answer = await platform.patch(session.token, 1, currency="USD")
    assert answer.status_code == 404
    assert answer.json() == conflict(session.session_id, "1")


async def test_of_two_changes_of_one_version_the_second_loses(platform: Platform) -> None:
    token = platform.emporix.new_session().token
    assert (await platform.patch(token, 1, currency="USD")).status_code == 204
    assert (await platform.patch(token, 1, currency="CHF")).status_code == 404
    assert (await platform.context(token))["currency"] == "USD"


async def test_fields_that_cannot_be_changed_are_ignored(platform: Platform) -> None:
    session = platform.emporix.new_session(cart_id="mine")
    answer = await platform.patch(
        session.token, 1, cartId="other", customerId="C1", sessionId="s", news=1, currency="USD"
    )
    assert answer.status_code == 204
    context = await platform.context(session.token)
    assert (context["cartId"], context["customerId"]) == ("mine", "ANONYMOUS")
    assert (context["sessionId"], context["currency"]) == (session.session_id, "USD")
    assert "news" not in context


async def test_metadata_that_was_read_may_be_sent_whole_and_changes_nothing(platform: Platform) -> None:
    token = platform.emporix.new_session().token
    metadata = {"version": 1, "createdAt": "1999-01-01T00:00:00.000Z", "modifiedAt": "1999-01-01T00:00:00.000Z"}
    assert (await platform.call("PATCH", ME, token, json={"metadata": metadata})).status_code == 204
    assert (await platform.context(token))["metadata"]["createdAt"] != metadata["createdAt"]


async def test_the_attribute_map_is_replaced_whole(platform: Platform) -> None:
    token = platform.emporix.new_session(attributes={"a": "1", "b": "2"}).token
    assert (await platform.patch(token, 1, context={"c": {"d": "3"}})).status_code == 204
    assert (await platform.context(token))["context"] == {"c": {"d": "3"}}


async def test_an_attribute_map_stays_where_a_change_does_not_name_it(platform: Platform) -> None:
    token = platform.emporix.new_session(attributes={"a": "1"}).token
    await platform.patch(token, 1, currency="USD")
    assert (await platform.context(token))["context"] == {"a": "1"}


async def test_an_empty_attribute_map_is_absent(platform: Platform) -> None:
    token = platform.emporix.new_session(attributes={"a": "1"}).token
    assert (await platform.patch(token, 1, context={})).status_code == 204
    assert "context" not in await platform.context(token)
    assert "context" not in await platform.context(platform.emporix.new_session(attributes={}).token)


async def test_the_time_of_a_change_is_kept(platform: Platform) -> None:
    token = platform.emporix.new_session().token
    start = platform.emporix.now()
    platform.emporix.now = lambda: start + 60
    await platform.patch(token, 1)
    metadata = (await platform.context(token))["metadata"]
    assert metadata["createdAt"] < metadata["modifiedAt"]


@pytest.mark.parametrize("fields", [{"currency": 1}, {"siteCode": ["main"]}, {"context": "text"}, {"context": []}])
async def test_a_value_of_the_wrong_type_is_refused(fields: dict[str, Any], platform: Platform) -> None:
    token = platform.emporix.new_session().token
    answer = await platform.patch(token, 1, **fields)
    assert (answer.status_code, answer.json()["status"]) == (400, "Bad Request")
    assert (await platform.context(token))["metadata"]["version"] == 1


# Attributes


@pytest.mark.parametrize("value", ["yes", {"paper": "red"}])
async def test_an_attribute_is_added_and_its_name_answered(value: Any, platform: Platform) -> None:
    token = platform.emporix.new_session(attributes={"a": "1"}).token
    answer = await platform.call("POST", f"{ME}/attributes", token, json={"key": "gift", "value": value})
    assert (answer.status_code, answer.json()) == (201, "gift")
    context = await platform.context(token)
    assert context["context"] == {"a": "1", "gift": value}
    assert context["metadata"]["version"] == 2


async def test_attributes_ignore_the_version_they_are_sent_and_raise_it(platform: Platform) -> None:
    token = platform.emporix.new_session(attributes={"a": "1"}).token
    body = {"key": "gift", "value": "yes", "metadata": {"version": 77}}
    assert (await platform.call("POST", f"{ME}/attributes", token, json=body)).status_code == 201
    assert (await platform.call("DELETE", f"{ME}/attributes/a", token)).status_code == 204
    context = await platform.context(token)
    assert (context["context"], context["metadata"]["version"]) == ({"gift": "yes"}, 3)
    assert (await platform.patch(token, 1, currency="USD")).status_code == 404


async def test_the_last_attribute_takes_the_map_with_it(platform: Platform) -> None:
    token = platform.emporix.new_session(attributes={"a": "1"}).token
    answer = await platform.call("DELETE", f"{ME}/attributes/a", token)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "context" not in await platform.context(token)


async def test_an_unknown_attribute_cannot_be_removed(platform: Platform) -> None:
    session = platform.emporix.new_session(attributes={"a": "1"})
    answer = await platform.call("DELETE", f"{ME}/attributes/b", session.token)
    assert answer.status_code == 404
    assert answer.json()["sessionId"] == session.session_id
    assert (await platform.context(session.token))["metadata"]["version"] == 1


async def test_attributes_of_a_session_without_context_are_a_404(platform: Platform) -> None:
    token = platform.emporix.new_session(exists=False).token
    body = {"key": "gift", "value": "yes"}
    assert (await platform.call("POST", f"{ME}/attributes", token, json=body)).status_code == 404
    assert (await platform.call("DELETE", f"{ME}/attributes/gift", token)).status_code == 404


@pytest.mark.parametrize(
    "body", [{}, {"key": "a"}, {"value": "b"}, {"key": 1, "value": "b"}, {"key": "a", "value": 1}, []], ids=str
)
async def test_half_an_attribute_is_refused(body: Any, platform: Platform) -> None:
    token = platform.emporix.new_session().token
    assert (await platform.call("POST", f"{ME}/attributes", token, json=body)).status_code == 400
    assert "context" not in await platform.context(token)


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("a/b", "a%2Fb"),
        ("a?b", "a%3Fb"),
        ("a b", "a%20b"),
        ("a%2Fb", "a%252Fb"),
        ("ä€", "%C3%A4%E2%82%AC"),
        ("a+b", "a+b"),
    ],
)
async def test_the_name_of_an_attribute_is_decoded_once(name: str, encoded: str, platform: Platform) -> None:
    token = platform.emporix.new_session(attributes={name: "1", "b": "2"}).token
    assert (await platform.call("DELETE", f"{ME}/attributes/{encoded}", token)).status_code == 204
    assert (await platform.context(token))["context"] == {"b": "2"}


# Who may


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PATCH", ""), ("POST", "/attributes"), ("DELETE", "/attributes/a")],
)
async def test_an_own_context_needs_the_token_of_a_session(method: str, path: str, platform: Platform) -> None:
    session = platform.emporix.new_session()
    platform.emporix.revoke(session.token)
    bodies = {"PATCH": {"metadata": {"version": 1}}, "POST": {"key": "a", "value": "b"}}
    for token in (None, "unknown", "", session.token, await platform.service_token()):
        answer = await platform.call(method, ME + path, token, json=bodies.get(method))
        expect_fault(answer, 401, "oauth.v2.InvalidAccessToken")
    basic = {"Authorization": f"Basic {platform.emporix.new_token(session.session_id)}"}
    expect_fault(await platform.call(method, ME + path, headers=basic), 401, "oauth.v2.InvalidAccessToken")


async def test_an_expired_token_is_refused_as_expired(platform: Platform) -> None:
    token = (await platform.anonymous())["access_token"]
    await platform.cart(token)
    start = platform.emporix.now()
    platform.emporix.now = lambda: start + 3598
    assert (await platform.call("GET", ME, token)).status_code == 200
    platform.emporix.now = lambda: start + 3599
    answer = await platform.call("GET", ME, token)
    expect_fault(answer, 401, "keymanagement.service.access_token_expired")
    assert answer.json()["fault"]["faultstring"] == "Access Token expired"


async def test_the_scheme_of_the_token_may_be_written_in_any_case(platform: Platform) -> None:
    token = platform.emporix.new_session().token
    assert (await platform.call("GET", ME, headers={"Authorization": f"bearer {token}"})).status_code == 200


async def test_all_tokens_of_a_session_see_one_context(platform: Platform) -> None:
    session = platform.emporix.new_session()
    other = platform.emporix.new_token(session.session_id)
    await platform.patch(session.token, 1, currency="USD")
    assert (await platform.context(other))["currency"] == "USD"


async def test_another_tenant_is_refused(platform: Platform) -> None:
    token = platform.emporix.new_session().token
    answer = await platform.call("GET", "/session-context/other/me/context", token)
    expect_fault(answer, 401, "oauth.v2.InvalidAccessToken")
    assert platform.emporix.calls[-1].status == 401
    login = {"tenant": "other", "client_id": "storefront"}
    assert (await platform.call("GET", "/customerlogin/auth/anonymous/login", params=login)).status_code == 401


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("PUT", ME), ("GET", f"{ME}/")])
async def test_what_emporix_does_not_have_is_not_found_and_not_counted(
    method: str, path: str, platform: Platform
) -> None:
    answer = await platform.call(method, path, platform.emporix.new_session().token)
    assert (answer.status_code, answer.json()["message"]) == (404, "No such resource")
    assert platform.emporix.calls == []


# The managed side


def managed(session_id: str, path: str = "") -> str:
    return f"/session-context/acme/context/{session_id}{path}"


async def test_a_service_reads_and_changes_any_context(platform: Platform) -> None:
    session = platform.emporix.new_session()
    token = await platform.service_token()
    target = managed(session.session_id)
    context = (await platform.call("GET", target, token)).json()
    answer = await platform.call("PUT", target, token, json={**context, "currency": "USD", "cartId": "c", "news": 1})
    assert (answer.status_code, answer.content) == (204, b"")
    changed = await platform.context(session.token)
    assert (changed["currency"], changed["cartId"], changed["metadata"]["version"]) == ("USD", "c", 2)
    assert "news" not in changed


@pytest.mark.parametrize("version", WRONG_VERSIONS, ids=str)
async def test_a_service_needs_the_current_version_too(version: Any, platform: Platform) -> None:
    session = platform.emporix.new_session()
    body = {"currency": "USD", "metadata": {"version": version}}
    answer = await platform.call("PUT", managed(session.session_id), await platform.service_token(), json=body)
    assert answer.status_code == 404
    assert answer.json() == conflict(session.session_id, str(version) if type(version) is int else "null")
    assert (await platform.context(session.token))["currency"] == "EUR"


async def test_a_service_adds_and_removes_attributes_without_a_version(platform: Platform) -> None:
    session = platform.emporix.new_session()
    token = await platform.service_token()
    attributes = managed(session.session_id, "/attributes")
    answer = await platform.call("POST", attributes, token, json={"key": "a/b", "value": "1"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await platform.context(session.token))["context"] == {"a/b": "1"}
    assert (await platform.call("DELETE", f"{attributes}/a%2Fb", token)).status_code == 204
    assert (await platform.call("DELETE", f"{attributes}/a%2Fb", token)).status_code == 404
    assert (await platform.context(session.token))["metadata"]["version"] == 3


@pytest.mark.parametrize("session_id", ["unknown", "6d4d4d5e-04b9-40c5-9074-4df1405c6081"])
async def test_a_session_that_nobody_knows_is_a_404_to_a_service(session_id: str, platform: Platform) -> None:
    token = await platform.service_token()
    expected = {"sessionId": session_id, "code": 404, "message": "Session not found"}
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", {"metadata": {"version": 1}}),
        ("POST", "/attributes", {"key": "a", "value": "b"}),
        ("DELETE", "/attributes/a", None),
    ):
        answer = await platform.call(method, managed(session_id, path), token, json=body)
        assert (answer.status_code, answer.json()) == (404, expected)


@pytest.mark.parametrize("exists", [True, False])
async def test_an_upsert_of_an_anonymous_context_is_refused_without_a_saas_token(
    exists: bool, platform: Platform
) -> None:
    session = platform.emporix.new_session(exists=exists)
    body = {"currency": "USD", "metadata": {"version": 1}}
    token = await platform.service_token()
    answer = await platform.call("PUT", managed(session.session_id) + "?upsert=true", token, json=body)
    assert answer.status_code == 400
    assert "Required Header [saas-token]" in answer.json()["message"]


async def test_an_upsert_creates_a_context(platform: Platform) -> None:
    jane = (await platform.login(JANE)).json()
    headers = {"saas-token": jane["saas_token"]}
    body = {"currency": "CHF", "customerId": "C0001", "context": {}, "sessionId": "x", "metadata": {"version": 9}}
    token = await platform.service_token()
    for session_id in (jane["session_id"], "made-up"):
        target = managed(session_id)
        answer = await platform.call("PUT", f"{target}?upsert=true", token, json=body, headers=headers)
        assert answer.status_code == 204
        context = (await platform.call("GET", target, token)).json()
        assert (context["sessionId"], context["currency"]) == (session_id, "CHF")
        assert context["metadata"]["version"] == 1
        assert "context" not in context
    assert (await platform.context(jane["access_token"]))["customerId"] == "C0001"


async def test_an_upsert_of_a_context_that_exists_needs_its_version(platform: Platform) -> None:
    session = platform.emporix.new_session()
    jane = (await platform.login(JANE)).json()
    headers = {"saas-token": jane["saas_token"]}
    token, target = await platform.service_token(), managed(session.session_id) + "?upsert=true"
    for version, status in ((7, 404), (1, 204)):
        body = {"currency": "USD", "metadata": {"version": version}}
        assert (await platform.call("PUT", target, token, json=body, headers=headers)).status_code == status


async def test_the_context_of_a_customer_needs_that_customers_saas_token(platform: Platform) -> None:
    session = platform.emporix.new_session()
    jane = (await platform.login(JANE, session.token)).json()
    joe = (await platform.login({"email": "joe@example.com", "password": "battery-staple"})).json()
    token, target = await platform.service_token(), managed(session.session_id)
    body = {"language": "de", "metadata": {"version": 2}}
    for headers, status in (
        ({}, 400),
        ({"saas-token": "made up"}, 403),
        ({"saas-token": joe["saas_token"]}, 403),
        ({"saas-token": jane["saas_token"]}, 204),
    ):
        assert (await platform.call("PUT", target, token, json=body, headers=headers)).status_code == status
    assert (await platform.context(session.token))["language"] == "de"


async def test_a_context_cannot_be_made_a_customers_without_that_customer(platform: Platform) -> None:
    session = platform.emporix.new_session()
    body = {"customerId": "C0001", "metadata": {"version": 1}}
    target = managed(session.session_id)
    assert (await platform.call("PUT", target, await platform.service_token(), json=body)).status_code == 400


async def test_a_service_may_not_send_a_value_of_the_wrong_type(platform: Platform) -> None:
    session = platform.emporix.new_session()
    body = {"context": "text", "metadata": {"version": 1}}
    target = managed(session.session_id)
    assert (await platform.call("PUT", target, await platform.service_token(), json=body)).status_code == 400


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("PUT", ""), ("POST", "/attributes"), ("DELETE", "/attributes/a")]
)
async def test_the_managed_side_needs_a_token_with_the_scope(method: str, path: str, platform: Platform) -> None:
    session = platform.emporix.new_session(attributes={"a": "1"})
    target = managed(session.session_id, path)
    unscoped = (await platform.service("tenant=acme cart.cart_manage")).json()["access_token"]
    for token in (unscoped, session.token):
        answer = await platform.call(method, target, token)
        expect_fault(answer, 403, "steps.oauth.v2.InsufficientScope")
        assert answer.json()["fault"]["faultstring"] == "Required scope(s): [sessioncontext.context_manage]"
    expect_fault(await platform.call(method, target), 401, "oauth.v2.InvalidAccessToken")
    assert platform.emporix.document(session.session_id) is not None
