"""llama-weights as a Job runs it, against a hub that behaves.

Each test looks at what is left: files on the disk, the result, the exit code, and what the hub
saw. Nothing of the process itself is patched.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from tests.support.hub import Hub, parse_fault
from tests.support.hub.command import (
    MIB,
    Command,
    arguments,
    assert_complete,
    fetch,
    fetch_arguments,
    preflight,
    run,
)
from tests.support.hub.sample import REPO, SHARDS, WANTED, contents, repository


def test_only_what_vllm_needs_arrives_with_a_manifest_and_open_modes(
    hub: Hub, tmp_path: Path
) -> None:
    directory = tmp_path / "model" / "digest"
    outcome = Command(*arguments(hub, directory), umask=0o077).wait()

    assert_complete(outcome, hub, directory)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert set(modes.values()) == {0o644}
    assert [stat.S_IMODE(each.stat().st_mode) for each in (directory, directory.parent)] == [
        0o755
    ] * 2
    manifest = json.loads((directory / "manifest.json").read_bytes())
    assert (manifest["repo"], manifest["commit"]) == (REPO, hub.repositories[REPO].commit)
    assert [entry["path"] for entry in manifest["files"]] == sorted(WANTED)
    assert outcome.result["bytes"] == sum(entry["bytes"] for entry in manifest["files"])
    assert outcome.result["files"] == len(WANTED)


def test_the_same_commit_gives_the_same_digest_and_a_finished_copy_asks_nothing(
    hub: Hub, tmp_path: Path
) -> None:
    first, second = fetch(hub, tmp_path / "a"), fetch(hub, tmp_path / "b")
    hub.requests.clear()
    again = fetch(hub, tmp_path / "a")

    assert first.result["digest"] == second.result["digest"] == again.result["digest"]
    assert hub.requests == []


def test_a_file_of_many_ranges_is_resolved_once(tmp_path: Path) -> None:
    with Hub([repository(40 * MIB)]) as hub:
        assert_complete(fetch(hub, tmp_path / "d", "--connections", "4"), hub, tmp_path / "d")
        assert len(hub.seen("resolve", SHARDS[0])) == 1
        assert len(hub.seen("cdn", SHARDS[0])) > 2
        assert hub.sent(SHARDS[0]) == 40 * MIB


def test_the_result_is_written_where_asked(hub: Hub, tmp_path: Path) -> None:
    outcome = fetch(hub, tmp_path / "d", "--result", str(tmp_path / "result"))
    assert json.loads((tmp_path / "result").read_text()) == outcome.result


def test_preflight_tells_commit_size_and_shape(hub: Hub) -> None:
    outcome = preflight(hub.url, REPO)
    assert outcome.code == 0, outcome.output
    found = outcome.result
    assert found["commit"] == hub.repositories[REPO].commit
    wanted = {name: data for name, data in contents().items() if name in WANTED}
    assert (found["files"], found["bytes"]) == (len(wanted), sum(map(len, wanted.values())))
    assert found["format"] == "safetensors"
    assert found["shape"] == {
        "architecture": "LlamaForCausalLM",
        "numLayers": 2,
        "hiddenSize": 64,
        "numAttentionHeads": 4,
        "numKVHeads": 2,
        "headDim": 16,
        "intermediateSize": 128,
        "vocabSize": 512,
        "maxPosition": 2048,
        "tiedEmbeddings": False,
        "dtype": "bfloat16",
        "quantization": "",
    }


def test_a_listing_of_many_pages_is_read_to_its_end(tmp_path: Path) -> None:
    with Hub([repository(page_size=2)]) as hub:
        assert_complete(fetch(hub, tmp_path / "d"), hub, tmp_path / "d")
        assert len(hub.seen("tree")) == 5


def test_requests_go_through_a_proxy(hub: Hub, tmp_path: Path) -> None:
    commit = hub.repositories[REPO].commit
    # The emulator takes requests in a proxy's form too; this name exists nowhere.
    args = fetch_arguments("http://hub.invalid", REPO, commit, tmp_path / "d")
    env = {"HTTP_PROXY": hub.url, "http_proxy": hub.url, "NO_PROXY": "127.0.0.0/8"}
    assert_complete(run(*args, env=env | {"no_proxy": env["NO_PROXY"]}), hub, tmp_path / "d")
    assert {request.host for request in hub.seen("tree")} == {"hub.invalid"}


def test_verify_names_what_is_wrong(hub: Hub, tmp_path: Path) -> None:
    directory = tmp_path / "d"
    digest = fetch(hub, directory).result["digest"]
    good = run("verify", str(directory))
    assert (good.code, good.result["digest"]) == (0, digest)

    (directory / "extra.txt").write_text("?")
    assert verdict_of(directory) == ("UnexpectedFiles", "extra.txt")
    with (directory / SHARDS[1]).open("r+b") as opened:
        opened.write(b"\0")
    assert verdict_of(directory) == ("ChecksumMismatch", SHARDS[1])
    (directory / SHARDS[0]).unlink()
    assert verdict_of(directory) == ("FilesMissing", SHARDS[0])
    (directory / "manifest.json").unlink()
    assert verdict_of(directory)[0] == "FilesMissing"


def verdict_of(directory: Path) -> tuple[str, str]:
    outcome = run("verify", str(directory))
    assert outcome.verdict[:2] == (1, "Verified")
    return outcome.result["reason"], outcome.result["message"].split(":")[0]


def test_ls_shows_complete_and_unfinished_copies(hub: Hub, tmp_path: Path) -> None:
    assert fetch(hub, tmp_path / "model" / "one").code == 0
    hub.faults.append(parse_fault(f"500:on=cdn,match={SHARDS[1]}"))
    assert fetch(hub, tmp_path / "model" / "two").code == 75
    found = subprocess_json("ls", str(tmp_path), "-o", "json")
    states = {copy["path"]: (copy["repo"], copy["state"]) for copy in found}
    assert states == {"model/one": (REPO, "complete"), "model/two": ("", "incomplete")}


def subprocess_json(*args: str) -> list[dict[str, str]]:
    return list(json.loads(run(*args).output))


@pytest.mark.parametrize(
    "args",
    [
        ["fetch", "--repo", REPO, "--commit", "main", "--dest", "/nowhere"],
        ["fetch", "--repo", "no-slash", "--commit", "0" * 40, "--dest", "/nowhere"],
        ["preflight", "--repo", "a/../b"],
        ["preflight", "--repo", REPO, "--revision", "../x"],
        ["preflight"],
    ],
)
def test_wrong_usage(args: list[str]) -> None:
    assert run(*args, env={"HF_ENDPOINT": "http://127.0.0.1:9"}).code == 2
