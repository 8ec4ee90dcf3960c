"""The compile cache in the pod: only where it is asked for, and out of the engine's reach."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import serving

from llama_operator import compilecache
from llama_operator.api import labels
from llama_operator.render import compile_cache, pod, render, revision
from llama_operator.render.inputs import Serving

Object = dict[str, Any]
ASKED: Object = {"compileCache": {"storage": {}}}


def claims(wish: Serving) -> list[Object]:
    kind = "PersistentVolumeClaim"
    return [obj for obj in render.serving_objects(wish) if obj["kind"] == kind]


def keeper(wish: Serving) -> Object:
    (found,) = pod.template(wish)["spec"]["initContainers"]
    return dict(found)


def one_node(**spec: Any) -> Serving:
    wish = serving(**spec)
    return replace(wish, weights=replace(wish.weights, one_node=True))


@pytest.mark.parametrize(
    "spec", [{}, {"enabled": False}, {"enabled": False, "storage": {}}, {"enabled": True}]
)
def test_without_a_volume_pods_are_as_ever(spec: Object) -> None:
    wish = serving(compileCache=spec)
    assert pod.template(wish) == pod.template(serving())
    assert revision.inputs_of(wish.spec, wish.weights) == revision.inputs_of(
        serving().spec, wish.weights
    )
    assert claims(wish) == []


def test_a_claim_is_made_before_the_server() -> None:
    kinds = [obj["kind"] for obj in render.serving_objects(serving(**ASKED))]
    assert kinds.index("PersistentVolumeClaim") < kinds.index("Deployment")
    (claim,) = claims(serving(**ASKED))
    assert claim["metadata"]["name"] == "web-compile-cache"
    assert claim["metadata"]["ownerReferences"][0]["kind"] == "LlamaDeployment"
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "5Gi"}},
    }


def test_the_claim_is_as_it_is_wished() -> None:
    storage = {"storageClassName": "fast", "accessModes": ["ReadWriteOnce"], "size": "9Gi"}
    (claim,) = claims(serving(compileCache={"storage": storage}))
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "9Gi"}},
        "storageClassName": "fast",
    }


def test_beside_weights_of_one_node_it_is_of_one_node() -> None:
    assert claims(one_node(**ASKED))[0]["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_servers_stay_where_their_volume_is() -> None:
    storage = {"accessModes": ["ReadWriteOnce"]}
    spec = pod.template(serving(compileCache={"storage": storage}))["spec"]
    (term,) = spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    chosen = term["labelSelector"]["matchLabels"]
    assert chosen == {labels.DEPLOYMENT: "web", labels.COMPONENT: labels.SERVER}
    assert "affinity" not in pod.template(serving(**ASKED))["spec"]


def test_the_engine_does_not_see_the_volume() -> None:
    wish = serving(**ASKED)
    (engine,) = pod.template(wish)["spec"]["containers"]
    assert compile_cache.KEEPER not in {each["name"] for each in engine["volumeMounts"]}
    mounted = {each["name"]: each["mountPath"] for each in keeper(wish)["volumeMounts"]}
    assert mounted[compile_cache.KEEPER] == compilecache.STORE_DIR
    # And the keeper neither keys nor weights.
    assert not {"api-keys", "weights"} & set(mounted)
    assert keeper(wish)["restartPolicy"] == "Always"
    assert keeper(wish)["securityContext"] == engine["securityContext"]


def test_a_shared_claim_is_shared_by_directory() -> None:
    wish = serving(compileCache={"storage": {"claimName": "ours"}})
    assert claims(wish) == []
    volumes = {each["name"]: each for each in pod.template(wish)["spec"]["volumes"]}
    assert volumes[compile_cache.KEEPER]["persistentVolumeClaim"] == {"claimName": "ours"}
    (store,) = [m for m in keeper(wish)["volumeMounts"] if m["name"] == compile_cache.KEEPER]
    assert store["subPath"] == "compile-cache/web"


def test_the_claim_of_an_earlier_revision_is_kept() -> None:
    before = pod.template(serving(**ASKED))
    made = render.serving_objects(serving(), before)
    assert "PersistentVolumeClaim" in {obj["kind"] for obj in made}


def test_a_larger_claim_restarts_nothing() -> None:
    small, large = (serving(compileCache={"storage": {"size": size}}) for size in ("5Gi", "50Gi"))
    assert revision.inputs_of(small.spec, small.weights) == revision.inputs_of(
        large.spec, large.weights
    )
    assert pod.template(small) == pod.template(large)
    assert revision.inputs_of(small.spec, small.weights) != revision.inputs_of(
        serving().spec, small.weights
    )


def test_the_key_follows_what_compiled_code_hangs_on() -> None:
    wish = serving(**ASKED)
    others = [
        replace(wish, image="vllm:other"),
        replace(wish, vllm_version="0.1.0"),
        replace(wish, plan=replace(wish.plan, gpu_product="NVIDIA-B200")),
        replace(wish, plan=replace(wish.plan, tensor_parallel=2)),
        replace(wish, weights=replace(wish.weights, path="m/other")),
        serving(**ASKED, engine={"args": ["--enable-lora"]}),
    ]
    keys = {compile_cache.key(each) for each in (wish, *others)}
    assert len(keys) == 1 + len(others)
    same = [
        serving("other", **ASKED),
        serving(**ASKED, replicas=3, endpoint={"port": 9000}, drain={"timeout": "5s"}),
    ]
    assert {compile_cache.key(each) for each in same} == {compile_cache.key(wish)}


def test_what_else_compiles_does_so_where_it_is_kept() -> None:
    def value(wish: Serving) -> list[str]:
        (engine,) = pod.template(wish)["spec"]["containers"]
        return [e["value"] for e in engine["env"] if e["name"] == "FLASHINFER_WORKSPACE_BASE"]

    assert value(serving(**ASKED)) == ["/cache/flashinfer"]
    own = {"env": [{"name": "FLASHINFER_WORKSPACE_BASE", "value": "/tmp/mine"}]}
    assert value(serving(**ASKED, engine=own)) == ["/tmp/mine"]
    assert value(serving()) == []
