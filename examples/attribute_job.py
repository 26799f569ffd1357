"""A job that sets one attribute in many sessions, in the background of a shop: with progress, and resumable.

    EMPORIX_CLIENT_ID=... EMPORIX_CLIENT_SECRET=... python -m examples.attribute_job sessions.txt campaign spring

`sessions.txt` has one session id per line. What is done is noted in `sessions.txt.done`, so that a job that was
stopped, or for which Emporix was away, goes on where it was when it is started again. No shopper's token is needed:
the service token has the scope ``sessioncontext.context_manage``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TextIO

from session_ctx_middleware import ContextNotFound, EmporixError, TooManyRequests
from session_ctx_middleware.emporix import ManagedContextClient, ServiceToken

AT_ONCE: Final = 8
ATTEMPTS: Final = 3
LONGEST_PAUSE: Final = 60.0
EVERY: Final = 1000


class Job:
    """Sets an attribute, session by session.

    Args:
        contexts: makes the calls.
        key: of the attribute.
        value: of the attribute.
        done: the file that says what is done already.
    """

    def __init__(self, contexts: ManagedContextClient, key: str, value: str, done: Path) -> None:
        self._contexts = contexts
        self._key, self._value = key, value
        self._path = done
        self._done = set(done.read_text().split()) if done.exists() else set()
        self.outcomes: Counter[str] = Counter()

    async def run(self, session_ids: Iterable[str]) -> None:
        """Do what is left to do of a list, some sessions at a time."""
        left = (each for each in dict.fromkeys(session_ids) if each not in self._done)
        with self._path.open("a") as done:
            await asyncio.gather(*(self._work(left, done) for _ in range(AT_ONCE)))
        self._tell()

    async def _work(self, session_ids: Iterator[str], done: TextIO) -> None:
        for session_id in session_ids:  # all workers take from one list
            outcome = await self._set(session_id)
            if outcome != "left":
                print(session_id, file=done, flush=True)
            self.outcomes[outcome] += 1
            if self.outcomes.total() % EVERY == 0:
                self._tell()

    async def _set(self, session_id: str) -> str:
        """Return what became of one session: ``set``, ``gone``, or ``left`` for the next time."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._contexts.add_attribute(session_id, self._key, self._value)
            except ContextNotFound:
                return "gone"  # the session has ended, or has no cart yet
            except TooManyRequests as error:
                await asyncio.sleep(min(error.retry_after or attempt, LONGEST_PAUSE))
            except EmporixError:
                await asyncio.sleep(attempt)  # setting it twice does no harm
            else:
                return "set"
        return "left"

    def _tell(self) -> None:
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        sys.stdout.write(f"{told or 'nothing to do'}\n")


async def main(session_ids: Iterable[str], done: Path, key: str, value: str) -> int:
    """Run the job; the exit status says whether anything is left."""
    tenant = os.environ.get("EMPORIX_TENANT", "acme")
    base_url = os.environ.get("EMPORIX_BASE_URL", "http://127.0.0.1:8900")
    service_token = ServiceToken(
        tenant,
        client_id=os.environ.get("EMPORIX_CLIENT_ID", "backend"),
        client_secret=os.environ.get("EMPORIX_CLIENT_SECRET", "backend-secret"),
        base_url=base_url,
    )
    async with service_token, ManagedContextClient(tenant, service_token=service_token, base_url=base_url) as contexts:
        job = Job(contexts, key, value, done)
        await job.run(session_ids)
    return 1 if job.outcomes["left"] else 0


if __name__ == "__main__":
    source = Path(sys.argv[1])
    done = source.with_name(f"{source.name}.done")
    raise SystemExit(asyncio.run(main(source.read_text().split(), done, sys.argv[2], sys.argv[3])))
