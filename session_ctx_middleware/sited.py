"""The session context of a shop whose sites are known: what they do not offer is neither taken nor shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from .carrying import COMMITTING
from .context import SessionContext
from .emporix.sites import SiteCatalog
from .engine import CommitResult
from .errors import ConfigurationError, InvalidChange
from .events import ContextEvent
from .model import view
from .model.changes import NO_CHANGES, ContextChanges
from .model.document import Value
from .model.fields import SWITCHES, checked_switch
from .model.sites import Sites
from .model.view import NOTHING_KNOWN, NOTHING_RESOLVED, Snapshot, Source
from .recording import recording

__all__ = ["SitedContext"]

REMEMBERED: Final = frozenset({"document", "parked"})
UNJUDGED: Final = Sites(())


class SitedContext(SessionContext):
    """Checks switches against what their site offers, and has another site bring along what goes with it.

    A change is checked when it is recorded, as far as the sites and the shopper's own are known by then, and else when
    it is about to be sent. A remembered value that the site does not offer any more reads as the site's default.
    """

    _settled: frozenset[str] = frozenset()
    """The operations that were checked with everything known."""
    _along_with_site: frozenset[str] = frozenset()
    """The operations that nobody has chosen, but that a site has brought along."""
    _corrected: frozenset[str] = frozenset()
    """The fields whose remembered values the site does not offer."""
    _judges: Sites | None = UNJUDGED
    """The sites by which what was read last was judged."""

    @property
    def _catalog(self) -> SiteCatalog:
        catalog = self._deps.sites
        if catalog is None:
            raise ConfigurationError("A SitedContext needs a SiteCatalog.")
        return catalog

    # Reading

    def _effective(self, field: str) -> str | None:
        return self._judged(field, super()._effective(field), self._known or NOTHING_KNOWN)

    def _shown_value(self, name: str, known: Snapshot) -> str | None:
        return self._judged(name, super()._shown_value(name, known), known)

    def _judged(self, field: str, value: str | None, known: Snapshot) -> str | None:
        """Return a value if the shopper's site offers it, else the site's own."""
        if value is None or field == "site_code" or field in self._changes:
            return value
        sites = self._catalog.sites
        self._judge_by(sites)
        site = None if sites is None else sites.get(super()._shown_value("site_code", known))
        if site is None or site.offers(field, value):
            return value
        if field not in self._corrected and self._plain_source(field, known) in REMEMBERED:
            self._corrected |= {field}
            self._emit("sites.corrected", "load", field)
        return site.default(field) or value

    def _judge_by(self, sites: Sites | None) -> None:
        """Note which sites values are judged by: what was read before others came may be something else."""
        if self._judges is not sites:
            self._has_shifted = self._has_shifted or self._judges is not UNJUDGED
            self._judges = sites

    def _plain_source(self, field: str, known: Snapshot) -> Source:
        return view.source(field, self._changes, known, self._deps.defaults, self._resolved)

    def source(self, field: str) -> Source:
        """Tell where the effective value of a field comes from; a site's own value is a default.

        Args:
            field: the name of a property, or ``attributes.<key>``.

        Raises:
            UnknownField: there is no such field.
        """
        found = super().source(field)
        own = found != "change" and field in SWITCHES and self._effective(field) != super()._effective(field)
        return "default" if own else found

    # Recording

    def _record_switches(self, **given: str | None) -> None:
        values = {field: checked_switch(field, value) for field, value in given.items() if value is not None}
        # What another site has brought along in this request nobody has chosen: it goes when that site does.
        gone = self._brought_by_site() if "site_code" in values else frozenset[str]()
        brought = self._brought_along(values, self._changes.without(gone))
        for field, value in {**values, **brought}.items():
            super()._record(field, value)
        with recording:
            self._changes = self._changes.without(gone)
        self._along_with_site |= self._changes.at(brought).ids

    def _record(self, path: str, value: Value) -> None:
        if path in SWITCHES and isinstance(value, str):
            self._record_switches(**{path: value})
        else:
            super()._record(path, value)

    def _brought_along(self, wanted: dict[str, str], changes: ContextChanges) -> dict[str, str]:
        """Return what goes with more changes, as far as that is known yet; raise where one of them cannot be."""
        sites = self._catalog.sites
        if sites is None:
            return {}
        shown = self._shown(changes)
        for refusal in sites.refused(wanted, shown).values():
            raise refusal
        if self._known is None or not self._knows_the_shopper:
            return {}
        return sites.following(wanted, {**self._held(self._known), **_switches_in(changes)})

    def _shown(self, changes: ContextChanges) -> dict[str, str | None]:
        """Return what the shopper has with some changes; where nobody knows what he has, nothing else."""
        seen = {field: self._remembered(field) for field in SWITCHES} if self._knows_the_shopper else {}
        return {**seen, **_switches_in(changes)}

    @property
    def _knows_the_shopper(self) -> bool:
        """Whether the context was loaded, and is not made up of defaults because Emporix could not be asked."""
        known = self._known
        return known is not None and not known.degraded and not known.rejected

    def _held(self, known: Snapshot) -> dict[str, str | None]:
        """Return what the session has, whatever the address of the page says: that is not what goes to another site."""
        resolved = replace(self._resolved, url=NOTHING_RESOLVED.url)
        return {field: view.switch_value(field, NO_CHANGES, known, self._deps.defaults, resolved) for field in SWITCHES}

    def _remembered(self, field: str) -> str | None:
        known = NOTHING_KNOWN if self._known is None else self._known
        return view.switch_value(field, NO_CHANGES, known, self._deps.defaults, self._resolved)

    # Committing

    async def _commit(
        self, operation: str, *, parks: bool, changes: ContextChanges | None = None, carried: bool = False
    ) -> CommitResult:
        if self._is_abroad():
            return await self._at_home(self._commit(operation, parks=parks, changes=changes, carried=carried))
        refused = await self._settle() if changes is None else None
        outcome = await super()._commit(operation, parks=parks, changes=changes, carried=carried)
        if refused is None or outcome.error is not None:
            return outcome
        return CommitResult(error=refused, told=outcome.told, receipts=outcome.receipts)

    async def _settle(self) -> InvalidChange | None:
        """Drop what no site offers from the changes that are about to be sent, and add what goes with the others."""
        if self._changes.operations:
            await self._load_ahead()  # a commit needs it anyway, and what waits goes along
        sent = self._sent()
        if not _switches_in(sent) or sent.ids <= self._settled:
            return None
        with self._budget(COMMITTING) as until:
            sites = await self._catalog.load(max(until - self._deps.clock.monotonic(), 0.0))
        if sites is None:
            return None
        refused = self._drop_refused(sites)
        if self._known is not None and self._knows_the_shopper:
            self._complete(sites, self._known)
        self._settled = self._sent().ids
        return refused

    def _sent(self) -> ContextChanges:
        """Return what a commit would send: what waits goes along, and was chosen when perhaps nobody could check it."""
        known = self._known
        if known is None or not known.parked.operations or not (self._changes.operations or self._drains()):
            return self._changes
        return self._changes.newest(known.parked)

    def _drop_refused(self, sites: Sites) -> InvalidChange | None:
        """Drop what is not offered; where a site is dropped, the rest is for the one that the shopper stays on."""
        first = None
        while refused := sites.refused(_switches_in(self._changes), self._shown(NO_CHANGES)):
            first = first or next(iter(refused.values()))
            for field in refused:
                self._drop(field)
        return first

    def _complete(self, sites: Sites, known: Snapshot) -> None:
        """Record what goes with another site, and what is sent in place of waiting values that are not offered."""
        held = self._held(replace(known, parked=NO_CHANGES))
        own, wanted, undone = _switches_in(self._changes), _switches_in(self._sent()), set[str]()
        while refused := sites.refused(wanted, held).keys() - own.keys():
            undone |= refused
            wanted = {field: value for field, value in wanted.items() if field not in refused}
        site = sites.get(wanted.get("site_code", held["site_code"]))
        instead = {field: held[field] or (None if site is None else site.default(field)) for field in undone}
        brought = sites.following(wanted, held)
        for field, value in {**instead, **brought}.items():
            if value is not None:
                self._put(field, value)
        if "site_code" in own:  # else it has waited, and goes along whatever becomes of the request's own changes
            self._along_with_site |= self._changes.at(brought).ids
        if undone:
            self._tell_refused()

    def _brought_by_site(self) -> frozenset[str]:
        return self._along_with_site & self._changes.ids

    def _drop(self, field: str) -> None:
        with recording:
            operation = self._changes.get(field)
            self._changes = self._changes.without(() if operation is None else (operation.op_id,))
        self._tell_refused()

    def _tell_refused(self) -> None:
        self._deps.events.emit(ContextEvent(name="commit.refused", operation="commit", outcome="InvalidChange"))


def _switches_in(changes: ContextChanges) -> dict[str, str]:
    operations = {field: changes.get(field) for field in SWITCHES}
    return {field: each.value for field, each in operations.items() if each and isinstance(each.value, str)}
