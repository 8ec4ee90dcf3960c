import math
from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client
from tests.support.builders import H100, serving

from llama_operator.render import flags, probes, render

Object = dict[str, Any]
MODELS = {
    "Deployment": client.V1Deployment,
    "Service": client.V1Service,
    "NetworkPolicy": client.V1NetworkPolicy,
    "PodDisruptionBudget": client.V1PodDisruptionBudget,
}
VARIANTS: list[Object] = [
    {},
    {"replicas": 3, "disruption": {"maxUnavailable": "50%"}},
    {"gpu": {"count": 4}, "sizing": {"maxModelLen": 4096}},
    {"engine": {"device": "cpu", "image": "local/vllm-cpu:0.32.0"}, "gpu": {"product": ""}},
    {"auth": {"mode": "None"}, "endpoint": {"networkPolicy": {"enabled": False}, "port": 80}},
    {
        "scheduling": {
            "nodeSelector": {"zone": "a"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "priorityClassName": "high",
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
            ],
        },
        "runtimeClassName": "nvidia",
        "engine": {
            "args": ["--seed=7"],
            "env": [{"name": "NCCL_DEBUG", "value": "WARN"}],
            "imagePullSecrets": [{"name": "registry"}],
            "resources": {"limits": {"memory": "64Gi"}},
        },
    },
]


def by_kind(**spec: Any) -> dict[str, Object]:
    return {obj["kind"]: obj for obj in render.serving_objects(serving(**spec))}


def engine(**spec: Any) -> Object:
    pod = by_kind(**spec)["Deployment"]["spec"]["template"]["spec"]
    container: Object = pod["containers"][0]
    return container


@pytest.mark.parametrize("spec", VARIANTS)
def test_every_object_is_valid_for_the_typed_models(spec: Object) -> None:
    for obj in render.serving_objects(serving(**spec)):
        MODELS[obj["kind"]].model_validate(obj)


@pytest.mark.parametrize("spec", VARIANTS)
def test_pods_are_restricted_and_read_only(spec: Object) -> None:
    pod = by_kind(**spec)["Deployment"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
    weights = next(m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "weights")
    assert weights["readOnly"] is True
    assert weights["subPath"] == "llama-3.1-8b-instruct/0123456789abcdef"


def test_the_plan_reaches_the_flags() -> None:
    made = serving(gpu={"count": 8}, sizing={"maxModelLen": 4096, "maxNumSeqs": 64})
    args = flags.server_args(made, "/models/x")
    assert args[0] == "/models/x"
    assert "--tensor-parallel-size=8" in args
    assert "--max-model-len=4096" in args
    assert "--max-num-seqs=64" in args
    assert f"--max-num-batched-tokens={made.plan.max_num_batched_tokens}" in args
    assert not [arg for arg in args if arg.startswith("--kv-cache-memory-bytes")]


def test_a_cpu_gets_bytes_instead_of_a_share_of_the_machine() -> None:
    made = serving(engine={"device": "cpu", "image": "x:0.32.0"}, gpu={"product": "", "count": 2})
    args = flags.server_args(made, "/m")
    assert f"--kv-cache-memory-bytes={made.plan.kv_cache_bytes}" in args
    assert "--tensor-parallel-size=2" in args
    assert not [arg for arg in args if arg.startswith("--gpu-memory-utilization")]
    env = {
        entry["name"]: entry.get("value")
        for entry in engine(engine={"device": "cpu", "image": "x:0.32.0"}, gpu={"product": ""})[
            "env"
        ]
    }
    assert env["VLLM_TARGET_DEVICE"] == "cpu"
    assert env["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"


@pytest.mark.parametrize(
    ("version", "known"), [("0.17.1", False), ("0.18.0", True), ("0.24.0", True)]
)
def test_flags_are_rendered_by_version(version: str, known: bool) -> None:
    args = flags.server_args(serving(engine={"version": version}), "/m")
    assert ("--shutdown-timeout=60" in args) is known


def test_the_users_arguments_come_last() -> None:
    assert flags.server_args(serving(engine={"args": ["--seed=7"]}), "/m")[-1] == "--seed=7"


def test_gpus_are_limits_and_their_taint_is_tolerated() -> None:
    pod = by_kind(gpu={"count": 4})["Deployment"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "4"}
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": H100}


def test_a_cpu_counts_a_resource_only_when_asked_to() -> None:
    cpu = {"device": "cpu", "image": "x:0.32.0"}
    assert "limits" not in engine(engine=cpu, gpu={"product": ""})["resources"]
    counted = engine(engine=cpu, gpu={"product": "", "resourceName": "nvidia.com/gpu", "count": 2})
    assert counted["resources"]["limits"] == {"nvidia.com/gpu": "2"}


def test_the_startup_budget_grows_with_the_bytes_unless_it_is_set() -> None:
    def seconds(**spec: Any) -> int:
        probe = engine(**spec)["startupProbe"]
        return int(probe["failureThreshold"]) * int(probe["periodSeconds"])

    assert 2 * (600 + 160) <= seconds() <= 2 * (600 + 170)
    assert seconds(startup={"budget": "2h"}) == 7200


def test_a_volume_that_was_slow_before_is_given_more_time() -> None:
    def seconds(speed: float) -> int:
        return probes.startup_seconds(replace(serving(), measured_speed=speed))

    size = serving().weights.bytes
    assert seconds(10**7) == 2 * (600 + math.ceil(size / 10**7))
    assert seconds(10**10) == seconds(0), "a fast read may have come from the page cache"


def test_the_deadline_of_a_rollout_is_beyond_the_startup_probe() -> None:
    server = by_kind(startup={"budget": "2h"})["Deployment"]["spec"]
    assert server["progressDeadlineSeconds"] == 7200 + 600


def test_the_grace_period_covers_pre_stop_drain_and_exit() -> None:
    pod = by_kind(drain={"timeout": "2m"})["Deployment"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= 5 + 120 + 15
    assert "--shutdown-timeout=120" in pod["containers"][0]["args"]


def test_a_low_port_is_the_services_and_not_vllms() -> None:
    made = by_kind(endpoint={"port": 80})
    assert made["Service"]["spec"]["ports"][0]["port"] == 80
    container = made["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert container["ports"][0]["containerPort"] == 8000
    assert "--port=8000" in container["args"]
    assert made["NetworkPolicy"]["spec"]["ingress"][0]["ports"][0]["port"] == 8000


def test_who_may_connect() -> None:
    default = by_kind()["NetworkPolicy"]["spec"]["ingress"][0]["from"]
    assert default[0] == {"podSelector": {}}
    own = [{"namespaceSelector": {"matchLabels": {"team": "a"}}}]
    named = by_kind(endpoint={"networkPolicy": {"from": own}})["NetworkPolicy"]
    assert named["spec"]["ingress"][0]["from"] == own
    assert "NetworkPolicy" not in by_kind(endpoint={"networkPolicy": {"enabled": False}})


def test_a_budget_for_drains_only_where_there_are_several() -> None:
    assert "PodDisruptionBudget" not in by_kind()
    assert by_kind(replicas=2)["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_users_labels_reach_pods_and_cannot_displace_ours() -> None:
    template = by_kind(podMetadata={"labels": {"team": "a"}})["Deployment"]["spec"]["template"]
    assert template["metadata"]["labels"]["team"] == "a"
    selector = by_kind()["Deployment"]["spec"]["selector"]["matchLabels"]
    assert selector.items() <= template["metadata"]["labels"].items()


def test_rendering_is_deterministic_and_names_its_intent() -> None:
    assert render.serving_objects(serving()) == render.serving_objects(serving())
    one, two = by_kind()["Deployment"], by_kind(replicas=2)["Deployment"]
    assert one["metadata"]["annotations"] != two["metadata"]["annotations"]
