"""A store in this process whose notices travel as those of Redis do."""

from __future__ import annotations

import asyncio

from session_ctx_middleware.clock import Clock
from session_ctx_middleware.stores import Attachment, Listener, MemoryStore, Notice
from session_ctx_middleware.stores.redis.codec import Codec
from session_ctx_middleware.stores.redis.messages import notice_from, notice_text

__all__ = ["Wire"]


class Wire(MemoryStore):
    """Passes notices on as Redis does: as texts, which are read with the clock of who hears them.

    Args:
        memory: whose memory it shares.
        clock: of its host.
    """

    delay = 0.0

    def __init__(self, memory: MemoryStore, clock: Clock) -> None:
        self._open(memory._memory)
        self._codec = Codec(None, clock)

    def attach(self, listener: Listener) -> Attachment:
        def hear(notice: Notice) -> None:
            message = notice_from('{"seq":1,' + notice_text(notice, "somebody", self._codec), self._codec)
            assert message is not None
            asyncio.get_running_loop().call_later(self.delay, listener, message[2])

        return super().attach(hear)
