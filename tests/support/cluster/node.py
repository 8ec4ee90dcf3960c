"""The node of a full cluster: what is started in which order, and how all of it goes away."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import cgroups, host_python, network, ports, storage
from .containerd import Containerd
from .control_plane import ControlPlane, Place
from .errors import ClusterError
from .images import Image
from .isolation import Isolation
from .kubelet import NodePrograms, missing_programs
from .network import Network
from .paths import project_venv, transformers_venv, vllm_venv
from .processes import Processes
from .progress import Progress
from .rest import RefusedError, Rest

READY_SECONDS = 120.0
VLLM_IMAGE = "local/vllm-cpu:0.32.0"
TRANSFORMERS_IMAGE = "local/transformers-cpu:5.19.0"
# Holds nothing: what a container of it sees is mounted by the runtime `host-python`.
PYTHON_IMAGE = "local/host-python:dev"
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
FIX = "See `python -m tests.support.cluster doctor`"


@dataclass(frozen=True)
class NodeOptions:
    """`vllm_venv` defaults to the one in the cache; without any, its image is left out."""

    gpus: int = 8
    vllm_venv: Path | None = None

    @property
    def vllm(self) -> Path | None:
        """The virtual environment with vLLM, None when there is none."""
        venv = self.vllm_venv or vllm_venv()
        return venv if (venv / "bin" / "python").exists() else None


class Node:
    """Starts and removes the node of one cluster."""

    def __init__(self, directory: Path, processes: Processes, options: NodeOptions) -> None:
        self._directory = directory
        self._processes = processes
        self._options = options
        self._record = directory / "network.json"
        self.isolation = Isolation(directory, processes)
        self._containerd = Containerd(directory, processes, self.isolation)

    def enter_network(self) -> Place:
        """Make namespaces and network; returns where the control plane is to listen."""
        if os.geteuid() != 0:
            raise ClusterError("only root can run pods on this machine", FIX)
        if missing := missing_programs():
            raise ClusterError(f"missing to run pods: {', '.join(missing)}", FIX)
        self.isolation.start()
        connected = network.connect(self.isolation)
        network.save(connected, self._record)
        cgroups.create(self.cgroup)
        return Place(address=connected.node, enter=self.isolation.network_only)

    def network(self) -> Network:
        """The node's network; raises ClusterError before it exists."""
        found = network.load(self._record)
        if found is None:
            raise ClusterError("this cluster has no node (yet)")
        return found

    def start(self, control: ControlPlane, rest: Rest, progress: Progress) -> None:
        """Start everything on the node and return when pods can run."""
        programs = NodePrograms(
            self._directory, control, self.isolation, self.network(), self.cgroup
        )
        with progress.step("container runtime and images"):
            self._start_runtime(progress)
        with progress.step("node"):
            for path, item in storage.objects():
                rest.create(path, item)
            for command in (
                programs.kubelet(),
                programs.proxy(),
                programs.dns(),
                programs.provisioner(),
                programs.device_plugin(self._options.gpus),
            ):
                self._processes.start(command)
            self._await("the node Ready with its GPUs", lambda: self._is_ready(rest))
            self._await("cluster DNS", self._dns_listens)

    def import_image(self, name: str, tar: Path) -> None:
        """Load an image archive under `name`."""
        self._containerd.load(name, tar)

    def end(self) -> None:
        """End everything on the node."""
        found = network.load(self._record)
        # A dead node's interface is gone; one of that name would be another cluster's by now.
        if found and self.isolation.alive:
            network.disconnect(found)
        self.isolation.end()

    def remove(self) -> None:
        """Remove what outlives the processes: the control groups."""
        cgroups.remove(self.cgroup)

    @property
    def cgroup(self) -> str:
        """Name of the control group; of the directory, so that no other cluster ever has it."""
        return f"llop-{hashlib.sha256(str(self._directory).encode()).hexdigest()[:10]}"

    def _start_runtime(self, progress: Progress) -> None:
        vllm = self._options.vllm
        spec = host_python.runtime_spec(host_python.mounts(vllm))
        self._containerd.start(self.network(), spec)
        python = {"PATH": f"{project_venv() / 'bin'}:{SYSTEM_PATH}"}
        self._containerd.add(Image(PYTHON_IMAGE, python))
        if vllm is None:
            progress.note(f"no vLLM in {vllm_venv()}: {VLLM_IMAGE} is left out")
            return
        env = {"PATH": f"{vllm / 'bin'}:{SYSTEM_PATH}", "VLLM_TARGET_DEVICE": "cpu"}
        self._containerd.add(Image(VLLM_IMAGE, env))
        if (over := transformers_venv()).exists():
            path = {"PATH": f"{over / 'bin'}:{SYSTEM_PATH}"}
            self._containerd.add(Image(TRANSFORMERS_IMAGE, path))

    def _is_ready(self, rest: Rest) -> bool:
        try:
            status = rest.get(f"/api/v1/nodes/{self.network().interface}")["status"]
        except RefusedError:
            return False
        gpus = status.get("allocatable", {}).get("nvidia.com/gpu", "0")
        return _condition(status, "Ready") == "True" and int(gpus) == self._options.gpus

    def _dns_listens(self) -> bool:
        return ports.listening(self.isolation.pid, 53)

    def _await(self, what: str, check: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not check():
            self._processes.require_alive()
            if time.monotonic() > deadline:
                tail = self._processes.tail("kubelet")
                raise ClusterError(f"waited {READY_SECONDS:.0f} s for {what}:\n{tail}")
            time.sleep(0.1)


def _condition(status: dict[str, Any], kind: str) -> str:
    conditions = status.get("conditions", [])
    return next((item["status"] for item in conditions if item["type"] == kind), "Unknown")
