"""The operator and a hub beside a running cluster, as `make demo` and the end-to-end tests use them.

On a cluster with a node the operator runs in its pod, as the chart installs it with the images of
this tree. Without a node, or where a test changes its code, it is a process of this machine with
the service account and the rights of the pod, never as administrator. Processes are recorded with
the cluster's own, so whatever stops the cluster stops them too.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.cluster import Cluster
from tests.support.cluster.ports import held
from tests.support.cluster.processes import Command
from tests.support.release import Release, models

NAMESPACE = "llama-system"
OPERATOR = "llama-operator"
HUB = "hub"
VLLM_IMAGE = "local/vllm-cpu:0.32.0"
TRANSFORMERS_IMAGE = "local/transformers-cpu:5.19.0"
RUNTIME_CLASS = "host-python"
PROJECT = Path(__file__).resolve().parents[2]


class Stack:
    """Installs, starts and stops what belongs beside a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.release = Release(cluster, NAMESPACE) if cluster.has_node else None
        # Address of the hub, once it runs.
        self.hub = ""

    def install(self) -> None:
        """Bring CRDs, account and rights; with a node that and the images, by the chart."""
        if self.release:
            self.release.load()
            self.release.install({"operator": {"replicas": 0}})
        else:
            self._apply_manifests()
        self.cluster.kubectl(
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "crd/llamadeployments.llamactl.dev",
            "crd/llamaweights.llamactl.dev",
        )

    def _apply_manifests(self) -> None:
        from llama_operator.install import manifests

        items = {"apiVersion": "v1", "kind": "List", "items": manifests(NAMESPACE)}
        self.cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(items))

    def start_hub(self, repos: Mapping[str, Path], *extra: str) -> str:
        """Serve directories as Hugging Face repositories to the pods; returns the address."""
        with held(1) as (port,):
            pass
        address = f"http://{self.cluster.host_address}:{port}"
        argv = [sys.executable, "-m", "tests.support.hub", "--host", self.cluster.host_address]
        argv += ["--port", str(port), *extra]
        for repo, directory in repos.items():
            argv += ["--repo", f"{repo}={directory}"]
        self._start(HUB, argv)
        wait_for(lambda: answers(f"{address}/health"), 20, f"the hub at {address}")
        self.hub = address
        return address

    def start_operator(self, hub: str, *extra: str, change: str = "") -> None:
        """Start the operator with its own account, and wait until its caches are complete.

        `change` is Python that makes another version of it: it runs before the program does, in a
        process of this machine.
        """
        if not self.release:
            self._start_process(hub, *extra, change=change)
        elif change:
            self.release.scale(0)
            self._start_process(hub, *extra, *self.release.weights_option(), change=change)
        else:
            self.stop(OPERATOR)
            self.release.install(_values(hub, extra))

    def _start_process(self, hub: str, *extra: str, change: str) -> None:
        with held(1) as (port,):
            pass
        kubeconfig = self.cluster.service_account_kubeconfig(NAMESPACE, OPERATOR)
        program = ["-m", "llama_operator"]
        if change:
            program = ["-c", f"{change}\nfrom llama_operator.main import main\nmain()"]
        argv = [sys.executable, *program, "run", f"--kubeconfig={kubeconfig}"]
        argv += [f"--hf-endpoint={hub}", f"--health-port={port}", "--log-format=text"]
        self._start(OPERATOR, [*argv, "--metrics-per-object", *extra])
        secured = any(each.startswith("--metrics-tls-dir=") for each in extra)
        url = f"{'https' if secured else 'http'}://127.0.0.1:{port}/readyz"
        wait_for(lambda: answers(url), 120, "the operator")

    def stop(self, name: str) -> None:
        """Stop one of the two programs, if it runs."""
        processes = self.cluster.processes
        if name in processes.names():
            processes.stop([name])
            processes.forget([name])

    def running(self, name: str) -> bool:
        """Whether one of the two programs runs as a process."""
        return name in self.cluster.processes.names() and self.cluster.processes.alive(name)

    def log(self, name: str) -> str:
        """Everything that a program has written so far; of the operator's pods, those there are."""
        if name == OPERATOR and self.release and not self.running(name):
            return self.release.log()
        return self.cluster.processes.log(name).read_text(errors="replace")

    def _start(self, name: str, argv: list[str]) -> None:
        self.stop(name)
        path = f"{PROJECT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        env = (("PYTHONPATH", path), ("PYTHONUNBUFFERED", "1"))
        self.cluster.processes.start(Command(name, tuple(argv), env))

    # -- reading the world ----------------------------------------------------------------------

    def get(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        """One object as a dict; raises ClusterError when it is not there."""
        text = self.cluster.kubectl("get", kind, name, "-n", namespace, "-o", "json")
        return dict(json.loads(text))

    def list(self, kind: str, namespace: str = "default", *args: str) -> list[dict[str, Any]]:
        """Objects of a kind."""
        text = self.cluster.kubectl("get", kind, "-n", namespace, "-o", "json", *args)
        return list(json.loads(text)["items"])

    def condition(
        self, kind: str, name: str, which: str, namespace: str = "default"
    ) -> dict[str, Any]:
        """One condition of an object; empty while it has not been set."""
        conditions = self.get(kind, name, namespace).get("status", {}).get("conditions", [])
        return next((dict(entry) for entry in conditions if entry["type"] == which), {})


def _values(hub: str, extra: Sequence[str]) -> dict[str, Any]:
    """Options of `llama-operator run` as values of the chart."""
    option = "--models-file="
    files = [Path(each.removeprefix(option)) for each in extra if each.startswith(option)]
    return {
        "operator": {
            "replicas": 1,
            "extraArgs": [each for each in extra if not each.startswith(option)],
        },
        "log": {"format": "text"},
        "weights": {"hubEndpoint": hub},
        # As where Prometheus Operator is: panels and alerts are looked at in these tests.
        "metrics": {"perObject": True},
        "extraModels": [model for file in files for model in models(file)],
    }


def answers(url: str) -> bool:
    """Whether a server answers 200 there, as the kubelet asks: any certificate will do."""
    anybody = ssl._create_unverified_context()  # noqa: S323
    try:
        with urllib.request.urlopen(url, timeout=2, context=anybody) as response:  # noqa: S310 - our own server
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_for(check: Callable[[], Any], seconds: float, what: str, every: float = 0.2) -> Any:
    """The first truthy result of `check`; raises TimeoutError that names what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(every)
