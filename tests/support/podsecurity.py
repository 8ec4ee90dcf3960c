"""Pod Security `restricted`, as a function from a pod to findings, and a read-only root besides.

The rules are those of the standard for pods of Linux; an API server has the same ones built in, but
it judges only what is sent to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]
_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
_LISTS = ("initContainers", "containers", "ephemeralContainers")


def findings(pod: Object) -> list[str]:
    """What a pod's spec would be refused for, or should be."""
    return [*_pod(pod), *(found for each in _containers(pod) for found in _container(each, pod))]


def _containers(pod: Object) -> list[Object]:
    return [each for name in _LISTS for each in pod.get(name, ())]


def _pod(pod: Object) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    for volume in pod.get("volumes", ()):
        if not (set(volume) - {"name"}) <= _VOLUMES:
            yield f"volume {volume['name']}"
    context = pod.get("securityContext", {})
    if context.get("sysctls"):
        yield "sysctls"
    if context.get("runAsUser") == 0:
        yield "runAsUser 0"


def _container(container: Object, pod: Object) -> Iterator[str]:
    name, own = container["name"], container.get("securityContext", {})
    both = {**pod.get("securityContext", {}), **own}
    if own.get("privileged"):
        yield f"{name}: privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: allowPrivilegeEscalation"
    if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
        yield f"{name}: runAsNonRoot"
    if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield f"{name}: seccompProfile"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", ()) or set(capabilities.get("add", ())) - {
        "NET_BIND_SERVICE"
    }:
        yield f"{name}: capabilities"
    if own.get("readOnlyRootFilesystem") is not True:
        yield f"{name}: readOnlyRootFilesystem"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield f"{name}: hostPort"
