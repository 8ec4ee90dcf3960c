"""A hub that is never the bottleneck: its bytes lie in memory and go out by sendfile.

Run as a process of its own, so that it shares no interpreter with what is measured. All files have
the same content, one block of memory over and over: nothing is read from the disk that is written
to, and 8 GiB need 64 MiB. It speaks just what `llama-weights` and `hf download` ask of the real one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REPO = "bench/llama"
COMMIT = "b" * 40
BLOCK = 64 << 20
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 512,
    "max_position_embeddings": 2048, "torch_dtype": "bfloat16",
}  # fmt: skip


class Content:
    """The files: a config.json, and shards of repeated blocks."""

    def __init__(self, shards: int, shard_bytes: int) -> None:
        self.config = json.dumps(CONFIG).encode()
        self.block = os.memfd_create("block")
        data = random.Random(1).randbytes(BLOCK)  # noqa: S311
        os.write(self.block, data)
        self.sha256 = _digest(data, shard_bytes)
        names = [f"model-{n:05d}-of-{shards:05d}.safetensors" for n in range(1, shards + 1)]
        self.sizes = dict.fromkeys(names, shard_bytes)

    def tree(self) -> list[dict[str, Any]]:
        """As the tree API lists them."""
        git = hashlib.sha1(f"blob {len(self.config)}\0".encode() + self.config).hexdigest()  # noqa: S324
        listed: list[dict[str, Any]] = [
            {"type": "file", "path": "config.json", "size": len(self.config), "oid": git}
        ]
        for name, size in self.sizes.items():
            large = {"oid": self.sha256, "size": size, "pointerSize": 134}
            listed.append(
                {"type": "file", "path": name, "size": size, "oid": "0" * 40, "lfs": large}
            )
        return listed


def _digest(data: bytes, size: int) -> str:
    digest = hashlib.sha256()
    for start in range(0, size, len(data)):
        digest.update(data[: min(len(data), size - start)])
    return digest.hexdigest()


class Handler(BaseHTTPRequestHandler):
    """One connection; a thread each, and sendfile leaves the interpreter's lock."""

    protocol_version = "HTTP/1.1"
    content: Content

    def do_HEAD(self) -> None:
        """Headers of a file."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """The API, or a file."""
        self._answer(body=True)

    def log_message(self, *_: Any) -> None:
        """Nothing: a line a request would be measured too."""

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        if "/resolve/" in path:
            self._file(path.rpartition("/")[2], body)
        elif "/tree/" in path:
            self._json(self.content.tree(), body)
        elif path.startswith("/api/models/"):
            siblings = [{"rfilename": each["path"]} for each in self.content.tree()]
            self._json({"id": REPO, "sha": COMMIT, "siblings": siblings}, body)
        else:
            self.send_error(404)

    def _json(self, value: Any, body: bool) -> None:
        data = json.dumps(value).encode()
        self._head(200, len(data), {"Content-Type": "application/json"})
        if body:
            self.wfile.write(data)

    def _file(self, name: str, body: bool) -> None:
        small = name == "config.json"
        size = len(self.content.config) if small else self.content.sizes.get(name, -1)
        if size < 0:
            self.send_error(404)
            return
        start, end = self._span(size)
        ranged = "Range" in self.headers
        etag = "c" * 40 if small else self.content.sha256
        extra = {
            "ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes",
            "Content-Type": "binary/octet-stream", "X-Linked-Size": str(size),
            "X-Linked-ETag": f'"{etag}"',
        }  # fmt: skip
        if ranged:
            extra["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        self._head(206 if ranged else 200, end - start, extra)
        if not body:
            return
        if small:
            self.wfile.write(self.content.config[start:end])
        else:
            self._send(start, end)

    def _span(self, size: int) -> tuple[int, int]:
        text = self.headers.get("Range", "").removeprefix("bytes=")
        first, _, last = text.partition("-")
        return int(first or 0), min(size, int(last) + 1) if last else size

    def _head(self, status: int, length: int, extra: dict[str, str]) -> None:
        self.send_response_only(status)
        for key, value in {**extra, "Content-Length": str(length)}.items():
            self.send_header(key, value)
        self.end_headers()

    def _send(self, start: int, end: int) -> None:
        self.wfile.flush()
        for offset, count in _pieces(start, end):
            done = 0
            while done < count:
                left = count - done
                out = self.connection.fileno()
                done += os.sendfile(out, self.content.block, offset + done, left)


def _pieces(start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        offset = start % BLOCK
        count = min(BLOCK - offset, end - start)
        yield offset, count
        start += count


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """A client that has enough closes its connection."""


def main() -> int:
    """Serve until killed; the port is the first line printed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--shard-bytes", type=int, required=True)
    options = parser.parse_args()
    Handler.content = Content(options.shards, options.shard_bytes)
    server = _Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
