"""weights: the table, a copy added, verified, removed, and Meta's URL renewed."""

from __future__ import annotations

import base64
import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from llamactl import weights_view
from tests.cli.conftest import SECRETS, WEIGHTS, Run
from tests.cli.fake_api import Answer, Fake, status
from tests.cli.objects import condition, meta_url, weights
from tests.cli.patching import takes_patches, writes

READY = [condition("Ready", "True", "Published")]
GIB = 1 << 30


@pytest.fixture(autouse=True)
def _patches(api: Fake) -> None:
    api.rules.append(takes_patches)


def put(api: Fake, name: str, **more: Any) -> dict[str, Any]:
    obj = weights(name, **more)
    obj["metadata"] |= {"creationTimestamp": ago(hours=50), "uid": f"uid-{name}"}
    api.put(f"{WEIGHTS}/{name}", obj)
    return obj


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- ls -------------------------------------------------------------------------------------------

FETCHING = {
    "conditions": [condition("Ready", "Unknown", "Downloading")],
    "status": {
        "progress": {
            "phase": "Fetching", "bytesDone": 10 * GIB, "bytesTotal": 40 * GIB,
            "bytesPerSecond": GIB,
        },
        "urlExpiresAt": ago(hours=-5, minutes=-30),
    },
}  # fmt: skip
EXPIRED = {
    "conditions": [
        condition("Ready", "False", "URLExpired"), condition("Accessible", "False", "URLExpired")
    ],
    "status": {"urlExpiresAt": ago(hours=1), "progress": {"bytesDone": 1, "bytesTotal": 2}},
}  # fmt: skip


def test_the_table_shows_how_far_each_copy_is(llamactl: Run, api: Fake) -> None:
    put(api, "done", conditions=READY, status={"bytes": 15 * GIB, "usedByCount": 2})
    put(api, "fetching", **FETCHING)
    put(api, "expired", **EXPIRED)
    lines = llamactl("weights", "ls").stdout.splitlines()
    assert lines[0].split() == ["NAME", "STATE", "SIZE", "SPEED", "ETA", "URL", "USERS", "AGE"]
    rows = {line.split()[0]: re.split(r" {2,}", line) for line in lines[1:]}
    assert rows["done"][1:7] == ["Ready", "15.0 GiB", "-", "-", "-", "2"]
    assert rows["fetching"][1:5] == ["Fetching 25%", "10.0 GiB/40.0 GiB", "1.0 GiB/s", "30s"]
    assert rows["fetching"][5].startswith("5h2")
    assert (rows["expired"][1], rows["expired"][5]) == ("URLExpired", "expired")


def test_sixty_columns_keep_name_state_and_size(
    llamactl: Run, api: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(api, "fetching", **FETCHING)
    monkeypatch.setenv("COLUMNS", "60")
    lines = llamactl("weights", "ls").stdout.splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[0].split()[:3] == ["NAME", "STATE", "SIZE"]


def test_wide_names_source_claim_and_users(llamactl: Run, api: Fake) -> None:
    put(
        api, "meta", conditions=READY, spec={"source": {"meta": {"urlSecretRef": {"name": "s"}}}},
        status={"claimName": "disk", "usedBy": ["a", "b"], "lastVerifiedAt": ago(hours=3)},
    )  # fmt: skip
    head, row = llamactl("weights", "ls", "-o", "wide").stdout.splitlines()
    assert re.split(r" {2,}", row)[-5:] == [
        "llama-3.3-70b-instruct",
        "Meta",
        "disk",
        "3h00m",
        "a,b",
    ]
    assert head.endswith("USED BY")
    names = llamactl("weights", "ls", "-o", "name").stdout
    assert names == "llamaweights.llamactl.dev/meta\n"


def test_none_suggests_the_first(llamactl: Run, api: Fake) -> None:
    result = llamactl("weights", "ls")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "llamactl weights add 8b" in result.stderr


def test_watch_prints_a_line_for_each_change(llamactl: Run, api: Fake) -> None:
    obj = put(api, "fetching", **FETCHING)
    changed = {**obj, "status": {"conditions": READY, "bytes": 40 * GIB}}
    events = [("MODIFIED", changed), ("DELETED", changed), ("ERROR", {"message": "too old"})]

    def watch(fake: Fake, *_: Any) -> Answer | None:
        if "watch=true" not in fake.asked[-1][1]:
            return None
        return 200, "".join(json.dumps({"type": k, "object": o}) + "\n" for k, o in events)

    api.rules.insert(0, watch)
    result = llamactl("weights", "ls", "--watch")
    assert result.exit_code == 1
    assert "the watch ended: too old" in result.stderr
    lines = result.stdout.splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["Fetching", "Ready", "Deleted"]
    assert any("resourceVersion=7" in path for _, path in api.asked)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"claim": {"name": "c", "path": "p/q"}}, "claim c/p/q"),
        ({"huggingFace": {"repo": "a/b"}}, "Hugging Face a/b"),
        ({}, "Hugging Face"),
    ],
)
def test_sources_in_words(given: dict[str, Any], words: str) -> None:
    assert weights_view.source(weights(spec={"source": given})) == words


# -- add ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "spec"),
    [
        ([], {}),
        (["--source", "hf:org/own@v1"],
         {"source": {"huggingFace": {"repo": "org/own", "revision": "v1"}}}),
        (["--source", "claim:disk/llama/8b/"],
         {"source": {"claim": {"name": "disk", "path": "llama/8b"}}}),
        (["--size", "40Gi", "--storage-class", "fast"],
         {"storage": {"size": "40Gi", "storageClassName": "fast"}}),
        (["--claim", "mine", "--set", "verify.schedule=Weekly"],
         {"storage": {"claimName": "mine"}, "verify": {"schedule": "Weekly"}}),
        (["--hf-token-secret", "t:k"],
         {"source": {"huggingFace": {"tokenSecretRef": {"name": "t", "key": "k"}}}}),
    ],
)  # fmt: skip
def test_add_writes_what_was_said(
    llamactl: Run, api: Fake, args: list[str], spec: dict[str, Any]
) -> None:
    result = llamactl("weights", "add", "8b", *args)
    assert result.exit_code == 0, result.output
    assert result.stdout == "llamaweights.llamactl.dev/llama-3-1-8b-instruct created\n"
    made = api.objects[f"{WEIGHTS}/llama-3-1-8b-instruct"]
    assert made["spec"] == {"model": "llama-3.1-8b-instruct", **spec}
    assert "--set weightsRef.name=llama-3-1-8b-instruct" in result.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--source", "ftp:x"], "--source: 'ftp:x' is no source"),
        (["--source", "hf:one"], "--source: 'hf:one' is no source"),
        (["--source", "meta:x"], "is no source"),
        (["--source", "claim:"], "is no source"),
        (["--source", "meta", "--hf-token-secret", "t"], "--hf-token-secret: it is of no use"),
        (["--size", "much"], "spec.storage.size: "),
        (["--set", "gpu.count=1"], "spec has no field 'gpu'"),
        (["--name", "8b"], "--name: '8b'"),
        (["--source", "claim:x", "--set", "source.meta.urlSecretRef.name=a"], "has meta and claim"),
    ],
)
def test_add_refuses_before_anything_is_sent(
    llamactl: Run, api: Fake, args: list[str], words: str
) -> None:
    result = llamactl("weights", "add", "8b", *args)
    assert result.exit_code == 2
    assert words in result.stderr
    assert api.asked == []


def test_add_from_meta_stores_the_url(llamactl: Run, api: Fake, tmp_path: Path) -> None:
    (tmp_path / "url.txt").write_text(meta_url())
    args = ("weights", "add", "8b", "--name", "m", "--source", "meta")
    result = llamactl(*args, "--meta-url-file", tmp_path / "url.txt")
    assert result.exit_code == 0, result.output
    assert "very-secret" not in result.output
    stored = api.objects[f"{SECRETS}/m-meta-url"]["data"]["url"]
    assert base64.b64decode(stored).decode() == (tmp_path / "url.txt").read_text()
    source = api.objects[f"{WEIGHTS}/m"]["spec"]["source"]
    assert source == {"meta": {"urlSecretRef": {"name": "m-meta-url"}}}
    assert "waits until Secret m2-meta-url" in (
        llamactl("weights", "add", "8b", "--name", "m2", "--source", "meta").stderr
    )


def test_a_name_that_is_taken_is_kept(llamactl: Run, api: Fake) -> None:
    llamactl("weights", "add", "8b", "--name", "mine")
    before = api.objects[f"{WEIGHTS}/mine"]
    assert llamactl("weights", "add", "8b", "--name", "mine").stdout.endswith("unchanged\n")
    result = llamactl("weights", "add", "8b", "--name", "mine", "--size", "1Ti")
    assert result.exit_code == 1
    assert "mine exists already, and this would change it (spec.storage: not set" in result.stderr
    assert api.objects[f"{WEIGHTS}/mine"] == before


def test_dry_runs(llamactl: Run, api: Fake) -> None:
    client = llamactl("weights", "add", "8b", "--dry-run=client")
    assert yaml.safe_load(client.stdout)["kind"] == "LlamaWeights"
    assert api.asked == []
    server = llamactl("weights", "add", "8b", "--dry-run=server")
    assert server.stdout.endswith("created (server dry run)\n")
    assert writes(api) == []


def test_waiting_ends_with_what_will_not_pass(llamactl: Run, api: Fake) -> None:
    bad = [condition("Accessible", "False", "LicenceNotAccepted", "accept it first")]
    put(api, "llama-3-1-8b-instruct", spec={"model": "llama-3.1-8b-instruct"}, conditions=bad)
    result = llamactl("weights", "add", "8b", "--wait")
    assert result.exit_code == 1
    assert "will not become ready: LicenceNotAccepted: accept it first" in result.stderr
    api.objects[f"{WEIGHTS}/llama-3-1-8b-instruct"]["status"] = {"conditions": READY}
    assert llamactl("weights", "add", "8b", "--wait").exit_code == 0
    api.objects[f"{WEIGHTS}/llama-3-1-8b-instruct"]["status"] = {}
    assert llamactl("weights", "add", "8b", "--wait", "--timeout", "0s").exit_code == 3


# -- verify ---------------------------------------------------------------------------------------

COPY = {"conditions": READY, "status": {"digest": "sha256:" + "a" * 64}}


def operator(verified: str, said: str = "") -> Any:
    """A rule that finds, when asked to verify, what `verified` says."""

    def rule(fake: Fake, method: str, path: str, body: dict[str, Any]) -> Answer | None:
        asked = (body.get("metadata") or {}).get("annotations", {}).get("llamactl.dev/verify-at")
        if method == "PATCH" and asked:
            found = condition("Verified", verified, said or "ChecksumsMatch", "model.safetensors")
            status = fake.objects[path]["status"]
            status |= {"lastVerifiedAt": ago(seconds=-1), "conditions": [found]}
        return None

    return rule


def test_verify_asks_with_an_annotation(llamactl: Run, api: Fake) -> None:
    put(api, "c", **COPY)
    result = llamactl("weights", "verify", "c")
    assert result.stdout == "llamaweights.llamactl.dev/c is read again\n"
    asked = api.objects[f"{WEIGHTS}/c"]["metadata"]["annotations"]["llamactl.dev/verify-at"]
    assert abs(datetime.fromisoformat(asked).timestamp() - time.time()) < 60


def test_a_good_copy_and_a_damaged_one(llamactl: Run, api: Fake) -> None:
    put(api, "c", **COPY)
    api.rules.insert(0, operator("True"))
    good = llamactl("weights", "verify", "c", "--wait")
    assert good.exit_code == 0, good.output
    assert "every byte is as it was published" in good.stdout
    api.rules[0] = operator("False", "ChecksumMismatch")
    bad = llamactl("weights", "verify", "c", "--wait")
    assert bad.exit_code == 1
    assert "c is damaged: ChecksumMismatch: model.safetensors" in bad.stderr
    assert "llamactl weights add llama-3.3-70b-instruct --name c-2" in bad.stderr


def test_an_old_result_does_not_count(llamactl: Run, api: Fake) -> None:
    obj = put(api, "c", **COPY)
    obj["status"]["lastVerifiedAt"] = ago(minutes=1)
    result = llamactl("weights", "verify", "c", "--wait", "--timeout", "0s")
    assert result.exit_code == 3
    assert "was not read again after 0s" in result.stderr


def test_verify_of_what_is_not_complete_and_of_a_schedule(llamactl: Run, api: Fake) -> None:
    put(api, "half", **FETCHING)
    result = llamactl("weights", "verify", "half")
    assert result.exit_code == 1
    assert "half is not complete yet" in result.stderr
    result = llamactl("weights", "verify", "half", "--schedule", "Weekly")
    assert result.stdout.endswith(" verify.schedule: Never -> Weekly\n")
    assert api.objects[f"{WEIGHTS}/half"]["spec"]["verify"] == {"schedule": "Weekly"}
    missing = llamactl("weights", "verify", "haf")
    assert "no LlamaWeights 'haf'" in missing.stderr
    assert "Did you mean half?" in missing.stderr


# -- gc -------------------------------------------------------------------------------------------


@pytest.fixture
def unused(api: Fake) -> list[dict[str, Any]]:
    """Copies of every kind of use; deletions are kept in the list that is given back."""
    since = {"unusedSince": ago(hours=30), "bytes": GIB}
    put(api, "old", status={**since, "claimName": "old"})
    put(
        api, "named", spec={"storage": {"claimName": "disk"}}, status={**since, "claimName": "disk"}
    )
    put(api, "young", status={"unusedSince": ago(hours=1)})
    put(api, "used", status={**since, "usedByCount": 1, "usedBy": ["a"]})
    put(api, "unseen")
    gone: list[dict[str, Any]] = []

    def delete(_: Fake, method: str, path: str, body: dict[str, Any]) -> Answer | None:
        if method != "DELETE":
            return None
        gone.append({"path": path, **body})
        return 200, status(200, "", "")

    api.rules.insert(0, delete)
    return gone


def test_gc_lists_and_asks(llamactl: Run, unused: list[dict[str, Any]]) -> None:
    result = llamactl("weights", "gc")
    assert result.exit_code == 2
    assert "nobody is at the terminal to ask; add --yes" in result.stderr
    assert "1 more is unused for less than 1d0h (--unused-for)." in result.stderr
    rows = {line.split()[0]: line for line in result.stdout.splitlines()[1:]}
    assert set(rows) == {"old", "named"}
    assert rows["old"].endswith("claim old goes")
    assert rows["named"].endswith("claim disk stays, with its files")
    assert llamactl("weights", "gc", "--dry-run").exit_code == 0
    assert unused == []


def test_gc_deletes_what_it_showed_and_nothing_else(
    llamactl: Run, unused: list[dict[str, Any]]
) -> None:
    result = llamactl("weights", "gc", "--yes")
    assert result.exit_code == 0, result.output
    assert {each["path"].rsplit("/", 1)[1] for each in unused} == {"old", "named"}
    assert {each["preconditions"]["uid"] for each in unused} == {"uid-old", "uid-named"}
    assert "llamaweights.llamactl.dev/old is being deleted" in result.stdout


@pytest.mark.parametrize(("text", "count"), [("0", 3), ("7d", 0), ("1d5h", 2)])
def test_gc_by_age(llamactl: Run, unused: list[dict[str, Any]], text: str, count: int) -> None:
    llamactl("weights", "gc", "--yes", "--unused-for", text)
    assert len(unused) == count


# -- rotate-url -----------------------------------------------------------------------------------

FROM_META = {
    "spec": {
        "model": "llama-3.1-8b-instruct",
        "source": {"meta": {"urlSecretRef": {"name": "mail", "key": "link"}}},
    }
}


def test_the_url_goes_into_the_entry_that_the_copy_reads(llamactl: Run, api: Fake) -> None:
    put(api, "m", **FROM_META)
    api.put(f"{SECRETS}/mail", {"data": {"link": "b2xk", "other": "a2VwdA=="}})
    url = meta_url(seconds=7000)
    result = llamactl("weights", "rotate-url", "m", input=f"{url}\n")
    assert result.exit_code == 0, result.output
    data = api.objects[f"{SECRETS}/mail"]["data"]
    assert base64.b64decode(data["link"]).decode() == url
    assert data["other"] == "a2VwdA=="
    assert "very-secret" not in result.output
    assert "It expires at 20" in result.stderr
    assert "in 1h5" in result.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (meta_url(seconds=-60), "expired at"),
        (meta_url("llama3-2.llamameta.net"), "is for Llama 3.2"),
        ("https://example.com/", "lacks Policy"),
        ("", "stdin is empty"),
    ],
)
def test_a_url_of_no_use_is_not_written(llamactl: Run, api: Fake, text: str, words: str) -> None:
    put(api, "m", **FROM_META)
    result = llamactl("weights", "rotate-url", "m", input=text)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "very-secret" not in result.output
    assert writes(api) == []


def test_a_copy_of_another_source_has_no_url(llamactl: Run, api: Fake, tmp_path: Path) -> None:
    put(api, "hub")
    (tmp_path / "url.txt").write_text(meta_url())
    result = llamactl("weights", "rotate-url", "hub", "--file", tmp_path / "url.txt")
    assert result.exit_code == 1
    assert "hub does not come from Meta's server" in result.stderr
    assert writes(api) == []
