"""The Customer Service: logging in, by whatever way, staying logged in, and logging out."""

from __future__ import annotations

from typing import Any, Final

from .accounts import ASSISTED_BUYING
from .answers import Answer, gateway_error, json_answer, no_content, service_error, unauthorized
from .catalogue import Customer
from .grants import CUSTOMER_SPELLING, customer_grant, deprecated_names, saas_grant, session_name
from .records import Session
from .request import Incoming
from .world import CUSTOMER_SECONDS, REFRESH_SECONDS

__all__ = [
    "assisted_login",
    "customer_login",
    "customer_logout",
    "customer_profile",
    "customer_refresh",
    "customer_validate",
    "exchange",
    "opt_in",
    "social_login",
]

SHORTEST_PASSWORD: Final = 6
EXCHANGED_SECONDS: Final = 14399
EXCHANGED_REFRESH_SECONDS: Final = 15551999
CONFIGURATION: Final = "default"


def customer_login(call: Incoming) -> Answer:
    """Log a customer in; with the anonymous token of a session, into that session."""
    if "authorization" in call.headers and call.token is None:
        return call.unauthorized()
    if not _credentials(call.data):
        return _bad_request("The e-mail address or the password is missing or too short.")
    customer = call.world.customer(call.data["email"], call.data["password"])
    if customer is None:
        return service_error(401, "Invalid credentials", status="Unauthorized")
    grant = _logged_in(call, call.session or call.world.new_session(), customer)
    text = call.world.quirks.initial_password == "text"  # noqa: S105 - a type
    return json_answer({**grant, **deprecated_names(grant), "initialPassword": "false" if text else False})


def customer_refresh(call: Incoming) -> Answer:
    """Hand out a new token of a customer's session, for the company that the query names."""
    quirks, query = call.world.quirks, call.query
    refusal = _bearer_refusal(call)
    if refusal is not None:
        return refusal
    if quirks.refresh_parameter not in query:
        return _bad_request(f"The parameter {quirks.refresh_parameter} is missing.")
    token = call.world.redeem(query[quirks.refresh_parameter])
    if token is None or token.session is None or token.customer is None:
        return service_error(401, "Invalid refresh token", status="Unauthorized")
    company = query.get("legalEntityId") or (token.company if quirks.company_at_refresh == "kept" else None)
    if company is not None and company not in token.customer.companies:
        return _bad_request("The legal entity is not one of the customer's.")
    return json_answer(_refreshed(call, token.session, token.customer, company))


def customer_logout(call: Incoming) -> Answer:
    """End a customer's session."""
    token = call.world.valid(call.world.access, call.query.get("accessToken", ""))
    if token is None or token.session is None:
        return unauthorized()
    for tokens in (call.world.access, call.world.refresh):
        for value in [value for value, other in tokens.items() if other.session is token.session]:
            del tokens[value]
    call.world.delete(token.session)
    return no_content()


def customer_validate(call: Incoming) -> Answer:
    """Tell what a customer's token is good for."""
    token = call.token
    if token is None or token.session is None or token.customer is None:
        return call.unauthorized()
    return json_answer(
        {
            "token_type": "Bearer",
            "expires_in": CUSTOMER_SECONDS,
            "scope": "tenant=" + call.values["tenant"],
            session_name(call.world, "sessionId"): token.session.session_id,
            "email": token.customer.email,
            "legalEntityId": token.company,
        }
    )


def customer_profile(call: Incoming) -> Answer:
    """Tell who the customer is, and the companies that he may act for; nobody in particular for a guest."""
    token = call.token
    if token is None or token.session is None:
        return call.unauthorized()
    if token.customer is None:
        return json_answer({"id": "00000000", "customerNumber": "00000000", "accounts": []})
    companies = [{"id": each, "name": each.removeprefix("le-").title()} for each in token.customer.companies]
    return json_answer(
        {
            "id": token.customer.customer_id,
            "customerNumber": token.customer.customer_id,
            "accounts": [{"id": token.customer.email}],
            "businessModel": "B2B" if companies else "B2C",
            **({"b2b": {"legalEntities": companies}} if companies else {}),
        }
    )


def exchange(call: Incoming) -> Answer:
    """Exchange the token of an identity provider for tokens of the customer that it names."""
    if call.session is None:
        return call.unauthorized()
    if call.query.get("config", CONFIGURATION) != CONFIGURATION:
        return _bad_request("There is no such configuration.")
    subject = call.query.get("subjectAccessToken", "")
    email = call.world.codes.get(subject)
    if email is None:
        return service_error(401, "The subject token is not accepted", status="Unauthorized")
    if email not in call.world.customers and not call.world.quirks.autoprovisioning:
        return service_error(404, "Customer not found", status="Not Found")
    customer = call.world.register(email)
    grant = _logged_in(
        call, call.session, customer, seconds=EXCHANGED_SECONDS, refresh_seconds=EXCHANGED_REFRESH_SECONDS
    )
    more = {"subject_access_token": subject, "session_idle_time": 120, "scope": "tenant=" + call.values["tenant"]}
    return json_answer({**grant, **more})


def social_login(call: Incoming) -> Answer:
    """Log in with a code of an identity provider; numbers are texts, and the session's id is not told."""
    if call.session is None:
        return call.unauthorized()
    email = call.world.codes.pop(call.query.get("code", ""), None)
    if email is None or "redirect_uri" not in call.query:
        return _bad_request("The code or the redirect address is not accepted.")
    grant = _logged_in(call, _social_session(call), call.world.register(email))
    del grant[session_name(call.world, CUSTOMER_SPELLING)]
    numbers = {name: str(value) for name, value in grant.items() if isinstance(value, int)}
    return json_answer({**grant, **numbers, "social_access_token": call.world.new_secret(), "session_idle_time": 120})


def opt_in(call: Incoming) -> Answer:
    """Finish a sign-up with the code of its mail, and log in; the session's id is not told."""
    if call.session is None:
        return call.unauthorized()
    email = call.world.codes.pop(call.values["code"], None)
    if email is None:
        return _bad_request("The code is not accepted.")
    grant = _logged_in(call, call.session, call.world.register(email))
    del grant[session_name(call.world, CUSTOMER_SPELLING)]
    return json_answer(grant)


def assisted_login(call: Incoming) -> Answer:
    """Give somebody of the shop's staff a customer's tokens, in a session of its own (assisted buying)."""
    if call.token is None:
        return call.unauthorized()
    if ASSISTED_BUYING not in call.token.scope.split():
        return gateway_error(403, f"Required scope(s): [{ASSISTED_BUYING}]", "steps.oauth.v2.InsufficientScope")
    wanted = call.data.get("customerNumber")
    customer = next((each for each in call.world.customers.values() if each.customer_id == wanted), None)
    if customer is None:
        return service_error(404, "Customer not found", status="Not Found")
    return json_answer(_logged_in(call, call.world.new_session(), customer))


def _logged_in(
    call: Incoming,
    session: Session,
    customer: Customer,
    *,
    seconds: int = CUSTOMER_SECONDS,
    refresh_seconds: int = REFRESH_SECONDS,
) -> dict[str, Any]:
    world = call.world
    world.log_in(session, customer)
    grant = customer_grant(world, session, customer, seconds=seconds, refresh_seconds=refresh_seconds)
    return {**grant, **saas_grant(world, customer)}


def _refreshed(call: Incoming, session: Session, customer: Customer, company: str | None) -> dict[str, Any]:
    world, bearer = call.world, call.session
    if world.quirks.refresh_follows == "bearer" and bearer is not None and bearer is not session:
        session = bearer
        world.log_in(session, customer)
    world.scope_to(session, company)
    grant = customer_grant(world, session, customer, company)
    if world.quirks.refresh_saas_token:
        grant |= saas_grant(world, customer)
    if not world.quirks.refresh_names_session:
        del grant[session_name(world, CUSTOMER_SPELLING)]
    return {**grant, **deprecated_names(grant)}


def _bearer_refusal(call: Incoming) -> Answer | None:
    wanted = call.world.quirks.refresh_bearer
    if wanted == "optional":
        return None
    is_customers = call.token is not None and call.token.customer is not None
    return None if call.session is not None and is_customers == (wanted == "customer") else call.unauthorized()


def _social_session(call: Incoming) -> Session:
    session_id = call.headers.get("session-id")
    if session_id is None and call.world.quirks.social_session == "header":
        return call.world.new_session()
    own = call.session or call.world.new_session()
    return own if session_id in {None, own.session_id} else call.world.new_session()


def _credentials(data: dict[str, Any]) -> bool:
    email, password = data.get("email"), data.get("password")
    return isinstance(email, str) and email != "" and isinstance(password, str) and len(password) >= SHORTEST_PASSWORD


def _bad_request(message: str) -> Answer:
    return service_error(400, message, type="bad_request", status=400)
