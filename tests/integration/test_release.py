"""A whole release to a real registry, and what its users check: what is good passes, all else fails.

Both releases are real; keys are made for the test. One commit is released from two clones: the second
finds another image under its tag, and says by its refusal that it built the first one's digests again.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from images.release.running import attempt, run
from images.release.wanted import BUILDER_ID
from tests.chart.helm import of, pod
from tests.docs import markdown
from tests.support import debian, ociregistry, releasing
from tests.support.cluster import build, paths, tools
from tests.support.cluster.errors import ClusterError
from tests.support.cluster.progress import Progress
from tests.support.images import architecture, lock, make
from tests.support.images.architecture import AMD64, ARM64, Architecture
from tests.support.releasing import Keys

Object = dict[str, Any]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
VERSION = make.version()
REVISION = re.compile(r"[0-9a-f]{40}")
# Field e_machine of an ELF file, by architecture.
MACHINES = {"amd64": 0x3E, "arm64": 0xB7}
UNLOGGED = "--insecure-ignore-tlog"
PAGE = paths.PROJECT / "docs" / "verify.md"


@dataclass(frozen=True)
class Place:
    """Everything around a release."""

    registry: str
    base: str
    keys: Keys
    directory: Path

    def release(self, name: str) -> subprocess.CompletedProcess[str]:
        """Release a clone of this tree, made for it."""
        tree = releasing.tree(self.directory / name, VERSION)
        options = {
            "version": VERSION, "registry": self.registry, "key": str(self.keys.private),
            "base": self.base, "pgp-key": releasing.OWNER,
            "pgp-url": "https://example.com/key.asc",
            "pgp-passphrase-file": str(self.keys.passphrase),
        }  # fmt: skip
        flags = [f"--{key}={value}" for key, value in options.items()]
        command = [sys.executable, "-m", "images.release", *flags]
        return attempt(command, directory=tree, env=self.keys.env)

    @property
    def files(self) -> Path:
        """What the first release left for its users."""
        return self.directory / "first" / "dist" / f"release-{VERSION}"


@dataclass(frozen=True)
class Released:
    """The first release."""

    place: Place
    digests: dict[str, str]

    def of(self, name: str) -> str:
        """An image or the chart, by digest."""
        repository = f"{self.place.registry}/{name}"
        return f"{repository}@{self.digests[repository]}"

    def one(self, name: str, wanted: Architecture) -> str:
        """An image of one architecture, by digest."""
        digest = crane("digest", f"--platform={wanted.platform}", self.of(name)).strip()
        return f"{self.place.registry}/{name}@{digest}"


def crane(*words: str) -> str:
    return run([str(tools.path_of("crane")), *words])


def cosign(*words: str) -> subprocess.CompletedProcess[str]:
    return attempt([str(tools.path_of("cosign")), *words])


def verified(reference: str, key: Path, former: bool = False) -> bool:
    """By its bundle, or by what cosign 2 and policy engines look for."""
    form = ("--new-bundle-format=false",) if former else ()
    return cosign("verify", f"--key={key}", UNLOGGED, *form, reference).returncode == 0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("release")
    with ociregistry.running(directory) as host:
        try:
            build.ensure((*tools.SIGNING, tools.HELM_PROGRAM), Progress())
            base = releasing.base(host, directory)
        except (ClusterError, debian.DebianError) as problem:
            pytest.skip(f"no images can be built here: {problem}")
        keys = releasing.keys(directory / "keys")
        try:
            yield Place(f"{host}/team", base, keys, directory)
        finally:
            releasing.forget(keys)


@pytest.fixture(scope="module")
def released(place: Place) -> Released:
    done = place.release("first")
    assert done.returncode == 0, done.stderr
    made = json.loads((place.files / "release.json").read_text())
    return Released(place, made["digests"])


# -- what was pushed -----------------------------------------------------------------------------


def test_tags_name_what_was_signed(released: Released) -> None:
    for repository, digest in released.digests.items():
        assert crane("digest", f"{repository}:{VERSION}").strip() == digest
    assert len(released.digests) == 3


def test_an_index_has_both_architectures(released: Released) -> None:
    for target in make.TARGETS:
        index = json.loads(crane("manifest", released.of(f"llama-{target}")))
        assert [each["platform"]["architecture"] for each in index["manifests"]] == [
            "amd64",
            "arm64",
        ]
        for each in architecture.ALL:
            config = json.loads(crane("config", released.one(f"llama-{target}", each)))
            assert config["architecture"] == each.name
            assert config["config"]["Entrypoint"] == [f"llama-{target}"]
            assert REVISION.fullmatch(
                config["config"]["Labels"]["org.opencontainers.image.revision"]
            )


@pytest.mark.parametrize("wanted", architecture.ALL, ids=lambda each: each.name)
def test_all_programs_are_of_the_images_architecture(
    released: Released, wanted: Architecture, tmp_path: Path
) -> None:
    archive = tmp_path / "files.tar"
    crane("export", released.one("llama-operator", wanted), str(archive))
    with tarfile.open(archive) as files:
        names, machines = _machines(files)
        assert machines == {MACHINES[wanted.name]}
        assert sum("/opt/llama/" in f"/{name}" for name in names) > 10
        _judge_compiled(files)


def _machines(files: tarfile.TarFile) -> tuple[list[str], set[int]]:
    """Names and kinds of machine of all ELF files."""
    found: dict[str, int] = {}
    for each in files:
        start = _start(files, each, 20)
        if start[:4] == b"\x7fELF":
            found[each.name] = int.from_bytes(start[18:20], "little")
    return list(found), set(found.values())


def _judge_compiled(files: tarfile.TarFile) -> None:
    """What Python compiled is taken as it is: bit 0 says by its source's hash, no bit 1: unchecked."""
    compiled = [each for each in files.getmembers() if each.name.endswith(".pyc")]
    ours = [each for each in compiled if "opt/llama/" in each.name]
    assert len(ours) > 1000
    assert {int.from_bytes(_start(files, each, 8)[4:8], "little") for each in ours} == {1}


def _start(files: tarfile.TarFile, member: tarfile.TarInfo, length: int) -> bytes:
    opened = files.extractfile(member) if member.isreg() else None
    return opened.read(length) if opened else b""


# -- signatures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("former", [False, True], ids=["bundle", "of cosign 2"])
def test_every_digest_is_signed_and_another_key_says_so(
    released: Released, tmp_path: Path, former: bool
) -> None:
    key = released.place.keys.public
    other = releasing.keys(tmp_path / "other")
    releasing.forget(other)
    images = [f"llama-{target}" for target in make.TARGETS]
    signed = [released.of(name) for name in (*images, "charts/llama-operator")]
    signed += [released.one(name, each) for name in images for each in architecture.ALL]
    assert [each for each in signed if not verified(each, key, former)] == []
    assert [each for each in signed if verified(each, other.public, former)] == []


def test_an_image_that_was_changed_is_not_signed(released: Released) -> None:
    changed = f"{released.place.registry}/llama-operator:changed"
    crane("mutate", released.one("llama-operator", AMD64), "--label", "a=b", "--tag", changed)
    assert not verified(changed, released.place.keys.public)


def test_lists_of_parts_are_attested_for_each_architecture(released: Released) -> None:
    locked = lock.read((paths.PROJECT / "requirements" / "runtime.txt").read_text())
    for each in architecture.ALL:
        image = released.one("llama-weights", each)
        said = statement(image, released.place.keys.public, "cyclonedx")["predicate"]
        parts = [part for part in said["components"] if "purl" in part]
        assert len(parts) == len(locked)
        by_name = {one.name: one.hashes for one in locked}
        assert all(part["hashes"][0]["content"] in by_name[part["name"]] for part in parts)
    amd64, arm64 = (
        statement(released.one("llama-weights", each), released.place.keys.public, "cyclonedx")
        for each in architecture.ALL
    )
    assert amd64["predicate"] != arm64["predicate"], "other wheels, and another base"


def test_provenance_names_commit_lock_and_bases(released: Released) -> None:
    key = released.place.keys.public
    whole = statement(released.of("llama-operator"), key, "slsaprovenance1")
    assert whole["predicateType"] == "https://slsa.dev/provenance/v1"
    definition = whole["predicate"]["buildDefinition"]
    commit = run(["git", "rev-parse", "HEAD"], directory=released.place.directory / "first").strip()
    materials = {each["uri"]: each["digest"] for each in definition["resolvedDependencies"]}
    (source,) = [each for uri, each in materials.items() if uri.startswith("git+")]
    assert source == {"gitCommit": commit}
    assert materials["file:requirements/runtime.txt"]["sha256"] == lock_digest()
    assert definition["externalParameters"]["platforms"] == ["linux/amd64", "linux/arm64"]
    bases = [each["digest"]["sha256"] for each in definition["resolvedDependencies"]
             if each["uri"].startswith("docker://")]  # fmt: skip
    wanted = {
        crane("digest", f"--platform={each.platform}", released.place.base).strip()
        for each in architecture.ALL
    }
    assert {f"sha256:{each}" for each in bases} == wanted
    one = statement(released.one("llama-operator", ARM64), key, "slsaprovenance1")
    assert one["predicate"]["buildDefinition"]["externalParameters"]["platforms"] == ["linux/arm64"]


def lock_digest() -> str:
    data = (paths.PROJECT / "requirements" / "runtime.txt").read_bytes()
    return hashlib.sha256(data).hexdigest()


def statement(image: str, key: Path, kind: str) -> Object:
    """What an attestation says, once cosign has verified it."""
    done = cosign("verify-attestation", f"--key={key}", UNLOGGED, f"--type={kind}", image)
    assert done.returncode == 0, done.stderr
    said: Object = json.loads(base64.b64decode(json.loads(done.stdout.splitlines()[0])["payload"]))
    return said


@pytest.mark.parametrize("changed", [False, True], ids=["as it was", "changed"])
def test_an_attestation_that_was_changed_is_refused(released: Released, changed: bool) -> None:
    """Its text and all that names it by digest are put anew, as somebody in the registry could."""
    original = released.one("llama-operator", ARM64)
    digest = original.partition("@")[2]
    copy = f"{released.place.registry}/copied-{str(changed).lower()}"
    crane("copy", original, f"{copy}:x")
    tag = digest.replace(":", "-")
    source = original.partition("@")[0]
    index = json.loads(crane("manifest", f"{source}:{tag}"))
    index["manifests"] = [
        _put_referrer(source, copy, each["digest"], changed) for each in index["manifests"]
    ]
    ociregistry.put_manifest(copy, tag, json.dumps(index).encode())
    key = released.place.keys.public
    words = ("verify-attestation", f"--key={key}", UNLOGGED, "--type=slsaprovenance1")
    done = cosign(*words, f"{copy}@{digest}")
    assert (done.returncode == 0) is not changed, done.stderr


def _put_referrer(source: str, copy: str, digest: str, changed: bool) -> Object:
    """One bundle with its manifest, the predicate's builder being another where it is changed."""
    manifest = json.loads(crane("manifest", f"{source}@{digest}"))
    (layer,) = manifest["layers"]
    bundle = json.loads(crane("blob", f"{source}@{layer['digest']}"))
    said = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    if changed and "slsa" in said["predicateType"]:
        said["predicate"]["runDetails"]["builder"]["id"] = "https://evil.example.com"
        bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(said).encode()).decode()
    data = json.dumps(bundle).encode()
    layer |= {"digest": ociregistry.put_blob(copy, data), "size": len(data)}
    config = crane("blob", f"{source}@{manifest['config']['digest']}").encode()
    ociregistry.put_blob(copy, config)
    whole = json.dumps(manifest).encode()
    own = f"sha256:{hashlib.sha256(whole).hexdigest()}"
    ociregistry.put_manifest(copy, own, whole)
    kind = {"artifactType": manifest.get("artifactType") or manifest["config"]["mediaType"]}
    return {"mediaType": manifest["mediaType"], "digest": own, "size": len(whole), **kind,
            "annotations": manifest.get("annotations", {})}  # fmt: skip


# -- the chart --------------------------------------------------------------------------------------


def helm(*words: str) -> str:
    return run([str(tools.path_of("helm")), *words])


def test_the_chart_from_the_registry_runs_what_was_signed(released: Released) -> None:
    chart = f"oci://{released.place.registry}/charts/llama-operator"
    text = helm("template", "llama-operator", chart, f"--version={VERSION}", "--plain-http",
                "--set=crds.enabled=false")  # fmt: skip
    objects = [each for each in yaml.safe_load_all(text) if each]
    (container,) = pod(objects)["containers"]
    assert container["image"] == released.of("llama-operator")
    assert f"--weights-image={released.of('llama-weights')}" in container["args"]
    assert of("Deployment", objects)["metadata"]["labels"]["app.kubernetes.io/version"] == VERSION


def test_the_chart_says_its_images_and_its_key(released: Released) -> None:
    about = yaml.safe_load(helm("show", "chart", str(archive(released.place.files))))
    images = yaml.safe_load(about["annotations"]["artifacthub.io/images"])
    assert {each["image"].replace(f":{VERSION}@", "@") for each in images} == {
        released.of(f"llama-{target}") for target in make.TARGETS
    }
    key = yaml.safe_load(about["annotations"]["artifacthub.io/signKey"])
    listed = run(["gpg", "--batch", "--with-colons", "--show-keys",
                  str(released.place.files / "pgp.gpg")])  # fmt: skip
    assert f":{key['fingerprint']}:" in listed
    assert key["url"] == "https://example.com/key.asc"


def archive(directory: Path) -> Path:
    return directory / f"llama-operator-{VERSION}.tgz"


def test_a_chart_that_was_changed_is_refused_by_helm(released: Released, tmp_path: Path) -> None:
    files = released.place.files
    ring = f"--keyring={files / 'pgp.gpg'}"
    helm("verify", ring, str(archive(files)))
    for name in (archive(files).name, f"{archive(files).name}.prov"):
        shutil.copy(files / name, tmp_path)
    _add_a_file(archive(tmp_path))
    with pytest.raises(ClusterError, match=r"sha256 sum does not match"):
        helm("verify", ring, str(archive(tmp_path)))


def _add_a_file(file: Path) -> None:
    with tarfile.open(file, "r:gz") as read:
        members = [(each, read.extractfile(each)) for each in read.getmembers()]
        contents = [(each, opened.read() if opened else b"") for each, opened in members]
    with tarfile.open(file, "w:gz") as written:
        for each, data in (*contents, (tarfile.TarInfo("llama-operator/templates/evil.yaml"), b"")):
            written.addfile(each, io.BytesIO(data))


# -- in a cluster -----------------------------------------------------------------------------------


def test_a_policy_lets_in_what_was_signed_alone(released: Released, tmp_path: Path) -> None:
    build.ensure([tools.POLICY_TESTER], Progress())
    other = releasing.keys(tmp_path / "other")
    releasing.forget(other)
    own = released.place.keys.public
    image = released.of("llama-operator")
    assert judged(policy(released, own), image, tmp_path) == ""
    assert "signature" in judged(policy(released, other.public), image, tmp_path)
    foreign = policy(released, own, builder="https://ci.example.com")
    assert "ci.example.com" in judged(foreign, image, tmp_path)
    crane("mutate", released.one("llama-operator", AMD64), "--label", "a=c", "--tag",
          f"{released.place.registry}/llama-operator:other")  # fmt: skip
    unsigned = f"{released.place.registry}/llama-operator:other"
    assert "no matching" in judged(policy(released, own), unsigned, tmp_path)


def policy(released: Released, key: Path, builder: str = BUILDER_ID) -> Object:
    """The one of the page on verifying, for another registry, key and builder."""
    (text,) = [text for language, text in markdown.blocks(PAGE.read_text()) if language == "yaml"]
    made: Object = yaml.safe_load(text)
    (glob,) = made["spec"]["images"]
    glob["glob"] = glob["glob"].replace("registry.example.com/team", released.place.registry)
    (authority,) = made["spec"]["authorities"]
    authority["key"]["data"] = key.read_text()
    (about,) = authority["attestations"]
    assert BUILDER_ID in about["policy"]["data"]
    about["policy"]["data"] = about["policy"]["data"].replace(BUILDER_ID, builder)
    return made


def judged(policy: Object, image: str, directory: Path) -> str:
    """Why policy-controller would refuse a pod of an image; "" where it would not."""
    file = directory / "policy.yaml"
    file.write_text(yaml.safe_dump(policy))
    done = attempt([str(tools.path_of("policy-tester")), f"--policy={file}", f"--image={image}"])
    return "" if done.returncode == 0 else done.stdout + done.stderr


# -- files and documents ----------------------------------------------------------------------------


def test_checksums_are_right_and_signed(released: Released, tmp_path: Path) -> None:
    files = shutil.copytree(released.place.files, tmp_path / "files")
    run(["sha256sum", "--check", "--strict", "SHA256SUMS"], directory=files)
    listed = {line.split()[1] for line in (files / "SHA256SUMS").read_text().splitlines()}
    assert {each.name for each in files.iterdir()} - listed == {
        "SHA256SUMS", "SHA256SUMS.sigstore.json",
    }  # fmt: skip
    key, bundle = files / "cosign.pub", files / "SHA256SUMS.sigstore.json"
    words = ("verify-blob", f"--key={key}", UNLOGGED, f"--bundle={bundle}")
    assert cosign(*words, str(files / "SHA256SUMS")).returncode == 0
    with (files / "SHA256SUMS").open("a") as sums:
        sums.write("\n")
    assert cosign(*words, str(files / "SHA256SUMS")).returncode != 0


def test_the_secret_keys_are_in_no_file_that_is_kept(released: Released) -> None:
    secret = released.place.keys.private.read_bytes()
    for file in (released.place.directory / "first").rglob("*"):
        if file.is_file() and not file.is_symlink():
            data = file.read_bytes()
            assert secret not in data, file
            assert releasing.PASSWORD.encode() not in data or file.suffix == ".py", file
    assert not list((released.place.directory / "first" / "build").glob("release-*"))
    assert not list(paths.cache().glob("release-*/storage/first"))


def test_commands_of_the_page_on_verifying_do_what_it_says(
    released: Released, tmp_path: Path
) -> None:
    files = shutil.copytree(released.place.files, tmp_path / "files")
    blocks = [text for language, text in markdown.blocks(PAGE.read_text()) if language == "sh"]
    assert len(blocks) >= 4
    programs = ":".join(str(tools.path_of(each).parent) for each in ("cosign", "crane", "helm"))
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    for block in blocks:
        local = block.replace("registry.example.com/team", released.place.registry)
        local = re.sub(r"(?m)^(helm pull .*)$", r"\1 --plain-http", local)
        local = local.replace("0.1.0", VERSION)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", local],
            cwd=files, env=env, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{local}\n{done.stderr}"


# -- once more: reproducible, and never over another ---------------------------------------------------


def test_a_second_build_has_the_same_digests_and_moves_no_tag(released: Released) -> None:
    weights = f"{released.place.registry}/llama-weights"
    other = crane("digest", f"--platform={AMD64.platform}", released.place.base).strip()
    repository = released.place.base.partition("@")[0]
    crane("copy", f"{repository}@{other}", f"{weights}:{VERSION}")
    done = released.place.release("second")
    assert done.returncode == 2, done.stderr
    built = released.digests[weights]
    assert f"VERSION={weights}:{VERSION}: it is {other}" in done.stderr
    assert f"this commit makes {built}" in done.stderr, "digests differ: not reproducible"
    assert done.stderr.count("VERSION=") == 1, "operator and chart are the same as well"
    assert crane("digest", f"{weights}:{VERSION}").strip() == other
    assert not (released.place.directory / "second" / "dist").exists()
