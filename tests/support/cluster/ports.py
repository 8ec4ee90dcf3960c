"""Free TCP ports that stay ours until the server has taken them.

"Bind to port 0, close, hand the number on" loses races when several clusters start at once. Here
the socket stays bound until the servers answer. It is made shareable only after its own bind: other
holders (who bind unshared first) are refused, while a server that asks for SO_REUSEPORT (etcd and
the API server have a flag for that) gets in. Ports lie below the ephemeral range, so that an
outgoing connection does not take one while its server is being restarted.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ClusterError

RANGE = range(20_000, 32_000)
ATTEMPTS = 200


@contextmanager
def held(count: int, address: str = "127.0.0.1") -> Iterator[list[int]]:
    """Hold `count` free ports of `address`; raises ClusterError when none can be found."""
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            sockets.append(_hold(address))
        yield [holder.getsockname()[1] for holder in sockets]
    finally:
        for holder in sockets:
            holder.close()


def _hold(address: str) -> socket.socket:
    for _ in range(ATTEMPTS):
        holder = socket.socket()
        try:
            holder.bind((address, random.choice(RANGE)))  # noqa: S311 - no secret
        except OSError:
            holder.close()
            continue
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return holder
    raise ClusterError(f"no free port of {address} between {RANGE.start} and {RANGE.stop}")


def listening(pid: int, port: int) -> bool:
    """Whether somebody listens on a TCP port in the network namespace of process `pid`."""
    try:
        table = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    except OSError:
        return False
    # proc_net_tcp: local address is column 1 (hex port last), state column 3, 0A is LISTEN.
    rows = (line.split() for line in table)
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)
