"""What every `ContextStore` has to do, as functions to run against yours.

    import pytest
    from session_ctx_middleware.testing.store_rules import store_rules

    @pytest.mark.anyio
    @pytest.mark.parametrize("rule", store_rules(), ids=lambda rule: rule.__name__)
    async def test_my_store(rule):
        async def make_store():
            return MyStore(...)  # a new object on the same data each time: another worker

        await rule(make_store)

A rule ends with an `AssertionError` where the store breaks it. Rules use names of their own, so that one database
serves them all; they do not close the stores they made. Where a rule has to wait, it waits for some tenths of a second.
"""

# ruff: noqa: S101 - assertions are what rules are made of

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from ..changes import ContextChanges, Operation
from ..clock import Clock, SystemClock
from ..document import REMOVED, ContextDocument, Value
from ..frozen_json import freeze
from ..stores.protocol import Attachment, ContextStore, Notice, Stored

__all__ = ["MakeStore", "Rule", "store_rules"]

MakeStore: TypeAlias = Callable[[], Awaitable[ContextStore]]
Rule: TypeAlias = Callable[[MakeStore], Awaitable[None]]

LONG: Final = 60.0
SHORT: Final = 0.3
PATIENCE: Final = 5.0
DAY: Final = 24 * 3600.0


def store_rules(clock: Clock | None = None) -> list[Rule]:
    """Return the rules.

    Args:
        clock: of the stores under test, where it is not the system's.

    Returns:
        Asynchronous functions with telling names; each takes a function that makes one more store on the same data.
    """
    rules = _Rules(clock or SystemClock())
    return [getattr(rules, name) for name in vars(_Rules) if not name.startswith("_")]


class _Rules:
    """One method per rule."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def it_says_whether_it_is_shared(self, make_store: MakeStore) -> None:
        store = await make_store()
        assert store.shared is True, "rules for documents need a store that is shared"
        assert "secret-name" not in repr(store)

    async def what_nobody_saved_is_not_there(self, make_store: MakeStore) -> None:
        store = await make_store()
        assert await store.load(_token()) is None
        assert not await store.parked([_token(), _session()])

    async def another_worker_loads_what_one_saved(self, make_store: MakeStore) -> None:
        one, other, name = await make_store(), await make_store(), _token()
        await one.save(name, _RICH, "context-1", age=2.0, lifetime=LONG)
        for store in (one, other):
            stored = await _loaded(store, name)
            assert stored.document == _RICH, "every field comes back as it was, unicode, nesting and numbers included"
            assert stored.identity == "context-1"
            assert stored.floor == -1, "no floor was set"
            assert 2.0 <= stored.age < 2.0 + PATIENCE

    async def age_grows(self, make_store: MakeStore) -> None:
        store, name = await make_store(), _token()
        await store.save(name, _document(1), "c", age=10.0, lifetime=LONG)
        first = await _loaded(store, name)
        await self._clock.sleep(SHORT)
        second = await _loaded(store, name)
        assert second.age - first.age >= 0.8 * SHORT

    async def a_document_ends_with_its_lifetime(self, make_store: MakeStore) -> None:
        store, name = await make_store(), _token()
        await store.save(name, _document(1), "c", age=0.0, lifetime=SHORT)
        await store.invalidate([name], "c", 1, lifetime=LONG)
        assert (await _loaded(store, name)).document is not None
        await self._clock.sleep(1.3 * SHORT)
        assert _document_of(await store.load(name)) is None, "a longer floor must not keep a document alive"

    async def a_floor_ends_with_its_lifetime(self, make_store: MakeStore) -> None:
        store, name = await make_store(), _token()
        await store.invalidate([name], "c", 5, lifetime=SHORT)
        await self._clock.sleep(1.3 * SHORT)
        assert await store.load(name) is None

    async def a_later_version_replaces_an_earlier_one(self, make_store: MakeStore) -> None:
        store, name = await make_store(), _token()
        await store.save(name, _document(1), "c", age=0.0, lifetime=LONG)
        await store.save(name, _document(2), "c", age=30.0, lifetime=LONG)
        assert _version(await store.load(name)) == 2

    async def an_earlier_version_does_not_replace_a_later_one(self, make_store: MakeStore) -> None:
        one, other, name = await make_store(), await make_store(), _token()
        await one.save(name, _document(10), "c", age=0.0, lifetime=LONG)
        await other.save(name, _document(9), "c", age=0.0, lifetime=LONG)
        assert _version(await one.load(name)) == 10, "versions are numbers, not texts"

    async def a_later_look_at_the_same_version_counts(self, make_store: MakeStore) -> None:
        store, name = await make_store(), _token()
        await store.save(name, _document(3), "c", age=20.0, lifetime=LONG)
        await store.save(name, _document(3), "c", age=1.0, lifetime=LONG)
        assert (await _loaded(store, name)).age < 20.0

    async def a_floor_takes_what_is_below_it(self, make_store: MakeStore) -> None:
        one, other, name = await make_store(), await make_store(), _token()
        await one.save(name, _document(4), "c", age=0.0, lifetime=LONG)
        await other.invalidate([name], "c", 5, lifetime=LONG)
        stored = await _loaded(one, name)
        assert stored.document is None
        assert (stored.identity, stored.floor) == ("c", 5)

    async def a_late_fill_bounces_off_a_floor(self, make_store: MakeStore) -> None:
        one, other, name = await make_store(), await make_store(), _token()
        await one.invalidate([name], "c", 5, lifetime=LONG)
        await other.save(name, _document(4), "c", age=0.0, lifetime=LONG)
        assert _document_of(await one.load(name)) is None
        await other.save(name, _document(5), "c", age=0.0, lifetime=LONG)
        stored = await _loaded(one, name)
        assert _version(stored) == 5
        assert stored.floor == 5, "a document does not lift its floor"

    async def a_short_document_leaves_its_floor_alone(self, make_store: MakeStore) -> None:
        store, name = await make_store(), _token()
        await store.invalidate([name], "c", 5, lifetime=LONG)
        await store.save(name, _document(6), "c", age=0.0, lifetime=SHORT)
        await self._clock.sleep(1.3 * SHORT)
        await store.save(name, _document(4), "c", age=0.0, lifetime=LONG)
        assert _document_of(await store.load(name)) is None

    async def a_floor_leaves_what_reaches_it(self, make_store: MakeStore) -> None:
        store, name = await make_store(), _token()
        await store.save(name, _document(5), "c", age=7.0, lifetime=LONG)
        await store.invalidate([name], "c", 5, lifetime=2 * LONG)
        stored = await _loaded(store, name)
        assert _version(stored) == 5
        assert 7.0 <= stored.age < 7.0 + PATIENCE, "a floor must not make a document look younger, or older"

    async def a_floor_never_falls(self, make_store: MakeStore) -> None:
        store, name = await make_store(), _token()
        for floor in (7, 3):
            await store.invalidate([name], "c", floor, lifetime=LONG)
        assert (await _loaded(store, name)).floor == 7

    async def a_floor_reaches_every_name(self, make_store: MakeStore) -> None:
        store, names = await make_store(), [_token(), _token(), _session()]
        await store.invalidate(names, "c", 2, lifetime=LONG)
        assert [(await _loaded(store, name)).floor for name in names] == [2, 2, 2]

    async def a_context_created_anew_starts_over(self, make_store: MakeStore) -> None:
        store, name = await make_store(), _token()
        await store.save(name, _document(90), "old", age=0.0, lifetime=LONG)
        await store.invalidate([name], "old", 91, lifetime=LONG)
        await store.save(name, _document(1), "new", age=0.0, lifetime=LONG)
        stored = await _loaded(store, name)
        assert (stored.identity, _version(stored), stored.floor) == ("new", 1, -1)

    async def a_floor_of_a_context_created_anew_replaces_the_old_one(self, make_store: MakeStore) -> None:
        store, name = await make_store(), _token()
        await store.save(name, _document(90), "old", age=0.0, lifetime=LONG)
        await store.invalidate([name], "new", 2, lifetime=LONG)
        stored = await _loaded(store, name)
        assert (stored.identity, stored.document, stored.floor) == ("new", None, 2)

    async def names_are_independent(self, make_store: MakeStore) -> None:
        store, name, other = await make_store(), _token(), _token()
        for each in (name, other):
            await store.save(each, _document(1), "c", age=0.0, lifetime=LONG)
            await store.park(each, self._changes(currency="USD"))
        await store.invalidate([name], "c", 2, lifetime=LONG)
        await store.forget([name])
        assert _version(await store.load(other)) == 1
        assert await store.parked([other])

    async def forget_takes_documents_and_parked_changes(self, make_store: MakeStore) -> None:
        one, other, names = await make_store(), await make_store(), [_token(), _session()]
        for name in names:
            await one.save(name, _document(1), "c", age=0.0, lifetime=LONG)
            await one.park(name, self._changes(currency="USD"))
        await other.forget(names)
        assert [_document_of(await one.load(name)) for name in names] == [None, None]
        assert not await one.parked(names)
        await one.save(names[0], _document(1), "c", age=0.0, lifetime=LONG)
        assert _version(await one.load(names[0])) == 1, "forgetting sets no floor"

    async def parked_changes_come_back_as_they_were(self, make_store: MakeStore) -> None:
        one, other, name = await make_store(), await make_store(), _session()
        changes = self._changes(
            **{"currency": "USD", "attributes.größe": {"ü": ["☃", 1, 1.5, True, None]}, "attributes.gone": REMOVED}
        )
        await one.park(name, changes)
        found = await other.parked([name])
        assert _comparable(found) == _comparable(changes)

    async def nobody_is_told_that_nothing_is_parked_where_something_is(self, make_store: MakeStore) -> None:
        one, other, token, session = await make_store(), await make_store(), _token(), _session()
        await one.save(token, _document(1), "c", age=0.0, lifetime=LONG, session=session)
        assert set((await _loaded(other, token)).unparked) <= {token, session}, "or fewer: they are asked for then"
        await one.park(session, self._changes(currency="USD"))
        assert set((await _loaded(other, token)).unparked) <= {token}
        await one.park(token, self._changes(currency="USD"))
        assert not (await _loaded(other, token)).unparked
        await one.invalidate([token], "c", 2, lifetime=LONG)
        assert not (await _loaded(other, token)).unparked, "nor where the document has gone"

    async def the_later_of_two_parked_changes_stays(self, make_store: MakeStore) -> None:
        one, other, name = await make_store(), await make_store(), _session()
        early, late = self._changes(-20, currency="EUR", language="de"), self._changes(-10, currency="USD")
        for order in ((early, late), (late, early)):
            await one.forget([name])
            for store, changes in zip((one, other), order, strict=True):
                await store.park(name, changes)
            found = await one.parked([name])
            assert {path: found.operations[path].value for path in found} == {"currency": "USD", "language": "de"}

    async def the_later_of_several_names_counts(self, make_store: MakeStore) -> None:
        store, names = await make_store(), [_token(), _session()]
        await store.park(names[0], self._changes(-10, currency="USD"))
        await store.park(names[1], self._changes(-20, currency="EUR", language="de"))
        for order in (names, names[::-1]):
            found = await store.parked(order)
            assert {path: found.operations[path].value for path in found} == {"currency": "USD", "language": "de"}

    async def what_was_parked_over_a_day_ago_is_gone(self, make_store: MakeStore) -> None:
        store, name = await make_store(), _session()
        await store.park(name, self._changes(-DAY - 60, currency="USD"))
        await store.park(name, self._changes(-DAY + 600, language="de"))
        assert list(await store.parked([name])) == ["language"]

    async def unpark_takes_what_was_sent(self, make_store: MakeStore) -> None:
        one, other, names = await make_store(), await make_store(), [_token(), _session()]
        sent = self._changes(currency="USD", language="de")
        for name in names:
            await one.park(name, sent)
        await other.unpark(names, sent)
        assert not await one.parked(names)
        await other.unpark(names, sent)

    async def unpark_takes_earlier_changes_of_the_same_field_only(self, make_store: MakeStore) -> None:
        store, name = await make_store(), _session()
        await store.park(name, self._changes(-20, currency="EUR", language="de"))
        await store.unpark([name], self._changes(-10, currency="USD"))
        assert list(await store.parked([name])) == ["language"]

    async def a_change_made_during_a_drain_survives(self, make_store: MakeStore) -> None:
        one, other, name = await make_store(), await make_store(), _session()
        sent = self._changes(-10, currency="USD", language="de")
        await one.park(name, sent)
        await other.park(name, self._changes(-5, currency="CHF"))
        await one.unpark([name], sent)
        found = await other.parked([name])
        assert {path: found.operations[path].value for path in found} == {"currency": "CHF"}

    async def others_hear_of_a_floor(self, make_store: MakeStore) -> None:
        names = (_token(), _session())
        heard = await self._hear(make_store, lambda store: store.invalidate(names, "c", 7, lifetime=LONG))
        assert set(heard) == {Notice("written", names, "c", 7)}

    async def others_hear_what_was_forgotten(self, make_store: MakeStore) -> None:
        names = (_token(), _session())
        heard = await self._hear(make_store, lambda store: store.forget(names))
        assert {notice.kind for notice in heard} == {"forgotten"}
        assert {name for notice in heard for name in notice.names} == set(names)

    async def others_hear_what_was_parked(self, make_store: MakeStore) -> None:
        name = _session()
        heard = await self._hear(make_store, lambda store: store.park(name, self._changes(currency="USD")))
        assert set(heard) == {Notice("parked", (name,))}

    async def what_was_told_can_be_seen(self, make_store: MakeStore) -> None:
        one, other, name = await make_store(), await make_store(), _token()
        await one.save(name, _document(1), "c", age=0.0, lifetime=LONG)
        heard, _ = await self._attached(other)
        await self._attached(one)
        await one.invalidate([name], "c", 2, lifetime=LONG)
        await self._until(lambda: bool(heard))
        assert _document_of(await other.load(name)) is None, "first write, then tell"

    async def it_can_be_used_after_it_was_closed(self, make_store: MakeStore) -> None:
        store, other, name = await make_store(), await make_store(), _token()
        heard, _ = await self._attached(store)
        await store.aclose()
        await store.aclose()
        await other.invalidate([name], "c", 4, lifetime=LONG)
        assert (await _loaded(store, name)).floor == 4
        heard.clear()
        for _ in range(int(PATIENCE / 0.1)):
            await other.invalidate([name], "c", 5, lifetime=LONG)
            await self._clock.sleep(0.1)
            if heard:
                break
        assert heard, "a later call opens it again, for the listener that was attached"

    async def eight_writers_never_leave_less_than_the_floor(self, make_store: MakeStore) -> None:
        stores, name = [await make_store() for _ in range(4)], _token()
        floors: list[int] = []

        async def writer(number: int) -> None:
            store = stores[number % len(stores)]
            for step in range(50):
                version = 1 + (step * 7 + number * 13) % 60
                if (step + number) % 5:
                    await store.save(name, _document(version), "c", age=0.0, lifetime=LONG)
                else:
                    await store.invalidate([name], "c", version, lifetime=LONG)
                    floors.append(version)
                known = max(floors, default=-1)
                stored = await _loaded(store, name)
                assert stored.floor >= known, "a floor that was acknowledged holds from then on"
                _check(stored)

        await asyncio.gather(*(writer(number) for number in range(8)))
        stored = await _loaded(stores[0], name)
        _check(stored)
        assert stored.floor == max(floors)

    async def parking_from_many_sides_loses_nothing(self, make_store: MakeStore) -> None:
        stores, name = [await make_store() for _ in range(4)], _session()
        parts = [self._changes(**{f"attributes.key-{number}": "x"}) for number in range(20)]
        await asyncio.gather(*(stores[number % 4].park(name, part) for number, part in enumerate(parts)))
        assert len(await stores[0].parked([name])) == len(parts)
        await asyncio.gather(*(stores[number % 4].unpark([name], part) for number, part in enumerate(parts[:10])))
        assert set(await stores[0].parked([name])) == {path for part in parts[10:] for path in part}

    def _changes(self, offset: float = 0.0, /, **values: object) -> ContextChanges:
        """Return changes that were made `offset` seconds from now."""
        at, recorded = self._clock.time() + offset, self._clock.monotonic() + offset
        return ContextChanges(
            {path: Operation(_value(value), secrets.token_hex(8), at, recorded) for path, value in values.items()}
        )

    async def _hear(self, make_store: MakeStore, act: Callable[[ContextStore], Awaitable[None]]) -> list[Notice]:
        """Return what other workers hear, perhaps twice, when one does something; that one itself must hear nothing."""
        one, other, third = await make_store(), await make_store(), await make_store()
        own, _ = await self._attached(one)
        heard, _ = await self._attached(other)
        also, _ = await self._attached(third)
        await act(one)
        await self._until(lambda: bool(heard and also))
        await self._clock.sleep(0.05)
        assert own == [], "who does something is not told about it"
        assert set(heard) == set(also)
        return heard

    async def _attached(self, store: ContextStore) -> tuple[list[Notice], Attachment]:
        heard: list[Notice] = []
        attachment = store.attach(heard.append)
        await self._until(lambda: attachment.connected)
        return heard, attachment

    async def _until(self, condition: Callable[[], bool]) -> None:
        for _ in range(int(PATIENCE / 0.01)):
            if condition():
                return
            await self._clock.sleep(0.01)
        raise AssertionError("this did not happen in time")


def _token() -> str:
    return f"token-{secrets.token_hex(16)}"


def _session() -> str:
    return f"session-{secrets.token_hex(16)}"


def _document(version: int) -> ContextDocument:
    return ContextDocument(version, session_id="s", cart_id=f"cart-{version}", created_at="2026-01-01T00:00:00Z")


_RICH: Final = ContextDocument.parse(
    '{"sessionId": "s", "customerId": "ANONYMOUS", "siteCode": "main", "currency": "EUR", "language": "de-CH",'
    ' "targetLocation": "CH", "cartId": "c", "context": {"größe": "☃ \\u0000 \\ud83d\\ude00", "n": {"a": [1, 1.0,'
    ' true, null, "x"]}}, "metadata": {"version": 12345678901, "createdAt": "2026-01-01T00:00:00Z"}, "new": {"k": []}}'
)


def _value(value: object) -> Value:
    return REMOVED if value is REMOVED else freeze(value)


async def _loaded(store: ContextStore, name: str) -> Stored:
    stored = await store.load(name)
    assert stored is not None, "something was kept here"
    return stored


def _document_of(stored: Stored | None) -> ContextDocument | None:
    return None if stored is None else stored.document


def _version(stored: Stored | None) -> int | None:
    document = _document_of(stored)
    return None if document is None else document.version


def _check(stored: Stored) -> None:
    if stored.document is not None:
        assert stored.document.version >= stored.floor
        assert stored.document.cart_id == f"cart-{stored.document.version}", "a payload belongs to its version"


def _comparable(changes: ContextChanges) -> dict[str, tuple[object, str, float]]:
    return {path: (change.value, change.op_id, round(change.at, 3)) for path, change in changes.operations.items()}
