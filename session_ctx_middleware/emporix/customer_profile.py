"""What a customer may know of himself: the companies that he acts for (Emporix Customer Service)."""

from __future__ import annotations

from dataclasses import dataclass

from ..checks import is_visible
from ..errors import MalformedAnswer
from ..frames import without_locals
from ..model.personal import Personal
from .answers import READING, Answer, error_of
from .client import PlatformClient
from .token_answer import json_object

__all__ = ["Company", "CustomerProfile"]

OPERATION = "customer.profile"
OK = 200


@dataclass(frozen=True, slots=True, repr=False)
class Company(Personal):
    """A company that a customer may act for.

    Args:
        legal_entity_id: its id at Emporix.
        name: its name; empty where the answer does not say.
    """

    legal_entity_id: str
    name: str = ""


class CustomerProfile(PlatformClient):
    """Reads the profile of a customer, with the customer's own token; built as every `PlatformClient`."""

    async def companies(self, token: str) -> tuple[Company, ...]:
        """Return the companies that a customer may act for, none for one who buys for himself.

        Args:
            token: the customer's.

        Raises:
            TokenRejected: Emporix refuses the token.
            EmporixError: as for `OwnContextClient.get`.
        """
        answer = await self._http.call(OPERATION, "GET", f"/customer/{self.tenant}/me", token=token)
        return _companies_in(answer)


@without_locals
def _companies_in(answer: Answer) -> tuple[Company, ...]:
    if answer.status != OK:
        raise error_of(OPERATION, answer, READING)
    data = json_object(answer.body)
    if not data:
        raise MalformedAnswer(OPERATION, answer.status, "no JSON object")
    b2b = data.get("b2b")
    entities = b2b.get("legalEntities") if isinstance(b2b, dict) else None
    found: dict[str, Company] = {}
    for each in entities if isinstance(entities, list) else ():
        known = each.get("id") if isinstance(each, dict) else None
        if is_visible(known):
            name = each.get("name")
            found.setdefault(known, Company(known, name if isinstance(name, str) else ""))
    return tuple(found.values())
