"""From Meta's e-mail to an answer: a real model, split as Meta splits, through every step."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.e2e.conftest import NAMESPACE
from tests.e2e.test_fetching import settles
from tests.support.cluster.pki import Authority
from tests.support.demo.ask import api_key, forwarded
from tests.support.hub.meta import MetaHub, directory
from tests.support.models import QUESTION, smollm2_meta
from tests.support.stack import RUNTIME_CLASS, VLLM_IMAGE, Stack

pytestmark = [pytest.mark.node, pytest.mark.vllm, pytest.mark.timeout(600)]
Object = dict[str, Any]


@pytest.fixture
def operator(stack: Stack, tmp_path: Path, ranks: int) -> Iterator[Stack]:
    """The operator with the model in its catalogue."""
    extra = tmp_path / "models.json"
    extra.write_text(json.dumps(smollm2_meta.catalogue(ranks)))
    stack.start_operator(stack.hub, f"--models-file={extra}")
    yield stack
    stack.start_operator(stack.hub)


@pytest.fixture
def server(stack: Stack, tmp_path: Path, ranks: int) -> Iterator[tuple[MetaHub, str]]:
    """Meta's server on the address that pods reach, and the certificate to trust it by."""
    authority = Authority(tmp_path / "pki")
    authority.create()
    pair = authority.server("meta", "meta", [stack.cluster.host_address])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    folder = smollm2_meta.published(tmp_path / smollm2_meta.FOLDER, ranks)
    blobs = directory(smollm2_meta.FOLDER, folder)
    with MetaHub(blobs, tls=context, host=stack.cluster.host_address) as running:
        yield running, authority.ca.certificate.read_text()


def apply(stack: Stack, *objects: Object) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    stack.cluster.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=json.dumps(items))


def mail(url: str) -> Object:
    data = {"url": base64.b64encode(url.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mail"}, "data": data}


def custom(kind: str, name: str, **spec: Any) -> Object:
    return {
        "apiVersion": "llamactl.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"model": smollm2_meta.MODEL, **spec},
    }


@pytest.mark.parametrize("ranks", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_from_the_e_mail_to_the_same_answer(
    operator: Stack, server: tuple[MetaHub, str], ranks: int
) -> None:
    stack, (meta, certificate) = operator, server
    authorities = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "authorities"},
        "data": {"ca.crt": certificate},
    }
    weights = custom(
        "LlamaWeights",
        "from-meta",
        source={"meta": {"urlSecretRef": {"name": "mail"}}},
        caBundle={"configMapName": "authorities"},
    )
    served = custom(
        "LlamaDeployment",
        "from-meta",
        weightsRef={"name": "from-meta"},
        gpu={"count": 1},
        sizing={"maxModelLen": 2048},
        engine={"device": "cpu", "image": VLLM_IMAGE, "enforceEager": True},
        runtimeClassName=RUNTIME_CLASS,
    )
    # An expired e-mail first: refused at once, nothing asked, no Job.
    apply(stack, mail(meta.signed(-10)), authorities, weights, served)
    try:
        refused = settles(stack, "from-meta", "Ready", "URLExpired", 15)
        assert "e-mail" in refused["message"]
        assert meta.requests == []
        assert not stack.list("jobs", NAMESPACE, "-l", "llamactl.dev/weights=from-meta")
        url = meta.signed()
        apply(stack, mail(url))
        settles(stack, "from-meta", "Ready", "Published", 240)
        status = stack.get("llamaweights", "from-meta", NAMESPACE)["status"]
        conditions = {each["type"]: each["reason"] for each in status["conditions"]}
        assert conditions["Converted"] == "Complete"
        stack.cluster.kubectl(
            "wait", "-n", NAMESPACE, "--for=condition=Ready", "--timeout=300s", "llama/from-meta",
            timeout=310,
        )  # fmt: skip
        assert "Paris" in _answer(stack)
        _url_is_nowhere(stack, url)
    finally:
        stack.cluster.kubectl("delete", "llama", "from-meta", "-n", NAMESPACE)
        stack.cluster.kubectl("delete", "llamaweights", "from-meta", "-n", NAMESPACE)
        stack.cluster.kubectl("delete", "secret/mail", "cm/authorities", "-n", NAMESPACE)


def _answer(stack: Stack) -> str:
    key = api_key(stack.get("secret", "from-meta-api-key", NAMESPACE))
    with forwarded(stack.cluster.kubeconfig, "svc/from-meta", 8000, NAMESPACE) as port:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, timeout=120)
        answer = client.completions.create(
            model=smollm2_meta.MODEL,
            prompt=smollm2_meta.prompt(QUESTION),
            max_tokens=32,
            temperature=0,
            extra_body={"add_special_tokens": False},
        )
    assert answer.choices[0].finish_reason == "stop", "the converted stop token ends it"
    return answer.choices[0].text


def _url_is_nowhere(stack: Stack, url: str) -> None:
    signature = url.partition("Signature=")[2].partition("&")[0]
    everything = stack.cluster.kubectl(
        "get", "all,events,cm,llamas,llamaweights", "-n", NAMESPACE, "-o", "json"
    )
    logs = stack.cluster.kubectl(
        "logs", "-n", NAMESPACE, "-l", "llamactl.dev/weights=from-meta", "--tail=-1"
    )
    for text in (everything, logs, stack.log("llama-operator")):
        assert signature not in text
