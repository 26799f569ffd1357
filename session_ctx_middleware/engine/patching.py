"""One PATCH: behind a fence, in a task that nobody cancels, with every way in which it can end."""

from __future__ import annotations

import asyncio
import logging

from ..clock import Clock, wait
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
from .entry import Entry
from .job import Job
from .ports import ContextSource
from .reads import Reads
from .sharing import Sharing

__all__ = ["Patching"]

_log = logging.getLogger("session_ctx_middleware")


class Patching:
    """Sends PATCH calls.

    Args:
        source: Emporix.
        table: finds the other tokens of a session.
        reader: forgets a token that is refused.
        shelf: lets other processes know.
        tasks: runs the calls.
        clock: where timers come from.
        max_age: seconds after which a call that hangs is left behind.
    """

    def __init__(
        self,
        source: ContextSource,
        table: Entries,
        reader: Reads,
        shelf: Sharing,
        tasks: Tasks,
        clock: Clock,
        max_age: float,
    ) -> None:
        self._source = source
        self._table = table
        self._reader = reader
        self._shelf = shelf
        self._tasks = tasks
        self._clock = clock
        self._max_age = max_age

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
        job.attempts += 1
        fenced = (job.entry, *self._table.siblings(job.entry))
        for entry in fenced:
            entry.fence()
            entry.writers += 1
        try:
            await self._call(job.token, changes.body(base))
        except (ChangeRefused, TooManyRequests, EmporixNotAsked):
            raise
        except TokenRejected:
            self._reader.reject(job.entry)
            await self._shelf.reject(job.entry)
            raise
        except EmporixError as error:
            job.status = error.status
            self._doubt(fenced)
            return error
        except Exception as error:  # noqa: BLE001 - whatever a source does, the change may have been taken
            _log.error("context.patch failed unexpectedly: %s", type(error).__name__)
            self._doubt(fenced)
            return EmporixFailed("context.patch", None, f"unexpected {type(error).__name__}")
        finally:
            for entry in fenced:
                entry.fence()
                entry.writers -= 1
        job.status = None
        return None

    async def _call(self, token: str, body: dict[str, object]) -> None:
        """Make the PATCH call in a task of its own: one that hangs is left behind, and the session goes on."""
        answer: asyncio.Future[Exception | str | None] = asyncio.get_running_loop().create_future()

        async def call() -> None:
            outcome: Exception | str = "taken"
            try:
                await self._source.patch(token, body)
            except Exception as error:  # noqa: BLE001 - raised below, where it is waited for
                outcome = error
            finally:
                if not answer.done():
                    answer.set_result(outcome)

        self._tasks.spawn(call())
        outcome: Exception | str | None = await wait(answer, self._max_age, self._clock)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:
            raise EmporixUnreachable("context.patch", None, "the call hangs")

    def _doubt(self, entries: tuple[Entry, ...]) -> None:
        """Have the next read ask Emporix: what is known is proven old, or may be."""
        for entry in entries:
            entry.expire()
