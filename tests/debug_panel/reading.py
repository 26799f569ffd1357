"""Reading the panel as a developer does: the text of the page, request by request."""

from __future__ import annotations

import re
from html import unescape

import httpx2

__all__ = ["PANEL", "load", "request_texts", "text_of"]

PANEL = "/__session_ctx"


async def load(browser: httpx2.AsyncClient, **headers: str) -> httpx2.Response:
    """Ask for the panel, from this machine, as it is called by default."""
    return await browser.get(PANEL, headers={"Host": "localhost", **headers})


def text_of(html: str) -> str:
    """Return what can be read, with one blank between any two pieces."""
    body = html.partition("<body>")[2]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


async def request_texts(browser: httpx2.AsyncClient) -> list[str]:
    """Return what the panel says of each request, the last one first."""
    answer = await load(browser)
    assert answer.status_code == 200
    requests = answer.text.partition("<ol")[2].partition("</ol>")[0]
    return [text_of(f"<body><a{each}") for each in requests.split("<details")[1:]]
