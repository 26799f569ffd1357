"""A real nginx that keeps whatever it may, as a proxy in front of an application."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

__all__ = ["caching_proxy"]

START_SECONDS = 30.0
# What no header forbids is kept for ten minutes, errors and redirects too, by the address alone: most set-ups are more
# careful. It runs as whoever starts it, and keeps all its files in one directory.
CONFIG = """
daemon off;
master_process off;
pid {home}/nginx.pid;
error_log {home}/error.log info;
events {{ worker_connections 128; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    proxy_cache_path {home}/pages keys_zone=pages:1m;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{target};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            {rules}
            proxy_cache_valid any 10m;
            proxy_cache_use_stale error timeout updating invalid_header http_500 http_502 http_503;
            proxy_cache_revalidate {revalidate};
            {careless}
            add_header X-Cache $upstream_cache_status always;
        }}
    }}
}}
"""
RULES = "proxy_cache pages; proxy_cache_key $request_uri;"
CARELESS = "proxy_ignore_headers Cache-Control Expires X-Accel-Expires Set-Cookie;"


@asynccontextmanager
async def caching_proxy(
    home: Path, port: int, target: int, *, revalidate: bool = False, careless: bool = False, rules: str = RULES
) -> AsyncIterator[str]:
    """Run nginx in front of a server of this machine, and yield its address.

    Args:
        home: an empty directory, for its configuration and all that it keeps.
        port: where it listens.
        target: the port of the server.
        revalidate: whether what has expired is asked for with a condition.
        careless: whether it keeps what it was told not to keep.
        rules: what it keeps, and under which key.
    """
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if binary is None:
        raise RuntimeError("Install nginx, or run `make test`, which leaves out the tests that need it.")
    config = home / "nginx.conf"
    said = {"revalidate": "on" if revalidate else "off", "careless": CARELESS if careless else "", "rules": rules}
    config.write_text(CONFIG.format(home=home, port=port, target=target, **said))
    process = await asyncio.create_subprocess_exec(
        binary, "-p", str(home), "-c", str(config), "-e", str(home / "error.log"), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await _answers(port, process, home)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answers(port: int, process: asyncio.subprocess.Process, home: Path) -> None:
    async with asyncio.timeout(START_SECONDS), httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                await client.head(f"http://127.0.0.1:{port}/ready")
            except httpx.TransportError:
                if process.returncode is not None:
                    raise RuntimeError((home / "error.log").read_text()) from None
                await asyncio.sleep(0.02)
            else:
                return
