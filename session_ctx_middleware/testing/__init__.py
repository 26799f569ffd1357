"""FakeEmporix: Emporix for tests and demos, quirks and faults included (extra ``testing`` to run it as a server)."""

from .app import FakeEmporix
from .fake_session import FakeSession
from .faults import Call, Fault
from .quirks import Quirks

__all__ = ["Call", "FakeEmporix", "FakeSession", "Fault", "Quirks"]
