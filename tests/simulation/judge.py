"""What must never happen. Every page, every change at Emporix and the end of a visit are judged as they come.

A choice is *known* once the answer to its request has reached the browser. Of two choices the second is the later one
if its request was sent when the first was known; the order of others is free. A choice whose answer never came may show
or not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Final

from .fleet import CACHE, UPSTREAM
from .history import GIVEN_UP, PATHS, SWITCHES, Choice, Person, Seen
from .platform import ServerSession

__all__ = ["PROMISES", "Judge"]

PROMISES: Final = {
    "wrong": "a page showed a value older than one that was known when it was asked for",
    "lost": "in the end Emporix holds a value older than one that was known",
    "twice": "Emporix took a change again, over a newer one",
    "leaks": "somebody else's value was shown or sent",
    "diverged": "long after all faults a page did not show what Emporix holds",
    "stale": "a page showed what somebody else had replaced long ago",
    "overwritten": "a change touched what nobody wanted changed so",
    "resurrected": "a refused token showed a context again",
    "late": "a page took longer than it may",
    "cookies": "a browser could not take or send a cookie of ours",
    "at once": "two PATCHes of one session were on their way from one worker",
    "left over": "something was begun and never ended",
    "errors": "an exception left the middleware, or the loop had to complain",
}
STALE: Final = CACHE.ttl + UPSTREAM.deadline + 1.0
STALE_ON_ERROR: Final = STALE + max(CACHE.stale_while_revalidate, CACHE.stale_if_error)
ENOUGH: Final = 20
LAG: Final = 10.0
"""Seconds for which a replica may be behind."""
ON_ITS_WAY: Final = 1.0
"""Seconds for which a PATCH is on its way, at most."""

Key = tuple[Person, str, str]


class _Known:
    """The choices of one field that are known: in the order in which they became so, and the latest one of them."""

    __slots__ = ("latest_sent", "times")

    def __init__(self) -> None:
        self.times: list[float] = []
        self.latest_sent: list[float] = []

    def add(self, choice: Choice) -> None:
        assert choice.known is not None
        self.times.append(choice.known)
        self.latest_sent.append(max(choice.sent, self.latest_sent[-1]) if self.latest_sent else choice.sent)

    def sent_before(self, moment: float) -> float:
        """Return when the latest of those was sent that were known at a moment."""
        index = bisect_right(self.times, moment)
        return self.latest_sent[index - 1] if index else -1.0


class Judge:
    """Counts what must not happen.

    Args:
        carries: whether switches go along into another session of the same person.
        unique: whether every choice has a value of its own.
        hearsay: seconds after which other workers have heard of what one has done, where the browser does not tell.
        skewed: whether the clocks of workers differ: of two choices neither of which knew the other, the one may win
            that somebody else had replaced by then, and may be sent again over the other.
        apart: whether workers may hear of each other by the browser and by Emporix alone.
        by_receipt: whether what waits is in the hands of a browser, so that nothing but a receipt tells one worker what
            another one has sent of it.
        informed: whether whoever sends a choice knows of all that were answered a second ago: in one process, and where
            workers share a store that does not fail.
    """

    def __init__(
        self,
        *,
        carries: bool,
        unique: bool,
        hearsay: float,
        skewed: bool = False,
        apart: bool = False,
        by_receipt: bool = False,
        informed: bool = False,
    ) -> None:
        self.found: dict[str, list[str]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self.reads = 0
        self.degraded = 0
        self._carries = carries
        self._unique = unique
        self._hearsay = hearsay
        self._skewed = skewed
        self._apart = apart
        self._by_receipt = apart or by_receipt
        self._informed = informed
        self._holds: dict[tuple[str, str], str | None] = {}
        self._replaced: defaultdict[tuple[str, str], dict[object, object]] = defaultdict(dict)
        self._known: defaultdict[Key, _Known] = defaultdict(_Known)
        self._choices: dict[tuple[Person, str, object], list[Choice]] = {}
        self._owners: dict[tuple[str, str | None], list[Choice]] = {}
        self._foreign: dict[tuple[str, str], dict[object, float]] = defaultdict(dict)
        self._makers: defaultdict[tuple[str, int], list[Choice]] = defaultdict(list)
        self._made: set[tuple[str, int]] = set()
        self._held: defaultdict[tuple[str, str], list[str | None]] = defaultdict(list)
        self._served: dict[tuple[str, int], float] = {}
        self._refused: dict[tuple[str | None, tuple[int, int, int]], float] = {}
        self.now = 0.0
        self.story: list[str] | None = None
        """Everything that happened, in words, where somebody wants to read it."""

    def tell(self, text: str, *values: object) -> None:
        """Add to the story; `values` become words only where somebody reads them."""
        if self.story is not None:
            self.story.append(f"{self.now:8.3f} {text.format(*values)}")

    def violation(self, promise: str, text: str) -> None:
        """Note that a promise was broken."""
        self.counts[promise] += 1
        if len(self.found[promise]) < ENOUGH:
            self.found[promise].append(f"{self.now:8.3f} {text}")
        self.tell("*** {}: {}", promise, text)

    # Choices

    def wanted(self, choice: Choice) -> None:
        """Note what a request on its way wants."""
        self._choices.setdefault((choice.person, choice.path, choice.value), []).append(choice)
        self._owners.setdefault((choice.path, choice.value), []).append(choice)

    def acknowledged(self, choice: Choice, now: float) -> None:
        """Note that the answer has reached the browser."""
        choice.known = now + self._hearsay
        if any(self._is_hidden_by(each, choice) for each in self._rivals(choice)):
            choice.overruled = True
        if choice.counts:
            self._known[self._key(choice.person, choice.session, choice.path)].add(choice)

    def pardon(self, person: Person, paths: tuple[str, ...], now: float) -> None:
        """Expect no more of what somebody has chosen before a moment."""
        person.pardoned.update(dict.fromkeys(paths, now))
        self._count_again(person)

    def orphan(self, person: Person, token: str, paths: tuple[str, ...]) -> None:
        """Expect no more of what somebody has chosen with a token that nobody ever told the session of."""
        person.orphaned[token] = paths
        self._count_again(person)

    def _count_again(self, person: Person) -> None:
        for key in [key for key in self._known if key[0] is person]:
            del self._known[key]
        own = (each for (who, *_), choices in self._choices.items() if who is person for each in choices)
        for choice in sorted((each for each in own if each.known is not None), key=lambda each: each.known or 0.0):
            if choice.counts:
                self._known[self._key(person, choice.session, choice.path)].add(choice)

    def _key(self, person: Person, session: str, path: str) -> Key:
        return person, "" if self._carries and path in SWITCHES else session, path

    def _is_past(self, person: Person, session: str, path: str, value: object, sent: float) -> bool:
        """Tell whether a value is older than a choice that was sent then; never where there was none."""
        return sent >= 0 and self._is_older(person, session, path, value, sent)

    def _is_older(self, person: Person, session: str, path: str, value: object, than: float) -> bool:
        """Tell whether every choice that a value can be was known, or made by others, before something was sent."""
        replaced, seen = self._replaced[session, path], {value}
        while self._was_known(person, session, path, value, than):
            if not self._skewed or value not in replaced or replaced[value] in seen:
                return True
            value = replaced[value]
            seen.add(value)
        return False

    def _was_known(self, person: Person, session: str, path: str, value: object, moment: float) -> bool:
        if self._foreign[session, path].get(value, -1.0) > moment:
            return False
        own = self._choices.get((person, path, value), ())
        return all(each.known is not None and each.known <= moment for each in own)

    # Pages

    def shown(self, seen: Seen) -> None:
        """Judge a page that has reached its browser."""
        person = seen.person
        self.reads += len(seen.values)
        self.degraded += seen.degraded or seen.rejected
        nothing_known = seen.degraded or seen.rejected
        self._served.setdefault((seen.session, seen.place[0]), seen.sent)
        for path, value in seen.values.items():
            self.leaks(seen, path, value)
            if (value is None and nothing_known) or person.ended is not None:
                continue
            known = self._known.get(self._key(person, seen.session, path))
            sent = -1.0 if known is None else known.sent_before(seen.sent)
            at_least = chain((sent,), self._at_least(seen, path))
            if all(self._is_past(person, seen.session, path, value, each) for each in at_least):
                self.violation("wrong", f"{path} is {value!r} at {seen.place}, though one of {sent:.3f} was known")

    def _at_least(self, seen: Seen, path: str) -> Iterator[float]:
        """Return when the latest choices were sent that a page has to show, whatever it could not know."""
        if seen.degraded:
            yield self._told(seen, path)
        if self._hearsay:
            yield self._heard(seen, path)
        if self._apart:
            yield self._provable(seen.person, seen.session, path, seen.sent)

    def _told(self, seen: Seen, path: str) -> float:
        """Return when the latest choice was sent that a browser can tell of, though nobody says whose a token is.

        What is chosen once a response has started goes with the next one of its own token.
        """
        return self._latest(seen, path, lambda each: not (each.late and each.token != seen.token))

    def _provable(self, person: Person, session: str, path: str, moment: float) -> float:
        """Return when the latest choice was sent of which browsers can tell what became of it."""
        return self._latest_of(person, session, path, moment, lambda each: not self._is_unprovable(each))

    def _is_unprovable(self, choice: Choice) -> bool:
        """Tell whether Emporix never saw a choice, and no browser was told for which other one its version was made.

        That one's answer was lost. So the choice seems to have been taken back by somebody else.
        """
        makers = self._makers.get(choice.claimed, ()) if choice.swallowed else ()
        return bool(makers) and all(each.known is None for each in makers)

    def _heard(self, seen: Seen, path: str) -> float:
        """Return when the latest choice was sent of which a worker has heard, where nobody but workers tells.

        Of what Emporix has never seen one knows nothing that served its first page of the session after that.
        """
        first = self._served[seen.session, seen.place[0]]
        return self._latest(seen, path, lambda each: not (each.swallowed and each.swallowed_at < first))

    def _latest(self, seen: Seen, path: str, counts: Callable[[Choice], bool]) -> float:
        return self._latest_of(seen.person, seen.session, path, seen.sent, counts)

    def _latest_of(
        self, person: Person, session: str, path: str, moment: float, counts: Callable[[Choice], bool]
    ) -> float:
        key = self._key(person, session, path)
        sent = (
            each.sent
            for (who, where, _), choices in self._choices.items()
            for each in choices
            if who is person
            and where == path
            and self._key(person, each.session, path) == key
            and each.counts
            and each.known is not None
            and each.known <= moment
            and counts(each)
        )
        return max(sent, default=-1.0)

    def leaks(self, seen: Seen, path: str, value: object) -> None:
        """Judge whether somebody is shown what is not theirs."""
        if value is None or not self._unique:
            return
        own = self._choices.get((seen.person, path, value), ())
        if any(path in SWITCHES or each.session in {seen.session, ""} for each in own):
            return
        if value not in self._foreign[seen.session, path]:
            self.violation("leaks", f"{path} {value!r} is shown to {seen.person.number} in {seen.session}")

    def past(self, seen: Seen, session: ServerSession) -> None:
        """Judge whether a page shows what others have replaced long ago."""
        horizon = seen.sent - (STALE_ON_ERROR if seen.stale else STALE)
        if horizon < 0 or seen.degraded or seen.rejected:
            return
        for path, value in seen.values.items():
            if self._choices.get((seen.person, path, value)):
                continue
            gone = _replaced_at(session.log[path], value)
            if gone < horizon:
                self.violation("stale", f"{path} is {value!r}, which was past at {gone:.3f}")

    def refusal(self, seen: Seen) -> None:
        """Judge whether a token that was refused shows a context again."""
        key = (seen.token, seen.place)
        if seen.rejected:
            self._refused.setdefault(key, self.now)
        elif seen.exists and self._refused.get(key, seen.sent) < seen.sent:
            self.violation("resurrected", f"{seen.token} shows a context again")

    # Emporix

    def began_anew(self, session: ServerSession) -> None:
        """Note that whatever was taken so far is to be taken again."""
        for path in PATHS:
            self._held[session.name, path].clear()

    def sent_in_vain(self, session: ServerSession, changes: Mapping[str, str | None]) -> None:
        """Note which choices have given way: a worker knows all those of a request of which it sends one."""
        owners = [each for item in changes.items() for each in self._owners.get(item, ())]
        senders = {(each.person, each.sent) for each in owners if _may_be_sent(each, session)}
        for (person, path, value), choices in self._choices.items():
            for each in choices if changes.get(path, value) != value else ():
                each.gave_way = each.gave_way or (person, each.sent) in senders

    def swallowed(self, session: ServerSession, path: str, value: str | None, version: int) -> None:
        """Note that Emporix never saw what it was said to have taken; what that happens to twice is given up."""
        for choice in self._owners.get((path, value), ()):
            if _may_be_sent(choice, session):
                choice.swallowed, choice.swallowed_at = choice.swallowed + 1, self.now
                choice.claimed = (session.name, version)
                for each in self._rivals(choice):
                    if each.swallowed >= GIVEN_UP:
                        self._give_up(each, session)
                self._count_again(choice.person)

    def _rivals(self, choice: Choice) -> list[Choice]:
        """Return all choices of a field that somebody has made, this one, too."""
        mine = (choice.person, choice.path)
        return [each for (person, path, _), found in self._choices.items() if (person, path) == mine for each in found]

    def _give_up(self, choice: Choice, session: ServerSession) -> None:
        """Expect no more of what a choice that is given up has replaced, where Emporix has never seen that, either."""
        held, until = self._held[session.name, choice.path], choice.answered or float("inf")
        for each in self._rivals(choice):
            if each.value not in held:
                each.overruled = each.overruled or (each.sent <= until and self._gave_way(each, choice))

    def _gave_way(self, choice: Choice, later: Choice) -> bool:
        """Tell whether a choice is known to have given way to a later one that is sent now."""
        if choice.swallowed > 0 or choice.gave_way:
            return True
        if self._carries and choice.known is not None and choice.known <= later.sent:
            return True  # its browser has taken the later one in its place
        # Whoever knows of both sends the later one; what was answered meanwhile may be later than that.
        return self._informed and choice.answered is not None and choice.answered < self.now - ON_ITS_WAY

    def _is_hidden_by(self, later: Choice, choice: Choice) -> bool:
        """Tell whether a choice was answered while its worker took a later one for taken that is to be given up.

        Nothing but time can tell that Emporix does not have that one, where no other one has made its version.
        """
        is_told = self._informed or (choice.worker is not None and choice.worker == later.worker)
        if not is_told or later.swallowed < GIVEN_UP or choice.answered is None:
            return False
        if choice.sent > (later.answered or float("inf")):
            return False
        unproven = later.swallowed_at <= choice.answered <= later.swallowed_at + LAG
        return unproven and later.claimed not in self._made and choice.value not in self._held_of(choice)

    def _held_of(self, choice: Choice) -> list[str | None]:
        return self._held.get((choice.session, choice.path), [])

    def unanswered(self, session: ServerSession, path: str, value: str | None, *, told: bool) -> None:
        """Note that a value was taken and the worker never hears it, or only after it has said that the value waits."""
        for choice in self._owners.get((path, value), ()):
            if _may_be_sent(choice, session) and (choice.answered is not None or not told):
                choice.in_doubt, choice.told_late = True, choice.told_late or told

    def changed(self, session: ServerSession, path: str, value: str | None, *, foreign: bool) -> None:
        """Judge a change at Emporix."""
        who = " by somebody else" if foreign else ""
        self.tell("    {} v{}: {} = {!r}{}", session.name, session.version, path, value, who)
        before, self._holds[session.name, path] = self._holds.get((session.name, path)), value
        self._made = {each for each in self._made if each[0] != session.name or each[1] <= session.version}
        self._made.add((session.name, session.version))
        if foreign:
            if self._unique and before != value:
                self._replaced[session.name, path].setdefault(value, before)
            self._foreign[session.name, path][value] = self.now
            self._held[session.name, path].clear()
            return
        owners = [each for each in self._owners.get((path, value), ()) if _may_be_sent(each, session)]
        self._makers[session.name, session.version] += [each for each in owners if each.sent <= self.now]
        if not owners and session.is_ambiguous:
            self._excuse(session, path)
        elif not owners:
            stranger = value is not None and self._unique and (path, value) in self._owners
            promise = "leaks" if stranger else "overwritten"
            self.violation(promise, f"PATCH made {path} {value!r} in {session.name}, which nobody there wanted")
        if self._apart and path in session.bare:
            self._overrule(session, path, before, owners)
        if self._unique and value is not None and owners:
            self._applied(session, path, value, before, owners)

    def _excuse(self, session: ServerSession, path: str) -> None:
        """Expect no more of a field that was patched for an earlier context: only the version could have told."""
        for person in {each.person for choices in self._choices.values() for each in choices}:
            if person.number in session.visitors:
                self.pardon(person, (path,), self.now)

    def _overrule(self, session: ServerSession, path: str, before: str | None, owners: list[Choice]) -> None:
        """Expect no more of a choice whose receipt was wiped, and of others in whose place it had come.

        Nothing else told the worker which had an earlier one.
        """
        earlier = max((each.sent for each in owners), default=self.now)
        for held in self._owners.get((path, before), ()):
            if not _may_be_sent(held, session):
                continue
            held.in_doubt = True  # its timestamp may be the later one all the same
            if held.sent <= earlier:
                continue
            for each in self._rivals(held):
                was_there = each.value in self._held[session.name, path] and each.sent < (held.known or self.now)
                each.overruled = each.overruled or (earlier < each.sent and (was_there or each.sent <= held.sent))
            self._count_again(held.person)

    def _applied(self, session: ServerSession, path: str, value: str, before: str | None, owners: list[Choice]) -> None:
        held, there = self._held[session.name, path], self._owners.get((path, before), ())
        if held.count(value) >= len(owners) and there and before != value:  # a double click wants the same twice
            newer = min(each.sent for each in there)
            unheard = self._by_receipt and path in session.bare  # its receipt was wiped
            if not unheard and all(self._was_settled(each, newer) for each in owners):
                self.violation("twice", f"{path} became {value!r} again, over {before!r}")
        held.append(value)

    def _was_settled(self, choice: Choice, moment: float) -> bool:
        """Tell whether a request of a moment could know of a choice, and whoever had sent that, what became of it.

        Where clocks are right, the timestamp of a later request tells of one that has been answered, too.
        """
        unheard = self._skewed or choice.told_late or (self._by_receipt and choice.in_doubt)
        settled = choice.known if unheard else choice.answered
        return settled is not None and settled <= moment

    # The end

    def ended(self, person: Person, session: ServerSession) -> None:
        """Judge what Emporix holds at the end of a visit."""
        for path in PATHS:
            known = self._known.get(self._key(person, session.name, path))
            sent = -1.0 if known is None else known.sent_before(float("inf"))
            value = session.value(path)
            if not self._is_past(person, session.name, path, value, sent):
                continue
            provable = self._provable(person, session.name, path, float("inf")) if self._apart else sent
            if self._is_past(person, session.name, path, value, provable):
                self.violation("lost", f"{path} ends as {value!r}, though one of {sent:.3f} was known")

    def converged(self, seen: Seen, session: ServerSession) -> None:
        """Judge a page long after everything."""
        for path, value in seen.values.items():
            if value != session.value(path):
                self.violation("diverged", f"{path} is {value!r} at {seen.place}, Emporix has {session.value(path)!r}")


def _may_be_sent(choice: Choice, session: ServerSession) -> bool:
    """Tell whether a choice belongs into a session: a switch goes along with its person."""
    if choice.session in {session.name, ""}:
        return True
    return choice.path in SWITCHES and choice.person.number in session.visitors


def _replaced_at(log: list[tuple[float, str | None]], value: object) -> float:
    """Return when a value was last replaced; infinity while it is there, or never was."""
    for index in range(len(log) - 1, -1, -1):
        if log[index][1] == value:
            return log[index + 1][0] if index + 1 < len(log) else float("inf")
    return log[0][0] if value is None and log else float("inf")
