#!/usr/bin/env python3
"""Stands in for `vllm serve` in a container where only the start of a server matters: it is healthy."""

from __future__ import annotations

import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers every path."""

    def do_GET(self) -> None:
        """200, without content."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: probes come every few seconds."""


def main() -> None:
    """Serve on the port of the arguments until told to end."""
    arguments = " ".join(sys.argv).replace("=", " ").split()
    port = int(arguments[arguments.index("--port") + 1])
    # The first process of a container has no default for this signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer(("", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
