"""KServe: its real definitions, stand-ins for its controllers, and the real one of LLMInferenceServices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support import definitions, gomodule
from tests.support.cluster import Cluster, ClusterError
from tests.support.stack import wait_for

Object = dict[str, Any]
POLICY = "variables-that-kserve-refuses"
NAME = "inferenceservices.serving.kserve.io"
LLM, LLM_PRESETS = (
    "llminferenceservices.serving.kserve.io",
    "llminferenceserviceconfigs.serving.kserve.io",
)
MODULE, VERSION = "github.com/kserve/kserve", "v0.20.0"
# Of the module's content, as Go's checksum database has it.
SUM = "h1:Bs7HxmGV4KFqqptDcWseKv+mwD4YOYHJWcuVgPG2Gug="


def source() -> Path:
    """Where the module lies."""
    return gomodule.directory(f"{MODULE}@{VERSION}", SUM)


def define(cluster: Cluster) -> None:
    """Install the definition alone."""
    crd = source() / "config/crd/full/serving.kserve.io_inferenceservices.yaml"
    definitions.define(cluster, crd, NAME)


def define_llm(cluster: Cluster, *names: str) -> None:
    """Install the definition of LLMInferenceService, or others of its controller."""
    for name in names or (LLM,):
        plural, _, group = name.partition(".")
        crd = source() / f"config/crd/full/llmisvc/{group}_{plural}.yaml"
        definitions.define(cluster, crd, name)


def refuse_variables(cluster: Cluster) -> None:
    """What KServe's webhook does since 0.19 (pkg/validation/env_policy.go), by a policy."""
    items = [_policy(), _binding()]
    made = {"apiVersion": "v1", "kind": "List", "items": items}
    cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(made))
    wait_for(lambda: _refuses(cluster), 60, "PYTHONPATH to be refused")


def _policy() -> Object:
    free = "!has(c.env) || c.env.all(e, e.name != 'PYTHONPATH')"
    rule = {
        "apiGroups": ["serving.kserve.io"],
        "apiVersions": ["v1beta1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["inferenceservices"],
    }
    check = {
        "expression": f"object.spec.predictor.containers.all(c, {free})",
        "message": "setting PYTHONPATH is not allowed for security reasons",
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": POLICY},
        "spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": [check]},
    }


def _binding() -> Object:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": POLICY},
        "spec": {"policyName": POLICY, "validationActions": ["Deny"]},
    }


def _refuses(cluster: Cluster) -> bool:
    box = {"name": "a", "image": "a", "env": [{"name": "PYTHONPATH", "value": "a"}]}
    tried = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "tried", "namespace": "default"},
        "spec": {"predictor": {"containers": [box]}},
    }
    try:
        cluster.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(tried))
    except ClusterError as refused:
        return "not allowed" in str(refused)
    return False
