"""Reading, caching and writing session contexts: knows neither ASGI nor an HTTP library.

Each token has one `Entry` per event loop: what is cached, for how long, and a `Consistency` that decides by session
guarantees (Terry et al. 1994) which document may be shown. Everything of a loop is touched on that loop, between
awaits, so that there are no locks.

*A read* goes `Engine` → `Reads` → `Loads` → `ProtectedSource` → `Publisher` → `Entry`. Fresh and stale answers (RFC
9111, RFC 5861) come from the entry. Otherwise one GET per token is in flight (single flight); it belongs to nobody, and
each waiter has a future of its own. The store, where processes share one, is asked before Emporix.

*A change* goes `Engine` → `Commits` → `Bases` → `Patching` → `Announcer` → `Publisher`. One PATCH per session is on its
way at a time, made against a document that came from a GET. Emporix answers a stale version with 404 and names no new
one, so a GET settles what is open, and what is left is rebased. A write raises the fence of every token of the session
before and after, and reads that overlap it are not published. Until a GET brings the new version, reads show the base
with the taken changes over it. What cannot be sent is parked (`Pending`), shown, and sent later.

What *other workers* did arrives by way of the store (`Sharing`, `Peers`) and of the shopper's browser (`Handover`,
`Notes`, `Requirements`): both only ever raise floors, and merging what two of them know is commutative and idempotent.
The browser may bring a document, too (`Travelling`): it is looked at before Emporix is asked.

`wiring.build` makes the parts, each from finished ones. docs/architecture.md has the invariants, and what fails without
each; `tests/test_structure.py` holds the directions.
"""

from .engine import Engine
from .handover import without_token
from .job import Commit, CommitResult
from .keys import PROCESS_SECRET, Keys
from .neighbours import Neighbour, Neighbourhood
from .notes import NO_LOGIN, NOTE_SECONDS, Floor, Login, Noted, Notes, join
from .ports import ContextSource
from .standing import digest_of_switches
from .stats import Stats
from .travelling import DocumentOffer, Travelled
from .wiring import EngineOptions

__all__ = [
    "NOTE_SECONDS",
    "NO_LOGIN",
    "PROCESS_SECRET",
    "Commit",
    "CommitResult",
    "ContextSource",
    "DocumentOffer",
    "Engine",
    "EngineOptions",
    "Floor",
    "Keys",
    "Login",
    "Neighbour",
    "Neighbourhood",
    "Noted",
    "Notes",
    "Stats",
    "Travelled",
    "digest_of_switches",
    "join",
    "without_token",
]
