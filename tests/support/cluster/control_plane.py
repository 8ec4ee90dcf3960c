"""The upstream control plane: etcd, API server, controller manager, scheduler.

It is configured like a production one where that can be seen from outside: TLS everywhere with one
client certificate per component, Node and RBAC authorisation, a controller manager with one service
account per controller, so that garbage collection, PVC protection and tokens work as anywhere.
Only durability is given up (see `_etcd`), because everything is thrown away at the end.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from . import kubeconfig, ports, tools
from .errors import ClusterError
from .pki import Authority, Pair
from .processes import Command, Processes
from .rest import Access, RefusedError, Rest, UnreachableError

READY_SECONDS = 90.0
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
ISSUER = "https://kubernetes.default.svc.cluster.local"
SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "127.0.0.1",
    API_SERVICE_ADDRESS,
)
# Metadata only: an audit log must not become a copy of every Secret. What ends tells when it began.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
# One file: ten thousand deployments write some hundred megabytes, and a second file is not read.
AUDIT_MEGABYTES = 4096


@dataclass(frozen=True)
class Place:
    """Where the control plane listens, and how a program gets there.

    `enter` is put before every command line: it joins the cluster's network namespace.
    """

    address: str = "127.0.0.1"
    api_port: int = 6443
    etcd_port: int = 2379
    enter: tuple[str, ...] = ()
    advertise: bool = True

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{self.address}:{self.api_port}"


class ControlPlane:
    """Prepares, starts and awaits the four programs."""

    def __init__(self, directory: Path, place: Place, audit_log: Path | None = None) -> None:
        self.directory = directory
        self.place = place
        self.authority = Authority(directory / "pki")
        self._audit_log = audit_log

    @property
    def admin_kubeconfig(self) -> Path:
        """Kubeconfig of system:masters."""
        return self.directory / "kubeconfig"

    def prepare(self) -> Access:
        """Make keys, certificates and kubeconfig files; returns the administrator's access."""
        make = self.authority
        make.create()
        names = [*SERVER_NAMES, self.place.address]
        self._server = make.server("kube-apiserver", "kube-apiserver", names)
        self._etcd_pair = make.server("etcd", "etcd", ["localhost", "127.0.0.1"])
        self._tokens = make.signing_keys("service-accounts")
        self._kubelet_client = make.client(
            "apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"
        )
        admin = make.client("admin", "kubernetes-admin", "system:masters")
        self._kubeconfig(self.admin_kubeconfig, admin)
        for name in ("kube-controller-manager", "kube-scheduler"):
            pair = make.client(name, f"system:{name}")
            self._kubeconfig(self.directory / f"{name}.kubeconfig", pair)
        return self.access()

    def access(self) -> Access:
        """The administrator's access."""
        pki = self.directory / "pki"
        pair = Pair(pki / "admin.key", pki / "admin.crt")
        return Access(self.place.server, self.authority.ca.certificate, pair)

    def client_kubeconfig(self, name: str, user: str, group: str = "") -> Path:
        """A kubeconfig of one more component."""
        pair = self.authority.client(name, user, group)
        return self._kubeconfig(self.directory / f"{name}.kubeconfig", pair)

    def start(self, processes: Processes) -> None:
        """Start the programs; the later ones retry until the API server answers."""
        processes.start(self._etcd())
        # An API server that meets a closed port backs off a second per connection: 5 s in all.
        self._await_etcd(processes)
        for command in (self._api_server(), self._controller_manager(), self._scheduler()):
            processes.start(command)

    def wait(self, rest: Rest, processes: Processes) -> None:
        """Return when pods can be created; raises ClusterError with a log's tail otherwise."""
        deadline = time.monotonic() + READY_SECONDS
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        for path in ("/readyz", account):
            while not _answers(rest, path):
                processes.require_alive()
                if time.monotonic() > deadline:
                    tail = processes.tail("kube-apiserver")
                    raise ClusterError(f"{path} not ready after {READY_SECONDS:.0f} s:\n{tail}")
                time.sleep(0.05)

    def _await_etcd(self, processes: Processes) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not ports.listening(processes.identity("etcd").pid, self.place.etcd_port):
            processes.require_alive()
            if time.monotonic() > deadline:
                raise ClusterError(f"etcd does not answer:\n{processes.tail('etcd')}")
            time.sleep(0.02)

    def _etcd(self) -> Command:
        here = f"https://127.0.0.1:{self.place.etcd_port}"
        pair = self._etcd_pair
        return self._command(
            "etcd",
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={here}",
            f"--advertise-client-urls={here}",
            "--listen-peer-urls=http://127.0.0.1:0",
            f"--cert-file={pair.certificate}",
            f"--key-file={pair.key}",
            f"--trusted-ca-file={self.authority.ca.certificate}",
            "--client-cert-auth",
            # The data does not outlive the cluster, and syncing a shared disk made tests flaky.
            "--unsafe-no-fsync",
            "--socket-reuse-port",
            "--log-level=warn",
        )

    def _api_server(self) -> Command:
        place, ca, client = self.place, self.authority.ca.certificate, self._etcd_pair
        advertise = "lease" if place.advertise else "none"
        return self._command(
            "kube-apiserver",
            f"--bind-address={place.address}",
            f"--secure-port={place.api_port}",
            "--permit-port-sharing",
            # A loopback address is refused as an endpoint of the `kubernetes` Service.
            f"--endpoint-reconciler-type={advertise}",
            f"--etcd-servers=https://127.0.0.1:{place.etcd_port}",
            f"--etcd-cafile={ca}",
            f"--etcd-certfile={client.certificate}",
            f"--etcd-keyfile={client.key}",
            f"--tls-cert-file={self._server.certificate}",
            f"--tls-private-key-file={self._server.key}",
            f"--client-ca-file={ca}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={self._tokens.certificate}",
            f"--service-account-signing-key-file={self._tokens.key}",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            f"--kubelet-client-certificate={self._kubelet_client.certificate}",
            f"--kubelet-client-key={self._kubelet_client.key}",
            f"--kubelet-certificate-authority={ca}",
            # Otherwise `kubectl logs` looks the node's name up in DNS.
            "--kubelet-preferred-address-types=InternalIP",
            "--allow-privileged=true",
            "--profiling=false",
            *self._audit_flags(),
        )

    def _audit_flags(self) -> list[str]:
        if self._audit_log is None:
            return []
        policy = self.directory / "audit-policy.json"
        policy.write_text(json.dumps(AUDIT_POLICY))
        size = f"--audit-log-maxsize={AUDIT_MEGABYTES}"
        return [f"--audit-log-path={self._audit_log}", f"--audit-policy-file={policy}", size]

    def _controller_manager(self) -> Command:
        ca = self.authority.ca
        return self._command(
            "kube-controller-manager",
            f"--kubeconfig={self.directory / 'kube-controller-manager.kubeconfig'}",
            "--use-service-account-credentials",
            f"--root-ca-file={ca.certificate}",
            f"--service-account-private-key-file={self._tokens.key}",
            f"--cluster-signing-cert-file={ca.certificate}",
            f"--cluster-signing-key-file={ca.key}",
            f"--flex-volume-plugin-dir={self.directory / 'flex'}",
            *self._common_flags(),
        )

    def _scheduler(self) -> Command:
        config = f"--kubeconfig={self.directory / 'kube-scheduler.kubeconfig'}"
        return self._command("kube-scheduler", config, *self._common_flags())

    def _common_flags(self) -> tuple[str, ...]:
        # One instance each: no election to wait for, no port that needs to be free.
        # The default of 20 requests a second made the controllers' first start last 5 s.
        rate = ("--kube-api-qps=200", "--kube-api-burst=400")
        return ("--leader-elect=false", "--secure-port=0", "--profiling=false", *rate)

    def _command(self, name: str, *flags: str) -> Command:
        return Command(name, (*self.place.enter, str(tools.path_of(name)), *flags))

    def _kubeconfig(self, path: Path, pair: Pair) -> Path:
        ca = self.authority.ca.certificate
        return kubeconfig.with_certificate(path, self.place.server, ca, pair)


def _answers(rest: Rest, path: str) -> bool:
    try:
        rest.text(path)
    except (UnreachableError, RefusedError):
        return False
    return True
