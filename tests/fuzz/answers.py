"""Answers of every kind, most of them wrong."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

from hypothesis import strategies as st

from .support import CANARY, Reply

TOKEN = "token"
LIMIT = 256 * 1024


def document(version: int = 3, **fields: object) -> dict[str, Any]:
    return {"sessionId": "s-1", "currency": "EUR", "metadata": {"version": version}, **fields}


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


OLD = Reply(200, encoded(document(3, currency="OLD")))
NEW = Reply(200, encoded(document(4, currency="NEW")))
wrong = st.one_of(
    st.just(CANARY),
    st.text(max_size=5),
    st.integers(-3, 3),
    st.floats(allow_nan=False),
    st.booleans(),
    st.lists(st.just(CANARY), max_size=2),
    st.dictionaries(st.just(CANARY), st.just(CANARY), max_size=1),
    st.none(),
)
KEYS = [
    "sessionId",
    "customerId",
    "siteCode",
    "currency",
    "language",
    "targetLocation",
    "cartId",
    "context",
    "metadata",
]
no_version = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(max_value=-1),
    st.integers(2**53, 2**70),
    st.floats(allow_nan=False).filter(lambda number: not number.is_integer() or number < 0),
    st.sampled_from(["-3", "3.0", "", CANARY, [3], {"version": 3}]),
)
RAW_VERSIONS = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e400",
    b"3.5",
    b"-1",
    b"9" * 5000,
    b"0x3",
    b"03",
    b"+3",
    b"",
]
EVIL_VALUES = [b"NaN", b"-Infinity", b"1e400", b"9" * 5000, b"[" * 70 + b"]" * 70, b"[" * 100_000 + b"]" * 100_000]


def of_another_type(key: str) -> st.SearchStrategy[bytes]:
    """A document whose `key` has a value of a type that it must not have."""
    fits: tuple[type, ...] = (dict,) if key in {"context", "metadata"} else (str,)
    return wrong.filter(lambda value: value is not None and not isinstance(value, fits)).map(
        lambda value: encoded(document(context={"x": CANARY}) | {key: value})
    )


odd_values = st.one_of(
    st.sampled_from([key for key in KEYS if key != "metadata"]).flatmap(of_another_type),
    st.sampled_from(EVIL_VALUES).map(lambda raw: b'{"metadata": {"version": 3}, "x": ' + raw + b"}"),
    st.sampled_from(EVIL_VALUES).map(lambda raw: b'{"metadata": {"version": 3}, "context": {"a": ' + raw + b"}}"),
)
malformed = st.one_of(
    st.sampled_from(
        [b"", b"null", b"[]", b'"' + CANARY.encode() + b'"', b"<html>" + CANARY.encode(), b"\xff\xfe", b"3"]
    ),
    of_another_type("metadata"),
    no_version.map(lambda version: encoded(document(x=CANARY, metadata={"version": version}))),
    st.sampled_from(RAW_VERSIONS).map(
        lambda raw: b'{"x": "' + CANARY.encode() + b'", "metadata": {"version": ' + raw + b"}}"
    ),
    st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b'{"metadata": {"version": 3}, "x": ' + b"[" * 100_000]),
    st.sampled_from([encoded(document())[:-1], encoded(document()) + b"x", encoded(document()).replace(b'"', b"'")]),
    st.sampled_from([LIMIT + 1, 10**6]).map(lambda size: encoded(document(x=CANARY)).ljust(size)),
    # The last of two equal keys counts, as for every JSON parser that a shop is likely to meet.
    st.just(b'{"metadata": {"version": 3}, "metadata": {"version": "' + CANARY.encode() + b'"}}'),
)
odd_texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["\ud800", "\udfff\ud800", "\x00", "€", "𝄞", "x" * 5000, CANARY, "\u2028", ""]),
)
odd_documents = st.builds(
    lambda texts, attributes, version: encoded({**texts, "context": attributes, "metadata": {"version": version}}),
    st.dictionaries(st.sampled_from([*KEYS[:-2], "unknown", "\ud800"]), st.one_of(odd_texts, st.none()), max_size=4),
    st.dictionaries(odd_texts, st.one_of(odd_texts, wrong), max_size=3),
    st.integers(0, 2**53 - 1),
)
bodies = st.one_of(
    malformed, odd_values, odd_documents, st.binary(max_size=40), st.just(encoded({"sessionId": CANARY}))
)
retry_after = st.tuples(
    st.just(b"retry-after"),
    st.one_of(
        st.sampled_from(
            [b"0", b"-1", b"1", b"30", b"99999999999", b"1e9", b"nan", b"inf", b" 5 ", b"5, 6", b"", b"0.5"]
        ),
        st.sampled_from(
            [b"Wed, 21 Oct 2015 07:28:00 GMT", b"Fri, 31 Dec 9999 23:59:59 GMT", b"Thu, 99 Foo 99999 99:99"]
        ),
        st.binary(max_size=30),
    ),
)
content_type = st.tuples(
    st.just(b"content-type"),
    st.sampled_from([b"text/html", b"application/json; charset=utf-16", b"; charset=nope", b"\xff", b""]),
)
location = st.tuples(
    st.just(b"location"),
    st.one_of(
        st.sampled_from(
            [b"/", b"//", b"http://", b"http://[", b"https://x:99999/", b"file:///etc/passwd", b"\xff\xfe"]
        ),
        st.sampled_from(["http://ü.x/".encode(), b"http://a..b/", b"http://x/" + b"a" * 70_000, b"\x00"]),
        st.binary(max_size=20),
    ),
)
set_cookie = st.tuples(
    st.just(b"set-cookie"),
    st.one_of(st.just(b"a=" + CANARY.encode()), st.text(st.characters(max_codepoint=127), max_size=20).map(str.encode)),
)
content_length = st.tuples(
    st.just(b"content-length"), st.sampled_from([b"0", b"-1", b"9" * 30, b"x", "٣".encode(), b""])
)
headers = st.lists(
    st.one_of(retry_after, content_type, location, set_cookie, st.tuples(st.just(b"x-a"), st.just(CANARY.encode()))),
    max_size=4,
).map(tuple)
statuses = st.one_of(
    st.integers(100, 599), st.sampled_from([200, 201, 204, 301, 302, 304, 400, 401, 403, 404, 409, 412, 422, 429, 503])
)


def gzipped(body: bytes, headers: tuple[tuple[bytes, bytes], ...] = (), *, times: int = 1) -> Reply:
    for _ in range(times):
        body = gzip.compress(body, mtime=0)
    return Reply(200, body, (*headers, (b"content-encoding", b", ".join([b"gzip"] * times))))


def encoded_badly(body: bytes, encoding: bytes) -> Reply:
    return Reply(200, body, ((b"content-encoding", encoding),))


broken_encodings = st.one_of(
    st.builds(encoded_badly, st.binary(min_size=1, max_size=30), st.sampled_from([b"gzip", b"deflate", b"gzip, gzip"])),
    st.integers(5, 30).map(lambda cut: encoded_badly(gzip.compress(OLD.body, mtime=0)[:cut], b"gzip")),
    st.integers(5, 30).map(lambda cut: encoded_badly(zlib.compress(OLD.body)[:cut], b"deflate")),
    st.just(gzipped(b" " * 2_000_000)),
)
malformed_replies = st.one_of(
    st.builds(Reply, st.just(200), malformed, st.sampled_from([(), ((b"content-type", b"application/json"),)])),
    malformed.map(gzipped),
    broken_encodings,
    st.builds(Reply, st.just(200), malformed, st.tuples(content_length)),
)
failing_replies = st.builds(
    Reply,
    statuses.filter(lambda status: status not in {200, 401, 403, 404}),
    bodies,
    headers,
    st.sampled_from([1, 65_536]),
)
any_reply = st.one_of(st.builds(Reply, statuses, bodies, headers), malformed_replies)
