"""Any context at the fake, as a service with the scope for it sees it."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import JANE, Platform, expect_fault

WRONG_VERSIONS = [0, 2, -1, None, "1", 1.0, True, [1], {"a": 1}]


def conflict(session_id: str, version: str) -> dict[str, str]:
    return {"message": f"The context with sessionId {session_id} and version {version} has not been found."}


def managed(session_id: str, path: str = "") -> str:
    return f"/session-context/acme/context/{session_id}{path}"


async def test_reads_and_changes(platform: Platform) -> None:
    """A service reads and changes any context."""
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
async def test_needs_the_version(version: Any, platform: Platform) -> None:
    """A service needs the current version too."""
    session = platform.emporix.new_session()
    body = {"currency": "USD", "metadata": {"version": version}}
    answer = await platform.call("PUT", managed(session.session_id), await platform.service_token(), json=body)
    assert answer.status_code == 404
    assert answer.json() == conflict(session.session_id, str(version) if type(version) is int else "null")
    assert (await platform.context(session.token))["currency"] == "EUR"


async def test_attributes_need_no_version(platform: Platform) -> None:
    """A service adds and removes attributes without a version."""
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
async def test_unknown_session(session_id: str, platform: Platform) -> None:
    """A session that nobody knows is a 404 to a service."""
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
async def test_upsert_needs_a_saas_token(exists: bool, platform: Platform) -> None:
    """An upsert of an anonymous context is refused without a saas token."""
    session = platform.emporix.new_session(exists=exists)
    body = {"currency": "USD", "metadata": {"version": 1}}
    token = await platform.service_token()
    answer = await platform.call("PUT", managed(session.session_id) + "?upsert=true", token, json=body)
    assert answer.status_code == 400
    assert "Required Header [saas-token]" in answer.json()["message"]


async def test_an_upsert_creates_a_context(platform: Platform) -> None:
    """An upsert creates a context."""
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


async def test_upsert_of_an_existing_one(platform: Platform) -> None:
    """An upsert of a context that exists needs its version."""
    session = platform.emporix.new_session()
    jane = (await platform.login(JANE)).json()
    headers = {"saas-token": jane["saas_token"]}
    token, target = await platform.service_token(), managed(session.session_id) + "?upsert=true"
    for version, status in ((7, 404), (1, 204)):
        body = {"currency": "USD", "metadata": {"version": version}}
        assert (await platform.call("PUT", target, token, json=body, headers=headers)).status_code == status


async def test_customer_needs_own_saas_token(platform: Platform) -> None:
    """The context of a customer needs that customer's saas token."""
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


async def test_nobody_elses_context(platform: Platform) -> None:
    """A context cannot be made a customer's without that customer."""
    session = platform.emporix.new_session()
    body = {"customerId": "C0001", "metadata": {"version": 1}}
    target = managed(session.session_id)
    assert (await platform.call("PUT", target, await platform.service_token(), json=body)).status_code == 400


async def test_wrong_type_is_refused(platform: Platform) -> None:
    """A service may not send a value of the wrong type."""
    session = platform.emporix.new_session()
    body = {"context": "text", "metadata": {"version": 1}}
    target = managed(session.session_id)
    assert (await platform.call("PUT", target, await platform.service_token(), json=body)).status_code == 400


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("PUT", ""), ("POST", "/attributes"), ("DELETE", "/attributes/a")]
)
async def test_needs_the_scope(method: str, path: str, platform: Platform) -> None:
    """The managed side needs a token with the scope."""
    session = platform.emporix.new_session(attributes={"a": "1"})
    target = managed(session.session_id, path)
    unscoped = (await platform.service("tenant=acme cart.cart_manage")).json()["access_token"]
    for token in (unscoped, session.token):
        answer = await platform.call(method, target, token)
        expect_fault(answer, 403, "steps.oauth.v2.InsufficientScope")
        assert answer.json()["fault"]["faultstring"] == "Required scope(s): [sessioncontext.context_manage]"
    expect_fault(await platform.call(method, target), 401, "oauth.v2.InvalidAccessToken")
    assert platform.emporix.document(session.session_id) is not None
