import json
from typing import Any

import pytest
from kubernetes import client
from tests.support.builders import COMMIT, serving, weights, weights_view, world

from llama_operator.reconcile import source
from llama_operator.render import jobs, render
from llama_operator.render.inputs import Fetching, Settings

Object = dict[str, Any]
MODELS = {
    "Job": client.V1Job,
    "PersistentVolumeClaim": client.V1PersistentVolumeClaim,
    "ServiceAccount": client.V1ServiceAccount,
    "Role": client.V1Role,
    "RoleBinding": client.V1RoleBinding,
}
VARIANTS: list[Object] = [
    {},
    {"storage": {"claimName": "shared"}},
    {"storage": {"storageClassName": "fast", "size": "40Gi", "accessModes": ["ReadWriteMany"]}},
    {"source": {"huggingFace": {"tokenSecretRef": {"name": "hf", "key": "t"}, "revision": "v1"}}},
    {
        "fetch": {
            "connections": 4,
            "maxBytesPerSecond": 1000,
            "resources": {"limits": {"memory": "4Gi"}},
            "nodeSelector": {"zone": "a"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
        }
    },
]


def fetching(settings: Settings | None = None, **spec: Any) -> Fetching:
    raw = weights(status={"commit": COMMIT, "bytes": 16_000_000_000}, **spec)
    return source.fetching(weights_view(raw, world=world(settings=settings or Settings())))


def objects(**spec: Any) -> list[Object]:
    wish = fetching(**spec)
    return [*render.preflight_objects(wish), *render.fetch_objects(wish)]


def job(name: str, settings: Settings | None = None, **spec: Any) -> Object:
    wish = fetching(settings, **spec)
    return jobs.preflight(wish) if name == "preflight" else jobs.fetch(wish)


def pod(name: str, settings: Settings | None = None, **spec: Any) -> Object:
    found: Object = job(name, settings, **spec)["spec"]["template"]["spec"]
    return found


def env(name: str, settings: Settings | None = None, **spec: Any) -> dict[str, Object]:
    return {entry["name"]: entry for entry in pod(name, settings, **spec)["containers"][0]["env"]}


BOTH = pytest.mark.parametrize("name", ["preflight", "fetch"])
EVERY = pytest.mark.parametrize("spec", VARIANTS)


@EVERY
def test_every_object_is_valid_for_the_typed_models(spec: Object) -> None:
    for obj in objects(**spec):
        MODELS[obj["kind"]].model_validate(obj)


@EVERY
@BOTH
def test_pods_are_restricted_and_read_only(name: str, spec: Object) -> None:
    made = pod(name, **spec)
    assert made["securityContext"]["runAsNonRoot"] is True
    assert made["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(made)
    assert {kind for volume in made["volumes"] for kind in volume} <= {
        "name", "emptyDir", "persistentVolumeClaim",
    }  # fmt: skip
    for container in made["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@BOTH
def test_a_cluster_that_gives_user_ids_is_not_asked_for_one(name: str) -> None:
    context = pod(name, Settings(user_id=0))["securityContext"]
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(context)
    assert context["runAsNonRoot"] is True
    assert pod(name)["securityContext"]["runAsUser"] == 10001


def test_only_the_fetch_may_speak_to_the_cluster_and_only_of_its_own_status() -> None:
    assert pod("preflight")["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod("preflight")
    assert pod("fetch")["serviceAccountName"] == "w-fetch"
    role = next(obj for obj in objects() if obj["kind"] == "Role")
    assert role["rules"] == [
        {
            "apiGroups": ["llamactl.dev"],
            "resources": ["llamaweights/status"],
            "resourceNames": ["w"],
            "verbs": ["get", "patch"],
        }
    ]


# -- the token -----------------------------------------------------------------------------------


@BOTH
def test_the_token_is_a_reference_and_optional_only_where_nobody_named_it(name: str) -> None:
    shared = env(name)["HF_TOKEN"]
    assert shared == {
        "name": "HF_TOKEN",
        "valueFrom": {"secretKeyRef": {"name": "hf-token", "key": "token", "optional": True}},
    }
    named = {"huggingFace": {"tokenSecretRef": {"name": "hf", "key": "t"}}}
    reference = env(name, source=named)["HF_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert reference == {"name": "hf", "key": "t", "optional": False}


@BOTH
@pytest.mark.parametrize(
    ("settings", "spec"),
    [
        (Settings(), {"source": {"huggingFace": {"endpoint": "https://mirror.example.com"}}}),
        (Settings(hf_endpoint="http://hub.example.com"), {}),
    ],
)
def test_a_token_that_nobody_named_goes_to_no_other_hub(
    name: str, settings: Settings, spec: Object
) -> None:
    assert "HF_TOKEN" not in env(name, settings, **spec)


@BOTH
def test_nothing_of_a_token_is_in_the_arguments(name: str) -> None:
    named = {"huggingFace": {"tokenSecretRef": {"name": "hf-secret", "key": "t"}}}
    made = pod(name, source=named)
    assert "hf-secret" not in json.dumps(made["containers"][0]["args"])
    values = [entry for entry in made["containers"][0]["env"] if "value" in entry]
    assert values == [{"name": "HOME", "value": "/tmp"}]


# -- names ---------------------------------------------------------------------------------------

CHANGES: list[tuple[Settings, Object]] = [
    (Settings(weights_image="other:1"), {}),
    (Settings(weights_runtime_class="gvisor"), {}),
    (Settings(hf_endpoint="https://hub.example.com"), {}),
    (Settings(), {"fetch": {"tolerations": [{"operator": "Exists"}]}}),
    (Settings(), {"source": {"huggingFace": {"tokenSecretRef": {"name": "other"}}}}),
]


@BOTH
@pytest.mark.parametrize(("settings", "spec"), CHANGES)
def test_another_pod_is_another_job(name: str, settings: Settings, spec: Object) -> None:
    """A Job's template can never change: under the old name a correction would not arrive."""
    assert job(name)["metadata"]["name"] == job(name)["metadata"]["name"]
    assert job(name, settings, **spec)["metadata"]["name"] != job(name)["metadata"]["name"]


@BOTH
def test_names_fit_a_label(name: str) -> None:
    raw = weights("w" * 50, status={"commit": COMMIT, "bytes": 1})
    wish = source.fetching(weights_view(raw))
    made = jobs.preflight(wish) if name == "preflight" else jobs.fetch(wish)
    assert len(made["metadata"]["name"]) <= 63


def test_a_retry_is_left_out_where_it_cannot_help() -> None:
    made = job("fetch")["spec"]
    assert made["template"]["spec"]["restartPolicy"] == "Never"
    codes = [
        rule["onExitCodes"] for rule in made["podFailurePolicy"]["rules"] if "onExitCodes" in rule
    ]
    assert codes == [{"operator": "In", "values": [1]}]
    assert made["backoffLimit"] > 0
    assert job("preflight")["spec"]["backoffLimit"] == 0


def test_files_land_in_one_directory_of_the_named_claim() -> None:
    made = pod("fetch", storage={"claimName": "shared"})
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in made["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    assert claims == ["shared"]
    dest = next(arg for arg in made["containers"][0]["args"] if arg.startswith("--dest="))
    assert dest.startswith("--dest=/weights/llama-3.1-8b-instruct/")
    kinds = [obj["kind"] for obj in objects(storage={"claimName": "shared"})]
    assert "PersistentVolumeClaim" not in kinds


# -- the server's environment --------------------------------------------------------------------


def test_a_variable_that_the_user_sets_too_stands_once_and_is_the_users() -> None:
    """Server-side apply refuses two entries of one name."""
    own = [{"name": "HOME", "value": "/data"}, {"name": "OMP_NUM_THREADS", "value": "7"}]
    engine = {"device": "cpu", "image": "x:0.32.0", "env": own}
    made = render.serving_objects(serving(engine=engine, gpu={"product": ""}))
    entries = made[-1]["spec"]["template"]["spec"]["containers"][0]["env"]
    names = [entry["name"] for entry in entries]
    assert len(names) == len(set(names))
    assert [entry for entry in entries if entry["name"] in ("HOME", "OMP_NUM_THREADS")] == own
