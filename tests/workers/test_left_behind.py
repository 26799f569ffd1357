"""Nothing that a test or the siege has started outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHIN = 60.0
SIEGE = """
import sys
from pathlib import Path
from tests.support.redis_server import RedisServer
from tests.workers.fleet import Program

sleeper = Program(["timeit", "-n", "1", "-r", "1", "import time; time.sleep(600)"], Path(sys.argv[1]))
server = RedisServer().start()
print(sleeper.pid, server.pid, flush=True)
sys.stdin.read()
"""


def runs(pid: int) -> bool:
    """Tell whether a process does anything; one that has ended may wait for somebody who asks how."""
    with suppress(OSError):
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text("utf-8")
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return sys.platform != "linux"


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_killed(tmp_path: Path, how: signal.Signals) -> None:
    """Whoever is killed leaves neither workers nor a Redis behind."""
    command = (sys.executable, "-c", SIEGE, str(tmp_path / "log"))
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as siege:
        assert siege.stdout is not None
        pids = [int(word) for word in siege.stdout.readline().split()]
        assert [runs(pid) for pid in pids] == [True, True]

        siege.send_signal(how)

    until = time.monotonic() + WITHIN
    while any(map(runs, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    left = [pid for pid in pids if runs(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
