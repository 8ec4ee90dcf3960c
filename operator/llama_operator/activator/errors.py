"""Answers that are ours, in the form that OpenAI's clients read."""

from __future__ import annotations

from aiohttp import web

# A start takes minutes; the client's own retry may come sooner and waits again.
RETRY_SECONDS = 30
UNAUTHORIZED = "Unauthorized: no server runs, and one is started for a known API key only"


def answer(status: int, message: str, *, retry: bool = False) -> web.Response:
    """An error of ours; with `retry`, one that passes."""
    body = {"error": {"message": message, "type": "activator", "code": status}}
    headers = {"Retry-After": str(RETRY_SECONDS)} if retry else {}
    return web.json_response(body, status=status, headers=headers)
