"""Rules for changes that wait for Emporix."""

from __future__ import annotations

import asyncio
from typing import Final

from ...model.document import REMOVED
from .checks import (
    LONG,
    MakeStore,
    Rules,
    a_session,
    a_token,
    comparable,
    document,
    loaded,
)

__all__ = ["ParkingRules"]

DAY: Final = 24 * 3600.0


class ParkingRules(Rules):
    """Rules for changes that wait for Emporix."""

    async def parked_changes_come_back_as_they_were(self, make_store: MakeStore) -> None:
        one, other, name = await make_store(), await make_store(), a_session()
        changes = self._changes(
            **{"currency": "USD", "attributes.größe": {"ü": ["☃", 1, 1.5, True, None]}, "attributes.gone": REMOVED}
        )
        await one.park(name, changes)
        found = await other.parked([name])
        assert comparable(found) == comparable(changes)

    async def nobody_is_told_that_nothing_is_parked_where_something_is(self, make_store: MakeStore) -> None:
        one, other, token, session = await make_store(), await make_store(), a_token(), a_session()
        await one.save(token, document(1), "c", age=0.0, lifetime=LONG, session=session)
        assert set((await loaded(other, token)).unparked) <= {token, session}, "or fewer: they are asked for then"
        await one.park(session, self._changes(currency="USD"))
        assert set((await loaded(other, token)).unparked) <= {token}
        await one.park(token, self._changes(currency="USD"))
        assert not (await loaded(other, token)).unparked
        await one.invalidate([token], "c", 2, lifetime=LONG)
        assert not (await loaded(other, token)).unparked, "nor where the document has gone"

    async def the_later_of_two_parked_changes_stays(self, make_store: MakeStore) -> None:
        one, other, name = await make_store(), await make_store(), a_session()
        early, late = self._changes(-20, currency="EUR", language="de"), self._changes(-10, currency="USD")
        for order in ((early, late), (late, early)):
            await one.forget([name])
            for store, changes in zip((one, other), order, strict=True):
                await store.park(name, changes)
            found = await one.parked([name])
            assert {path: found.operations[path].value for path in found} == {"currency": "USD", "language": "de"}

    async def the_later_of_several_names_counts(self, make_store: MakeStore) -> None:
        store, names = await make_store(), [a_token(), a_session()]
        await store.park(names[0], self._changes(-10, currency="USD"))
        await store.park(names[1], self._changes(-20, currency="EUR", language="de"))
        for order in (names, names[::-1]):
            found = await store.parked(order)
            assert {path: found.operations[path].value for path in found} == {"currency": "USD", "language": "de"}

    async def what_was_parked_over_a_day_ago_is_gone(self, make_store: MakeStore) -> None:
        store, name = await make_store(), a_session()
        await store.park(name, self._changes(-DAY - 60, currency="USD"))
        await store.park(name, self._changes(-DAY + 600, language="de"))
        assert list(await store.parked([name])) == ["language"]

    async def unpark_takes_what_was_sent(self, make_store: MakeStore) -> None:
        one, other, names = await make_store(), await make_store(), [a_token(), a_session()]
        sent = self._changes(currency="USD", language="de")
        for name in names:
            await one.park(name, sent)
        await other.unpark(names, sent)
        assert not await one.parked(names)
        await other.unpark(names, sent)

    async def unpark_takes_earlier_changes_of_the_same_field_only(self, make_store: MakeStore) -> None:
        store, name = await make_store(), a_session()
        await store.park(name, self._changes(-20, currency="EUR", language="de"))
        await store.unpark([name], self._changes(-10, currency="USD"))
        assert list(await store.parked([name])) == ["language"]

    async def a_change_made_during_a_drain_survives(self, make_store: MakeStore) -> None:
        one, other, name = await make_store(), await make_store(), a_session()
        sent = self._changes(-10, currency="USD", language="de")
        await one.park(name, sent)
        await other.park(name, self._changes(-5, currency="CHF"))
        await one.unpark([name], sent)
        found = await other.parked([name])
        assert {path: found.operations[path].value for path in found} == {"currency": "CHF"}

    async def parking_from_many_sides_loses_nothing(self, make_store: MakeStore) -> None:
        stores, name = [await make_store() for _ in range(4)], a_session()
        parts = [self._changes(**{f"attributes.key-{number}": "x"}) for number in range(20)]
        await asyncio.gather(*(stores[number % 4].park(name, part) for number, part in enumerate(parts)))
        assert len(await stores[0].parked([name])) == len(parts)
        await asyncio.gather(*(stores[number % 4].unpark([name], part) for number, part in enumerate(parts[:10])))
        assert set(await stores[0].parked([name])) == {path for part in parts[10:] for path in part}
