"""One Kubernetes cluster in one directory: the entry point for tests, demo and command line.

`Cluster.control_plane` needs neither root nor a container runtime and answers in seconds.
`Cluster.full` adds a node that runs pods. Both are context managers; everything they started is
stopped and removed at the end, also when the start failed half-way, and also by another process
(`Cluster.attach(directory).stop()`) when the owner was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from . import build, kubeconfig, ports, registry, tools
from .control_plane import ControlPlane, Place
from .errors import ClusterError
from .node import Node, NodeOptions
from .processes import Processes
from .progress import Progress
from .rest import Rest

STATE = "cluster.json"


@dataclass(frozen=True)
class Options:
    """How a cluster is started. `node` is None for a control plane alone."""

    node: NodeOptions | None = None
    audit_log: Path | None = None
    owned: bool = True


class Cluster:
    """A cluster that can be started, used and stopped."""

    def __init__(self, directory: Path, options: Options, progress: Progress | None = None) -> None:
        self.directory = directory.absolute()
        self.processes = Processes(self.directory)
        self._options = options
        self._progress = progress or Progress(quiet=True)
        self._place: Place | None = None
        self._node = Node(self.directory, self.processes, options.node or NodeOptions())

    @classmethod
    def control_plane(
        cls,
        directory: Path,
        *,
        audit_log: Path | None = None,
        owned: bool = True,
        progress: Progress | None = None,
    ) -> Self:
        """A control plane on the loopback interface; `directory` must be absent or empty."""
        return cls(directory, Options(audit_log=audit_log, owned=owned), progress)

    @classmethod
    def full(
        cls,
        directory: Path,
        *,
        gpus: int = 8,
        vllm_venv: Path | None = None,
        audit_log: Path | None = None,
        owned: bool = True,
        progress: Progress | None = None,
    ) -> Self:
        """A control plane and a node in a network of their own; needs root and containerd."""
        node = NodeOptions(gpus=gpus, vllm_venv=vllm_venv)
        return cls(directory, Options(node, audit_log, owned), progress)

    @classmethod
    def attach(cls, directory: Path, progress: Progress | None = None) -> Self:
        """The cluster that another process started in `directory`."""
        state = directory / STATE
        if not state.exists():
            raise ClusterError(f"no cluster in {directory}", "Start one with `up`")
        saved = json.loads(state.read_text())
        node = NodeOptions() if saved["node"] else None
        cluster = cls(directory, Options(node), progress)
        if place := saved["place"]:
            cluster._place = Place(**{**place, "enter": tuple(place["enter"])})
        return cluster

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and return when it is ready; what was half started is removed."""
        sweep(self._progress)
        self._claim_directory()
        wanted = tools.ALL if self._options.node else tools.CONTROL_PLANE
        try:
            build.ensure(wanted, self._progress)
            with self._placed() as place:
                self._start_control_plane(place)
            if self._options.node:
                self._node.start(self._control, self.rest(), self._progress)
        except BaseException:
            self.stop(keep_logs=True)
            raise

    def stop(self, *, keep_logs: bool = False) -> None:
        """Stop every process of this cluster and remove all it made; safe to call twice.

        A directory without our state file was never ours, and is not touched.
        """
        if not (self.directory / STATE).exists():
            return
        names = self.processes.names()
        self._node.end()
        self.processes.stop(names, grace_seconds=0)
        self._node.remove()
        self.processes.forget(names)
        self._clear_directory({"logs", STATE} if keep_logs else set())
        registry.remove(self.directory)

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the administrator."""
        return self.directory / "kubeconfig"

    @property
    def server(self) -> str:
        """URL of the API server, as seen from the host and from pods."""
        if self._place is None:
            raise ClusterError("the cluster is not started")
        return self._place.server

    @property
    def host_address(self) -> str:
        """Address of this machine that pods can reach."""
        return self._node.network().host if self._options.node else "127.0.0.1"

    @property
    def has_node(self) -> bool:
        """Whether pods can run."""
        return self._options.node is not None

    @property
    def cgroup(self) -> str:
        """Name of the control group that all pods are in."""
        return self._node.cgroup

    @property
    def node_name(self) -> str:
        """Name of the node; also of its interface on the host."""
        return self._node.network().interface

    @property
    def inside(self) -> tuple[str, ...]:
        """Prefix of a command that runs on the node, beside the kubelet."""
        return self._node.isolation.inside

    @property
    def audit_log(self) -> Path | None:
        """Where the API server writes its audit log, if it does."""
        return self._options.audit_log

    def kubectl(self, *args: str, input: str | None = None, timeout: float = 120.0) -> str:
        """Output of kubectl as administrator; raises ClusterError with its error output."""
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.directory / "kubectl-cache"),
        }
        done = subprocess.run(
            [str(tools.path_of("kubectl")), *args],
            input=input,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            raise ClusterError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def service_account_kubeconfig(
        self, namespace: str, name: str, *, duration: str = "24h"
    ) -> Path:
        """A kubeconfig with a fresh token of an existing service account."""
        token = self.kubectl("create", "token", name, "-n", namespace, f"--duration={duration}")
        path = self.directory / "kubeconfigs" / f"{namespace}.{name}"
        ca = self.directory / "pki" / "ca.crt"
        return kubeconfig.with_token(path, self.server, ca, token.strip(), namespace)

    def restart(self, name: str) -> None:
        """Kill one program with SIGKILL and start it again, as a crash would."""
        self.processes.stop([name], grace_seconds=0)
        self.processes.start(self.processes.command(name))

    def import_image(self, name: str, tar: Path) -> None:
        """Load an image archive into the node's container runtime under `name`."""
        self._node.import_image(name, tar)

    def rest(self) -> Rest:
        """Plain requests as administrator."""
        return Rest(self._control.access())

    @property
    def _control(self) -> ControlPlane:
        if self._place is None:
            raise ClusterError("the cluster is not started")
        return ControlPlane(self.directory, self._place, self._options.audit_log)

    def _start_control_plane(self, place: Place) -> None:
        self._place = place
        self._save()
        with self._progress.step("control plane"):
            control = self._control
            access = control.prepare()
            control.start(self.processes)
            control.wait(Rest(access), self.processes)

    @contextlib.contextmanager
    def _placed(self) -> Iterator[Place]:
        if self._options.node:
            yield self._node.enter_network()
            return
        with ports.held(2) as (api, etcd):
            yield Place(api_port=api, etcd_port=etcd, advertise=False)

    def _claim_directory(self) -> None:
        if self.directory.exists() and any(self.directory.iterdir()):
            raise ClusterError(
                f"{self.directory} is not empty",
                f"End what runs there with `python -m tests.support.cluster down --dir "
                f"{self.directory}`, or take another directory",
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o755)
        registry.add(self.directory, owned=self._options.owned)
        self._save()

    def _clear_directory(self, kept: set[str]) -> None:
        # The state file goes last: until then another `down` can finish an interrupted one.
        entries = sorted(self.directory.iterdir(), key=lambda entry: entry.name == STATE)
        for entry in entries:
            if entry.name not in kept:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def _save(self) -> None:
        place = asdict(self._place) if self._place else None
        state = {"node": self._options.node is not None, "place": place}
        (self.directory / STATE).write_text(json.dumps(state))


def sweep(progress: Progress) -> None:
    """End the clusters whose owner was killed."""
    with registry.locked():
        for directory in registry.orphans():
            progress.note(f"ending the cluster that a killed process left in {directory}")
            if (directory / STATE).exists():
                Cluster.attach(directory).stop()
            registry.remove(directory)
