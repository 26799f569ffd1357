"""What `RedisStore` takes and what it refuses; no server is needed."""

from __future__ import annotations

import base64
import secrets
import subprocess
import sys
from typing import Any

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from session_ctx_middleware.errors import ConfigurationError
from session_ctx_middleware.stores.redis import RedisStore

KEY = secrets.token_bytes(32)
QUICK: dict[str, Any] = {"socket_timeout": 0.05, "socket_connect_timeout": 0.5, "retry": Retry(NoBackoff(), 0)}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://localhost",
        "redis:/localhost",
        "redis+sentinel://localhost:26379",
        "redis+sentinel:///service",
        "redis+sentinel://localhost:x/service",
        "redis+sentinel://localhost/service/x",
        "redis://localhost:port",
        "redis://localhost?socket_read_size=x",
        "redis+cluster://",
        "mysql://user:hunter2@localhost",
        "redis://user:hunter2@localhost:port",
        "redis://user:hunter2@localhost?unknown_option=1",
    ],
)
def test_bad_urls(url: str) -> None:
    """A URL that cannot work is refused, and not quoted."""
    with pytest.raises(ConfigurationError, match=r"redis\+sentinel://host:26379") as refusal:
        RedisStore(url)

    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "rediss://user:secret@redis.example:6380/3?ssl_cert_reqs=none",
        "unix:///run/redis.sock?db=1",
        "redis+sentinel://:secret@one:26379,two/service/1",
        "rediss+sentinel://one/service",
        "redis+cluster://user:secret@one:6379",
        "rediss+cluster://one",
    ],
)
def test_good_urls(url: str) -> None:
    """Every form of URL is understood."""
    assert repr(RedisStore(url)) == "<RedisStore session-ctx>"


@pytest.mark.parametrize(
    "client",
    [
        Redis(),
        Redis(socket_timeout=1, socket_connect_timeout=1),
        Redis(socket_timeout=None, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)),
        Redis(socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 1)),
        RedisCluster(host="localhost", socket_timeout=1, socket_connect_timeout=1),
        RedisCluster(host="localhost", socket_timeout=None, retry=Retry(NoBackoff(), 0)),
    ],
    ids=range(6),
)
def test_slow_clients(client: Any) -> None:
    """A client that could keep pages waiting is refused."""
    with pytest.raises(ConfigurationError, match=r"socket_timeout=0.2.*retry=Retry\(NoBackoff\(\), 0\)"):
        RedisStore(client)


@pytest.mark.parametrize(
    "client", [Redis(**QUICK), Redis(unix_socket_path="/x", **QUICK), RedisCluster(host="localhost", **QUICK)]
)
def test_quick_clients(client: Any) -> None:
    """A client that is quick is taken."""
    RedisStore(client)


@pytest.mark.parametrize("client", [None, 1, b"redis://localhost", Redis, object()])
def test_anything_else_is_refused(client: Any) -> None:
    """Anything else is refused."""
    with pytest.raises(ConfigurationError, match="needs a URL"):
        RedisStore(client)


@pytest.mark.parametrize(
    "options",
    [
        {"namespace": ""},
        {"namespace": "a{b}"},
        {"namespace": "a b"},
        {"namespace": None},
        {"budget": 0},
        {"budget": True},
        {"budget": "1"},
        {"budget": float("nan")},
        {"max_connections": 0},
        {"max_connections": 1.5},
        {"encryption_key": b"too short"},
        {"encryption_key": "not base64 at all!"},
        {"encryption_key": "ü"},
        {"encryption_key": base64.b64encode(b"too short").decode()},
        {"encryption_key": []},
        {"encryption_key": 7},
        {"encryption_key": [KEY, None]},
    ],
)
def test_bad_options(options: dict[str, Any]) -> None:
    """Options that cannot work are refused."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        RedisStore("redis://localhost", **options)


@pytest.mark.parametrize(
    ("missing", "statement", "extra"),
    [
        ("redis", "import session_ctx_middleware.stores.redis", "[redis]"),
        (
            "cryptography",
            "from session_ctx_middleware.stores.redis import RedisStore as R; R('redis://x', encryption_key=b'1' * 32)",
            "[encryption]",
        ),
    ],
)
def test_missing_package(missing: str, statement: str, extra: str) -> None:
    """A missing package is named with its extra."""
    code = f"import sys; sys.modules[{missing!r}] = None; import session_ctx_middleware; {statement}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert extra in done.stderr.splitlines()[-1]
    assert "During handling" not in done.stderr


def test_the_package_does_without_redis() -> None:
    """The package does without Redis."""
    code = "import session_ctx_middleware, sys; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
