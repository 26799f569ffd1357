"""The shopper's own context at the fake: reading, changing, attributes, and who may."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import ME, Platform, expect_fault

WRONG_VERSIONS = [0, 2, -1, None, "1", 1.0, True, [1], {"a": 1}]


def conflict(session_id: str, version: str) -> dict[str, str]:
    return {"message": f"The context with sessionId {session_id} and version {version} has not been found."}


async def test_defaults_of_the_site(platform: Platform) -> None:
    """A context is read with the defaults of its site."""
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


async def test_no_context_is_a_404(platform: Platform) -> None:
    """A session without context is a 404 with its id."""
    session = platform.emporix.new_session(exists=False)
    answer = await platform.call("GET", ME, session.token)
    assert answer.status_code == 404
    assert answer.json() == {"sessionId": session.session_id, "code": 404, "message": "Session not found"}


async def test_change_raises_the_version(platform: Platform) -> None:
    """A change is answered with 204 and no body, and raises the version."""
    token = platform.emporix.new_session().token
    answer = await platform.patch(token, 1, siteCode="us", currency="USD", targetLocation="US", language="es")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "etag" not in answer.headers
    context = await platform.context(token)
    kept = {key: context[key] for key in ("siteCode", "currency", "targetLocation", "language")}
    assert kept == {"siteCode": "us", "currency": "USD", "targetLocation": "US", "language": "es"}
    assert context["metadata"]["version"] == 2


async def test_values_are_not_checked(platform: Platform) -> None:
    """Values are not checked against anything."""
    token = platform.emporix.new_session().token
    assert (await platform.patch(token, 1, siteCode="no-such-site", currency="??")).status_code == 204
    context = await platform.context(token)
    assert (context["siteCode"], context["currency"]) == ("no-such-site", "??")


@pytest.mark.parametrize("version", WRONG_VERSIONS, ids=str)
async def test_other_version_is_a_404(version: Any, platform: Platform) -> None:
    """A change of another version is a 404 that names it."""
    session = platform.emporix.new_session()
    before = platform.emporix.document(session.session_id)
    answer = await platform.patch(session.token, version, currency="USD")
    assert answer.status_code == 404
    named = str(version) if type(version) is int else "null"
    assert answer.json() == conflict(session.session_id, named)
    assert platform.emporix.document(session.session_id) == before


@pytest.mark.parametrize("body", [{"currency": "USD"}, {"metadata": 1}, {"metadata": {}}, [], "text", None], ids=str)
async def test_no_version_is_a_404(body: Any, platform: Platform) -> None:
    """A change without a version is a 404."""
    session = platform.emporix.new_session()
    answer = await platform.call("PATCH", ME, session.token, json=body)
    assert answer.status_code == 404
    assert answer.json() == conflict(session.session_id, "null")


async def test_no_context_looks_like_conflict(platform: Platform) -> None:
    """A change without a context has the text of a conflict."""
    session = platform.emporix.new_session(exists=False)
    answer = await platform.patch(session.token, 1, currency="USD")
    assert answer.status_code == 404
    assert answer.json() == conflict(session.session_id, "1")


async def test_second_of_two_loses(platform: Platform) -> None:
    """Of two changes of one version, the second loses."""
    token = platform.emporix.new_session().token
    assert (await platform.patch(token, 1, currency="USD")).status_code == 204
    assert (await platform.patch(token, 1, currency="CHF")).status_code == 404
    assert (await platform.context(token))["currency"] == "USD"


async def test_ignored_fields(platform: Platform) -> None:
    """Fields that cannot be changed are ignored."""
    session = platform.emporix.new_session(cart_id="mine")
    answer = await platform.patch(
        session.token, 1, cartId="other", customerId="C1", sessionId="s", news=1, currency="USD"
    )
    assert answer.status_code == 204
    context = await platform.context(session.token)
    assert (context["cartId"], context["customerId"]) == ("mine", "ANONYMOUS")
    assert (context["sessionId"], context["currency"]) == (session.session_id, "USD")
    assert "news" not in context


async def test_metadata_sent_whole(platform: Platform) -> None:
    """Metadata that was read may be sent whole, and changes nothing."""
    token = platform.emporix.new_session().token
    metadata = {"version": 1, "createdAt": "1999-01-01T00:00:00.000Z", "modifiedAt": "1999-01-01T00:00:00.000Z"}
    assert (await platform.call("PATCH", ME, token, json={"metadata": metadata})).status_code == 204
    assert (await platform.context(token))["metadata"]["createdAt"] != metadata["createdAt"]


async def test_attribute_map_is_replaced(platform: Platform) -> None:
    """The attribute map is replaced whole."""
    token = platform.emporix.new_session(attributes={"a": "1", "b": "2"}).token
    assert (await platform.patch(token, 1, context={"c": {"d": "3"}})).status_code == 204
    assert (await platform.context(token))["context"] == {"c": {"d": "3"}}


async def test_attribute_map_stays(platform: Platform) -> None:
    """An attribute map stays where a change does not name it."""
    token = platform.emporix.new_session(attributes={"a": "1"}).token
    await platform.patch(token, 1, currency="USD")
    assert (await platform.context(token))["context"] == {"a": "1"}


async def test_empty_attribute_map_is_absent(platform: Platform) -> None:
    """An empty attribute map is absent."""
    token = platform.emporix.new_session(attributes={"a": "1"}).token
    assert (await platform.patch(token, 1, context={})).status_code == 204
    assert "context" not in await platform.context(token)
    assert "context" not in await platform.context(platform.emporix.new_session(attributes={}).token)


async def test_the_time_of_a_change_is_kept(platform: Platform) -> None:
    """The time of a change is kept."""
    token = platform.emporix.new_session().token
    start = platform.emporix.now()
    platform.emporix.now = lambda: start + 60
    await platform.patch(token, 1)
    metadata = (await platform.context(token))["metadata"]
    assert metadata["createdAt"] < metadata["modifiedAt"]


@pytest.mark.parametrize("fields", [{"currency": 1}, {"siteCode": ["main"]}, {"context": "text"}, {"context": []}])
async def test_wrong_type_is_refused(fields: dict[str, Any], platform: Platform) -> None:
    """A value of the wrong type is refused."""
    token = platform.emporix.new_session().token
    answer = await platform.patch(token, 1, **fields)
    assert (answer.status_code, answer.json()["status"]) == (400, "Bad Request")
    assert (await platform.context(token))["metadata"]["version"] == 1


@pytest.mark.parametrize("value", ["yes", {"paper": "red"}])
async def test_attribute_is_added(value: Any, platform: Platform) -> None:
    """An attribute is added, and its name is the answer."""
    token = platform.emporix.new_session(attributes={"a": "1"}).token
    answer = await platform.call("POST", f"{ME}/attributes", token, json={"key": "gift", "value": value})
    assert (answer.status_code, answer.json()) == (201, "gift")
    context = await platform.context(token)
    assert context["context"] == {"a": "1", "gift": value}
    assert context["metadata"]["version"] == 2


async def test_attributes_raise_the_version(platform: Platform) -> None:
    """Attributes ignore the version that they are sent with, and raise it."""
    token = platform.emporix.new_session(attributes={"a": "1"}).token
    body = {"key": "gift", "value": "yes", "metadata": {"version": 77}}
    assert (await platform.call("POST", f"{ME}/attributes", token, json=body)).status_code == 201
    assert (await platform.call("DELETE", f"{ME}/attributes/a", token)).status_code == 204
    context = await platform.context(token)
    assert (context["context"], context["metadata"]["version"]) == ({"gift": "yes"}, 3)
    assert (await platform.patch(token, 1, currency="USD")).status_code == 404


async def test_last_attribute_takes_the_map(platform: Platform) -> None:
    """The last attribute takes the map with it."""
    token = platform.emporix.new_session(attributes={"a": "1"}).token
    answer = await platform.call("DELETE", f"{ME}/attributes/a", token)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "context" not in await platform.context(token)


async def test_unknown_attribute(platform: Platform) -> None:
    """An unknown attribute cannot be removed."""
    session = platform.emporix.new_session(attributes={"a": "1"})
    answer = await platform.call("DELETE", f"{ME}/attributes/b", session.token)
    assert answer.status_code == 404
    assert answer.json()["sessionId"] == session.session_id
    assert (await platform.context(session.token))["metadata"]["version"] == 1


async def test_attributes_without_context(platform: Platform) -> None:
    """Attributes of a session without context are a 404."""
    token = platform.emporix.new_session(exists=False).token
    body = {"key": "gift", "value": "yes"}
    assert (await platform.call("POST", f"{ME}/attributes", token, json=body)).status_code == 404
    assert (await platform.call("DELETE", f"{ME}/attributes/gift", token)).status_code == 404


@pytest.mark.parametrize(
    "body", [{}, {"key": "a"}, {"value": "b"}, {"key": 1, "value": "b"}, {"key": "a", "value": 1}, []], ids=str
)
async def test_half_an_attribute_is_refused(body: Any, platform: Platform) -> None:
    """Half an attribute is refused."""
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
async def test_attribute_name_is_decoded(name: str, encoded: str, platform: Platform) -> None:
    """The name of an attribute is decoded once."""
    token = platform.emporix.new_session(attributes={name: "1", "b": "2"}).token
    assert (await platform.call("DELETE", f"{ME}/attributes/{encoded}", token)).status_code == 204
    assert (await platform.context(token))["context"] == {"b": "2"}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PATCH", ""), ("POST", "/attributes"), ("DELETE", "/attributes/a")],
)
async def test_needs_a_token(method: str, path: str, platform: Platform) -> None:
    """An own context needs the token of a session."""
    session = platform.emporix.new_session()
    platform.emporix.revoke(session.token)
    bodies = {"PATCH": {"metadata": {"version": 1}}, "POST": {"key": "a", "value": "b"}}
    for token in (None, "unknown", "", session.token, await platform.service_token()):
        answer = await platform.call(method, ME + path, token, json=bodies.get(method))
        expect_fault(answer, 401, "oauth.v2.InvalidAccessToken")
    basic = {"Authorization": f"Basic {platform.emporix.new_token(session.session_id)}"}
    expect_fault(await platform.call(method, ME + path, headers=basic), 401, "oauth.v2.InvalidAccessToken")


async def test_expired_token(platform: Platform) -> None:
    """An expired token is refused as expired."""
    token = (await platform.anonymous())["access_token"]
    await platform.cart(token)
    start = platform.emporix.now()
    platform.emporix.now = lambda: start + 3598
    assert (await platform.call("GET", ME, token)).status_code == 200
    platform.emporix.now = lambda: start + 3599
    answer = await platform.call("GET", ME, token)
    expect_fault(answer, 401, "keymanagement.service.access_token_expired")
    assert answer.json()["fault"]["faultstring"] == "Access Token expired"


async def test_scheme_in_any_case(platform: Platform) -> None:
    """The scheme of the token may be written in any case."""
    token = platform.emporix.new_session().token
    assert (await platform.call("GET", ME, headers={"Authorization": f"bearer {token}"})).status_code == 200


async def test_tokens_share_a_context(platform: Platform) -> None:
    """All tokens of a session see one context."""
    session = platform.emporix.new_session()
    other = platform.emporix.new_token(session.session_id)
    await platform.patch(session.token, 1, currency="USD")
    assert (await platform.context(other))["currency"] == "USD"


async def test_another_tenant_is_refused(platform: Platform) -> None:
    """Another tenant is refused."""
    token = platform.emporix.new_session().token
    answer = await platform.call("GET", "/session-context/other/me/context", token)
    expect_fault(answer, 401, "oauth.v2.InvalidAccessToken")
    assert platform.emporix.calls[-1].status == 401
    login = {"tenant": "other", "client_id": "storefront"}
    assert (await platform.call("GET", "/customerlogin/auth/anonymous/login", params=login)).status_code == 401


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("PUT", ME), ("GET", f"{ME}/")])
async def test_unknown_paths_are_not_counted(method: str, path: str, platform: Platform) -> None:
    """What Emporix does not have its gateway does not know, and it is not counted."""
    answer = await platform.call(method, path, platform.emporix.new_session().token)
    assert (answer.status_code, list(answer.json())) == (404, ["fault"])
    assert platform.emporix.calls == []
