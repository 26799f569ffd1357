"""What the judge excuses, and how little: each test shows the excuse, and the like of it that is none."""

from __future__ import annotations

from typing import Any, Final

import pytest

from .history import Choice, Person, Seen
from .judge import Judge
from .platform import Platform, ServerSession

LANGUAGE: Final = "language"


class Story:
    """One person, one session at Emporix, and a judge, at the times that a test says."""

    def __init__(self, hearsay: float = 0.0, **options: bool) -> None:
        self.judge = Judge(carries=True, unique=True, hearsay=hearsay, **options)
        self.platform = Platform(lambda: self.judge.now, self.judge)
        self.session: ServerSession = self.platform.new_session("acme")
        self.person = Person(1, "acme")
        self.session.visitors.add(1)
        self.platform.create(self.session)

    @classmethod
    def of(cls, told_by: str) -> Story:
        """Tell one in which this is how workers hear of each other: `apart`, `by_receipt`, or by a store alone."""
        return cls() if told_by == "store" else cls(**{told_by: True})

    def wants(self, value: str, *, sent: float, known: float | None = None, answered: float) -> Choice:
        """Let a request want a value."""
        choice = Choice(self.person, self.session.name, "token", LANGUAGE, value, sent, answered)
        self.judge.wanted(choice)
        if known is not None:
            self.judge.acknowledged(choice, known)
        return choice

    def sends(self, value: str, *, at: float, receipt: float | None = None, lost: bool = False) -> None:
        """Let a worker send a value, with a receipt or without, and perhaps never hear what became of it."""
        self.judge.now = at
        body: dict[str, Any] = {LANGUAGE: value, "metadata": {"version": self.session.version}}
        if receipt is not None:
            body["context"] = {"_session_ctx": {LANGUAGE: receipt}}
        assert self.platform.patch(self.session, body)
        if lost:
            self.platform.leave_in_doubt(self.session, body)

    def hears_late(self, value: str, *, at: float) -> None:
        """Let the worker hear only now that a value was taken."""
        self.judge.now = at
        self.platform.leave_in_doubt(self.session, {LANGUAGE: value}, told=True)

    def page(self, value: str, *, at: float, token: str = "token", degraded: bool = False, worker: int = 0) -> None:
        """Let a page show a value."""
        self.judge.now = at
        seen = Seen(self.person, self.session.name, token, (worker, 0, 0), at, {LANGUAGE: value}, degraded=degraded)
        self.judge.shown(seen)


@pytest.mark.parametrize(
    ("told_by", "lost", "known", "times"),
    [
        ("apart", True, 3.0, 0),
        ("by_receipt", True, 3.0, 0),
        ("apart", True, 1.9, 1),
        ("apart", False, 3.0, 1),
        ("store", True, 3.0, 1),
    ],
)
def test_change_whose_answer_was_lost(told_by: str, lost: bool, known: float, times: int) -> None:
    """It may be sent again over a later choice that knew nothing of it, where browsers have what waits."""
    story = Story.of(told_by)
    story.wants("la-one", sent=1.0, answered=1.5, known=known)
    story.sends("la-one", at=1.4, lost=lost)
    story.wants("la-two", sent=2.0, answered=2.2)
    story.sends("la-two", at=2.1)

    story.sends("la-one", at=4.0)

    assert story.judge.counts["twice"] == times


@pytest.mark.parametrize(("removed_at", "times"), [(0.5, 0), (2.0, 1)])
def test_change_again_over_a_removal(removed_at: float, times: int) -> None:
    """A change is sent again over a removal that is older, and not over one that has replaced it."""
    story = Story()
    story.wants("la-one", sent=1.0, answered=1.5, known=1.6)
    story.sends("la-one", at=1.4)
    removal = Choice(story.person, story.session.name, "token", LANGUAGE, None, removed_at, removed_at + 0.1)
    story.judge.wanted(removal)
    story.platform.patch(story.session, {LANGUAGE: None, "metadata": {"version": story.session.version}})

    story.sends("la-one", at=4.0)

    assert story.judge.counts["twice"] == times


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize(("in_time", "times"), [(False, 0), (True, 1)])
def test_change_of_which_a_worker_hears_late(in_time: bool, times: int, apart: bool) -> None:
    """It may be sent again, too, where its own browser was told that it waits."""
    story = Story(apart=apart)
    choice = story.wants("la-one", sent=1.0, answered=1.5, known=3.0)
    story.sends("la-one", at=1.4)
    choice.answered = None if in_time else 1.5
    story.hears_late("la-one", at=1.6)
    choice.answered = 1.7
    story.wants("la-two", sent=2.0, answered=2.2)
    story.sends("la-two", at=2.1)

    story.sends("la-one", at=4.0)

    assert story.judge.counts["twice"] == times


@pytest.mark.parametrize(("skewed", "known", "times"), [(True, 3.0, 0), (True, 1.9, 1), (False, 3.0, 1)])
def test_change_of_a_clock_that_runs_ahead(skewed: bool, known: float, times: int) -> None:
    """It may be sent again over a later choice that knew nothing of it: its timestamp is the later one."""
    story = Story(apart=True, skewed=skewed)
    story.wants("la-one", sent=1.0, answered=1.5, known=known)
    story.sends("la-one", at=1.4)
    story.wants("la-two", sent=2.0, answered=2.2)
    story.sends("la-two", at=2.1, receipt=2.0)

    story.sends("la-one", at=4.0, receipt=9.0)

    assert story.judge.counts["twice"] == times


def test_wiped_receipt_of_a_later_timestamp() -> None:
    """What came in place of a choice whose receipt was wiped may give way to it again, if neither knew the other."""
    story = Story(apart=True)
    story.wants("la-one", sent=1.0, answered=1.5, known=3.0)
    story.sends("la-one", at=1.4, receipt=9.0)
    story.platform.wipe(story.session)
    story.wants("la-two", sent=2.0, answered=2.2)
    story.sends("la-two", at=2.1, receipt=8.0)

    story.sends("la-one", at=4.0, receipt=9.0)

    assert story.judge.counts["twice"] == 0


@pytest.mark.parametrize(("apart", "wiped", "times"), [(True, True, 0), (True, False, 1), (False, True, 1)])
def test_wiped_receipt(apart: bool, wiped: bool, times: int) -> None:
    """Of a choice whose receipt somebody has wiped, nothing is expected once an earlier one has come in its place."""
    story = Story(apart=apart)
    story.wants("la-one", sent=1.0, answered=1.5, known=1.6)
    story.wants("la-two", sent=2.0, answered=2.2, known=2.3)
    story.sends("la-two", at=2.1, receipt=2.0)
    if wiped:
        story.platform.wipe(story.session)
    story.sends("la-one", at=3.0)

    story.page("la-one", at=4.0)

    assert story.judge.counts["wrong"] == times


@pytest.mark.parametrize(("known", "times"), [(3.0, 0), (2.0, 1)])
def test_wiped_receipt_of_one_of_two(known: float, times: int) -> None:
    """Nor of one in whose place that had come: not where its request was sent when the other one was known."""
    story = Story(apart=True)
    story.wants("la-x1", sent=1, known=1.2, answered=1.1)
    story.wants("la-x2", sent=2, known=known, answered=2.1)
    story.wants("la-x3", sent=2.5, known=2.7, answered=2.6)
    story.sends("la-x3", at=2.6)
    story.sends("la-x2", at=2.65)
    story.platform.wipe(story.session)
    story.session.bare.add(LANGUAGE)
    story.sends("la-x1", at=4)
    story.page("la-x1", at=5)

    assert story.judge.counts["wrong"] == times


@pytest.mark.parametrize(
    ("told_by", "wiped", "times", "wrong"),
    [("apart", True, 0, 0), ("by_receipt", True, 0, 1), ("apart", False, 1, 1), ("store", True, 1, 1)],
)
def test_change_again_over_one_whose_receipt_was_wiped(told_by: str, wiped: bool, times: int, wrong: int) -> None:
    """Whoever still has an earlier change sends it, though it was there before: nothing says that a later one was.

    What is parked in a store is there no more once it was sent. Where there is one, pages show the later choice.
    """
    story = Story.of(told_by)
    story.wants("la-one", sent=1.0, answered=1.5, known=1.6)
    story.sends("la-one", at=1.4, receipt=1.0)
    story.wants("la-two", sent=2.0, answered=2.2, known=2.3)
    story.sends("la-two", at=2.1, receipt=2.0)
    if wiped:
        story.platform.wipe(story.session)

    story.sends("la-one", at=3.0, receipt=1.0)
    story.page("la-one", at=4.0)

    assert story.judge.counts["twice"] == times
    assert story.judge.counts["wrong"] == wrong


@pytest.mark.parametrize(
    ("times_swallowed", "first_seen", "sent", "times"),
    [(2, False, 1.0, 0), (1, False, 1.0, 1), (2, True, 1.0, 1), (2, False, 2.5, 1)],
)
def test_choice_that_gave_way_to_one_that_is_given_up(
    times_swallowed: int, first_seen: bool, sent: float, times: int
) -> None:
    """It is not expected to come back, unless Emporix has had it, or it was made when the other one was answered."""
    story = Story(apart=True)
    story.wants("la-old", sent=0.1, answered=0.2, known=0.3)
    story.sends("la-old", at=0.2)
    story.wants("la-one", sent=sent, answered=sent + 0.5, known=2.9)
    story.platform.swallow(story.session, {LANGUAGE: "la-one"})
    if first_seen:
        story.sends("la-one", at=1.8)
    story.wants("la-two", sent=1.1, answered=2.0, known=2.1)
    for _ in range(times_swallowed):
        story.platform.swallow(story.session, {LANGUAGE: "la-two"})

    story.page("la-old", at=4.0)

    assert story.judge.counts["wrong"] == times


@pytest.mark.parametrize(("informed", "answered", "times"), [(True, 1.4, 0), (True, 2.5, 1), (False, 1.4, 1)])
def test_choice_that_was_never_sent(informed: bool, answered: float, times: int) -> None:
    """Who knows of two choices sends the later one; nobody else is to know that the other one gave way."""
    story = Story(apart=False, informed=informed)
    story.wants("la-old", sent=0.1, answered=0.2, known=0.3)
    story.sends("la-old", at=0.2)
    story.wants("la-one", sent=1.0, answered=answered, known=2.9)
    story.wants("la-two", sent=1.1, answered=2.6, known=2.7)
    story.judge.now = 3.0
    for _ in range(2):
        story.platform.swallow(story.session, {LANGUAGE: "la-two"})

    story.page("la-old", at=4.0)

    assert story.judge.counts["wrong"] == times


@pytest.mark.parametrize(("apart", "known", "times"), [(True, False, 0), (True, True, 1), (False, False, 1)])
def test_choice_whose_version_was_made_for_another_one(apart: bool, known: bool, times: int) -> None:
    """Of what Emporix never saw, the other change of that version tells, which has to have reached a browser."""
    story = Story(apart=apart)
    story.wants("la-old", sent=0.1, answered=0.2, known=0.3)
    story.sends("la-old", at=0.2)
    story.wants("la-one", sent=1.0, answered=1.2, known=1.3)
    story.judge.now = 1.1
    story.platform.swallow(story.session, {LANGUAGE: "la-one"})
    other = Choice(story.person, story.session.name, "token", "currency", "CHF", 1.05, 1.3)
    story.judge.wanted(other)
    story.platform.patch(story.session, {"currency": "CHF", "metadata": {"version": story.session.version}})
    if known:
        story.judge.acknowledged(other, 1.4)

    story.page("la-old", at=4.0)
    story.judge.ended(story.person, story.session)

    assert [story.judge.counts[promise] for promise in ("wrong", "lost")] == [times] * 2


@pytest.mark.parametrize(("together", "times"), [(True, 0), (False, 1)])
def test_choice_that_gave_way_where_it_was_sent(together: bool, times: int) -> None:
    """A worker that sends the rest of a request without one of its choices knows of that, too."""
    story = Story(apart=True)
    story.wants("la-old", sent=0.1, answered=0.2, known=0.3)
    story.sends("la-old", at=0.2)
    story.wants("la-two", sent=1.0, answered=2.6, known=2.7)
    story.wants("la-one", sent=1.1, answered=2.8, known=2.9)
    other = Choice(story.person, story.session.name, "token", "currency", "CHF", 1.1 if together else 0.9)
    story.judge.wanted(other)
    for _ in range(2):
        story.platform.swallow(story.session, {LANGUAGE: "la-two", "currency": "CHF"})

    story.page("la-old", at=4.0)

    assert story.judge.counts["wrong"] == times


@pytest.mark.parametrize(("swallowed", "times"), [(True, 0), (False, 1)])
def test_choice_that_is_dropped_after_another_one_is_given_up(swallowed: bool, times: int) -> None:
    """Which of two choices that Emporix has never seen was dropped first makes no difference."""
    story = Story(apart=True)
    story.wants("la-old", sent=0.1, answered=0.2, known=0.3)
    story.sends("la-old", at=0.2)
    story.wants("la-one", sent=1.0, answered=2.5, known=2.9)
    story.wants("la-two", sent=1.1, answered=2.0, known=2.1)
    for _ in range(2):
        story.platform.swallow(story.session, {LANGUAGE: "la-two"})
    if swallowed:
        story.platform.swallow(story.session, {LANGUAGE: "la-one"})

    story.page("la-old", at=4.0)

    assert story.judge.counts["wrong"] == times


@pytest.mark.parametrize(
    ("answered", "made", "informed", "worker", "times"),
    [
        (3.5, False, True, 1, 0),
        (13.5, False, True, 1, 1),
        (3.5, True, True, 1, 1),
        (3.5, False, False, 1, 1),
        (3.5, False, False, 0, 0),
    ],
)
def test_choice_that_is_answered_while_another_one_counts_as_taken(
    answered: float, made: bool, informed: bool, worker: int, times: int
) -> None:
    """It gives way to that one where it is known, unless it is proven by then that Emporix does not have it."""
    story = Story(apart=False, informed=informed)
    story.wants("la-old", sent=0.1, answered=0.2, known=0.3)
    story.sends("la-old", at=0.2)
    story.wants("la-two", sent=1.1, answered=2.6, known=2.7).worker = 0
    story.judge.now = 3.0
    for _ in range(2):
        story.platform.swallow(story.session, {LANGUAGE: "la-two"})
    if made:
        other = Choice(story.person, story.session.name, "token", "currency", "CHF", 1.05, 1.3)
        story.judge.wanted(other)
        story.platform.patch(story.session, {"currency": "CHF", "metadata": {"version": story.session.version}})
    choice = story.wants("la-one", sent=1.0, answered=answered)
    choice.worker = worker
    story.judge.acknowledged(choice, answered + 0.1)

    story.page("la-old", at=20.0)

    assert story.judge.counts["wrong"] == times


def test_receipt_that_came_back() -> None:
    """What has a receipt again is expected to stay."""
    story = Story(apart=True)
    story.wants("la-one", sent=1.0, answered=1.5, known=1.6)
    story.wants("la-two", sent=2.0, answered=2.2, known=2.3)
    story.sends("la-two", at=2.1, receipt=2.0)
    story.platform.wipe(story.session)
    story.sends("la-two", at=2.5, receipt=2.0)
    story.sends("la-one", at=3.0)

    story.page("la-one", at=4.0)

    assert story.judge.counts["wrong"] == 1


@pytest.mark.parametrize(
    ("late", "token", "degraded", "times"),
    [(True, "new", True, 0), (False, "new", True, 1), (True, "token", True, 1), (True, "new", False, 1)],
)
def test_choice_that_no_response_has_told(late: bool, token: str, degraded: bool, times: int) -> None:
    """Under a token of which Emporix tells nothing, nobody can know it."""
    story = Story(apart=False)
    story.wants("la-one", sent=1.0, answered=1.5, known=1.6)
    story.wants("la-two", sent=2.0, answered=2.2, known=2.3).late = late

    story.page("la-one", at=4.0, token=token, degraded=degraded)

    assert story.judge.counts["wrong"] == times


@pytest.mark.parametrize(("hearsay", "worker", "times"), [(0.1, 1, 0), (0.1, 0, 1), (0.0, 1, 1)])
def test_worker_that_came_after_a_lie(hearsay: float, worker: int, times: int) -> None:
    """Where nobody but workers tells, one that was not there does not know what Emporix never saw."""
    story = Story(hearsay=hearsay)
    story.wants("la-x1", sent=1, known=1.2, answered=1.1)
    story.sends("la-x1", at=1.1)
    story.page("la-x1", at=2)
    story.wants("la-x2", sent=3, known=3.2, answered=3.1)
    story.judge.now = 3.1
    story.platform.swallow(story.session, {LANGUAGE: "la-x2"})
    story.page("la-x1", at=5, worker=worker)

    assert story.judge.counts["wrong"] == times


@pytest.mark.parametrize(("ambiguous", "times"), [(True, 0), (False, 1)])
def test_patch_for_an_earlier_context(ambiguous: bool, times: int) -> None:
    """Where a context has begun anew, and has come to the version that a worker knows, that worker is to be excused."""
    story = Story()
    story.wants("la-x1", sent=1, known=1.2, answered=1.1)
    story.sends("la-x1", at=1.1)
    story.session.is_ambiguous = ambiguous
    story.sends("la-x9", at=2)

    assert story.judge.counts["overwritten"] == times


@pytest.mark.parametrize(("ambiguous", "times"), [(True, 0), (False, 1)])
def test_receipts_of_an_earlier_context(ambiguous: bool, times: int) -> None:
    """Nor does that context have the receipts any more which it had before."""
    story = Story.of("by_receipt")
    story.wants("la-one", sent=1.0, answered=1.5, known=1.6)
    story.sends("la-one", at=1.4, receipt=1.0)
    story.wants("la-two", sent=2.0, answered=2.2, known=2.3)
    story.sends("la-two", at=2.1, receipt=2.0)
    story.session.is_ambiguous = ambiguous
    story.platform.patch(story.session, {"context": {}, "metadata": {"version": story.session.version}})
    story.session.is_ambiguous = False

    story.sends("la-one", at=3.0, receipt=1.0)

    assert story.judge.counts["twice"] == times


@pytest.mark.parametrize(("ambiguous", "times"), [(True, 0), (False, 1)])
def test_receipt_that_a_patch_for_an_earlier_context_has_wiped(ambiguous: bool, times: int) -> None:
    """What such a PATCH changes itself has no receipt, either."""
    story = Story.of("by_receipt")
    story.wants("la-one", sent=1.0, answered=1.5, known=1.6)
    story.sends("la-one", at=1.4, receipt=1.0)
    story.wants("la-two", sent=2.0, answered=2.2, known=2.3)
    story.session.is_ambiguous = ambiguous
    body = {LANGUAGE: "la-two", "context": {}, "metadata": {"version": story.session.version}}
    story.judge.now = 2.1
    story.platform.patch(story.session, body)
    story.session.is_ambiguous = False

    story.sends("la-one", at=3.0, receipt=1.0)

    assert story.judge.counts["twice"] == times
