"""The Dockerfile's promises, read from its text, and which builder is taken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support.cluster.errors import ClusterError
from tests.support.images import builders, make
from tests.support.images.builders import DOCKERFILE

from llama_operator.chart.values import Values

TEXT = re.sub(r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.M))
LINES = [line for line in TEXT.splitlines() if line]


def starting(word: str) -> list[str]:
    return [line.removeprefix(word).strip() for line in LINES if line.startswith(f"{word} ")]


def test_the_base_is_an_argument_and_pinned() -> None:
    assert re.search(r"@sha256:[0-9a-f]{64}$", make.pinned())
    stages = {each.split(" AS ")[1] for each in starting("FROM")}
    foreign = {each.split(" AS ")[0] for each in starting("FROM")} - stages
    assert foreign == {"${BASE}", "${BUILD_BASE}"}
    assert "BUILD_BASE=${BASE}" in starting("ARG"), "the same unless another architecture is built"
    assert set(make.TARGETS) <= stages


def test_packages_are_installed_by_hash_and_from_nowhere_else() -> None:
    installs = [line for line in starting("RUN") if " install " in line]
    assert len(installs) == 2
    assert all("--no-index" in line for line in installs)
    locked, own = installs
    assert "--require-hashes" in locked
    assert "/runtime.txt" in locked
    assert "--no-deps" in own, "the project's own wheel, which the lock cannot know"


def test_nothing_of_the_images_own_architecture_is_run() -> None:
    """Or an image for another one could not be built here."""
    bases: dict[str, str] = {}
    ran, stage = set(), ""
    for line in LINES:
        if line.startswith("FROM "):
            base, stage = line.removeprefix("FROM ").split(" AS ")
            bases[stage] = bases.get(base, base)
        elif line.startswith("RUN "):
            ran.add(bases[stage])
    assert ran == {"${BUILD_BASE}"}
    assert {bases[target] for target in make.TARGETS} == {"${BASE}"}


def test_compiled_files_hold_though_times_change() -> None:
    assert any("PYC_INVALIDATION_MODE=UNCHECKED_HASH" in line for line in starting("ENV"))
    assert all("--compile-bytecode" in line for line in starting("RUN"))


def test_it_runs_as_the_user_that_the_chart_names() -> None:
    (user,) = starting("USER")
    assert user == f"{Values().pod_user_id}:{Values().pod_user_id}"
    assert user.partition(":")[0] not in ("0", "")


def test_labels_say_what_and_from_where() -> None:
    labels = set(re.findall(r"org\.opencontainers\.image\.(\S+?)=", " ".join(starting("LABEL"))))
    assert labels >= {"version", "revision", "source", "licenses", "title", "base.name"}


def test_only_what_is_copied_reaches_the_context() -> None:
    ignored = [
        line for line in Path(DOCKERFILE.parents[1] / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]  # fmt: skip
    assert ignored[0] == "*"
    copied = [
        word for line in starting("COPY") if not line.startswith("--from")
        for word in line.split()[:-1]
    ]  # fmt: skip
    allowed = [line.removeprefix("!") for line in ignored[1:]]
    assert all(any(word.startswith(each) for each in allowed) for word in copied)


def test_a_base_by_its_tag_alone_is_refused() -> None:
    builder = builders.Builder("docker", ("false",))
    with pytest.raises(ClusterError, match=r"BASE=python:3\.12 is not pinned.*BASE=debian"):
        make.base_of("python:3.12", builder)
    assert make.base_of("", builder).name == make.pinned()


def test_without_a_builder_each_reason_and_the_way_out_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ClusterError) as told:
        builders.find()
    for part in ("docker's daemon does not answer", "podman is not on PATH", "needs root",
                 "apt-get install buildah"):  # fmt: skip
        assert part in str(told.value)
    with pytest.raises(ClusterError, match="One of docker, podman, buildah"):
        builders.find("kaniko")


def test_the_first_that_works_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    podman = tmp_path / "podman"
    podman.write_text("#!/bin/sh\n")
    podman.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert builders.find().name == "podman"
