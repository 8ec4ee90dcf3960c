"""Servers that claim their GPUs of a device class: what they need in a cluster, what they leave. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from llama_operator.api.template import server_template
from llama_operator.diagnose.template import stamp
from llama_operator.reconcile import sets
from llama_operator.reconcile.actions import Action
from llama_operator.reconcile.course import Course
from llama_operator.reconcile.ownership import leaves, prune
from llama_operator.reconcile.snapshot import DeploymentView, Object
from llama_operator.render.devices import KIND, class_of

INSTALL = (
    "https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/dra-intro-install.html"
)
_FIELD = "spec.gpu.deviceClassName"
# What a condition has room for.
_NAMED = 10


def problem(view: DeploymentView, course: Course | None) -> tuple[str, str] | None:
    """A reason of `Degraded`, where GPUs cannot be claimed; None where they can, or nobody knows."""
    named = class_of(course.template) if course else view.spec.gpu.device_class_name
    there = view.devices
    if not named or there is None or named in there.classes:
        return None
    if not there.served:
        text = (
            f"{_FIELD}: this cluster does not serve resource.k8s.io/v1; upgrade it to Kubernetes 1.34 "
            "or newer, or remove the field: GPUs are then asked for of the device plugin"
        )
        return "DependencyMissing", text
    known = ", ".join(sorted(there.classes)[:_NAMED])
    text = (
        f"{_FIELD}: there is no DeviceClass {named}; install the driver that brings it (NVIDIA's: "
        f"{INSTALL})"
    )
    return "DependencyMissing", text + (f", or name one that is there ({known})" if known else "")


def countable(view: DeploymentView) -> bool:
    """Whether free GPUs can be told: of a class whose devices are not known, they cannot."""
    named = view.spec.gpu.device_class_name
    given = (node.get("status", {}).get("allocatable", {}) for node in view.nodes)
    return not named or any(named in each for each in given)


def spare(view: DeploymentView, desired: list[Object]) -> list[Action]:
    """Deletions of templates that no pod is yet to get a claim of.

    While pods of another template run, one of them may be made again, and would wait for its claim.
    """
    servers = (obj for obj in desired if obj["kind"] in sets.KINDS)
    wanted = {stamp(server_template(each)) for each in servers}
    alive = (pod for pod in _pods(view) if not leaves(pod))
    if not {stamp(pod) for pod in alive} <= wanted:
        return []
    return prune(desired, view.children, [KIND])


def _pods(view: DeploymentView) -> Iterable[Object]:
    return (*view.pods, *view.ranks, *view.canaries)
