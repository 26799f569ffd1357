"""One PATCH: behind a fence, with every way in which it can end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..errors import (
    ChangeRefused,
    ContextFull,
    EmporixError,
    EmporixFailed,
    EmporixNotAsked,
    TokenRejected,
    TooManyRequests,
)
from ..model.changes import ContextChanges
from ..model.document import ContextDocument
from ..model.room import outgrows
from .entries import Entries
from .job import Job
from .ports import Caller, GuardedSource
from .publishing import Publisher
from .sharing import Sharing

__all__ = ["Patching"]

_log = logging.getLogger("session_ctx_middleware")

OPERATION: Final = "context.patch"


@dataclass(slots=True, kw_only=True)
class Patching:
    """Sends PATCH calls.

    Args:
        source: Emporix.
        entries: finds the other tokens of a session.
        publisher: forgets a token that is rejected.
        sharing: lets other processes know.
    """

    source: GuardedSource
    entries: Entries
    publisher: Publisher
    sharing: Sharing

    async def send(
        self, job: Job, base: ContextDocument, changes: ContextChanges, receipts: Mapping[str, float]
    ) -> EmporixError | None:
        """Send one PATCH behind a fence.

        Args:
            job: whose changes.
            base: the document that they are made to.
            changes: what is to be sent.
            receipts: the timestamps of the last changes by field, to be kept with the attributes.

        Returns:
            The error that leaves it open what happened, or says conflict; `None` when Emporix took the changes.

        Raises:
            EmporixError: Emporix has certainly not taken them, and will not.
        """
        if outgrows(changes, base):
            raise ContextFull(OPERATION, None, "the session context would be too large to be read: remove attributes")
        job.begins_attempt()
        fenced = self.entries.with_siblings(job.entry)
        with self.entries.written(fenced):
            error = await self._outcome(job, changes.body(base, receipts))
        job.answered(None if error is None else error.status)
        for entry in fenced:
            if error is None:
                entry.note_patch(self.publisher.clock.monotonic())
            else:
                entry.expire()  # what is known is proven old, or may be
        return error

    async def _outcome(self, job: Job, body: dict[str, object]) -> EmporixError | None:
        try:
            await self.source.patch(job.token, body, Caller(job.entry.owner, _nobody))
        except (ChangeRefused, TooManyRequests, EmporixNotAsked):
            raise
        except TokenRejected:
            self.publisher.reject(job.entry)
            await self.sharing.reject(job.entry)
            raise
        except EmporixError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever a source does, the change may have been taken
            _log.error("%s failed unexpectedly: %s", OPERATION, type(error).__name__)
            return EmporixFailed(OPERATION, None, f"unexpected {type(error).__name__}")
        return None


def _nobody() -> None:
    """Nobody wants to know when a PATCH leaves."""
