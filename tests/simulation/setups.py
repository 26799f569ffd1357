"""What a shop runs on, and what happens in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from .weather import CLEAR, DOWN, STORMY, Weather

__all__ = ["SETUPS", "SITUATIONS", "Setup", "Situation"]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a shop runs on.

    Args:
        workers: processes that share no memory; each request goes to one at random.
        instances: of the middleware in each worker, as frameworks make them for routes and mounts.
        loops: event loops in each worker.
        notes: whether there is a secret for the continuity cookies.
        document: whether the browser carries the document, too.
        store: ``none`` for one of each worker's own, else the shared one: ``healthy``, or ``faulty``, which loses
            notices, fails, freezes, refuses writes and is emptied.
        skew: seconds by which the clocks of workers differ at most.
    """

    workers: int = 1
    instances: int = 1
    loops: int = 1
    notes: bool = False
    document: bool = False
    store: str = "none"
    skew: float = 0.0


ONE_PROCESS: Final = Setup()

SETUPS: Final[dict[str, Setup]] = {
    "one process": ONE_PROCESS,
    "one process, notes": Setup(notes=True),
    "one process, 3 instances, 2 loops": Setup(instances=3, loops=2),
    "one process, 3 instances, 2 loops, notes": Setup(instances=3, loops=2, notes=True),
    "3 workers, nothing shared": Setup(workers=3),
    "3 workers, notes": Setup(workers=3, notes=True),
    "3 workers, notes, clocks an hour apart": Setup(workers=3, notes=True, skew=1800.0),
    "3 workers, document": Setup(workers=3, notes=True, document=True),
    "3 workers, document, clocks an hour apart": Setup(workers=3, notes=True, document=True, skew=1800.0),
    "3 workers, document and store": Setup(workers=3, notes=True, document=True, store="healthy"),
    "3 workers, store": Setup(workers=3, store="healthy"),
    "3 workers, notes and store": Setup(workers=3, notes=True, store="healthy"),
    "3 workers, notes and a store that fails": Setup(workers=3, notes=True, store="faulty"),
}


@dataclass(frozen=True, slots=True)
class Situation:
    """What happens around one browser; times are in seconds, the rest are probabilities or numbers per visit.

    Args:
        in_turn: whether a request waits for the answer to the one before.
        crowd: requests that the browser sends within one moment, now and then.
        pace: requests per second, about.
        slow: how long a slow page takes at most between its start and its end.
        net: how long an answer is on its way at most.
        lost: an answer never arrives.
        twice: a click is a double click, of which the first answer is thrown away.
        cancelled: the server gives a request up when its browser leaves.
        created: the context is there from the beginning.
        attributes: whether attributes are chosen, too.
        big: how many bytes an attribute has.
        few: whether choices are made among three values, so that the same one comes again.
        switches: how many of the requests change something.
        login: logins per visit, half of them into a new session.
        logout: logouts per visit, with the next customer at the same browser.
        refresh: new tokens of the session per visit.
        tokenless: the visit begins without a token.
        revoked: the token of a visit is refused at some time.
        tenants: shops on one host name that the browser visits in turns.
        foreign: seconds between changes that somebody else makes; 0 for none.
        recreated: contexts that begin anew, per visit: as they were, or empty.
        restored: backups that are put back, per visit.
        wiped: writers who replace the attributes by those that they know, per visit.
        odd: documents that no description of the API allows, per visit.
        undated: the context does not tell since when it is there.
        mute: a 404 does not tell the session.
        meddled: how often per visit somebody puts another document cookie into the browser: an older one, that of
            whoever was there before, a damaged one, or one under another key.
        weather: what the way to Emporix is like, one after the other at random.
    """

    in_turn: bool = False
    crowd: int = 1
    pace: float = 2.0
    slow: float = 0.8
    net: float = 0.4
    lost: float = 0.0
    twice: float = 0.0
    cancelled: float = 0.0
    created: float = 0.6
    attributes: bool = True
    big: int = 0
    few: bool = False
    switches: float = 0.4
    login: float = 0.0
    logout: float = 0.0
    refresh: float = 0.0
    tokenless: float = 0.0
    revoked: float = 0.0
    tenants: int = 1
    foreign: float = 0.0
    recreated: float = 0.0
    restored: float = 0.0
    wiped: float = 0.0
    odd: float = 0.0
    undated: float = 0.0
    mute: float = 0.0
    meddled: float = 0.0
    weather: tuple[Weather, ...] = (CLEAR,)


OVERLAP: Final = Situation(crowd=8, lost=0.05, twice=0.1, cancelled=0.02, slow=4.0, net=1.5)
LAGGING: Final = Weather(lag=0.3)
SWALLOWING: Final = Situation(created=1.0, pace=0.5, weather=(CLEAR, Weather(swallowed=0.1)))

SITUATIONS: Final[dict[str, Situation]] = {
    "in turn": Situation(in_turn=True, pace=1.0, slow=0.2, foreign=6.0, weather=STORMY),
    "now and then": Situation(pace=0.3, slow=0.05, net=0.05, foreign=6.0, weather=STORMY),
    "overlap": OVERLAP,
    "overlap before the cart": replace(OVERLAP, created=0.0),
    "overlap, few values": replace(OVERLAP, few=True),
    "overlap in bad weather": replace(OVERLAP, weather=STORMY, foreign=2.0),
    "new tokens in bad weather": replace(OVERLAP, weather=STORMY, foreign=2.0, refresh=4.0),
    "others write": replace(OVERLAP, created=1.0, weather=(CLEAR, Weather(latency=0.4)), foreign=0.3),
    "slow tabs": replace(OVERLAP, crowd=2, slow=8.0, pace=1.0, weather=(CLEAR, LAGGING)),
    "emporix down": replace(OVERLAP, weather=(CLEAR, CLEAR, DOWN, Weather(fail_before=0.3, fail_after=0.3))),
    "logins": replace(OVERLAP, login=3.0),
    "logouts": replace(OVERLAP, login=1.0, logout=3.0),
    "new tokens": replace(OVERLAP, refresh=4.0, weather=(CLEAR, CLEAR, DOWN)),
    "no token at first": replace(OVERLAP, tokenless=1.0, attributes=False, created=0.3),
    "a token is revoked": replace(OVERLAP, revoked=0.5, weather=STORMY),
    "two tenants": replace(OVERLAP, tenants=2, created=0.3),
    "large attributes": replace(OVERLAP, big=500, created=0.3),
    "2xx that changed nothing": SWALLOWING,
    "2xx that changed nothing, new tokens": replace(SWALLOWING, refresh=4.0, login=0.5, logout=1.0),
    "2xx that changed nothing, backups": replace(
        OVERLAP, created=1.0, restored=1.0, pace=0.7, weather=(CLEAR, Weather(swallowed=0.2))
    ),
    "contexts begin anew": replace(OVERLAP, created=1.0, recreated=2.0, undated=0.5, pace=1.0),
    "backups": replace(OVERLAP, created=1.0, restored=2.0, undated=0.5, pace=1.0),
    "gateways": replace(OVERLAP, weather=(CLEAR, Weather(gateway=0.3), Weather(gateway=1.0)), mute=0.5),
    "dripping": replace(OVERLAP, weather=(CLEAR, Weather(drip=0.3))),
    "odd documents": replace(OVERLAP, created=1.0, odd=4.0),
    "wiped receipts": replace(OVERLAP, created=0.0, wiped=4.0),
    "meddled documents": replace(OVERLAP, created=1.0, login=1.0, logout=2.0, meddled=12.0, pace=1.0),
    "everything": replace(
        OVERLAP, weather=STORMY, foreign=6.0, login=1.0, logout=1.0, refresh=1.0, undated=0.3, mute=0.0, odd=1.0
    ),
    "2xx that changed nothing, overlap": replace(
        OVERLAP, created=1.0, pace=0.7, weather=(CLEAR, Weather(swallowed=0.2))
    ),
    "slow answers": replace(OVERLAP, created=1.0, foreign=1.0, weather=(CLEAR, Weather(slow=1.5), Weather(slow=4.0))),
}
