"""The CRDs on a real API server: what is refused, with which words, and what is filled in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration import crd_accepted as right
from tests.integration import crd_canaries as canaries
from tests.integration import crd_cases as cases
from tests.integration import crd_routes as routes
from tests.integration.crd_cases import Refusal, deployment, hugging_face, weights
from tests.integration.rawapi import Answer, RawApi

from llama_operator.api import rules
from llama_operator.api.reserved import RESERVED_FLAGS, reserved_args

pytestmark = pytest.mark.cluster


def refused_with(answer: Answer) -> tuple[str, str]:
    assert answer.status == 422, answer.body
    assert len(answer.causes) == 1, answer.causes
    return answer.causes[0]


RULES = [*cases.RULES, *routes.RULES, *canaries.RULES]
ACCEPTED = {**right.ACCEPTED, **routes.ACCEPTED, **canaries.ACCEPTED}


@pytest.mark.parametrize("case", RULES, ids=lambda case: case.id)
def test_rule_refuses_with_its_message(api: RawApi, case: Refusal) -> None:
    field, message = refused_with(api.create(case.obj))
    assert field == (case.field or "<nil>")
    assert message.endswith(f": {case.message}")


@pytest.mark.parametrize("case", [*cases.BOUNDS, *routes.BOUNDS], ids=lambda case: case.id)
def test_bound_refuses_at_its_field(api: RawApi, case: Refusal) -> None:
    answer = api.create(case.obj)
    assert answer.status == 422, answer.body
    at_field = [message for field, message in answer.causes if field == case.field]
    assert any(case.message in message for message in at_field), answer.causes


@pytest.mark.parametrize("name", ACCEPTED)
def test_right_objects_are_accepted(api: RawApi, name: str) -> None:
    answer = api.create(ACCEPTED[name])
    assert answer.status == 201, answer.causes or answer.body


@pytest.mark.parametrize("name", right.UNKNOWN)
def test_unknown_fields_are_refused(api: RawApi, name: str) -> None:
    answer = api.create(right.UNKNOWN[name])
    assert answer.status == 400
    assert "strict decoding error: unknown field" in answer.body["message"]


def test_every_rule_has_a_case() -> None:
    """A rule that nothing violates in this table could be always true."""
    tested = {case.message for case in RULES} | set(UPDATE_MESSAGES)
    assert {each.message for each in (*rules.DEPLOYMENT, *rules.WEIGHTS)} == tested


# What is filled in


def test_minimal_deployment_is_filled_in(api: RawApi) -> None:
    answer = api.create(deployment())
    assert answer.status == 201
    assert answer.body["spec"] == {
        "model": "llama-3.1-8b-instruct",
        "replicas": 1,
        "paused": False,
        "gpu": {},
        "sizing": {"objective": "fit", "dtype": "auto", "kvCacheDtype": "auto"},
        "engine": {"type": "vllm", "device": "cuda", "enforceEager": False},
        "lora": {"enabled": False, "maxAdapters": 4, "maxRank": 16},
        "auth": {"mode": "APIKey"},
        "endpoint": {"port": 8000, "routing": "None", "networkPolicy": {"enabled": True}},
        "rollout": {
            "strategy": "Auto",
            "allowDowntime": True,
            "automaticRollback": True,
            "historyLimit": 5,
            "canaryPercent": 0,
        },
        "backend": "native",
        "kserve": {"resource": "InferenceService"},
        "startup": {"budget": "auto", "warmUp": True},
        "compileCache": {"enabled": True},
        "drain": {"timeout": "60s"},
        "disruption": {"maxUnavailable": 1},
        "scheduling": {},
        "podMetadata": {},
        "observability": {"podMonitor": True},
    }


def test_minimal_weights_are_filled_in(api: RawApi) -> None:
    answer = api.create(weights())
    assert answer.status == 201
    assert answer.body["spec"] == {
        "model": "llama-3.1-8b-instruct",
        "adapter": False,
        "keepOriginals": False,
        "verify": {"schedule": "Never"},
        "fetch": {"connections": 16, "maxBytesPerSecond": 0},
    }


def test_parents_that_are_present_are_filled_in(api: RawApi) -> None:
    spec = {
        **hugging_face(tokenSecretRef={"name": "t"}),
        "retention": {},
    }
    stored = api.create(weights(**spec)).body["spec"]
    assert stored["source"]["huggingFace"] == {
        "revision": "main",
        "tokenSecretRef": {"name": "t", "key": "token"},
    }
    assert stored["retention"] == {"policy": "Retain", "afterUnused": "24h"}
    assert api.create(deployment(**spec)).body["spec"]["retention"]["policy"] == "Delete"


# Reserved flags, the same in CEL and in Python


def spellings() -> list[str]:
    made = []
    for flag in RESERVED_FLAGS:
        underscored = flag.replace("-", "_")
        made += [f"--{name}{tail}" for name in (flag, underscored) for tail in ("", "=x", ".a=1")]
        made += [f"--{flag[:end]}" for end in range(1, len(flag))]
        made += [f"--{underscored[: len(flag) // 2 + 1]}=x", f"-{flag}", f"--no-{flag}", flag]
        made += [f"--{flag}-of-mine", f"--x{flag}", f"--{flag.upper()}"]
    made += [
        f"-{first}{rest}" for first in "abcdehnopqrstO" for rest in ("", "p", "4", "p=2", "=2")
    ]
    made += [
        "-pcp",
        "-dcp",
        "-asc",
        "-ep=n4",
        "-e=n4",
        "--",
        "-",
        "",
        "--=x",
        "--.a",
        "--ssl",
        "--ssl_",
    ]
    made += [
        "--max-model-len",
        "--model-impl=x",
        "--config-format",
        "{}",
        "8192",
        "a b",
        "--a b",
        "é",
    ]
    return sorted(set(made))


def refused_by_server(api: RawApi, args: list[str]) -> list[str]:
    causes = api.create(deployment(engine={"args": args})).causes
    places = [field.removeprefix("spec.engine.args[").removesuffix("]") for field, _ in causes]
    return [args[index] for index in sorted(int(place) for place in places)]


def test_reserved_flags_are_the_same_here_and_there(api: RawApi) -> None:
    table = spellings()
    assert len(table) > 400
    refused = []
    for start in range(0, len(table), 64):
        refused += refused_by_server(api, table[start : start + 64])
    assert refused == reserved_args(table)
    assert len(table) - len(refused) > 100


# Changes


@pytest.fixture
def stored(api: RawApi) -> Iterator[str]:
    spec = {
        **hugging_face(repo="o/r"),
        "storage": {"claimName": "c", "accessModes": ["ReadWriteOnce"], "size": "40Gi"},
    }
    assert api.create(weights("kept", **spec), dry_run=False).status == 201
    yield "kept"
    api.delete("LlamaWeights", "kept")


MAKE_NEW = "cannot change; make a new LlamaWeights"
STORAGE = f"spec.storage: {MAKE_NEW}; only spec.storage.size may grow"
SHRINK = "spec.storage.size: a volume cannot shrink; keep or raise it"
UPDATE_MESSAGES = (
    *(f"spec.{field}: {MAKE_NEW}" for field in ("model", "source", "adapter")),
    *(STORAGE, SHRINK, canaries.PORT),
)
CHANGES: list[tuple[dict[str, Any], str, str]] = [
    ({"model": "llama-3.2-1b"}, "spec.model", f"spec.model: {MAKE_NEW}"),
    (hugging_face(repo="o/other"), "spec.source", f"spec.source: {MAKE_NEW}"),
    (hugging_face(revision="v2"), "spec.source", f"spec.source: {MAKE_NEW}"),
    ({"source": None}, "spec.source", f"spec.source: {MAKE_NEW}"),
    ({"adapter": True}, "spec.adapter", f"spec.adapter: {MAKE_NEW}"),
    ({"storage": None}, "spec.storage", STORAGE),
    ({"storage": {"claimName": "d"}}, "spec.storage.claimName", STORAGE),
    ({"storage": {"claimName": None}}, "spec.storage.claimName", STORAGE),
    ({"storage": {"storageClassName": "fast"}}, "spec.storage.storageClassName", STORAGE),
    ({"storage": {"accessModes": ["ReadWriteMany"]}}, "spec.storage.accessModes", STORAGE),
    ({"storage": {"size": "39Gi"}}, "spec.storage.size", SHRINK),
    ({"storage": {"size": 1024}}, "spec.storage.size", SHRINK),
    ({"storage": {"size": None}}, "spec.storage.size", SHRINK),
]


@pytest.mark.parametrize(
    ("spec", "field", "words"), CHANGES, ids=[str(each[0]) for each in CHANGES]
)
def test_what_identifies_a_copy_cannot_change(
    api: RawApi, stored: str, spec: dict[str, Any], field: str, words: str
) -> None:
    where, message = refused_with(api.merge("LlamaWeights", stored, {"spec": spec}))
    assert where == field
    assert message.endswith(f": {words}")


@pytest.mark.parametrize(
    "spec",
    [
        {"storage": {"size": "40960Mi"}},
        {"storage": {"size": "41Gi"}},
        {"storage": {"size": 42949672961}},
        {"retention": {"policy": "Delete"}},
        {"fetch": {"connections": 4}},
    ],
    ids=str,
)
def test_the_rest_may_change(api: RawApi, stored: str, spec: dict[str, Any]) -> None:
    assert api.merge("LlamaWeights", stored, {"spec": spec}).status == 200


def test_a_size_may_be_given_later_but_not_a_place(api: RawApi) -> None:
    assert api.create(weights("bare"), dry_run=False).status == 201
    sized = api.merge("LlamaWeights", "bare", {"spec": {"storage": {"size": "40Gi"}}})
    placed = api.merge("LlamaWeights", "bare", {"spec": {"storage": {"claimName": "c"}}})
    sourced = api.merge("LlamaWeights", "bare", {"spec": hugging_face(repo="o/r")})
    api.delete("LlamaWeights", "bare")
    assert sized.status == 200
    assert refused_with(placed)[1].endswith(STORAGE)
    assert refused_with(sourced)[1].endswith(f"spec.source: {MAKE_NEW}")


@pytest.fixture
def tried(api: RawApi) -> Iterator[str]:
    made = canaries.tried()
    assert api.create(made, dry_run=False).status == 201
    yield made["metadata"]["name"]
    api.delete("LlamaDeployment", made["metadata"]["name"])


def test_the_port_of_all_servers_cannot_be_tried_by_one(api: RawApi, tried: str) -> None:
    port: dict[str, Any] = {"endpoint": {"port": 9000}}
    where, message = refused_with(api.merge("LlamaDeployment", tried, {"spec": port}))
    assert where == "spec.endpoint.port"
    assert message.endswith(f": {canaries.PORT}")
    for percent in (0, 100):
        spec = {**port, "rollout": {"canaryPercent": percent}}
        assert api.merge("LlamaDeployment", tried, {"spec": spec}).status == 200
        port = {"endpoint": {"port": 9001}}


def test_the_share_of_a_canary_may_change(api: RawApi, tried: str) -> None:
    spec = {"rollout": {"canaryPercent": 50}, "engine": {"args": ["--seed=1"]}}
    assert api.merge("LlamaDeployment", tried, {"spec": spec}).status == 200
