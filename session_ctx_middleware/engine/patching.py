"""One PATCH: behind a fence, in a task that nobody cancels, with every way in which it can end."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from ..clock import Clock
from ..errors import (
    ChangeRefused,
    EmporixError,
    EmporixFailed,
    EmporixNotAsked,
    EmporixUnreachable,
    TokenRejected,
    TooManyRequests,
)
from ..model.changes import ContextChanges
from ..model.document import ContextDocument
from ..tasks import Tasks
from .entries import Entries
from .job import Job
from .ports import ContextSource
from .publishing import Publisher
from .sharing import Sharing

__all__ = ["Patching"]

_log = logging.getLogger("session_ctx_middleware")

OPERATION: Final = "context.patch"
TAKEN: Final = "taken"


@dataclass(slots=True, kw_only=True)
class Patching:
    """Sends PATCH calls.

    Args:
        source: Emporix.
        entries: finds the other tokens of a session.
        publisher: forgets a token that is rejected.
        sharing: lets other processes know.
        tasks: runs the calls.
        clock: where timers come from.
        hung_after: seconds after which a call that hangs is left behind.
    """

    source: ContextSource
    entries: Entries
    publisher: Publisher
    sharing: Sharing
    tasks: Tasks
    clock: Clock
    hung_after: float

    async def send(self, job: Job, base: ContextDocument, changes: ContextChanges) -> EmporixError | None:
        """Send one PATCH behind a fence.

        Args:
            job: whose changes.
            base: the document that they are made to.
            changes: what is to be sent.

        Returns:
            The error that leaves it open what happened, or says conflict; `None` when Emporix took the changes.

        Raises:
            EmporixError: Emporix has certainly not taken them, and will not.
        """
        job.begins_attempt()
        fenced = self.entries.with_siblings(job.entry)
        with self.entries.written(fenced):
            error = await self._outcome(job, changes.body(base))
        job.answered(None if error is None else error.status)
        if error is not None:
            for entry in fenced:
                entry.expire()  # what is known is proven old, or may be
        return error

    async def _outcome(self, job: Job, body: dict[str, object]) -> EmporixError | None:
        try:
            await self._call(job.token, body)
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

    async def _call(self, token: str, body: dict[str, object]) -> None:
        """Make the PATCH call in a task of its own: one that hangs is left behind, and the session goes on."""
        cut_short = EmporixUnreachable(OPERATION, None, "the application is shutting down")
        answer = self.tasks.share(self._answer(token, body), otherwise=cut_short)
        outcome = await answer.wait(self.hung_after, self.clock)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:
            raise EmporixUnreachable(OPERATION, None, "the call hangs")

    async def _answer(self, token: str, body: dict[str, object]) -> Exception | str:
        try:
            await self.source.patch(token, body)
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            return error
        return TAKEN
