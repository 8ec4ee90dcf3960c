"""The node's container runtime: Debian's containerd and runc with a state of their own."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

from . import tools
from .errors import ClusterError
from .images import Image, archive, qualified
from .isolation import Isolation
from .network import Network
from .processes import Command, Processes

SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "local/pause:1"
START_SECONDS = 30.0
CONFIG = """\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
# These create directories in /opt or look for devices that a test node does not have.
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
# Root without CAP_SYS_RESOURCE may not lower the score; runc then says only "EOF".
restrict_oom_score_adj = true
disable_hugetlb_controller = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{cni}"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.host-python]
runtime_type = "io.containerd.runc.v2"
base_runtime_spec = "{spec}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.host-python.options]
SystemdCgroup = false
"""


class Containerd:
    """Configures, starts and feeds the runtime."""

    def __init__(self, directory: Path, processes: Processes, isolation: Isolation) -> None:
        self._directory = directory
        self._processes = processes
        self._isolation = isolation

    def start(self, network: Network, host_python_spec: dict[str, Any]) -> None:
        """Start containerd; returns once it answers and the pause image is there."""
        spec, cni = self._directory / "host-python.json", self._directory / "cni"
        spec.write_text(json.dumps(host_python_spec))
        cni.mkdir()
        (cni / "10-pods.conflist").write_text(json.dumps(_pod_network(network)))
        config = self._directory / "containerd.toml"
        values = {"socket": SOCKET, "pause": qualified(PAUSE_IMAGE), "cni": cni, "spec": spec}
        config.write_text(CONFIG.format(**values, snapshotter=self._snapshotter()))
        argv = (*self._isolation.inside, "containerd", "--config", str(config))
        self._processes.start(Command("containerd", argv))
        self._await()
        pause = {"/pause": tools.path_of("pause")}
        self.add(Image(PAUSE_IMAGE, entrypoint=["/pause"], programs=pause))

    def add(self, image: Image) -> None:
        """Build and load an image."""
        tar = self._directory / "image.tar"
        tar.write_bytes(archive(image))
        self.load(image.name, tar)
        tar.unlink()

    def load(self, name: str, tar: Path) -> None:
        """Load an image archive and give it `name`, whatever name it carries."""
        output = self.ctr("images", "import", str(tar.absolute()), timeout=600.0)
        found = re.search(r"unpacking (\S+)", output)
        if not found:
            raise ClusterError(f"no image in {tar}: {output}")
        if found[1] != qualified(name):
            self.ctr("images", "tag", "--force", found[1], qualified(name))

    def ctr(self, *arguments: str, timeout: float = 60.0) -> str:
        """Output of containerd's own client in the namespace that the kubelet uses."""
        client = ("ctr", "--address", SOCKET, "--namespace", "k8s.io")
        return self._isolation.run([*client, *arguments], timeout=timeout)

    def _await(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.ctr("version", timeout=10.0)
                return
            except ClusterError as problem:
                self._processes.require_alive()
                if time.monotonic() > deadline:
                    tail = self._processes.tail("containerd")
                    raise ClusterError(f"{problem.message}\n{tail}") from problem
                time.sleep(0.1)

    def _snapshotter(self) -> str:
        """`overlayfs` where the state directory's file system can carry it (not on an overlay)."""
        probe = "d=$(mktemp -d /var/lib/containerd/probe.XXXX); cd $d; mkdir l u w m; "
        mount = "mount -t overlay -o lowerdir=l,upperdir=u,workdir=w overlay m && umount m"
        try:
            self._isolation.run(["sh", "-c", f"{probe} {mount}; r=$?; cd /; rm -rf $d; exit $r"])
        except ClusterError:
            return "native"
        return "overlayfs"


def _pod_network(network: Network) -> dict[str, Any]:
    # Point to point instead of a bridge: every packet is routed, so that Service addresses work
    # without the br_netfilter module.
    ipam = {"type": "host-local", "subnet": network.pods, "routes": [{"dst": "0.0.0.0/0"}]}
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
