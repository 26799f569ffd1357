"""Publish and subscribe within one process, for the store objects that share one memory."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from .protocol import Attachment, Listener, Notice

__all__ = ["NoticeBus", "Subscriber"]


@dataclass(slots=True, eq=False, repr=False)
class _Subscription:
    """Who listens, on one event loop, through one store object."""

    listeners: list[Listener] = field(default_factory=list)
    attachment: Attachment = field(default_factory=Attachment)

    def add(self, listener: Listener) -> Attachment:
        self.listeners.append(listener)
        return self.attachment


class NoticeBus:
    """Passes on what one store object does to everybody else who shares its memory."""

    def __init__(self) -> None:
        self._subscribers: WeakKeyDictionary[Subscriber, None] = WeakKeyDictionary()  # in the order in which they came
        self._lock = threading.Lock()

    def join(self) -> Subscriber:
        """Return a new subscriber, for one store object."""
        subscriber = Subscriber(self)
        with self._lock:
            self._subscribers[subscriber] = None
        return subscriber

    def subscribers(self) -> list[Subscriber]:
        """Return the subscribers of all store objects, in the order in which they came."""
        with self._lock:
            return list(self._subscribers)


class Subscriber:
    """One store object on a bus, with the listeners of its event loops.

    Args:
        bus: that it belongs to.
    """

    def __init__(self, bus: NoticeBus) -> None:
        self._bus = bus
        self._subscriptions: WeakKeyDictionary[asyncio.AbstractEventLoop, _Subscription] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def attach(self, listener: Listener) -> Attachment:
        """Notify a listener, on the running event loop, of what is done elsewhere."""
        loop = asyncio.get_running_loop()
        with self._lock:
            # A listener keeps its loop alive, so a closed loop does not go by itself.
            for closed in [each for each in self._subscriptions if each.is_closed()]:
                del self._subscriptions[closed]
            return self._subscriptions.setdefault(loop, _Subscription()).add(listener)

    def publish(self, notice: Notice) -> None:
        """Notify every listener of other store objects, and of other event loops of this one."""
        running = asyncio.get_running_loop()
        for subscriber in self._bus.subscribers():
            for loop, listener in subscriber.listeners():
                if subscriber is not self or loop is not running:
                    _deliver(loop, listener, notice, running=loop is running)

    def listeners(self) -> list[tuple[asyncio.AbstractEventLoop, Listener]]:
        """Return everybody who listens here, and on which event loop."""
        with self._lock:
            subscriptions = list(self._subscriptions.items())
        return [(loop, listener) for loop, subscription in subscriptions for listener in subscription.listeners]


def _deliver(loop: asyncio.AbstractEventLoop, listener: Listener, notice: Notice, *, running: bool) -> None:
    # Later, even on the running loop: the other engine may be in the middle of something.
    call = loop.call_soon if running else loop.call_soon_threadsafe
    try:
        call(listener, notice)
    except RuntimeError:
        # The loop is closed: nobody reads its cache any more.
        return
