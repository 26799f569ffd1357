"""How calls go out: one small port, and an adapter for each HTTP library. Nothing else knows which one it is."""

from .bodies import MAX_BODY
from .clients import Clients, OwnClients, clients_for
from .libraries import HttpClient
from .port import CLOSED, FAILED, NOT_SENT, TIMED_OUT, UNUSABLE, Options, Reply, Request, TimeLimitedCall, Transport
from .redaction import CountedHere, kept_out_of_traces

__all__ = [
    "CLOSED",
    "FAILED",
    "MAX_BODY",
    "NOT_SENT",
    "TIMED_OUT",
    "UNUSABLE",
    "Clients",
    "CountedHere",
    "HttpClient",
    "Options",
    "OwnClients",
    "Reply",
    "Request",
    "TimeLimitedCall",
    "Transport",
    "clients_for",
    "kept_out_of_traces",
]
