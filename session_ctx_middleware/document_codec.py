"""What a travelling document says, as bytes to be sealed."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from .model.document import ContextDocument
from .model.frozen_json import dumps, loads
from .model.packing import era_of, moment_of

__all__ = ["Sealed", "decoded", "digest", "encoded"]

FORMAT: Final = 1
DIGEST: Final = 32


@dataclass(slots=True, eq=False, repr=False)
class Sealed:
    """What one cookie says.

    Args:
        document: the document.
        asked_at: when Emporix was asked for it, in seconds since the epoch by the clock of who sealed it.
        token: the digest of the token that it is of.
        era: how often its shopper had logged out by then.
        asked_on: when Emporix was asked, in Emporix' own time; 0 where nobody knew that.
    """

    document: ContextDocument
    asked_at: float
    token: str
    era: int
    asked_on: float = 0.0

    @property
    def order(self) -> tuple[int, float]:
        """What of two documents tells the later one: the higher version, then the later moment."""
        return self.document.version, self.asked_at


def encoded(sealed: Sealed) -> bytes:
    """Return what is sealed: two lines, of which the second one is the document as Emporix writes it."""
    about = {"f": FORMAT, "t": sealed.token, "e": sealed.era, "a": round(sealed.asked_at, 3)}
    if sealed.asked_on:
        about["p"] = round(sealed.asked_on, 1)
    text = f"{dumps(about)}\n{dumps(sealed.document.to_wire(), escaped=False)}"
    return text.encode("utf-8", "surrogatepass")


def decoded(payload: bytes) -> Sealed | None:
    """Return what was sealed; `None` for another format."""
    head, _, body = payload.partition(b"\n")
    try:
        about = loads(head)
        if not isinstance(about, dict) or about.get("f") != FORMAT or not isinstance(about.get("t"), str):
            return None
        asked_at, asked_on = moment_of(about.get("a")), moment_of(about.get("p", 0.0))
        return Sealed(ContextDocument.parse(body), asked_at, about["t"], era_of(about.get("e")), asked_on)
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def digest(token: str) -> str:
    """Return what tells a token from all others: 128 bits, as nobody else's token may open a document."""
    return sha256(b"document\x1f" + token.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]
