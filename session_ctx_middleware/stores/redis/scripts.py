"""Lua scripts, each of which Redis runs atomically.

Each but `READ` touches one key: in a cluster, all keys of a script have to be in one hash slot. They are called by
their SHA1 digest (``EVALSHA``); a server that does not know one is sent the text (``EVAL``).

A document's hash holds ``identity``, ``floor``, and where there is a document ``version``, ``payload``, ``age`` (when
it was saved), ``lifetime`` and ``session`` (the name of its session). ``total`` is what the time to live of the hash
was counted down from: the time since the document was saved is ``total`` minus what is left (``PTTL``), so that only
the clock of Redis counts. All times are milliseconds.

A parked change is one field of a hash, named by its path: ``[format, at, operation id, payload, era]``. What somebody
else has put in the place of a number counts as nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = [
    "ANNOUNCE",
    "DROP_PARKED",
    "FLOOR",
    "FORGET",
    "GET",
    "PARK",
    "PUT",
    "READ",
    "UNPARK",
    "Command",
    "ReadAnswer",
    "Script",
    "in_full",
    "loading",
]

Command: TypeAlias = tuple[str | bytes | int | float, ...]

FORGET: Final = ("version", "payload", "age", "lifetime", "session")
"""Fields that are deleted with a document: its floor stays, so that a slow worker does not bring it back."""


@dataclass(frozen=True, slots=True, repr=False)
class Script:
    """A script, and how to call it.

    Args:
        text: in Lua.
        sha: the SHA1 digest of the text.
    """

    text: str
    sha: str

    def __call__(self, key: str, *arguments: str | bytes | float) -> Command:
        """Return the command that runs it on a key."""
        return ("EVALSHA", self.sha, 1, key, *arguments)

    def on(self, *keys: str, with_: tuple[str, ...] = ()) -> Command:
        """Return the command that runs it on some keys, with some arguments."""
        return ("EVALSHA", self.sha, len(keys), *keys, *with_)


_BY_SHA: Final[dict[str, Script]] = {}


def _script(text: str) -> Script:
    script = Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    _BY_SHA[script.sha] = script
    return script


def loading() -> list[Command]:
    """Return the commands that make all scripts known to a server."""
    return [("SCRIPT", "LOAD", script.text) for script in _BY_SHA.values()]


def in_full(command: Command) -> Command:
    """Return a command with the text of its script, for a server that does not know it yet."""
    if command[0] != "EVALSHA":
        return command
    return ("EVAL", _BY_SHA[str(command[1])].text, *command[2:])


PUT: Final = _script("""
local identity, version, payload, age, lifetime, session = unpack(ARGV)
local old = redis.call('HMGET', KEYS[1], 'identity', 'floor', 'version', 'age', 'total')
local total, floor = tonumber(lifetime), false
if old[1] == identity then
  local left = redis.call('PTTL', KEYS[1])
  floor = old[2]
  if (tonumber(floor) or -1) > tonumber(version) then return 0 end
  local known, aged = tonumber(old[3]), (tonumber(old[4]) or 0) + (tonumber(old[5]) or 0) - left
  if known then
    if known > tonumber(version) or (known == tonumber(version) and aged < tonumber(age)) then return 0 end
  end
  if left > total then total = left end
end
redis.call('HSET', KEYS[1], 'identity', identity, 'version', version, 'payload', payload, 'age', age,
  'lifetime', lifetime, 'session', session, 'total', string.format('%.0f', total))
if not floor then redis.call('HDEL', KEYS[1], 'floor') end
redis.call('PEXPIRE', KEYS[1], total)
return 1
""")
"""Save a document unless a later one, or a floor above it, is kept: identity, version, payload, age, lifetime, name of
its session."""

GET: Final = _script("""
local found = redis.call('HMGET', KEYS[1], 'identity', 'floor', 'total', 'version', 'payload', 'age', 'lifetime')
found[8] = redis.call('PTTL', KEYS[1])
return found
""")
"""Read a document and the time it has left."""

READ: Final = _script("""
local found = redis.call('HMGET', KEYS[1], 'floor', 'total', 'version', 'age', 'lifetime', 'identity', 'session',
  'payload')
local session, on_session = found[7] or '', 1
if session ~= '' then on_session = redis.call('EXISTS', ARGV[1] .. session) end
local number = tonumber(redis.call('GET', KEYS[2]) or 0) or 0
return table.concat({
  found[1] or '-', found[2] or '-', found[3] or '-', found[4] or '-', found[5] or '-', redis.call('PTTL', KEYS[1]),
  string.format('%.0f', number), redis.call('EXISTS', KEYS[3]), on_session,
  found[6] and #found[6] or '-', #session
}, ' ') .. '\\n' .. (found[6] or '') .. session .. (found[8] or '')
""")
"""Read at once, on a single server, what a token needs that is new in this process: its document, the time it has left,
the number of the last notice, and whether anything is parked for the token (its key) or for the session of the document
(how keys of parked changes begin). All of it is one string (`ReadAnswer`), which a client parses faster than a list."""


@dataclass(frozen=True, slots=True, repr=False)
class ReadAnswer:
    """The answer to `READ`.

    Args:
        found: as `GET` returns it.
        number: of the last notice.
        session: the name of the session of the document, empty where it is not known.
        on_token: whether anything is parked for the token.
        on_session: whether anything is parked for the session.
    """

    found: tuple[bytes | int | None, ...]
    number: int
    session: str
    on_token: bool
    on_session: bool

    @classmethod
    def parse(cls, answer: bytes | str) -> ReadAnswer:
        """Parse an answer of Redis; `ValueError` where it is none."""
        raw = answer.encode() if isinstance(answer, str) else answer
        head, _, rest = raw.partition(b"\n")
        *fields, left, number, on_token, on_session, of_identity, of_session = head.split(b" ")
        floor, total, version, age, lifetime = (None if field == b"-" else field for field in fields)
        known = of_identity != b"-"
        at = int(of_identity) if known else 0
        end = at + int(of_session)
        identity, session, payload = rest[:at] if known else None, rest[at:end].decode(), rest[end:]
        found = (identity, floor, total, version, payload, age, lifetime, int(left))
        return cls(found, int(number), session, on_token != b"0", on_session != b"0")


FLOOR: Final = _script("""
local identity, floor, lifetime = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local old = redis.call('HMGET', KEYS[1], 'identity', 'floor', 'version', 'total')
local total, left = 0, 0
if old[1] == identity then
  total, left = tonumber(old[4]) or 0, redis.call('PTTL', KEYS[1])
  floor = math.max(floor, tonumber(old[2]) or -1)
  if (tonumber(old[3]) or -1) < floor then
    redis.call('HDEL', KEYS[1], 'version', 'payload', 'age', 'lifetime', 'session')
  end
else
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], 'identity', identity, 'floor', string.format('%.0f', floor))
if lifetime > left then
  redis.call('HSET', KEYS[1], 'total', string.format('%.0f', total + lifetime - left))
  redis.call('PEXPIRE', KEYS[1], lifetime)
end
return 1
""")
"""Raise a floor: identity, floor, lifetime."""

_CHANGE = """
local function change(text)
  local ok, found = pcall(cjson.decode, text)
  if ok and type(found) == 'table' and type(found[2]) == 'number' then return found end
end
"""

PARK: Final = _script(f"""{_CHANGE}
for i = 2, #ARGV, 4 do
  local at, old = tonumber(ARGV[i + 1]), redis.call('HGET', KEYS[1], ARGV[i])
  local known = old and change(old)
  if not known or known[2] < at or (known[2] == at and tostring(known[3]) <= ARGV[i + 2]) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 3])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
""")
"""Park changes: time to live, then path, time, operation id and field of each; the later one of a path stays, as by
`model.operation.later`."""

UNPARK: Final = _script(f"""{_CHANGE}
local gone = 0
for i = 1, #ARGV, 3 do
  local old = redis.call('HGET', KEYS[1], ARGV[i])
  local known = old and change(old)
  if old and (not known or known[3] == ARGV[i + 2] or known[2] < tonumber(ARGV[i + 1])) then
    gone = gone + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return gone
""")
"""Forget what was sent, and what is earlier: path, time and operation id of each."""

DROP_PARKED: Final = _script(f"""{_CHANGE}
local all, gone = redis.call('HGETALL', KEYS[1]), 0
for i = 1, #all, 2 do
  local known = change(all[i + 1])
  if not known or known[2] <= tonumber(ARGV[1]) then gone = gone + redis.call('HDEL', KEYS[1], all[i]) end
end
return gone
""")
"""Forget what was parked up to a time: for a logout that could not be written when it happened."""

ANNOUNCE: Final = _script("""
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SET', KEYS[1], ARGV[2]) end
local number = redis.call('INCR', KEYS[1])
redis.call('PUBLISH', ARGV[1], '{"seq":' .. string.format('%.0f', number) .. ',' .. ARGV[3])
return number
""")
"""Number a notice and publish it: channel, where to start counting, the rest of the message."""
