"""Rules for stores that know which session a token is of (`SessionIndex`); others have nothing to keep here."""

from __future__ import annotations

from ...stores.protocol import ContextStore, Notice, SessionIndex
from .checks import LONG, MakeStore, Rules, a_session, a_token, comparable, document, loaded

__all__ = ["LinkRules"]


class LinkRules(Rules):
    """Rules for stores that know which session a token is of."""

    async def a_linked_token_finds_what_waits_for_its_session(self, make_store: MakeStore) -> None:
        one, other, token, session = await make_store(), await make_store(), a_token(), a_session()
        if not (isinstance(one, SessionIndex) and isinstance(other, SessionIndex)):
            return
        early, late = self._changes(-20, currency="EUR", language="de"), self._changes(-10, currency="USD")
        await one.park(token, early)
        assert comparable((await other.look(token)).changes) == comparable(early)
        assert not (await other.look(token)).session, "nobody has linked it"
        await one.link([token, a_token()], session)
        await one.park(session, late)
        found = await other.look(token)
        assert found.session == session
        assert comparable(found.changes) == comparable(late.newest(early))
        assert comparable(await other.parked([token])) == comparable(early), "a link is no change"
        await other.unpark([token, session], late)
        assert comparable((await one.look(token)).changes) == comparable(early.minus(late))
        assert (await one.look(token)).session == session

    async def a_link_keeps_nobody_from_asking_what_is_parked(self, make_store: MakeStore) -> None:
        one, other, token, session = await make_store(), await make_store(), a_token(), a_session()
        if isinstance(one, SessionIndex):
            await one.save(token, document(1), "c", age=0.0, lifetime=LONG)
            await one.link([token], session)
            await one.park(session, self._changes(currency="USD"))
            assert token not in (await loaded(other, token)).unparked

    async def a_token_that_is_forgotten_is_linked_no_more(self, make_store: MakeStore) -> None:
        one, other, token, session = await make_store(), await make_store(), a_token(), a_session()
        if isinstance(one, SessionIndex) and isinstance(other, SessionIndex):
            await one.link([token], session)
            await one.park(session, self._changes(currency="USD"))
            await one.forget([token])
            found = await other.look(token)
            assert (found.session, found.changes.operations) == ("", {})

    async def others_hear_of_a_link(self, make_store: MakeStore) -> None:
        token, session = a_token(), a_session()
        if isinstance(await make_store(), SessionIndex):

            async def link(store: ContextStore) -> None:
                assert isinstance(store, SessionIndex)
                await store.link([token], session)

            assert set(await self._hear(make_store, link)) == {Notice("parked", (token,))}
