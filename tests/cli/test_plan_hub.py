"""plan ORG/REPO: what is asked of a hub, what is not, and one sentence for every refusal."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from tests.cli.checkpoints import SMALL, layers, repository, safetensors
from tests.cli.conftest import Run
from tests.support.cluster.pki import Authority
from tests.support.hub import Hub, Repository, parse_fault
from tests.support.models import tiny

REPO = "org/small-llama"
EXACT = 512 * 64 * 2 + 2 * 200
SMOLLM2 = Path.home() / ".cache/llama-operator/models/smollm2-135m-instruct"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a small checkpoint of two shards, named by HF_ENDPOINT."""
    with Hub([Repository.of(REPO, repository(), branches=("main", "v2"))]) as found:
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        yield found


def serve(hub: Hub, **files: bytes) -> None:
    hub.repositories[REPO] = Repository.of(REPO, repository(**files))


def planned(llamactl: Run, *args: object) -> dict[str, Any]:
    result = llamactl("plan", REPO, "--gpu", "L4", *args, "-o", "json")
    assert result.exit_code == 0, result.stderr
    return dict(json.loads(result.stdout)["chosen"])


def refused(llamactl: Run, *args: object) -> dict[str, Any]:
    """The refusal of the JSON; its message is also the sentence on stderr."""
    result = llamactl("plan", REPO, "--gpu", "L4", *args, "-o", "json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["chosen"], found["candidates"]) == (1, None, [])
    assert "Traceback" not in result.stderr
    assert found["refusal"]["message"] in result.stderr
    assert "spec." not in result.stderr
    return dict(found["refusal"])


def test_bytes_are_those_of_the_tensors_and_the_commit_is_named(llamactl: Run, hub: Hub) -> None:
    chosen = planned(llamactl)
    repo = hub.repositories[REPO]
    assert chosen["checkpoint"]["tensorBytes"] == EXACT
    assert chosen["checkpoint"]["commit"] == repo.commit
    assert chosen["checkpoint"]["fileBytes"] == sum(blob.size for blob in repo.blobs.values())
    page = llamactl("plan", REPO, "--gpu", "L4")
    assert f"Commit:   {repo.commit}" in page.stdout


def test_no_weights_are_fetched(llamactl: Run, hub: Hub) -> None:
    big = {f"model.layers.{n}.mlp.up_proj.weight": ("BF16", (1,), 4 << 20) for n in range(2)}
    serve(hub, **{"model-00002-of-00002.safetensors": safetensors(big)})
    assert planned(llamactl)["checkpoint"]["tensorBytes"] == 512 * 64 * 2 + (8 << 20)
    assert 0 < hub.sent("model-00002-of-00002.safetensors") <= 32 << 10


def test_a_long_header_is_read_to_its_end(llamactl: Run, hub: Hub) -> None:
    many = {f"model.layers.{n % 2}.extra_{n}": ("BF16", (1,), 2) for n in range(2000)}
    serve(hub, **{"model-00002-of-00002.safetensors": safetensors(many)})
    assert planned(llamactl)["checkpoint"]["tensorBytes"] == 512 * 64 * 2 + 4000


def test_a_revision_is_resolved_and_a_branch_that_is_none_is_refused(
    llamactl: Run, hub: Hub
) -> None:
    assert planned(llamactl, "--revision", "v2")["checkpoint"]["commit"]
    assert "@v3" in refused(llamactl, "--revision", "v3")["message"]
    result = llamactl("plan", REPO, "--revision", "../x")
    assert (result.exit_code, "--revision" in result.stderr) == (2, True)


def test_a_catalogue_model_is_asked_for_only_with_a_revision(llamactl: Run, hub: Hub) -> None:
    assert llamactl("plan", "8b", "--gpu", "H100").exit_code == 0
    assert hub.requests == []
    result = llamactl("plan", "8b", "--gpu", "H100", "--revision", "v2")
    assert "meta-llama/Llama-3.1-8B-Instruct" in result.stderr
    assert hub.requests


def test_the_yaml_pins_the_commit(llamactl: Run, hub: Hub) -> None:
    result = llamactl("plan", REPO, "--gpu", "L4", "-o", "yaml")
    spec = LlamaDeploymentSpec.model_validate(yaml.safe_load(result.stdout)["spec"])
    assert spec.source is not None and spec.source.hugging_face is not None
    assert spec.source.hugging_face.revision == hub.repositories[REPO].commit


def test_one_file_without_an_index(
    llamactl: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    directory = tiny(tmp_path / "tiny")
    with Hub([Repository.scan(REPO, directory)]) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        chosen = planned(llamactl)
    here = json.loads(llamactl("plan", directory, "--gpu", "L4", "-o", "json").stdout)["chosen"]
    held = (directory / "model.safetensors").stat().st_size
    assert held - 8192 < chosen["checkpoint"]["tensorBytes"] < held
    assert here["checkpoint"]["tensorBytes"] == chosen["checkpoint"]["tensorBytes"]
    assert here["perGpu"] == chosen["perGpu"]


@pytest.mark.skipif(not SMOLLM2.is_dir(), reason="SmolLM2 has not been made yet")
def test_smollm2_is_counted_to_the_byte(llamactl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with Hub([Repository.scan(REPO, SMOLLM2)]) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert planned(llamactl)["checkpoint"]["tensorBytes"] == 134_515_008 * 2


def test_a_quantised_repository_is_judged_by_its_config(llamactl: Run, hub: Hub) -> None:
    config = {**SMALL, "quantization_config": {"quant_method": "fp8"}}
    shard = safetensors(layers(2, "F8_E4M3"))
    files = {"config.json": json.dumps(config).encode(), "model-00002-of-00002.safetensors": shard}
    serve(hub, **files)
    assert planned(llamactl)["quantization"] == "fp8"
    result = llamactl("plan", REPO, "--gpu", "T4")
    assert result.exit_code == 1
    assert "cannot run fp8" in result.stderr


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        ("401:on=resolve,code=GatedRepo", "TokenMissing", "HF_TOKEN"),
        ("401:on=info,code=RepoNotFound", "TokenMissing", "HF_TOKEN"),
        ("403:on=resolve,code=GatedRepo", "TokenMissing", "HF_TOKEN"),
        ("404:on=info", "NotFound", "--revision"),
        ("429:retry_after=300", "RateLimited", "HF_TOKEN raises the limit"),
        ("500:on=tree", "ServerError", "try again"),
        ("html:on=info", "EndpointUnreachable", "login page"),
        ("garble:on=tree", "EndpointUnreachable", "hub"),
        ("norange:on=cdn", "Failed", "ignores ranges"),
        ("corrupt:on=resolve,match=config.json", "ChecksumMismatch", "changes bytes"),
        ("cut:on=cdn,after=10", "Failed", "network"),
    ],
)
def test_every_refusal_is_one_sentence_with_the_fix(
    llamactl: Run, hub: Hub, fault: str, reason: str, words: str
) -> None:
    hub.faults.append(parse_fault(fault))
    found = refused(llamactl)
    assert found["reason"] == reason
    assert words in f"{found['field']} {found['message']}. {found['fix']}"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://no-such-host.invalid", "x"])
def test_an_endpoint_that_is_not_there(
    llamactl: Run, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    found = refused(llamactl)
    assert (found["field"], found["reason"]) == ("HF_ENDPOINT", "EndpointUnreachable")


def test_a_token_is_never_sent_over_http(
    llamactl: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    found = refused(llamactl)
    assert found["fix"] == "Use https, or unset HF_TOKEN"
    assert hub.requests == []


def test_a_token_goes_to_the_endpoint_and_to_nobody_else(
    llamactl: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    authority.create()
    pair = authority.server("hub", "hub", ["127.0.0.1", "localhost"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    gated = Repository.of(REPO, repository(), token="hf_secret", gated=True)
    with Hub([gated], tls=context, cdn_host="localhost") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca.certificate))
        assert refused(llamactl)["reason"] == "TokenMissing"
        monkeypatch.setenv("HF_TOKEN", "hf_other")
        assert refused(llamactl)["reason"] in ("TokenInvalid", "NotFound", "LicenceNotAccepted")
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        hub.requests.clear()
        result = llamactl("plan", REPO, "--gpu", "L4", "-o", "json")
        assert result.exit_code == 0, result.stderr
        assert "hf_secret" not in result.stdout + result.stderr
        seen = {place: {r.authorization for r in hub.seen(place)} for place in ("resolve", "cdn")}
    assert seen == {"resolve": {"Bearer hf_secret"}, "cdn": {""}}


LIES: list[tuple[str, Callable[[], dict[str, bytes]], str]] = [
    (
        "layers",
        lambda: {"config.json": json.dumps({**SMALL, "num_hidden_layers": 3}).encode()},
        "num_hidden_layers: is 3, but the files hold 2 layers",
    ),
    (
        "vocabulary",
        lambda: {"config.json": json.dumps({**SMALL, "vocab_size": 1024}).encode()},
        "vocab_size: is 1024, but the embedding in the files is [512, 64]",
    ),
    (
        "quantised",
        lambda: {"model-00002-of-00002.safetensors": safetensors(layers(2, "F8_E4M3"))},
        "quantization_config: is missing, but",
    ),
    (
        "length",
        lambda: {"model-00002-of-00002.safetensors": safetensors(layers(2), length=1 << 60)},
        "announces a header of",
    ),
    (
        "cut",
        lambda: {"model-00002-of-00002.safetensors": safetensors(layers(2), cut=100)},
        "of 300 bytes",
    ),
    (
        "hole",
        lambda: {"model-00002-of-00002.safetensors": safetensors(layers(2)) + b"more"},
        "holds 404 bytes, but its header tells of 400",
    ),
    ("header", lambda: {"model-00002-of-00002.safetensors": b"\4" + bytes(7) + b"nono"}, "JSON"),
    ("index", lambda: {"model.safetensors.index.json": b"[]"}, "has no weight_map"),
    (
        "missing shard",
        lambda: {"model.safetensors.index.json": b'{"weight_map": {"a": "other.safetensors"}}'},
        "names 'other.safetensors', which is missing",
    ),
    ("config", lambda: {"config.json": b"[1]"}, "holds no object"),
]


@pytest.mark.parametrize(
    ("files", "words"), [lie[1:] for lie in LIES], ids=[lie[0] for lie in LIES]
)
def test_a_repository_that_lies(
    llamactl: Run, hub: Hub, files: Callable[[], dict[str, bytes]], words: str
) -> None:
    serve(hub, **files())
    found = refused(llamactl)
    assert words in f"{found['field']}: {found['message']}".removeprefix("config.json: ")


def test_a_repository_without_safetensors(llamactl: Run, hub: Hub) -> None:
    files = {"config.json": json.dumps(SMALL).encode(), "pytorch_model.bin": b"x"}
    hub.repositories[REPO] = Repository.of(REPO, files)
    assert "no *.safetensors" in refused(llamactl)["message"]


def test_many_shards_are_read_at_once(llamactl: Run, hub: Hub) -> None:
    count = 40
    names = [f"model-{n:05d}-of-{count:05d}.safetensors" for n in range(1, count + 1)]
    tensors = [f"model.layers.{n % 2}.w{n}" for n in range(count)]
    index = json.dumps({"weight_map": dict(zip(tensors, names, strict=True))}).encode()
    files = {
        name: safetensors({tensor: ("BF16", (5,), 10)})
        for name, tensor in zip(names, tensors, strict=True)
    }
    config = json.dumps(SMALL).encode()
    files |= {"config.json": config, "model.safetensors.index.json": index}
    hub.repositories[REPO] = Repository.of(REPO, files)
    assert planned(llamactl)["checkpoint"]["tensorBytes"] == 10 * count
    assert len(hub.seen("cdn")) == count
