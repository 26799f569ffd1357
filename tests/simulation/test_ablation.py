"""Every guard switched off in turn: the checkers must notice, or they would not notice a bug either."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from session_ctx_middleware import continuity
from session_ctx_middleware.clock import HybridClock
from session_ctx_middleware.document_cookie import DocumentCookies
from session_ctx_middleware.emporix.limits import TimeLimit
from session_ctx_middleware.emporix.transport import TimeLimitedCall
from session_ctx_middleware.engine import consistency, handover, required, requirements, standing
from session_ctx_middleware.engine.breaker import SessionBreaker
from session_ctx_middleware.engine.bulkhead import Bulkhead
from session_ctx_middleware.engine.commits import Commits
from session_ctx_middleware.engine.consistency import Consistency
from session_ctx_middleware.engine.engine import Engine
from session_ctx_middleware.engine.entries import Entries
from session_ctx_middleware.engine.entry import Entry
from session_ctx_middleware.engine.flights import Flight, Flights
from session_ctx_middleware.engine.handover import Handover
from session_ctx_middleware.engine.hearings import Hearings
from session_ctx_middleware.engine.job import Job
from session_ctx_middleware.engine.known_sessions import KnownSessions
from session_ctx_middleware.engine.loads import Loads
from session_ctx_middleware.engine.neighbours import Neighbour
from session_ctx_middleware.engine.notes import Notes, join
from session_ctx_middleware.engine.patching import Patching
from session_ctx_middleware.engine.peers import Peers
from session_ctx_middleware.engine.pending import Pending
from session_ctx_middleware.engine.publishing import Publisher
from session_ctx_middleware.engine.requirements import Requirements
from session_ctx_middleware.engine.sharing import Sharing
from session_ctx_middleware.engine.travelling import Travelling
from session_ctx_middleware.engine.verdict import Verdict
from session_ctx_middleware.model.changes import ContextChanges
from session_ctx_middleware.model.document import ContextDocument
from session_ctx_middleware.model.operation import Operation
from session_ctx_middleware.model.view import Snapshot
from session_ctx_middleware.on_their_way import OnTheirWay
from session_ctx_middleware.platform_time import PlatformTime
from session_ctx_middleware.stores import Attachment, MemoryStore
from session_ctx_middleware.tasks import KeyedLock, Tasks

from ..support.virtual_time import VirtualTimeLoop
from . import documents_that_travel, scenarios
from .setups import SETUPS, SITUATIONS
from .visit import play

Ablation = Callable[[pytest.MonkeyPatch], None]

SEEDS = 60
STEPS = 60


def no_generation(patch: pytest.MonkeyPatch) -> None:
    """A read that overlapped a write is published."""
    original = Publisher.publish

    def publish(self: Publisher, flight: Flight, outcome: Any) -> None:
        flight.fence = flight.entry.fence
        original(self, flight, outcome)

    patch.setattr(Publisher, "publish", publish)
    patch.setattr(Entries, "is_written", lambda *_: False)


def no_floor(patch: pytest.MonkeyPatch) -> None:
    """Versions that are known to be past are believed."""
    patch.setattr(Consistency, "floor_of", lambda *_: -1)


def no_recheck(patch: pytest.MonkeyPatch) -> None:
    """What a flight brings is taken without a look at what has become known meanwhile."""
    patch.setattr(Publisher, "is_acceptable", lambda *_: True)


def no_write_queue(patch: pytest.MonkeyPatch) -> None:
    """Commits of one session run at once."""

    @asynccontextmanager
    async def turn(_: KeyedLock, __: object) -> AsyncIterator[None]:
        yield

    patch.setattr(KeyedLock, "hold", turn)


def no_siblings(patch: pytest.MonkeyPatch) -> None:
    """The other tokens of a session are not told of a write."""
    patch.setattr(Entries, "siblings", lambda *_: iter(()))


def no_overlay(patch: pytest.MonkeyPatch) -> None:
    """After a write the base is shown without the change."""
    original = Publisher.show_taken

    def show_taken(self: Publisher, entry: Entry, snapshot: Snapshot, asked_at: float) -> None:
        original(self, entry, replace(snapshot, overlay=ContextChanges()), asked_at)

    patch.setattr(Publisher, "show_taken", show_taken)


def no_rebase(patch: pytest.MonkeyPatch) -> None:
    """After a conflict the same body is sent with the new version: the attributes of others are lost."""
    original = ContextChanges.body
    bases: dict[int, ContextDocument] = {}

    def body(self: ContextChanges, base: ContextDocument, receipts: Mapping[str, float]) -> dict[str, object]:
        first = bases.setdefault(hash(tuple(op.op_id for op in self.operations.values())), base)
        return {**original(self, first, receipts), "metadata": {"version": base.version}}

    patch.setattr(ContextChanges, "body", body)


def no_merge(patch: pytest.MonkeyPatch) -> None:
    """Only the changed attributes are sent, though Emporix replaces the map."""
    original = ContextChanges.attributes_over
    patch.setattr(ContextChanges, "attributes_over", lambda self, _: original(self, {}))


def no_proof(patch: pytest.MonkeyPatch) -> None:
    """A cached document counts as proof that a change is there already."""
    original = ContextChanges.missing_from
    patch.setattr(ContextChanges, "missing_from", lambda self, document, *_: original(self, document))


def no_settling_of_earlier_changes(patch: pytest.MonkeyPatch) -> None:
    """Only the very operations that were sent are unparked, not those that they replaced."""

    def minus(self: ContextChanges, other: ContextChanges) -> ContextChanges:
        gone = {operation.op_id for operation in other.operations.values()}
        return ContextChanges({path: op for path, op in self.operations.items() if op.op_id not in gone})

    patch.setattr(ContextChanges, "minus", minus)


def no_unparking(patch: pytest.MonkeyPatch) -> None:
    """What was sent stays parked, and nothing else knows that it was sent: it is sent again and again."""

    async def unpark(*_: Any) -> None:
        pass

    patch.setattr(MemoryStore, "unpark", unpark)
    patch.setattr(Consistency, "remembering", lambda self, _: self)


def no_parking(patch: pytest.MonkeyPatch) -> None:
    """What cannot be sent is dropped."""

    async def park(*_: Any) -> None:
        pass

    patch.setattr(MemoryStore, "park", park)


def no_look_before_landing(patch: pytest.MonkeyPatch) -> None:
    """An answer is published before it is known what is parked for the session it tells of."""
    landing = Loads._look

    async def look(self: Loads, entry: Any, outcome: Any) -> bool:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Pending, "look", lambda *_: asyncio.sleep(0))
            return await landing(self, entry, outcome)

    patch.setattr(Loads, "_look", look)


def no_map_of_its_own_for_the_absent(patch: pytest.MonkeyPatch) -> None:
    """Missing and rejected are kept where documents are."""
    original = Entries.__init__

    def init(self: Entries, *arguments: Any) -> None:
        original(self, *arguments)
        self.absent = self.found

    def keep(self: Entries, entry: Entry) -> None:
        self.found.put(entry, max(entry.stale_until, entry.error_until, entry.fresh_until, entry.retry_at))

    patch.setattr(Entries, "__init__", init)
    patch.setattr(Entries, "keep", keep)


def no_identity_check(patch: pytest.MonkeyPatch) -> None:
    """A flight that lands removes whatever flight its entry has."""
    original = Flights.end

    def end(self: Flights, flight: Flight) -> None:
        original(self, flight)
        self._joinable.pop(flight.entry.key, None)

    patch.setattr(Flights, "end", end)


def no_rejection(patch: pytest.MonkeyPatch) -> None:
    """A rejected token keeps its document for when Emporix cannot be asked."""
    patch.setattr(Publisher, "reject", lambda *_: None)


def no_last_resort(patch: pytest.MonkeyPatch) -> None:
    """A document that a write overlapped is shown to its reader and then forgotten."""
    patch.setattr(Publisher, "_last_resort", lambda *_: None)


def no_detachment(patch: pytest.MonkeyPatch) -> None:
    """A commit parks nothing when the request that waits for it has gone."""
    original = Pending.keep

    async def keep(self: Pending, job: Any) -> None:
        if not job.result.waiting:
            job.counts_as_parked()
        await original(self, job)

    patch.setattr(Pending, "keep", keep)


def no_unpinning(patch: pytest.MonkeyPatch) -> None:
    """Entries in use are never let go."""
    patch.setattr(Entries, "unpin", lambda *_: None)


def no_reachability(patch: pytest.MonkeyPatch) -> None:
    """An entry in use that its cache has dropped cannot be found: its key gets a second one."""
    patch.setattr(Entries, "pin", lambda *_: None)
    patch.setattr(Entries, "unpin", lambda *_: None)


def no_task_book(patch: pytest.MonkeyPatch) -> None:
    """Tasks that have ended stay in the book."""
    patch.setattr(Tasks, "_ended", lambda *_: None)


def no_settling_of_doubt(patch: pytest.MonkeyPatch) -> None:
    """A PATCH without an answer counts as taken, and nobody looks again."""
    no_second_look(patch)
    original = Patching.send

    async def sent(self: Patching, *arguments: Any) -> Any:
        error = await original(self, *arguments)
        return error if error is not None and error.status == 404 else None

    patch.setattr(Patching, "send", sent)


def no_isolation(patch: pytest.MonkeyPatch) -> None:
    """All tokens have one key."""
    original = Engine.__init__

    def init(self: Engine, *arguments: Any) -> None:
        original(self, *arguments)
        self.key = lambda token: b"everybody" if token else b"nobody"

    patch.setattr(Engine, "__init__", init)


def no_required_floor(patch: pytest.MonkeyPatch) -> None:
    """What a browser has seen on another worker does not count here."""
    patch.setattr(Consistency, "is_below_required", lambda *_: False)


def no_memory_of_others(patch: pytest.MonkeyPatch) -> None:
    """What Emporix took from this shopper by way of another worker is not learnt from the cookie."""
    patch.setattr(Consistency, "notes_seen", lambda self, *_: self)


def no_hybrid_clock(patch: pytest.MonkeyPatch) -> None:
    """Of two wishes that of the host whose clock is ahead counts as the later one."""
    original = HybridClock.next
    patch.setattr(HybridClock, "next", lambda self, _=0.0: original(self))


def no_doubt_about_the_future(patch: pytest.MonkeyPatch) -> None:
    """What comes from a clock that runs ahead counts as later than what its worker chooses without knowing it."""
    patch.setattr(Handover, "from_the_future", lambda *_: {})


def no_tombstone(patch: pytest.MonkeyPatch) -> None:
    """The store keeps the document of before a change."""
    patch.setattr(Sharing, "invalidate", lambda *_: asyncio.sleep(0))


def no_notices(patch: pytest.MonkeyPatch) -> None:
    """What another worker tells of its writes is not heard."""
    original = Peers.apply

    def apply(self: Peers, notice: Any) -> None:
        if notice.kind != "written":
            original(self, notice)

    patch.setattr(Peers, "apply", apply)


def no_floor_from_the_store(patch: pytest.MonkeyPatch) -> None:
    """What other workers know to be past is believed from a lagging replica."""
    patch.setattr(Publisher, "apply_hint", lambda *_: True)


def no_hiding(patch: pytest.MonkeyPatch) -> None:
    """While Emporix cannot be asked, a document is shown that another worker has told to be past."""
    patch.setattr(Consistency, "_lacks_unknown", lambda *_: False)


def no_catching_up(patch: pytest.MonkeyPatch) -> None:
    """What was told while nobody listened is not asked for."""

    async def catch_up(self: Peers, entry: Entry) -> None:
        entry.store_view.caught_up(self.sharing.attachment.epoch)

    patch.setattr(Peers, "catch_up", catch_up)


def no_doubt_without_contact(patch: pytest.MonkeyPatch) -> None:
    """A store is believed though nobody can tell it anything."""
    patch.setattr(Attachment, "lost", lambda _: None)


def no_neighbours(patch: pytest.MonkeyPatch) -> None:
    """What one instance did the others of its process are not told."""
    patch.setattr(Neighbour, "tell", lambda *_: None)


def no_looking_around(patch: pytest.MonkeyPatch) -> None:
    """What one instance has read the others of its process ask Emporix for."""
    patch.setattr(Neighbour, "look_around", lambda *_: [])


def no_counting_of_sessions(patch: pytest.MonkeyPatch) -> None:
    """The breaker takes every call for one of another session."""
    admit = SessionBreaker.admit
    patch.setattr(SessionBreaker, "admit", lambda self, _: admit(self, object()))
    patch.setattr(SessionBreaker, "would_refuse", lambda *_: False)


def no_excuse_for_turning_away(patch: pytest.MonkeyPatch) -> None:
    """That this process did not ask is taken for a failure of Emporix."""
    patch.setattr(Publisher, "_failed", lambda self, flight, _: self.throttle(flight.entry, flight.started))


def no_queue_bounded_by_time(patch: pytest.MonkeyPatch) -> None:
    """Whoever finds twice as many waiting as there are permits is turned away."""
    original = Bulkhead.take

    async def take(self: Bulkhead, operation: str, patience: float) -> None:
        await original(self, operation, patience if self.waiting < 20 else 0.0)

    patch.setattr(Bulkhead, "take", take)


def no_time_limit(patch: pytest.MonkeyPatch) -> None:
    """Only the HTTP client's own timeouts end a call."""
    patch.setattr(TimeLimit, "run", lambda _self, client, request: client.send(request, TimeLimitedCall(1e9)))


def no_joining(patch: pytest.MonkeyPatch) -> None:
    """Of several notes the last one alone is believed, as of several cookies of one name."""

    def last(notes: Iterable[Notes], oldest: float = 0.0) -> Notes:
        return max(notes, key=lambda each: each.newest_at, default=Notes())

    patch.setattr(continuity, "join", last)


def no_eras(patch: pytest.MonkeyPatch) -> None:
    """What was noted before a logout counts after it."""

    def timeless(notes: Iterable[Notes], oldest: float = 0.0) -> Notes:
        return join((replace(each, era=0) for each in notes), oldest)

    patch.setattr(continuity, "join", timeless)
    patch.setattr(ContextChanges, "not_before", lambda self, _: self)


def no_receipts(patch: pytest.MonkeyPatch) -> None:
    """Nothing tells a worker that a choice which it still holds was replaced by a later one."""
    patch.setattr(Commits, "_keeps_receipts", lambda *_: False)


def no_second_look(patch: pytest.MonkeyPatch) -> None:
    """Whatever was answered with 2xx counts as taken for good."""
    patch.setattr(standing, "_was_never_seen", lambda *_: False)


def no_forgetting_of_what_is_disproved(patch: pytest.MonkeyPatch) -> None:
    """What Emporix was said to have taken counts as taken, though a document has proved that it never saw it."""

    def minus(self: ContextChanges, other: ContextChanges) -> ContextChanges:
        return original(self._where(lambda path, each: not (path in other and each.op_id in other.ids)), other)

    original = ContextChanges.minus
    patch.setattr(ContextChanges, "minus", minus)
    patch.setattr(Pending, "forget_taken", lambda *_: None)


def no_asking_around(patch: pytest.MonkeyPatch) -> None:
    """Whoever finds that Emporix does not have an announced version keeps that for himself."""
    patch.setattr(Hearings, "_denies", lambda *_: False)


def no_second_question(patch: pytest.MonkeyPatch) -> None:
    """A 404 is believed, also where there was a context a moment before."""
    patch.setattr(Loads, "_may_lag", lambda *_: False)


def no_weighing_anew(patch: pytest.MonkeyPatch) -> None:
    """What satisfied a browser counts as satisfying it when there is another document."""
    original = Consistency.satisfying

    def satisfying(self: Consistency, notes: Notes | None) -> Consistency:
        return self if notes is None else original(self, notes)

    patch.setattr(Consistency, "satisfying", satisfying)


def no_proof_of_the_whole(patch: pytest.MonkeyPatch) -> None:
    """That Emporix lacks one field of a PATCH says nothing of the others."""
    patch.setattr(standing, "_sent_along", lambda *_: [])


def no_index_of_sessions(patch: pytest.MonkeyPatch) -> None:
    """A store does not know whose a token is."""

    async def nothing(*_: object) -> None: ...

    patch.setattr(MemoryStore, "link", nothing)


def no_telling_of_changes(patch: pytest.MonkeyPatch) -> None:
    """Others hear of a version, and not what it was made for."""
    patch.setattr(Peers, "_learns", lambda *_: None)


def no_hearing_of_others(patch: pytest.MonkeyPatch) -> None:
    """What is parked again shows before whoever knows of later choices can say so."""

    async def at_once(*_: object) -> None: ...

    patch.setattr(Hearings, "_hear_out", at_once)


def no_binding_of_documents(patch: pytest.MonkeyPatch) -> None:
    """A document from a browser counts, whosever it is and whatever has happened since."""
    patch.setattr(DocumentCookies, "_why_not", lambda *_: "")


def no_judging_of_documents(patch: pytest.MonkeyPatch) -> None:
    """A document from a browser counts, whatever its notes say that it has seen since."""
    patch.setattr(Requirements, "forbids", lambda *_: False)


def no_second_thought_about_documents(patch: pytest.MonkeyPatch) -> None:
    """A document from a browser that was taken stays, whatever notes that come later say."""
    patch.setattr(Travelling, "reconsider", lambda *_: None)


def no_comparing_of_documents(patch: pytest.MonkeyPatch) -> None:
    """A document from a browser replaces the one that is known, also a later one."""
    patch.setattr(Travelling, "_is_news", lambda *_: True)
    patch.setattr(Publisher, "judge", lambda *_: Verdict.SHOW)


def no_time_of_emporix(patch: pytest.MonkeyPatch) -> None:
    """How long ago another worker has written something is reckoned by the clocks of both hosts."""
    patch.setattr(PlatformTime, "at", lambda self, moment: self._clock.time() - self._clock.monotonic() + moment)


def no_doubt_about_moments_to_come(patch: pytest.MonkeyPatch) -> None:
    """Emporix is believed to have taken a change at a moment that is still to come."""
    for module in (standing, requirements):
        patch.setattr(module, "is_to_come", lambda *_: False)


def no_memory_of_what_overtook(patch: pytest.MonkeyPatch) -> None:
    """Of two choices the one that Emporix took later is forgotten, where the other one seems to be later."""
    patch.setattr(Operation, "overtaken_here", ())


def no_word_for_the_browser(patch: pytest.MonkeyPatch) -> None:
    """What one worker remembers counts more than what a browser brings that does not know of it."""
    patch.setattr(handover, "_overwritten", lambda *_: set())


def no_memory_of_what_waited(patch: pytest.MonkeyPatch) -> None:
    """That a browser was told of a change that waits is forgotten once Emporix has it."""
    patch.setattr(Pending, "has_told", lambda *_: False)


def no_names_of_joins(patch: pytest.MonkeyPatch) -> None:
    """Each page that joins notes gives what it writes a name of its own."""
    patch.setattr(continuity, "_name_of_join", lambda _: secrets.token_hex(8).encode())


def no_waiting_of_joins(patch: pytest.MonkeyPatch) -> None:
    """Each page joins the notes that it brings, whatever is on its way."""
    patch.setattr(OnTheirWay, "joins", lambda *_: True)


def no_room_for_others(patch: pytest.MonkeyPatch) -> None:
    """What may be on its way to a browser takes no room there."""
    patch.setattr(OnTheirWay, "size", lambda *_: 0)


def no_telling_once_more(patch: pytest.MonkeyPatch) -> None:
    """Each answer tells its own change alone, however many are on their way."""
    patch.setattr(OnTheirWay, "gathered", lambda _, _token, own, *_more: (own, ()))


def no_end_of_lag(patch: pytest.MonkeyPatch) -> None:
    """Whenever a document was asked for, it may be that of a replica which is behind."""
    patch.setattr(standing, "LAG", float("inf"))
    patch.setattr(consistency, "LAG", float("inf"))
    patch.setattr(required, "LAG", float("inf"))


def no_proof_by_version(patch: pytest.MonkeyPatch) -> None:
    """The very version in which a change was taken, without that change, proves nothing."""
    patch.setattr(standing, "value_digest", lambda _: "unknown")


def no_word_of_what_came_between(patch: pytest.MonkeyPatch) -> None:
    """A browser is not told which later choice has taken the place of its own."""
    patch.setattr(Job, "taken", property(lambda self: self.done))


def no_common_knowledge_of_sessions(patch: pytest.MonkeyPatch) -> None:
    """Each engine has to be told by itself, and again and again, which session a token is of."""
    patch.setattr(KnownSessions, "of", lambda *_: None)


ONE = "one process"
NOTES = "3 workers, notes"
SKEWED = "3 workers, notes, clocks an hour apart"
STORE = "3 workers, store"

BAD = "overlap in bad weather"
TURN = "in turn"
TOKENS = "new tokens in bad weather"

GUARDS: list[tuple[Ablation, str, str]] = [
    (no_floor, BAD, "wrong"),
    (no_recheck, BAD, "wrong"),
    (no_write_queue, "overlap", "at once"),
    (no_siblings, TOKENS, "wrong"),
    (no_overlay, BAD, "wrong"),
    (no_rebase, "others write", "overwritten"),
    (no_merge, BAD, "overwritten"),
    (no_unparking, TURN, "wrong"),
    (no_parking, "overlap before the cart", "lost"),
    (no_rejection, "a token is revoked", "resurrected"),
    (no_detachment, BAD, "lost"),
    (no_unpinning, "overlap", "left over"),
    (no_reachability, TOKENS, "wrong"),
    (no_task_book, "overlap", "left over"),
    (no_settling_of_doubt, "emporix down", "lost"),
    (no_isolation, "logouts", "leaks"),
]


GUARDS_OF_SEVERAL: list[tuple[Ablation, str, str, str]] = [
    (no_hybrid_clock, SKEWED, TURN, "wrong"),
    (no_tombstone, STORE, BAD, "wrong"),
    (no_notices, STORE, BAD, "wrong"),
    (no_floor_from_the_store, STORE, BAD, "wrong"),
    (no_hiding, STORE, BAD, "wrong"),
    (no_joining, NOTES, "overlap", "wrong"),
    (no_eras, NOTES, "logouts", "leaks"),
    (no_receipts, NOTES, "overlap before the cart", "wrong"),
    (no_second_look, NOTES, "2xx that changed nothing", "lost"),
    (no_room_for_others, NOTES, "large attributes", "cookies"),
]


CASES: list[tuple[Ablation, Callable[[], Coroutine[None, None, None]]]] = [
    (no_generation, scenarios.a_read_in_the_air_does_not_undo_a_logout),
    (no_proof, scenarios.a_cached_value_does_not_prove_that_emporix_has_it),
    (no_last_resort, scenarios.a_page_shows_no_less_than_the_one_before_though_a_write_overlapped),
    (no_look_before_landing, scenarios.a_choice_shows_though_the_one_who_asked_has_left),
    (no_map_of_its_own_for_the_absent, scenarios.garbage_tokens_do_not_push_out_good_entries),
    (no_identity_check, scenarios.an_old_flight_does_not_remove_a_newer_one),
    (no_catching_up, scenarios.what_was_told_while_nobody_listened_is_asked_for),
    (no_doubt_without_contact, scenarios.nothing_is_believed_that_nobody_could_deny),
    (no_neighbours, scenarios.instances_of_one_process_show_the_same),
    (no_looking_around, scenarios.instances_of_one_process_show_the_same),
    (no_counting_of_sessions, scenarios.broken_sessions_hide_emporix_from_nobody),
    (no_excuse_for_turning_away, scenarios.whoever_was_turned_away_is_served_next_time),
    (no_queue_bounded_by_time, scenarios.a_crowd_at_an_empty_process_sees_its_own_values),
    (no_common_knowledge_of_sessions, scenarios.a_choice_follows_a_token_whose_session_was_told_long_ago),
    (no_required_floor, scenarios.what_was_seen_beside_a_choice_is_seen_on_the_next_worker),
    (no_memory_of_others, scenarios.what_is_known_shows_while_emporix_is_down),
    (no_word_of_what_came_between, scenarios.the_earlier_of_two_answers_tells_of_the_later_one),
    (no_names_of_joins, scenarios.pages_that_overlap_pile_up_no_cookies),
    (no_waiting_of_joins, scenarios.pages_between_choices_pile_up_no_joined_notes),
    (no_telling_once_more, scenarios.choices_that_overlap_pile_up_no_cookies),
    (no_end_of_lag, scenarios.a_version_that_fell_is_believed_after_a_while),
    (no_proof_by_version, scenarios.a_swallowed_change_is_sent_again_though_others_write),
    (no_asking_around, scenarios.a_swallowed_change_is_sent_though_another_worker_is_asked),
    (no_telling_of_changes, scenarios.a_swallowed_change_shows_on_every_worker),
    (no_binding_of_documents, documents_that_travel.a_document_counts_for_its_own_token_alone),
    (no_judging_of_documents, documents_that_travel.an_older_document_does_not_undo_a_choice),
    (no_second_thought_about_documents, documents_that_travel.a_document_that_came_before_the_choice_does_not_undo_it),
    (no_comparing_of_documents, documents_that_travel.of_two_documents_the_later_one_shows),
    (no_doubt_about_the_future, scenarios.a_choice_counts_though_one_that_was_replaced_seems_to_be_later),
    (no_doubt_about_moments_to_come, scenarios.what_was_dated_ahead_hides_nothing_later),
    (no_memory_of_what_overtook, scenarios.what_two_choices_have_replaced_shows_no_more),
    (no_word_for_the_browser, scenarios.a_choice_that_waits_is_sent_though_a_lost_one_seems_to_be_later),
    (no_memory_of_what_waited, scenarios.a_choice_that_was_taken_after_all_does_not_undo_a_later_one),
    (no_time_of_emporix, scenarios.what_was_seen_elsewhere_shows_whatever_the_time_is),
    (
        no_forgetting_of_what_is_disproved,
        scenarios.a_swallowed_change_is_sent_though_another_token_believes_it_taken,
    ),
    (no_index_of_sessions, scenarios.what_waits_shows_where_emporix_has_told_nothing),
    (no_settling_of_earlier_changes, scenarios.an_outlived_choice_does_not_show_over_a_later_one),
    (no_hearing_of_others, scenarios.an_outlived_choice_does_not_show_over_a_later_one),
    (no_second_question, scenarios.a_choice_shows_though_a_replica_has_no_context_yet),
    (no_weighing_anew, scenarios.what_a_browser_knows_shows_over_the_next_document_too),
    (no_proof_of_the_whole, scenarios.a_patch_is_taken_as_a_whole_or_not_at_all),
    (no_time_limit, scenarios.answers_that_drip_take_no_permit_for_good),
]


@pytest.mark.parametrize(("ablation", "case"), CASES, ids=lambda value: getattr(value, "__name__", None))
def test_the_absence_of_a_guard_breaks_its_case(
    monkeypatch: pytest.MonkeyPatch, ablation: Ablation, case: Callable[[], Coroutine[None, None, None]]
) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(case())
    ablation(monkeypatch)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner, pytest.raises(AssertionError):
        runner.run(case())


LONG = {no_floor, no_parking, no_reachability, no_recheck, no_room_for_others}
LONG |= {no_settling_of_doubt}
"""Guards whose absence takes many visits to show."""


@pytest.mark.parametrize(
    ("ablation", "situation", "promise"),
    [
        pytest.param(*guard, id=guard[0].__name__, marks=pytest.mark.slow if guard[0] in LONG else ())
        for guard in GUARDS
    ],
)
def test_the_absence_of_a_guard_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    ablation: Ablation,
    situation: str,
    promise: str,
) -> None:
    caplog.set_level(logging.CRITICAL)
    notices(monkeypatch, ablation, ONE, situation, promise)


@pytest.mark.parametrize(
    "guard",
    [
        pytest.param(guard, id=guard[0].__name__, marks=pytest.mark.slow if guard[0] in LONG else ())
        for guard in GUARDS_OF_SEVERAL
    ],
)
def test_the_absence_of_a_guard_is_noticed_among_several(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, guard: tuple[Ablation, str, str, str]
) -> None:
    caplog.set_level(logging.CRITICAL)
    notices(monkeypatch, *guard)


def notices(monkeypatch: pytest.MonkeyPatch, ablation: Ablation, setup: str, situation: str, promise: str) -> None:
    """Play seed after seed without a guard until this promise is broken."""
    ablation(monkeypatch)
    noticed: set[str] = set()

    for seed in range(SEEDS):
        noticed |= set(play(seed, STEPS, SETUPS[setup], SITUATIONS[situation]).counts)
        if promise in noticed:
            return

    pytest.fail(f"{ablation.__doc__} Only {noticed or 'nothing'} was noticed, expected {promise!r}.")
