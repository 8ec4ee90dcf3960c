"""The wire between a node's private network and this machine.

Each cluster takes the lowest free number and with it an interface `llop<number>` and two subnets of
198.18.0.0/15, the range that is set aside for testing devices (RFC 2544) and is not routed. Making
the interface is atomic, so its name is the lock: no two clusters get the same number. Interface and
routes vanish with the namespace.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from .errors import ClusterError
from .isolation import Isolation, run

MAX_CLUSTERS = 250


@dataclass(frozen=True)
class Network:
    """Addresses of one cluster."""

    number: int

    @property
    def interface(self) -> str:
        """The host's end of the wire; also the name of the node."""
        return f"llop{self.number}"

    @property
    def host(self) -> str:
        """Address of this machine, as pods reach it."""
        return f"198.18.{self.number}.1"

    @property
    def node(self) -> str:
        """Address of the node: API server, kubelet and cluster DNS listen there."""
        return f"198.18.{self.number}.2"

    @property
    def pods(self) -> str:
        """Subnet of the pods, which this machine can reach too."""
        return f"198.19.{self.number}.0/24"


def connect(isolation: Isolation) -> Network:
    """Connect the namespace with the host; raises ClusterError when no number is free."""
    taken = run(["ip", "-4", "route", "show", "table", "all"])
    for number in range(MAX_CLUSTERS):
        network = Network(number)
        if any(f"198.{net}.{number}." in taken for net in (18, 19)):
            continue
        if _make_wire(network, isolation.pid):
            _configure(network, isolation)
            return network
    raise ClusterError(f"{MAX_CLUSTERS} clusters use all of 198.18.0.0/15", "End some of them")


def disconnect(network: Network) -> None:
    """Remove the wire, if it is still there."""
    with contextlib.suppress(ClusterError):
        run(["ip", "link", "delete", network.interface])


def save(network: Network, file: Path) -> None:
    """Note the number, for `down` in another process."""
    file.write_text(json.dumps({"number": network.number}))


def load(file: Path) -> Network | None:
    """The network noted in `file`, None when there is none."""
    try:
        return Network(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None


def _make_wire(network: Network, pid: int) -> bool:
    peer = ("peer", "name", "eth0", "netns", str(pid))
    try:
        run(["ip", "link", "add", network.interface, "type", "veth", *peer])
    except ClusterError as problem:
        if "File exists" in problem.message:
            return False
        raise
    return True


def _configure(network: Network, isolation: Isolation) -> None:
    name, inside = network.interface, isolation.network_only
    run(["ip", "address", "add", f"{network.host}/30", "dev", name])
    run(["ip", "link", "set", name, "up"])
    run([*inside, "ip", "link", "set", "lo", "up"])
    run([*inside, "ip", "address", "add", f"{network.node}/30", "dev", "eth0"])
    run([*inside, "ip", "link", "set", "eth0", "up"])
    run([*inside, "ip", "route", "add", "default", "via", network.host])
    run([*inside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
    run(["ip", "route", "add", network.pods, "via", network.node])
