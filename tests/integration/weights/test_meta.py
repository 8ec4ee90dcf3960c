"""Meta's server: the whole way from a URL to a converted copy, and each way in which it refuses."""

from __future__ import annotations

import json
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster.pki import Authority, Pair
from tests.support.hub import parse_fault
from tests.support.hub.command import PATIENCE, Command, Outcome, files_in, run, wait_for
from tests.support.hub.meta import MetaHub, directory
from tests.support.hub.repository import blob
from tests.support.models import metashards
from tests.support.models.metashards import Sizes

from llama_operator.catalog import catalog, entry
from llama_operator.catalog.model import Meta, Model

SIZES = Sizes(hidden=256, layers=2, heads=8, kv_heads=8, inner=704, vocabulary=4096)
MIB = 1 << 20
FOLDER = "8b_instruction_tuned"
NAMES = ("consolidated.00.pth", "consolidated.01.pth")
Serve = Callable[..., MetaHub]


def tiny(**changes: Any) -> Model:
    """Llama 3 in everything but its size, in two shards."""
    base = catalog.load().get("llama-3-8b-instruct")
    assert base is not None
    shape = replace(
        base.shape, num_layers=SIZES.layers, hidden_size=SIZES.hidden,
        num_attention_heads=SIZES.heads, num_kv_heads=SIZES.kv_heads, head_dim=SIZES.head_dim,
        intermediate_size=SIZES.inner, vocab_size=SIZES.vocabulary,
    )  # fmt: skip
    return replace(base, shape=shape, meta=Meta(FOLDER, 2, 2, ("Llama-3-8B-Instruct",)), **changes)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shards = metashards.split(metashards.noise(SIZES), SIZES.head_dim, 2)
    made = tmp_path_factory.mktemp("meta") / FOLDER
    return metashards.checkpoint(made, shards, SIZES.params(), metashards.tiktoken(3840))


@pytest.fixture
def serve(source: Path, server_certificate: Pair) -> Iterator[Serve]:
    """Starts servers with the checkpoint."""
    running: list[MetaHub] = []

    def start(*faults: str, folder: str = FOLDER, **options: Any) -> MetaHub:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server_certificate.certificate, server_certificate.key)
        found = [parse_fault(each) for each in faults]
        made = MetaHub(directory(folder, source), tls=context, faults=found, **options)
        running.append(made)
        return made.__enter__()

    yield start
    for each in running:
        each.__exit__(None, None, None)


@pytest.fixture
def trust(authority: Authority) -> dict[str, str]:
    return {"SSL_CERT_FILE": str(authority.ca.certificate)}


def arguments(out: Path, model: Model | None = None) -> list[str]:
    told = entry.dumps(model or tiny())
    return ["fetch", "--source", "meta", "--entry", told, "--dest", str(out), *PATIENCE]


def fetch(url: str, out: Path, trust: dict[str, str], *more: str, **options: Any) -> Outcome:
    env = {**trust, "META_URL": url}
    return run(*arguments(out, options.get("model")), *more, env=env)


def preflight(url: str, trust: dict[str, str], *more: str) -> Outcome:
    told = entry.dumps(tiny())
    env = {**trust, "META_URL": url}
    return run("preflight", "--source", "meta", "--entry", told, *more, env=env)


def assert_copy(outcome: Outcome, out: Path) -> dict[str, bytes]:
    assert (outcome.code, outcome.result["format"]) == (0, "safetensors"), outcome.output
    assert run("verify", str(out)).code == 0
    found = files_in(out)
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= set(found)
    return found


def test_from_the_url_to_a_copy_that_can_be_loaded(
    serve: Serve, source: Path, tmp_path: Path, trust: dict[str, str]
) -> None:
    server = serve()
    outcome = fetch(server.signed(), tmp_path / "out", trust)
    found = assert_copy(outcome, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"], "originals are gone"
    tensors = metashards.read(tmp_path / "out" / "model.safetensors")
    assert {name: each.data for name, each in tensors.items()} == {
        name: each.data for name, each in metashards.noise(SIZES).items()
    }
    assert found["tokenizer.model"] == (source / "tokenizer.model").read_bytes()


def test_the_originals_are_kept_where_that_is_asked_for(
    serve: Serve, source: Path, tmp_path: Path, trust: dict[str, str]
) -> None:
    assert_copy(
        fetch(serve().signed(), tmp_path / "out", trust, "--keep-originals"), tmp_path / "out"
    )
    kept = files_in(tmp_path / "out.original")
    for path in source.iterdir():
        assert kept[path.name] == path.read_bytes(), path.name
    assert run("verify", str(tmp_path / "out.original")).code == 0


def test_requests_are_few_and_never_repeated(
    serve: Serve, tmp_path: Path, trust: dict[str, str]
) -> None:
    server = serve()
    assert fetch(server.signed(), tmp_path / "out", trust).code == 0
    assert {request.method for request in server.requests} == {"GET"}
    # params, checklist, tokenizer; of each shard its head and its bytes.
    assert len(server.requests) == 3 + 2 * len(NAMES)
    again = fetch(server.signed(), tmp_path / "out", trust)
    assert (again.code, len(server.requests)) == (0, 3 + 2 * len(NAMES))


def test_the_second_name_of_a_folder(serve: Serve, tmp_path: Path, trust: dict[str, str]) -> None:
    server = serve(folder="Llama-3-8B-Instruct")
    assert_copy(fetch(server.signed(), tmp_path / "out", trust), tmp_path / "out")
    assert_copy(
        fetch(server.signed(), tmp_path / "two", trust, "--folder", "Llama-3-8B-Instruct"),
        tmp_path / "two",
    )


def test_a_preflight_says_what_there_is(serve: Serve, trust: dict[str, str], source: Path) -> None:
    found = preflight(serve().signed(), trust)
    assert found.code == 0, found.output
    size = sum(path.stat().st_size for path in source.iterdir())
    assert found.result["bytes"] == size + found.result["bytes"] - size
    assert found.result["bytes"] > size, "the checklist too"
    assert found.result["shape"]["numLayers"] == SIZES.layers
    assert found.result["format"] == "meta"


def test_a_new_url_goes_on_at_the_same_byte(
    serve: Serve, tmp_path: Path, trust: dict[str, str]
) -> None:
    server = serve(quota=6)  # params, checklist, tokenizer, two heads, one shard
    first = fetch(server.signed(nonce="one"), tmp_path / "out", trust, "--connections", "1")
    assert first.verdict == (1, "Accessible", "URLExhausted"), first.output
    assert "kept" in first.result["message"]
    before = server.sent()
    second = fetch(server.signed(nonce="two"), tmp_path / "out", trust)
    assert_copy(second, tmp_path / "out")
    sizes = {name: server.blobs[f"{FOLDER}/{name}"].size for name in NAMES}
    assert server.sent() - before <= max(sizes.values()), "no byte of the first shard again"
    assert len(server.requests) == 6 + 1 + 1, "the refused request, and the one for the rest"


def test_an_expired_url_is_refused_without_asking(
    serve: Serve, tmp_path: Path, trust: dict[str, str]
) -> None:
    server = serve()
    outcome = fetch(server.signed(-5), tmp_path / "out", trust)
    assert outcome.verdict == (1, "Accessible", "URLExpired")
    assert "expired at 20" in outcome.result["message"]
    assert server.requests == []
    assert list(tmp_path.iterdir()) == []


def test_a_url_that_expires_in_the_middle_says_so(
    serve: Serve, tmp_path: Path, trust: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llama_weights.schedule.SMALLEST", MIB // 2)
    server = serve(f"slow:on=cdn,match=*.pth,rate={MIB}")
    outcome = fetch(server.signed(3), tmp_path / "out", trust, "--connections", "1")
    assert outcome.verdict == (1, "Accessible", "URLExpired"), outcome.output
    assert (tmp_path / "out.original").is_dir(), "what came is kept"


def test_progress_warns_when_the_url_ends_before_the_fetch(
    serve: Serve, tmp_path: Path, trust: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llama_weights.progress.LINE_SECONDS", 0.2)
    server = serve(f"slow:on=cdn,match=*.pth,rate={MIB}")
    outcome = fetch(server.signed(3), tmp_path / "out", trust)
    assert "but the URL expires in" in outcome.output


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "SecretMissing"),
        ("https://example.com/", "URLInvalid"),
        ("hf_token\nline", "URLInvalid"),
    ],
)
def test_no_url_and_garbage(tmp_path: Path, trust: dict[str, str], text: str, reason: str) -> None:
    assert fetch(text, tmp_path / "out", trust).verdict == (1, "Accessible", reason)
    assert list(tmp_path.iterdir()) == []


def test_the_url_of_another_family(serve: Serve, tmp_path: Path, trust: dict[str, str]) -> None:
    theirs = serve().signed(resource="https://llama3-2.llamameta.net/*")
    _, _, rest = theirs.partition("/*")
    outcome = fetch(f"https://llama3-2.llamameta.net/*{rest}", tmp_path / "out", trust)
    assert outcome.verdict == (1, "Accessible", "URLWrongFamily")
    assert "Llama 3.2" in outcome.result["message"]


def test_a_server_that_has_other_models(
    serve: Serve, tmp_path: Path, trust: dict[str, str]
) -> None:
    outcome = fetch(serve(folder="Llama-3.3-70B").signed(), tmp_path / "out", trust)
    assert outcome.verdict == (1, "Accessible", "URLExhausted")
    assert "for another model" in outcome.result["message"]
    assert list(tmp_path.iterdir()) == []


FAULTS = [
    ("403:match=*.01.pth,skip=1", "Accessible", "URLExhausted"),
    ("html:match=*/params.json", "Accessible", "EndpointUnreachable"),
    ("html:match=*.pth", "Accessible", "EndpointUnreachable"),
    ("429:retry_after=900", "Accessible", "RateLimited"),
    ("500", "Accessible", "ServerError"),
    ("404:match=*/tokenizer.model", "Accessible", "NotFound"),
    ("redirect:host=https://127.0.0.1:1", "Accessible", "EndpointUnreachable"),
    ("hang:match=*/checklist.chk", "Accessible", "EndpointUnreachable"),
    ("stall:match=*.pth,after=1000", "Downloaded", "Stalled"),
    ("corrupt:match=*.00.pth,skip=1", "Verified", "ChecksumMismatch"),
    ("corrupt:match=*/tokenizer.model", "Verified", "ChecksumMismatch"),
    ("garble:match=*/params.json", "Converted", "CorruptCheckpoint"),
    ("garble:match=*/checklist.chk", "Converted", "CorruptCheckpoint"),
    ("shrink:match=*.00.pth,after=500,skip=1", "Downloaded", "Failed"),
]


@pytest.mark.parametrize(("fault", "condition", "reason"), FAULTS, ids=[f[0] for f in FAULTS])
def test_each_fault_has_its_own_reason(
    serve: Serve, tmp_path: Path, trust: dict[str, str], fault: str, condition: str, reason: str
) -> None:
    outcome = fetch(
        serve(fault).signed(), tmp_path / "out", trust, "--rate-limit-wait", "2", "--retries", "2"
    )
    assert outcome.verdict[1:] == (condition, reason), outcome.output
    assert "Signature" not in outcome.output
    assert not (tmp_path / "out").exists(), "nothing that looks like a copy"


@pytest.mark.parametrize(
    "fault",
    [
        "cut:match=*.pth,after=40000,times=3",
        "stall:match=*.pth,after=40000,times=1",
        "503:times=2",
        "corrupt:match=*.00.pth,skip=1,times=1",
        "norange:match=*.pth",
    ],
)
def test_what_passes_is_passed_over(
    serve: Serve, tmp_path: Path, trust: dict[str, str], fault: str
) -> None:
    outcome = fetch(serve(fault).signed(), tmp_path / "out", trust, "--retries", "5")
    assert_copy(outcome, tmp_path / "out")


def test_large_answers_are_asked_for_in_ranges(
    serve: Serve, tmp_path: Path, trust: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from llama_weights.sources.meta import MetaCheckpoint

    server = serve(largest=MIB)
    monkeypatch.setattr(MetaCheckpoint, "largest_range", MIB)
    monkeypatch.setattr("llama_weights.schedule.SMALLEST", MIB)
    assert_copy(fetch(server.signed(), tmp_path / "out", trust), tmp_path / "out")


def test_a_server_that_ignores_ranges_of_too_large_a_file(
    serve: Serve, tmp_path: Path, trust: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from llama_weights.sources.meta import MetaCheckpoint

    monkeypatch.setattr(MetaCheckpoint, "largest_range", MIB)
    monkeypatch.setattr("llama_weights.schedule.SMALLEST", MIB)
    monkeypatch.setattr("llama_weights.sources.meta_server.LARGEST_ANSWER", MIB)
    outcome = fetch(serve("norange:match=*.pth").signed(), tmp_path / "out", trust)
    assert outcome.verdict == (1, "Downloaded", "Failed"), outcome.output
    assert "ignores Range" in outcome.result["message"]


def test_a_checkpoint_without_a_checklist_is_held_against_its_own_crcs(
    serve: Serve, tmp_path: Path, trust: dict[str, str]
) -> None:
    plain = replace(tiny(), meta=Meta(FOLDER, 2, 2, (), None, False))
    good = serve()
    assert_copy(fetch(good.signed(), tmp_path / "out", trust, model=plain), tmp_path / "out")
    name = f"{FOLDER}/{NAMES[0]}"
    data = bytearray(good.blobs[name].read(0, good.blobs[name].size))
    data[len(data) // 2] ^= 1
    good.blobs[name] = blob(name, bytes(data))
    outcome = fetch(good.signed(), tmp_path / "bad", trust, model=plain)
    assert outcome.verdict == (1, "Verified", "ChecksumMismatch"), outcome.output


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dim": 512}, "dim is 512"),
        ({"n_layers": 3}, "n_layers is 3"),
        ({"n_heads": 16}, "n_heads"),
    ],
)
def test_params_of_another_model(
    serve: Serve, tmp_path: Path, trust: dict[str, str], change: dict[str, int], reason: str
) -> None:
    server = serve()
    name = f"{FOLDER}/params.json"
    server.blobs[name] = blob(name, json.dumps(SIZES.params(**change)).encode())
    outcome = fetch(server.signed(), tmp_path / "out", trust)
    assert outcome.verdict == (1, "Converted", "CorruptCheckpoint")
    assert reason in outcome.result["message"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("beyond", [True, False])
def test_a_checklist_that_knows_other_shards(
    serve: Serve, tmp_path: Path, trust: dict[str, str], beyond: bool
) -> None:
    server = serve()
    name = f"{FOLDER}/checklist.chk"
    text = server.blobs[name].read(0, 10_000).decode()
    changed = text + "0" * 32 + "  consolidated.02.pth\n" if beyond else text.replace(NAMES[1], "x")
    server.blobs[name] = blob(name, changed.encode())
    outcome = fetch(server.signed(), tmp_path / "out", trust)
    expected = "UnexpectedFiles" if beyond else "FilesMissing"
    assert outcome.verdict == (1, "Verified", expected), outcome.output


def test_room_for_originals_and_copy_is_asked_for_at_once(
    serve: Serve, tmp_path: Path, trust: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    total = sum(each.size for each in server.blobs.values())
    monkeypatch.setattr("llama_weights.volume.space", lambda _: (total + 40 * MIB, 1 << 40))
    assert fetch(server.signed(), tmp_path / "one", trust).code == 0
    monkeypatch.setattr("llama_weights.volume.space", lambda _: (total + 10 * MIB, 1 << 40))
    outcome = fetch(server.signed(), tmp_path / "two", trust)
    assert outcome.verdict == (1, "VolumeReady", "Full"), outcome.output
    assert not (tmp_path / "two.original").exists()


def test_killed_in_the_middle_it_goes_on(
    serve: Serve, tmp_path: Path, trust: dict[str, str]
) -> None:
    server = serve(f"slow:on=cdn,match=*.pth,rate={4 * MIB},times=3")
    env = {**trust, "META_URL": server.signed()}
    running = Command(*arguments(tmp_path / "out"), env=env)
    wait_for(lambda: server.sent(NAMES[0]) > 300_000)
    running.process.send_signal(signal.SIGKILL)
    running.process.communicate()
    time.sleep(0.1)
    server.faults.clear()
    asked = len(server.requests)
    assert_copy(fetch(server.signed(), tmp_path / "out", trust), tmp_path / "out")
    assert len(server.requests) - asked <= 4, "the listing is known"
