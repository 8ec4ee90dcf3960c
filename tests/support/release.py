"""The operator as users run it: the chart, with the images of this tree, in pods of the cluster."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from llama_operator.chart.generate import CHART
from tests.chart.helm import Refused, helm
from tests.support.cluster import Cluster, ClusterError, Progress, build, tools
from tests.support.images import make

NAME = "llama-operator"
REPOSITORIES = {target: f"local/llama-{target}" for target in make.TARGETS}
READY_SECONDS = 90
Object = dict[str, Any]


class Release:
    """One release of the chart in one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        # Names the state of the sources, so another one is another image.
        self.tag = ""

    def load(self) -> None:
        """Bring the images to the node and make the namespace, under Pod Security `restricted`."""
        build.ensure(tools.EXTRAS, Progress(quiet=True))
        archives = make.local()
        self.tag = archives["operator"].parent.name
        for target, archive in archives.items():
            self.cluster.import_image(f"{REPOSITORIES[target]}:{self.tag}", archive)
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        meta = {"name": self.namespace, "labels": labels}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
        self.cluster.kubectl("apply", "-f", "-", input=json.dumps(namespace))

    def install(self, values: Object) -> None:
        """Install or upgrade, and wait until each pod is ready; raises ClusterError."""
        given = json.dumps(_merged(self._images(), values))
        self.helm("upgrade", "--install", NAME, str(CHART), "--values=-", given=given)
        self._rolled_out()

    @property
    def chart(self) -> Path:
        """The directory of the chart."""
        return CHART

    def scale(self, replicas: int) -> None:
        """Another number of pods, until the next install."""
        target = (f"deployment/{NAME}", "-n", self.namespace)
        self.cluster.kubectl("scale", *target, f"--replicas={replicas}")
        selector = f"app.kubernetes.io/instance={NAME}"
        if not replicas:
            self.cluster.kubectl("wait", "pod", "-n", self.namespace, "-l", selector,
                                 "--for=delete", "--timeout=60s")  # fmt: skip

    def weights_option(self) -> tuple[str, ...]:
        """The option that gives an operator outside the cluster the same image for its Jobs."""
        return (f"--weights-image={REPOSITORIES['weights']}:{self.tag}",)

    def log(self) -> str:
        """What the pods that are there have written, since they run."""
        selector = f"app.kubernetes.io/instance={NAME}"
        return self.cluster.kubectl("logs", "-n", self.namespace, "-l", selector, "--tail=-1")

    def helm(self, *args: str, given: str = "") -> str:
        """Helm as administrator in the release's namespace; raises ClusterError."""
        env = {"KUBECONFIG": str(self.cluster.kubeconfig), "PATH": os.environ["PATH"]}
        try:
            return helm(*args, f"--namespace={self.namespace}", given=given, env=env)
        except Refused as refused:
            raise ClusterError(f"helm {args[0]}: {refused}") from refused

    def _images(self) -> Object:
        operator = {"repository": REPOSITORIES["operator"], "tag": self.tag}
        weights = {"repository": REPOSITORIES["weights"], "tag": self.tag}
        return {"image": operator | {"pullPolicy": "Never"}, "weights": {"image": weights}}

    def _rolled_out(self) -> None:
        try:
            self.cluster.kubectl("rollout", "status", f"deployment/{NAME}", "-n", self.namespace,
                                 f"--timeout={READY_SECONDS}s")  # fmt: skip
        except ClusterError as problem:
            pods = self.cluster.kubectl("describe", "pods", "-n", self.namespace)
            raise ClusterError(f"{problem.message}\n{pods[-3000:]}\n{self.log()[-3000:]}") from None


def models(file: Path) -> list[Object]:
    """The value `extraModels` for a file of `--models-file`."""
    loaded: Object = json.loads(file.read_text())
    return list(loaded["models"])


def _merged(base: Object, more: Object) -> Object:
    made = dict(base)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(made.get(key), dict)
        made[key] = _merged(made[key], value) if both else value
    return made
