"""Versions that two workers say to have made: one of them was told a success that Emporix knows nothing of.

A proxy may answer a PATCH with a success and drop it. Another worker that has really made the version announces it, as
this one does; so both hear of a version that they have made themselves. Nothing but Emporix tells which of the two it
was, and it is asked at once: other workers show what it holds, and they do not know what it lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from ..clock import Clock
from ..model.document import ContextDocument
from .consistency import LAG
from .entry import Entry
from .keys import Keys
from .loads import Loads
from .made import has_made, made_by
from .sharing import Sharing

__all__ = ["Disputes"]

TOKENS: Final = 10_000

if TYPE_CHECKING:
    _Tokens = TTLCache[bytes, str]
else:
    _Tokens = TTLCache


class Disputes:
    """Has Emporix asked which of two changes it has.

    Args:
        loads: ask Emporix, and park again what it does not have.
        sharing: whether there are other processes that announce versions.
        keys: fingerprints of contexts.
        clock: where time comes from.
    """

    __slots__ = ("_keys", "_loads", "_sharing", "_tokens")

    def __init__(self, *, loads: Loads, sharing: Sharing, keys: Keys, clock: Clock) -> None:
        self._loads = loads
        self._sharing = sharing
        self._keys = keys
        self._tokens = _Tokens(TOKENS, LAG, timer=clock.monotonic)

    def is_made_elsewhere(self, entry: Entry, base: ContextDocument, version: int) -> bool:
        """Tell whether another worker has announced a version of the context of a document.

        Args:
            entry: of the token.
            base: the document.
            version: a later one than that of the document.
        """
        announced = entry.store_view.announced
        return bool(announced) and (self._keys.incarnation(base.identity), version) in announced

    def watch(self, entry: Entry, token: str) -> None:
        """Remember for seconds with which token Emporix can be asked about a change that it was said to have taken."""
        if self._sharing.has_others:
            self._tokens[entry.key] = token

    def hear(self, entry: Entry, fingerprint: str, version: int) -> None:
        """Note that another worker has announced a version; ask Emporix if that was made here, too.

        Args:
            entry: of the token.
            fingerprint: of the context.
            version: of it.
        """
        view = entry.store_view
        view.hears_of(fingerprint, version)
        if self._is_open(entry, fingerprint, version):
            view.contests(fingerprint, version)
            token = self._tokens.get(entry.key)
            if token is not None:
                self._loads.start(entry, token)

    def _is_open(self, entry: Entry, fingerprint: str, version: int) -> bool:
        """Tell whether changes are said to have made a version, and no document has shown them yet."""
        version_of = (fingerprint, version)
        taken, document = entry.consistency.taken, entry.document
        made = taken.only({each.op_id for each in taken.operations.values() if made_by(each)[:2] == version_of})
        if document is not None and document.version >= version:
            made = made.missing_from(document)
        return any(map(has_made, made.operations.values()))
