"""Configuration of the kubelet and of the programs beside it: proxy, DNS, devices, volumes."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import tools
from .containerd import SOCKET
from .control_plane import ControlPlane
from .isolation import Isolation
from .network import Network
from .paths import PROJECT
from .processes import Command

DOMAIN = "cluster.local"
COREFILE = """\
{domain}:53 in-addr.arpa:53 {{
  bind {address}
  errors
  kubernetes {domain} in-addr.arpa {{
    kubeconfig {kubeconfig} local
    ttl 1
  }}
}}
# No other name exists here: say so at once instead of letting clients run into a timeout. (A block
# of its own, because CoreDNS runs `template` before `kubernetes`, whatever their order here.)
.:53 {{
  bind {address}
  template ANY ANY . {{
    rcode NXDOMAIN
  }}
}}
"""


@dataclass(frozen=True)
class NodePrograms:
    """Command lines of everything that runs beside the container runtime."""

    directory: Path
    control: ControlPlane
    isolation: Isolation
    network: Network
    cgroup: str

    def kubelet(self) -> Command:
        """The kubelet, with a server certificate for its own address."""
        name, authority = self.network.interface, self.control.authority
        node = authority.server(
            "kubelet", f"system:node:{name}", [name, self.network.node], "system:nodes"
        )
        kubeconfig = self.control.client_kubeconfig(
            "kubelet-client", f"system:node:{name}", "system:nodes"
        )
        resolv = self.directory / "resolv.conf"
        resolv.write_text(f"nameserver {self.network.node}\n")
        config = self.directory / "kubelet.json"
        config.write_text(json.dumps(self._kubelet_config(node.certificate, node.key, resolv)))
        return self._inside(
            "kubelet",
            f"--config={config}",
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={name}",
            f"--node-ip={self.network.node}",
        )

    def proxy(self) -> Command:
        """kube-proxy; conntrack limits belong to the whole machine and stay as they are."""
        kubeconfig = self.control.client_kubeconfig("kube-proxy", "system:kube-proxy")
        return self._inside(
            "kube-proxy",
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={self.network.interface}",
            f"--cluster-cidr={self.network.pods}",
            "--proxy-mode=iptables",
            "--iptables-min-sync-period=100ms",
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        )

    def dns(self) -> Command:
        """CoreDNS, as a process on the node's address."""
        kubeconfig = self.control.client_kubeconfig("coredns", "coredns")
        corefile = self.directory / "Corefile"
        values = {"address": self.network.node, "domain": DOMAIN, "kubeconfig": kubeconfig}
        corefile.write_text(COREFILE.format(**values))
        argv = (str(tools.path_of("coredns")), "-conf", str(corefile))
        return Command("coredns", (*self.isolation.network_only, *argv))

    def device_plugin(self, gpus: int) -> Command:
        """The plugin that advertises `gpus` of nvidia.com/gpu."""
        return self._inside("device-plugin", f"-count={gpus}")

    def provisioner(self) -> Command:
        """The program that makes volumes for claims."""
        pair = self.control.authority.client("provisioner", "local-volume-provisioner")
        module = ("-m", "tests.support.cluster.provisioner")
        argv = (sys.executable, *module, self.control.place.server, self.network.interface)
        files = (self.control.authority.ca.certificate, pair.certificate, pair.key)
        command = (*self.isolation.inside, *argv, *map(str, files))
        return Command("provisioner", command, (("PYTHONPATH", str(PROJECT)),))

    def _inside(self, name: str, *flags: str) -> Command:
        return Command(name, (*self.isolation.inside, str(tools.path_of(name)), *flags))

    def _kubelet_config(self, certificate: Path, key: Path, resolv: Path) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.network.node,
            "readOnlyPort": 0,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self.control.authority.ca.certificate)},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(certificate),
            "tlsPrivateKeyFile": str(key),
            "containerRuntimeEndpoint": f"unix://{SOCKET}",
            "clusterDNS": [self.network.node],
            "clusterDomain": DOMAIN,
            "resolvConf": str(resolv),
            "volumePluginDir": str(self.directory / "flex"),
            "cgroupRoot": f"/{self.cgroup}",
            **_MACHINE_SETTINGS,
            **_QUICK_SETTINGS,
        }


def missing_programs() -> list[str]:
    """Programs of the distribution that the node needs and this machine lacks."""
    wanted = ("containerd", "ctr", "runc", "iptables", "conntrack", "ip", "nsenter", "unshare")
    missing = [name for name in wanted if not shutil.which(name)]
    plugins = ("ptp", "portmap", "host-local", "loopback")
    return missing + [name for name in plugins if not (Path("/usr/lib/cni") / name).exists()]


# What a machine that is not a server needs: cgroup v1, swap, little memory or disk left.
_MACHINE_SETTINGS: dict[str, Any] = {
    "cgroupDriver": "cgroupfs",
    "failCgroupV1": False,
    "failSwapOn": False,
    "enforceNodeAllocatable": [],
    "evictionHard": {
        "memory.available": "100Mi",
        "nodefs.available": "1%",
        "nodefs.inodesFree": "1%",
        "imagefs.available": "1%",
    },
    # Images cannot be pulled again, so they are never collected.
    "imageGCHighThresholdPercent": 100,
    "imageGCLowThresholdPercent": 99,
}
_QUICK_SETTINGS: dict[str, Any] = {
    "nodeStatusUpdateFrequency": "5s",
    "serializeImagePulls": False,
    "registryPullQPS": 0,
    "kubeAPIQPS": 200,
    "kubeAPIBurst": 400,
}
