"""Documents and parked changes in Redis or Valkey, for shops on several processes or hosts (extra ``redis``)."""

from .store import RedisStore

__all__ = ["RedisStore"]
