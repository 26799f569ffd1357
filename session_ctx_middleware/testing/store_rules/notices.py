"""Rules for what other workers are told."""

from __future__ import annotations

from ...model.operation import Taken
from ...stores.protocol import Notice, tells_taken
from .checks import (
    LONG,
    PATIENCE,
    MakeStore,
    Rules,
    a_session,
    a_token,
    document,
    document_of,
    loaded,
)

__all__ = ["NoticeRules"]


class NoticeRules(Rules):
    """Rules for what other workers are told."""

    async def others_hear_of_a_floor(self, make_store: MakeStore) -> None:
        names = (a_token(), a_session())
        heard = await self._hear(make_store, lambda store: store.invalidate(names, "c", 7, lifetime=LONG))
        assert set(heard) == {Notice("written", names, "c", 7)}

    async def others_hear_which_changes_were_taken(self, make_store: MakeStore) -> None:
        store, names = await make_store(), (a_token(), a_session())
        if not tells_taken(store):
            return  # a store may have no place for them
        how = Taken(7, "c", self._clock.time())
        taken = self._changes(currency="USD").as_taken(how)
        heard = await self._hear(make_store, lambda store: store.invalidate(names, "c", 7, lifetime=LONG, taken=taken))
        told = [operation for notice in heard for operation in notice.taken.operations.values()]
        assert {operation.op_id for operation in told} == taken.ids
        assert {(operation.value, operation.taken) for operation in told} == {("USD", how)}

    async def others_hear_what_was_forgotten(self, make_store: MakeStore) -> None:
        names = (a_token(), a_session())
        heard = await self._hear(make_store, lambda store: store.forget(names))
        assert {notice.kind for notice in heard} == {"forgotten"}
        assert {name for notice in heard for name in notice.names} == set(names)

    async def others_hear_what_was_parked(self, make_store: MakeStore) -> None:
        name = a_session()
        heard = await self._hear(make_store, lambda store: store.park(name, self._changes(currency="USD")))
        assert set(heard) == {Notice("parked", (name,))}

    async def what_was_told_can_be_seen(self, make_store: MakeStore) -> None:
        one, other, name = await make_store(), await make_store(), a_token()
        await one.save(name, document(1), "c", age=0.0, lifetime=LONG)
        heard, _ = await self._attached(other)
        await self._attached(one)
        await one.invalidate([name], "c", 2, lifetime=LONG)
        await self._until(lambda: bool(heard))
        assert document_of(await other.load(name)) is None, "first write, then tell"

    async def it_can_be_used_after_it_was_closed(self, make_store: MakeStore) -> None:
        store, other, name = await make_store(), await make_store(), a_token()
        heard, _ = await self._attached(store)
        await store.aclose()
        await store.aclose()
        await other.invalidate([name], "c", 4, lifetime=LONG)
        assert (await loaded(store, name)).floor == 4
        heard.clear()
        for _ in range(int(PATIENCE / 0.1)):
            await other.invalidate([name], "c", 5, lifetime=LONG)
            await self._clock.sleep(0.1)
            if heard:
                break
        assert heard, "a later call opens it again, for the listener that was attached"
