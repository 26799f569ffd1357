"""How a tenant answers what the documentation of Emporix leaves open: this package works with each answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from ..emporix import ShopperTokens
from ..emporix.site_settings import SiteSettings
from ..errors import EmporixError
from ..model.fields import SWITCHES
from ..model.sites import Sites
from .probes import ATTRIBUTE, Patient, Settings

__all__ = ["Finding", "check_up"]

APPEARS: Final = 5.0
SHOWS: Final = 10.0
PAUSE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer.

    Args:
        name: of the question, for programs.
        question: in words.
        answer: in a few words, always the same for the same.
        remark: what it means to a shop.
    """

    name: str
    question: str
    answer: str
    remark: str = ""


Probe: TypeAlias = Callable[[Patient], Awaitable[str]]


async def check_up(
    settings: Settings, *, config_only: bool = False, customer: tuple[str, str] | None = None
) -> AsyncIterator[Finding]:
    """Ask a tenant one thing after the other, and clean up.

    Args:
        settings: whom to ask.
        config_only: only see whether a session with these values can begin, and the site offers them.
        customer: e-mail address and password of a customer of one's own, to ask what is about customers, too.

    Raises:
        ConfigurationError: no such tenant name or address.
        EmporixError: no session could be begun.
    """
    async with ShopperTokens(settings.tenant, settings.client_id, base_url=settings.base_url) as tokens:
        patient = await Patient.admitted(settings, tokens)
        async with patient:
            try:
                async for finding in _examined(patient, tokens, settings.base_url, config_only=config_only):
                    yield finding
                if customer is not None and not config_only:
                    yield await _customers_refresh(patient, tokens, *customer)
            finally:
                await patient.delete_cart()


async def _examined(
    patient: Patient, tokens: ShopperTokens, base_url: str, *, config_only: bool
) -> AsyncIterator[Finding]:
    yield Finding("login", "Can an anonymous session begin?", "yes")
    named = "told" if patient.granted.session_id else "not told"
    yield Finding("session_id", "Does the login tell the session's id?", named)
    yield await _first_context(patient)
    if config_only:
        yield await _configuration(patient)
        yield await _offered(patient, base_url)
        return
    if (await patient.context()).status == 200:
        for name, question, probe in PROBES:
            yield Finding(name, question, await _answered(probe, patient))
    yield Finding("guest_refresh", "What does a refresh do to a guest's session?", await _refreshed(patient, tokens))


async def _answered(probe: Probe, patient: Patient) -> str:
    try:
        return await probe(patient)
    except EmporixError as error:
        return f"no answer ({type(error).__name__})"


async def _first_context(patient: Patient) -> Finding:
    question = "When does a session get its context?"
    if (await patient.context()).status == 200:
        return Finding("context", question, "at login")
    if await _appears(patient, APPEARS / 2):
        return Finding("context", question, "soon after the login")
    status = await patient.create_cart()
    if status >= 300:
        return Finding(
            "context",
            question,
            "unknown",
            f"No cart could be created (status {status}): name --site-code and --currency.",
        )
    if await _appears(patient, APPEARS):
        return Finding("context", question, "with the first cart", "Choices made before that are kept, and sent then.")
    return Finding("context", question, "not even with a cart")


async def _appears(patient: Patient, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if (await patient.context()).status == 200:
            return True
        await asyncio.sleep(PAUSE)
    return False


async def _configuration(patient: Patient) -> Finding:
    """Tell which of the values with which the session was begun its context does not have."""
    question = "Does a session begin with the configured values?"
    context = await patient.context()
    if context.status != 200:
        return Finding("configuration", question, "unknown", "There is no context to look at.")
    wrong = [
        f"{field} is {context.data.get(SWITCHES[field])!r} instead of {value!r}"
        for field, value in patient.seeds.items()
        if str(context.data.get(SWITCHES[field], "")).lower() != value.lower()
    ]
    return Finding("configuration", question, "no" if wrong else "yes", "; ".join(wrong))


async def _offered(patient: Patient, base_url: str) -> Finding:
    """Tell which of the values the site does not offer: Emporix takes those for a session, and has no prices then."""
    question = "Does the site offer the configured values?"
    try:
        async with SiteSettings(patient.tenant, base_url=base_url) as settings:
            sites = Sites(await settings.sites(patient.granted.access_token))
    except EmporixError as error:
        return Finding("offered", question, "unknown", f"Its settings cannot be read ({type(error).__name__}).")
    refused = sites.refused(patient.seeds, patient.seeds)
    return Finding("offered", question, "no" if refused else "yes", " ".join(map(str, refused.values())))


async def _stale_version(patient: Patient) -> str:
    before = (await patient.patched({"context": {ATTRIBUTE: "1"}})).version
    status = await patient.patch({"context": {ATTRIBUTE: "2"}}, before - 1)
    value = (await patient.context()).attributes.get(ATTRIBUTE)
    return f"{status}, and {'changes' if value == '2' else 'changes nothing'}"


async def _missing_version(patient: Patient) -> str:
    status = await patient.patch({"context": {ATTRIBUTE: "3"}}, None)
    value = (await patient.context()).attributes.get(ATTRIBUTE)
    return f"{status}, and {'changes' if value == '3' else 'changes nothing'}"


async def _no_change(patient: Patient) -> str:
    before = await patient.context()
    after = await patient.patched({"currency": before.data.get("currency")})
    return "a new version" if after.version > before.version else "the same version"


async def _attributes(patient: Patient) -> str:
    await patient.patched({"context": {ATTRIBUTE: "4"}})
    after = await patient.patched({"context": {f"{ATTRIBUTE}_2": "5"}})
    merged = ATTRIBUTE in after.attributes
    await patient.patched({"context": {}})
    return "added to the others" if merged else "put in place of the others"


async def _language(patient: Patient) -> str:
    before = await patient.context()
    if "language" in before.attributes:
        return "in an attribute"
    after = await patient.patched({"language": "fr"})
    if before.data.get("language"):
        await patient.patched({"language": before.data["language"]})
    return "in a field of its own" if after.data.get("language") == "fr" else "nowhere"


async def _lag(patient: Patient) -> str:
    before = await patient.context()
    began = time.monotonic()
    await patient.patch({"context": {**before.attributes, ATTRIBUTE: "6"}}, before.version)
    while time.monotonic() - began < SHOWS:
        if (await patient.context()).attributes.get(ATTRIBUTE) == "6":
            seconds = time.monotonic() - began
            patient.lags(seconds)
            return "at once" if seconds < 2 * PAUSE else f"after {seconds:.1f} s"
        await asyncio.sleep(PAUSE)
    return f"not within {SHOWS:.0f} s"


async def _refreshed(patient: Patient, tokens: ShopperTokens) -> str:
    old = patient.granted
    if not old.refresh_token:
        return "no refresh token was given"
    try:
        new = await tokens.refresh_guest(old.refresh_token)
    except EmporixError as error:
        return f"refused ({type(error).__name__})"
    told = (
        "does not name it"
        if new.session_id is None
        else "names it"
        if new.session_id == old.session_id
        else "names another one"
    )
    try:
        await tokens.refresh_guest(old.refresh_token)
    except EmporixError:
        return f"{told}; a used refresh token is refused"
    return f"{told}; a used refresh token is good again"


async def _customers_refresh(patient: Patient, tokens: ShopperTokens, email: str, password: str) -> Finding:
    """Tell which bearer a customer's refresh wants; Emporix' pages contradict each other."""
    question, guest = "Which bearer does a customer's refresh want?", patient.granted.access_token
    try:
        granted = await tokens.log_in(email, password, guest_token=guest)
    except EmporixError as error:
        return Finding("customer_refresh", question, "unknown", f"The login failed ({type(error).__name__}).")
    bearers = {"none": None, "a guest's": guest, "the customer's": granted.access_token}
    taken = [name for name, bearer in bearers.items() if await _takes(tokens, granted.refresh_token or "", bearer)]
    return Finding("customer_refresh", question, " or ".join(taken) or "another one")


async def _takes(tokens: ShopperTokens, refresh_token: str, bearer: str | None) -> bool:
    try:
        await tokens.refresh_customer(refresh_token, bearer=bearer)
    except EmporixError:
        return False
    return True


PROBES: Final[tuple[tuple[str, str, Probe], ...]] = (
    ("read_after_write", "When does a change show?", _lag),
    ("language", "Where does a context keep its language?", _language),
    ("stale_version", "How is a PATCH with an older version answered?", _stale_version),
    ("missing_version", "How is a PATCH without a version answered?", _missing_version),
    ("no_change", "What does a PATCH that changes nothing make?", _no_change),
    ("attributes", "What becomes of attributes that a PATCH sends?", _attributes),
)
