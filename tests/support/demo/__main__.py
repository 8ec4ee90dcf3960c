"""The demo, step by step; each says what it does and how long it took.

Everything runs on this machine: a real API server, scheduler, kubelet and containerd, a real
vLLM (its CPU build) and a real chat model. The cluster stays up for a look at the end.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from tests.support import lanes, prepare
from tests.support.cluster import Cluster, ClusterError, Progress
from tests.support.demo import current, show
from tests.support.demo.ask import api_key, ask, forwarded
from tests.support.demo.timeline import timeline
from tests.support.models import QUESTION, smollm2
from tests.support.stack import HUB, PROJECT, Stack, wait_for

NAME = "smollm2"
REPO = "HuggingFaceTB/SmolLM2-135M-Instruct"
READY_SECONDS = 300


def main() -> int:
    """Exit status 0 when the model has answered and the refusal was as expected."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".demo/cluster"))
    parser.add_argument("--cluster", choices=("local", "current"), default="local")
    parser.add_argument("--down", action="store_true", help="stop all that the demo started")
    options = parser.parse_args()
    started = time.monotonic()
    try:
        if options.down:
            return down(options.state)
        if options.cluster == "current":
            return current.run()
        run(options.state)
    except (ClusterError, TimeoutError) as error:
        show.failed(str(error))
        return 1
    show.closing(options.state, time.monotonic() - started)
    return 0


def down(state: Path) -> int:
    """Stop the cluster, the hub and the operator of a directory."""
    if not (state / "cluster.json").exists():
        show.line(f"nothing runs in {state}")
        return 0
    Cluster.attach(state).stop()
    show.line(f"stopped everything that ran in {state}")
    return 0


def run(state: Path) -> None:
    """All steps on the local cluster."""
    progress = Progress()
    with progress.step("programs, vLLM and the model"):
        failed = lanes.run(prepare.LANES)
    if failed:
        raise ClusterError("; ".join(failed), "The lines above say why")
    stack = Stack(_cluster(state, progress))
    with progress.step("images, hub, and the chart with the operator in its pod"):
        _beside(stack)
    _serve(stack, progress)
    _question(stack)
    _explain(stack)
    _refusal(stack)


def _cluster(state: Path, progress: Progress) -> Cluster:
    if (state / "cluster.json").exists():
        cluster = Cluster.attach(state, progress)
        try:
            cluster.processes.require_alive()
            cluster.kubectl("get", "--raw", "/readyz", timeout=10)
        except (ClusterError, OSError):
            cluster.stop()
        else:
            show.line(f"the cluster in {state} still runs")
            return cluster
    cluster = Cluster.full(state, owned=False, progress=progress)
    cluster.start()
    return cluster


def _beside(stack: Stack) -> None:
    stack.install()
    stack.stop(HUB)
    hub = stack.start_hub({REPO: smollm2()})
    stack.start_operator(hub)


def _serve(stack: Stack, progress: Progress) -> None:
    show.command("kubectl apply -f examples/smollm2.yaml")
    stack.cluster.kubectl("apply", "-f", str(PROJECT / "examples" / "smollm2.yaml"))
    show.command(f"kubectl wait --for=condition=Ready llama/{NAME}")
    said: set[str] = set()
    deadline = time.monotonic() + READY_SECONDS
    with progress.step("weights fetched, vLLM ready"):
        while True:
            for text in show.news(stack, NAME, said):
                show.line(f"  {text}")
            if _waited(stack):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{NAME} is not Ready after {READY_SECONDS} s: see `kubectl describe llama`"
                )


def _waited(stack: Stack) -> bool:
    try:
        stack.cluster.kubectl("wait", "--for=condition=Ready", "--timeout=2s", f"llama/{NAME}")
    except ClusterError:
        return False
    return True


def _question(stack: Stack) -> None:
    secret = stack.get("secret", stack.get("llama", NAME)["status"]["endpoint"]["secretName"])
    with forwarded(stack.cluster.kubeconfig, f"svc/{NAME}", 8000) as port:
        show.question(QUESTION)
        answer = ask(port, api_key(secret), REPO, QUESTION)
    show.answer(answer)
    if "Paris" not in answer:
        raise ClusterError("the answer does not name Paris")


def _explain(stack: Stack) -> None:
    deployment = stack.get("llama", NAME)
    weights = stack.get("llamaweights", deployment["status"]["weights"]["name"])
    pods = stack.list("pods", "default", "-l", f"llamactl.dev/deployment={NAME}")
    show.plan(deployment["status"]["plan"])
    show.timeline(timeline(deployment, weights, pods))


def _refusal(stack: Stack) -> None:
    show.command("kubectl apply -f examples/smollm2-two-ranks.yaml   # 9 heads on 2 ranks")
    path = str(PROJECT / "examples" / "smollm2-two-ranks.yaml")
    stack.cluster.kubectl("apply", "-f", path)
    try:
        planned = wait_for(
            lambda: show.judged(stack.condition("llama", "smollm2-two-ranks", "Planned")),
            10,
            "the refusal",
        )
    finally:
        stack.cluster.kubectl("delete", "-f", path)
    show.refusal(planned)
    if planned["status"] != "False":
        raise ClusterError("two ranks for nine heads were accepted")


if __name__ == "__main__":
    os.chdir(PROJECT)
    sys.exit(main())
