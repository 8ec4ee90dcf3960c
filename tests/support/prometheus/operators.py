"""Where the operator's own series are, whether it is a process of this machine or pods."""

from __future__ import annotations

from urllib.parse import quote

from tests.support.stack import NAMESPACE, OPERATOR, Stack

_SELECTOR = quote("app.kubernetes.io/component=operator", safe="")
_FLAG = "--health-port="


def addresses(stack: Stack) -> list[tuple[str, str]]:
    """Address and name of the pod of each operator; a process is called by its program."""
    return _process(stack) if stack.running(OPERATOR) else _pods(stack)


def _process(stack: Stack) -> list[tuple[str, str]]:
    argv = stack.cluster.processes.command(OPERATOR).argv
    port = next(arg.removeprefix(_FLAG) for arg in argv if arg.startswith(_FLAG))
    return [(f"127.0.0.1:{port}", OPERATOR)]


def _pods(stack: Stack) -> list[tuple[str, str]]:
    path = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={_SELECTOR}"
    return [
        (f"{pod['status']['podIP']}:{port['containerPort']}", pod["metadata"]["name"])
        for pod in stack.cluster.rest().get(path)["items"]
        if pod["status"].get("podIP")
        for port in pod["spec"]["containers"][0]["ports"]
        if port["name"] == "metrics"
    ]
