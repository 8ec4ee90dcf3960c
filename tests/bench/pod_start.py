"""What the operator adds to a start: its server against a plain pod, by turns on one node.

Run by `make bench-pod-start`; exits 1 where ours takes longer than the goal allows. The plain pod has
the command, mounts and limits of ours, without what the operator puts before the engine: guard,
warm-up and probes. The start is that of the engine's process, as this machine's kernel tells it.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click

from llama_operator.api import labels
from tests.support.cluster import Cluster
from tests.support.models import tiny
from tests.support.stack import RUNTIME_CLASS, VLLM_IMAGE, Stack, wait_for

Object = dict[str, Any]
MORE = 1.05
NAME, PLAIN, MODEL, NAMESPACE = "ours", "plain", "test/tiny-llama", "default"
SERVERS = f"llamactl.dev/deployment={NAME},app.kubernetes.io/component=server"
SECONDS = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Start:
    """Seconds from the wish to the engine's process, and from there to the first 200."""

    placing: float
    answer: float


class Bench:
    """A node with the operator and one deployment without a replica."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.kubectl = stack, stack.cluster.kubectl
        self.template: Object = {}

    def prepare(self) -> None:
        """One server, once: weights come, and files are in this machine's cache from then on."""
        spec = {
            "model": MODEL, "gpu": {"count": 1}, "runtimeClassName": RUNTIME_CLASS,
            "engine": {"device": "cpu", "image": VLLM_IMAGE, "enforceEager": True},
        }  # fmt: skip
        wish = {
            "apiVersion": "llamactl.dev/v1alpha1", "kind": "LlamaDeployment",
            "metadata": {"name": NAME, "namespace": NAMESPACE}, "spec": spec,
        }  # fmt: skip
        self.kubectl("apply", "-f", "-", input=json.dumps(wish))
        ready = ("--for=condition=Ready", "--timeout=300s")
        self.kubectl("wait", *ready, f"llama/{NAME}", timeout=310)
        self.template = self.stack.get("deployment", NAME)["spec"]["template"]
        self._scale(0)
        self._gone("-l", SERVERS)

    def ours(self) -> Start:
        """Of the operator's server."""
        found = self._timed(lambda: self._scale(1), "-l", SERVERS)
        self._scale(0)
        self._gone("-l", SERVERS)
        return found

    def plain(self) -> Start:
        """Of a pod that nobody looks after."""
        pod = json.dumps(_plain(self.template))
        name = f"--field-selector=metadata.name={PLAIN}"
        found = self._timed(lambda: self.kubectl("create", "-f", "-", input=pod), name)
        self.kubectl("delete", "pod", PLAIN, "--wait=false")
        self._gone(name)
        return found

    def _scale(self, replicas: int) -> None:
        self.kubectl("scale", f"llama/{NAME}", f"--replicas={replicas}")

    def _gone(self, *which: str) -> None:
        wait_for(lambda: not self.stack.list("pods", NAMESPACE, *which), SECONDS, "the pod to go")

    def _timed(self, wish: Callable[[], object], *which: str) -> Start:
        asked = time.time()
        wish()
        pod = self._address(*which)
        address = pod["status"]["podIP"]
        wait_for(lambda: _healthy(address), SECONDS, "the first 200", every=0.05)
        answered, began = time.time(), _process_start(pod["metadata"]["uid"])
        return Start(began - asked, answered - began)

    def _address(self, *which: str) -> Object:
        try:
            return dict(wait_for(lambda: self._placed(*which), SECONDS, "an address"))
        except TimeoutError as late:
            told = self.kubectl("describe", "pods", "-n", NAMESPACE)
            raise click.ClickException(f"{late}\n{told[-3000:]}") from None

    def _placed(self, *which: str) -> Object | None:
        pods = self.stack.list("pods", NAMESPACE, *which)
        return next((pod for pod in pods if pod.get("status", {}).get("podIP")), None)


def _plain(template: Object) -> Object:
    (engine,) = template["spec"]["containers"]
    own = {
        key: value for key, value in engine.items()
        if key not in ("startupProbe", "readinessProbe", "livenessProbe")
    }  # fmt: skip
    own["args"] = [each for each in engine["args"] if not each.startswith("--middleware")]
    own["env"] = [each for each in engine["env"] if not each["name"].startswith("LLAMA_")]
    # Pods that mount the same claim are kept together by this label.
    volume = {labels.VOLUME: template["metadata"]["labels"][labels.VOLUME]}
    told = template["metadata"]["annotations"]
    meta = {"name": PLAIN, "labels": volume, "annotations": told}
    spec = {**template["spec"], "containers": [own]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def _healthy(address: str) -> bool:
    connection = http.client.HTTPConnection(address, 8000, timeout=60)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def _process_start(uid: str) -> float:
    """When the first process of a pod began, but for the one that holds its addresses."""
    names = (uid, uid.replace("-", "_"))
    found = [
        _since_boot(path) for path in Path("/proc").glob("[0-9]*")
        if any(name in _text(path / "cgroup") for name in names)
        and _text(path / "comm").strip() != "pause"
    ]  # fmt: skip
    boot = time.time() - float(_text(Path("/proc/uptime")).split()[0])
    return boot + min(each for each in found if each) / _TICKS


def _since_boot(path: Path) -> int:
    fields = _text(path / "stat").rpartition(")")[2].split()
    return int(fields[19]) if fields else 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # it has ended


def by_turns(bench: Bench, rounds: int) -> tuple[list[Start], list[Start]]:
    """Starts of a plain pod and of ours; who is first changes."""
    plain: list[Start] = []
    ours: list[Start] = []
    for number in range(rounds):
        for mine in (True, False) if number % 2 else (False, True):
            start = bench.ours() if mine else bench.plain()
            (ours if mine else plain).append(start)
            told("ours" if mine else "plain", start)
    return plain, ours


def told(name: str, start: Start) -> None:
    """One line."""
    click.echo(
        f"{name:<8} to the process {start.placing:5.1f} s, then to 200 {start.answer:6.2f} s"
    )


def _measured(directory: Path, rounds: int) -> tuple[list[Start], list[Start]]:
    with Cluster.full(directory, gpus=1) as cluster:
        stack = Stack(cluster)
        stack.install()
        stack.start_operator(stack.start_hub({MODEL: tiny()}))
        bench = Bench(stack)
        bench.prepare()
        return by_turns(bench, rounds)


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Starts of each kind, by turns.")
def main(rounds: int) -> None:
    """Print what starts take; exit 1 where ours takes too long."""
    with tempfile.TemporaryDirectory(prefix="pods-", dir="/tmp") as folder:
        plain, ours = _measured(Path(folder) / "cluster", rounds)
    before, after = (median(each.answer for each in kind) for kind in (plain, ours))
    placed = [median(each.placing for each in kind) for kind in (plain, ours)]
    click.echo(f"apply to process, median: plain {placed[0]:.1f} s, ours {placed[1]:.1f} s")
    click.echo(
        f"process to the first 200 of /health, median of {rounds}: plain {before:.2f} s, ours "
        f"{after:.2f} s: {after / before:.3f} times (goal {MORE})"
    )
    sys.exit(int(after / before > MORE))


if __name__ == "__main__":
    main()
