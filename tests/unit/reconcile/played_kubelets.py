"""What kubelets answer when the log of a pod is asked for."""

from __future__ import annotations

from aiohttp import web
from tests.unit.runtime.fake_api import FakeApi, Fault


class Kubelets:
    """Answers requests for logs with `fault`; `asked` holds the query of each.

    `before` is the answer of the run before, where it is another one.
    """

    def __init__(self, server: FakeApi, log: bytes) -> None:
        server.fault = self._answer
        self.asked: list[dict[str, str]] = []
        self.fault = Fault(raw=log)
        self.before: Fault | None = None

    def say(self, text: str) -> None:
        """Answer with another log from now on."""
        self.fault = Fault(raw=text.encode())

    def _answer(self, request: web.Request) -> Fault | None:
        if not request.path.endswith("/log"):
            return None
        self.asked.append({"pod": request.path.split("/")[-2], **request.query})
        return self.before if self.before and "previous" in request.query else self.fault
