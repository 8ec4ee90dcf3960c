"""A DRA driver on a node: Kubernetes' own library of such drivers, with GPUs that do not exist.

Scheduler, claim controller and kubelet are real. What the driver has prepared is seen in a directory:
Debian's containerd cannot put devices into containers yet (CDI), so it ends there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.cluster import Cluster, build, tools
from tests.support.cluster.images import Image, archive
from tests.support.cluster.node import SYSTEM_PATH
from tests.support.cluster.paths import project_venv
from tests.support.cluster.processes import Command
from tests.support.cluster.progress import Progress
from tests.support.stack import wait_for

Object = dict[str, Any]
# Of the driver, and by custom of its class.
NAME = "gpu.nvidia.com"
PROGRAM = tools.DRA_DRIVER.name
# Healthy at once, and nothing else; the tag is a version that plans are made for.
ENGINE_IMAGE = "local/stub-vllm:0.32.0"
_ENGINE = Path(__file__).parent / "vllm.py"
PRODUCT, MEMORY = "NVIDIA L4", "23034Mi"
CLASS: Object = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "DeviceClass",
    "metadata": {"name": NAME},
    "spec": {
        "selectors": [
            {"cel": {"expression": f"device.driver == '{NAME}' && device.attributes['{NAME}'].type == 'gpu'"}}
        ]
    },
}  # fmt: skip


@contextmanager
def installed(cluster: Cluster, devices: int) -> Iterator[Path]:
    """The driver and its class, there for a while.

    The path is of a directory with a file for each claim that is prepared: its UID, and in it the
    names of its devices.
    """
    build.ensure([tools.DRA_DRIVER], Progress())
    prepared = cluster.directory / "dra"
    prepared.mkdir()
    cluster.processes.start(_command(cluster, prepared, devices))
    try:
        cluster.kubectl("apply", "-f", "-", input=json.dumps(CLASS))
        wait_for(lambda: _published(cluster) == devices, 60, "the driver's devices", every=0.5)
        yield prepared
    finally:
        cluster.processes.stop([PROGRAM])
        cluster.processes.forget([PROGRAM])
        cluster.kubectl("delete", "deviceclass", NAME, "--ignore-not-found")
        cluster.kubectl("delete", "resourceslices", "--all")


def load_engine(cluster: Cluster, directory: Path) -> None:
    """Bring the image of servers that are healthy at once to the node."""
    path = f"/opt/stub:{project_venv() / 'bin'}:{SYSTEM_PATH}"
    made = Image(ENGINE_IMAGE, {"PATH": path}, programs={"/opt/stub/vllm": _ENGINE})
    tar = directory / "engine.tar"
    tar.write_bytes(archive(made))
    cluster.import_image(ENGINE_IMAGE, tar)


def _command(cluster: Cluster, prepared: Path, devices: int) -> Command:
    # A node may publish its own devices and read the claims of its pods, as a driver does.
    kubeconfig = cluster.directory / "kubelet-client.kubeconfig"
    flags = {
        "driver": NAME, "node": cluster.node_name, "kubeconfig": kubeconfig, "prepared": prepared,
        "count": devices, "product": PRODUCT, "memory": MEMORY,
    }  # fmt: skip
    given = (f"-{name}={value}" for name, value in flags.items())
    return Command(PROGRAM, (*cluster.inside, str(tools.path_of(PROGRAM)), *given))


def _published(cluster: Cluster) -> int:
    found = json.loads(cluster.kubectl("get", "resourceslices", "-o", "json"))["items"]
    return sum(len(each["spec"].get("devices") or ()) for each in found)
