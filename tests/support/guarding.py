"""The guard as an engine has it: loaded under its own name, before an application that is played."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from llama_operator import guard

FILE = guard.FILE
Message = dict[str, Any]
App = Callable[..., Awaitable[None]]


def load() -> Any:
    """The guard's module, loaded once: its metrics are registered for the whole process."""
    if guard.MODULE not in sys.modules:
        spec = importlib.util.spec_from_file_location(guard.MODULE, FILE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[guard.MODULE] = module
        with mock.patch.dict(os.environ, {guard.KEYS_VARIABLE: guard.NO_KEYS}):
            spec.loader.exec_module(module)
    return sys.modules[guard.MODULE]


def write_secret(mount: Path, entries: Mapping[str, str], name: str) -> None:
    """Write entries as the kubelet does: a directory of its own, then the link turned to it."""
    data = mount / f"..{name}"
    data.mkdir(parents=True)
    for entry, key in entries.items():
        (data / entry).write_text(key)
        if not (mount / entry).is_symlink():
            (mount / entry).symlink_to(Path("..data") / entry)
    link = mount / "..data_tmp"
    link.symlink_to(data.name)
    link.replace(mount / "..data")
    for shown in mount.iterdir():
        if not shown.name.startswith("..") and not shown.exists():
            shown.unlink()


@dataclass
class Engine:
    """An ASGI application that answers all that it is asked, and keeps what it was asked."""

    chunks: tuple[bytes, ...] = (b'{"ok": true}',)
    status: int = 200
    seen: list[Message] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)

    async def __call__(self, scope: Message, _: Any, send: Any) -> None:
        self.seen.append(scope)
        if scope["type"] != "http":
            return
        last = len(self.chunks) - 1
        self.sent = [
            {"type": "http.response.start", "status": self.status, "headers": []},
            *(
                {"type": "http.response.body", "body": chunk, "more_body": number < last}
                for number, chunk in enumerate(self.chunks)
            ),
        ]
        for message in self.sent:
            await send(message)


def scope(
    method: str = "GET",
    path: str = "/v1/models",
    headers: Iterable[tuple[str, str]] = (),
    **more: Any,
) -> Message:
    """What a server hands to its application."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    kind = {"type": "http", "method": method} if method != "WEBSOCKET" else {"type": "websocket"}
    return {**kind, "path": path, "headers": raw, **more}


async def ask(app: App, request: Message, body: Iterable[bytes] = ()) -> list[Message]:
    """All messages of the answer, to a body that comes in parts; what is not read stays in it."""
    answer: list[Message] = []
    parts = iter(body)

    async def receive() -> Message:
        part = next(parts, None)
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}

    async def send(message: Message) -> None:
        answer.append(message)

    await app(request, receive, send)
    return answer
