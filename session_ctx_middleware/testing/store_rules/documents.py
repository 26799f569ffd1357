"""Rules for documents and the floors under them."""

from __future__ import annotations

import asyncio

from .checks import (
    LONG,
    PATIENCE,
    RICH,
    SHORT,
    MakeStore,
    Rules,
    a_session,
    a_token,
    check,
    document,
    document_of,
    loaded,
    version,
)

__all__ = ["DocumentRules"]


class DocumentRules(Rules):
    """Rules for documents and the floors under them."""

    async def it_says_whether_it_is_shared(self, make_store: MakeStore) -> None:
        store = await make_store()
        assert store.shared is True, "rules for documents need a store that is shared"
        assert "secret-name" not in repr(store)

    async def what_nobody_saved_is_not_there(self, make_store: MakeStore) -> None:
        store = await make_store()
        assert await store.load(a_token()) is None
        assert not await store.parked([a_token(), a_session()])

    async def another_worker_loads_what_one_saved(self, make_store: MakeStore) -> None:
        one, other, name = await make_store(), await make_store(), a_token()
        await one.save(name, RICH, "context-1", age=2.0, lifetime=LONG)
        for store in (one, other):
            stored = await loaded(store, name)
            assert stored.document == RICH, "every field comes back as it was, unicode, nesting and numbers included"
            assert stored.identity == "context-1"
            assert stored.floor == -1, "no floor was set"
            assert 2.0 <= stored.age < 2.0 + PATIENCE

    async def age_grows(self, make_store: MakeStore) -> None:
        store, name = await make_store(), a_token()
        await store.save(name, document(1), "c", age=10.0, lifetime=LONG)
        first = await loaded(store, name)
        await self._clock.sleep(SHORT)
        second = await loaded(store, name)
        assert second.age - first.age >= 0.8 * SHORT

    async def a_document_ends_with_its_lifetime(self, make_store: MakeStore) -> None:
        store, name = await make_store(), a_token()
        await store.save(name, document(1), "c", age=0.0, lifetime=SHORT)
        await store.invalidate([name], "c", 1, lifetime=LONG)
        assert (await loaded(store, name)).document is not None
        await self._clock.sleep(1.3 * SHORT)
        assert document_of(await store.load(name)) is None, "a longer floor must not keep a document alive"

    async def a_floor_ends_with_its_lifetime(self, make_store: MakeStore) -> None:
        store, name = await make_store(), a_token()
        await store.invalidate([name], "c", 5, lifetime=SHORT)
        await self._clock.sleep(1.3 * SHORT)
        assert await store.load(name) is None

    async def a_later_version_replaces_an_earlier_one(self, make_store: MakeStore) -> None:
        store, name = await make_store(), a_token()
        await store.save(name, document(1), "c", age=0.0, lifetime=LONG)
        await store.save(name, document(2), "c", age=30.0, lifetime=LONG)
        assert version(await store.load(name)) == 2

    async def an_earlier_version_does_not_replace_a_later_one(self, make_store: MakeStore) -> None:
        one, other, name = await make_store(), await make_store(), a_token()
        await one.save(name, document(10), "c", age=0.0, lifetime=LONG)
        await other.save(name, document(9), "c", age=0.0, lifetime=LONG)
        assert version(await one.load(name)) == 10, "versions are numbers, not texts"

    async def a_later_look_at_the_same_version_counts(self, make_store: MakeStore) -> None:
        store, name = await make_store(), a_token()
        await store.save(name, document(3), "c", age=20.0, lifetime=LONG)
        await store.save(name, document(3), "c", age=1.0, lifetime=LONG)
        assert (await loaded(store, name)).age < 20.0

    async def a_floor_takes_what_is_below_it(self, make_store: MakeStore) -> None:
        one, other, name = await make_store(), await make_store(), a_token()
        await one.save(name, document(4), "c", age=0.0, lifetime=LONG)
        await other.invalidate([name], "c", 5, lifetime=LONG)
        stored = await loaded(one, name)
        assert stored.document is None
        assert (stored.identity, stored.floor) == ("c", 5)

    async def a_late_fill_bounces_off_a_floor(self, make_store: MakeStore) -> None:
        one, other, name = await make_store(), await make_store(), a_token()
        await one.invalidate([name], "c", 5, lifetime=LONG)
        await other.save(name, document(4), "c", age=0.0, lifetime=LONG)
        assert document_of(await one.load(name)) is None
        await other.save(name, document(5), "c", age=0.0, lifetime=LONG)
        stored = await loaded(one, name)
        assert version(stored) == 5
        assert stored.floor == 5, "a document does not lift its floor"

    async def a_short_document_leaves_its_floor_alone(self, make_store: MakeStore) -> None:
        store, name = await make_store(), a_token()
        await store.invalidate([name], "c", 5, lifetime=LONG)
        await store.save(name, document(6), "c", age=0.0, lifetime=SHORT)
        await self._clock.sleep(1.3 * SHORT)
        await store.save(name, document(4), "c", age=0.0, lifetime=LONG)
        assert document_of(await store.load(name)) is None

    async def a_floor_leaves_what_reaches_it(self, make_store: MakeStore) -> None:
        store, name = await make_store(), a_token()
        await store.save(name, document(5), "c", age=7.0, lifetime=LONG)
        await store.invalidate([name], "c", 5, lifetime=2 * LONG)
        stored = await loaded(store, name)
        assert version(stored) == 5
        assert 7.0 <= stored.age < 7.0 + PATIENCE, "a floor must not make a document look younger, or older"

    async def a_floor_never_falls(self, make_store: MakeStore) -> None:
        store, name = await make_store(), a_token()
        for floor in (7, 3):
            await store.invalidate([name], "c", floor, lifetime=LONG)
        assert (await loaded(store, name)).floor == 7

    async def a_floor_reaches_every_name(self, make_store: MakeStore) -> None:
        store, names = await make_store(), [a_token(), a_token(), a_session()]
        await store.invalidate(names, "c", 2, lifetime=LONG)
        assert [(await loaded(store, name)).floor for name in names] == [2, 2, 2]

    async def a_context_created_anew_starts_over(self, make_store: MakeStore) -> None:
        store, name = await make_store(), a_token()
        await store.save(name, document(90), "old", age=0.0, lifetime=LONG)
        await store.invalidate([name], "old", 91, lifetime=LONG)
        await store.save(name, document(1), "new", age=0.0, lifetime=LONG)
        stored = await loaded(store, name)
        assert (stored.identity, version(stored), stored.floor) == ("new", 1, -1)

    async def a_floor_of_a_context_created_anew_replaces_the_old_one(self, make_store: MakeStore) -> None:
        store, name = await make_store(), a_token()
        await store.save(name, document(90), "old", age=0.0, lifetime=LONG)
        await store.invalidate([name], "new", 2, lifetime=LONG)
        stored = await loaded(store, name)
        assert (stored.identity, stored.document, stored.floor) == ("new", None, 2)

    async def names_are_independent(self, make_store: MakeStore) -> None:
        store, name, other = await make_store(), a_token(), a_token()
        for each in (name, other):
            await store.save(each, document(1), "c", age=0.0, lifetime=LONG)
            await store.park(each, self._changes(currency="USD"))
        await store.invalidate([name], "c", 2, lifetime=LONG)
        await store.forget([name])
        assert version(await store.load(other)) == 1
        assert await store.parked([other])

    async def forget_takes_documents_and_parked_changes(self, make_store: MakeStore) -> None:
        one, other, names = await make_store(), await make_store(), [a_token(), a_session()]
        for name in names:
            await one.save(name, document(1), "c", age=0.0, lifetime=LONG)
            await one.park(name, self._changes(currency="USD"))
        await other.forget(names)
        assert [document_of(await one.load(name)) for name in names] == [None, None]
        assert not await one.parked(names)
        await one.save(names[0], document(1), "c", age=0.0, lifetime=LONG)
        assert version(await one.load(names[0])) == 1, "forgetting sets no floor"

    async def eight_writers_never_leave_less_than_the_floor(self, make_store: MakeStore) -> None:
        stores, name = [await make_store() for _ in range(4)], a_token()
        floors: list[int] = []

        async def writer(number: int) -> None:
            store = stores[number % len(stores)]
            for step in range(50):
                version = 1 + (step * 7 + number * 13) % 60
                if (step + number) % 5:
                    await store.save(name, document(version), "c", age=0.0, lifetime=LONG)
                else:
                    await store.invalidate([name], "c", version, lifetime=LONG)
                    floors.append(version)
                known = max(floors, default=-1)
                stored = await loaded(store, name)
                assert stored.floor >= known, "a floor that was acknowledged holds from then on"
                check(stored)

        await asyncio.gather(*(writer(number) for number in range(8)))
        stored = await loaded(stores[0], name)
        check(stored)
        assert stored.floor == max(floors)
