"""Whatever fails, and wherever: no name leads to what is not signed, and no file is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from images.release import publish
from images.release.build import Built
from images.release.files import Files
from images.release.oci import Image, Object
from images.release.refusals import Refused
from images.release.registry import Registry
from images.release.signing import Signer
from images.release.wanted import Facts, Wanted
from tests.support.cluster import tools
from tests.support.cluster.errors import ClusterError
from tests.support.cluster.progress import Progress

WANTED = Wanted("1.2.3", "r.example/team", "k.key", "b")
FACTS = Facts({}, "## 1.2.3\n- it\n", (), "c" * 40, "unknown", 7)
CHART = "sha256:chart"
IMAGES = {
    target: Built(Path("layout"), f"sha256:{target}", {"arm64": Image(f"sha256:{target}1", 1)})
    for target in ("operator", "weights")
}


@dataclass
class World:
    """What was done, and which step of it fails."""

    fails_at: int = -1
    taken: dict[str, str] = field(default_factory=dict)
    done: list[tuple[str, ...]] = field(default_factory=list)

    def do(self, *step: str) -> None:
        if len(self.done) == self.fails_at:
            raise ClusterError(f"{step[0]} failed")
        self.done.append(step)

    def all(self, kind: str) -> list[tuple[str, ...]]:
        return [step for step in self.done if step[0] == kind]


class PlayedRegistry(Registry):
    world: World

    def push(self, _: Path, repository: str, digest: str) -> None:
        self.world.do("push", f"{repository}@{digest}")

    def copy(self, _: str, target: str) -> None:
        self.world.do("push", target)

    def tag(self, reference: str, tag: str) -> None:
        self.world.do("tag", reference, tag)

    def digest(self, reference: str, _: str = "") -> str:
        return CHART if reference.startswith("beside/") else self.world.taken.get(reference, "")

    def manifest(self, _: str) -> Object:
        return {}

    @contextmanager
    def beside(self) -> Iterator[str]:
        yield "beside"


class PlayedSigner(Signer):
    world: World

    def _run(self, *words: str) -> str:
        self.world.do(*words)
        return "public key"


def publish_in(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    directory = tmp_path / "files"
    directory.mkdir(parents=True)
    for name in ("amd64", "arm64"):
        (directory / f"sbom-{name}.cdx.json").touch()
    archive = tmp_path / "chart.tgz"
    archive.touch()
    registry, signer = PlayedRegistry("crane"), PlayedSigner("cosign", WANTED, tmp_path)
    for each in (registry, signer):
        object.__setattr__(each, "world", world)
    monkeypatch.setattr(publish, "run", lambda _: "")
    monkeypatch.setattr(tools, "path_of", lambda _: Path("helm"))
    monkeypatch.setattr(Files, "keep", lambda _: world.do("keep"))
    files = Files(directory, WANTED, FACTS, datetime.now(UTC))
    this = publish.Release(WANTED, files, registry, signer)
    return publish._published(this, IMAGES, archive, Progress(quiet=True))


def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    publish_in(world, tmp_path / "whole", monkeypatch)
    return world


def test_tags_come_last_and_only_for_what_is_signed_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = steps(tmp_path, monkeypatch)
    assert [step[0] for step in world.done[-4:]] == ["tag", "tag", "tag", "keep"]
    tagged = {reference for _, reference, _ in world.all("tag")}
    assert {step[1] for step in world.all("push")} == tagged
    assert tagged <= {step[-1] for step in world.all("sign")}
    assert tagged == {step[-1] for step in world.all("verify")}
    assert {tag for *_, tag in world.all("tag")} == {"1.2.3"}
    about = [step[-1] for step in world.all("attest")]
    assert {"@sha256:operator", "@sha256:operator1", "@sha256:weights", "@sha256:weights1"} == {
        f"@{each.partition('@')[2]}" for each in about
    }


def test_what_fails_in_the_middle_leaves_no_tag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = steps(tmp_path, monkeypatch).done
    first_tag = [step[0] for step in whole].index("tag")
    assert first_tag > 20
    for number in range(first_tag + 1):
        world = World(fails_at=number)
        with pytest.raises(ClusterError, match="failed"):
            publish_in(world, tmp_path / str(number), monkeypatch)
        assert not world.all("tag")
        assert not world.all("keep")


def test_a_tag_in_use_stops_all_before_anything_is_pushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(taken={"r.example/team/llama-weights:1.2.3": "sha256:another"})
    with pytest.raises(Refused, match=r"llama-weights:1\.2\.3: it is sha256:another"):
        publish_in(world, tmp_path, monkeypatch)
    assert world.done == []
