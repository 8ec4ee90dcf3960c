"""`make images`: both images into dist/, or to a registry. `python -m tests.support.images --help`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.support import debian
from tests.support.cluster import paths
from tests.support.cluster.errors import ClusterError
from tests.support.cluster.progress import Progress
from tests.support.images import builders, context, make


def main() -> int:
    """Exit status 0 when the images are there."""
    options = _options()
    progress = Progress()
    try:
        if options.local:
            return _local(progress)
        _images(options, progress)
    except (ClusterError, debian.DebianError, ValueError) as problem:
        print(f"images: {problem}", file=sys.stderr)
        return 1
    return 0


def _local(progress: Progress) -> int:
    """Exit status 0 even where it cannot be done: what needs the images says so itself."""
    try:
        with progress.step("images of this tree"):
            make.local()
    except (ClusterError, debian.DebianError) as problem:
        print(f"no images, no pods of the operator: {problem}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make images", description=__doc__)
    parser.add_argument("--base", default="", help="image by digest, or `debian`")
    parser.add_argument("--builder", default="", help="docker, podman or buildah")
    parser.add_argument("--registry", default="", help="such as registry.example.com/team")
    parser.add_argument("--tag", default=make.version())
    parser.add_argument("--push", default="", help="anything: push instead of writing archives")
    parser.add_argument("--local", action="store_true", help="only what the local cluster runs")
    return parser.parse_args()


def _images(options: argparse.Namespace, progress: Progress) -> None:
    if options.push and not options.registry:
        raise ClusterError("PUSH needs a registry", "Name it: make images REGISTRY=... PUSH=1")
    builder = builders.find(options.builder)
    names = make.Names(options.registry or "localhost", options.tag)
    with progress.step(f"base image for {builder.name}"):
        base = make.base_of(options.base, builder)
    with tempfile.TemporaryDirectory() as directory:
        wheel = context.project_wheel(Path(directory))
        with progress.step(f"images from {base.name}"):
            _built(builder, base, names, wheel)
    for target in make.TARGETS:
        with progress.step(f"{'pushing' if options.push else 'writing'} {names.of(target)}"):
            _deliver(builder, names.of(target), target, push=bool(options.push))


def _built(builder: builders.Builder, base: context.Base, names: make.Names, wheel: Path) -> None:
    try:
        make.build(builder, base, names, wheel)
    except ClusterError as problem:
        fix = "Without a registry: make images BASE=debian (on Debian or Ubuntu)"
        raise ClusterError(problem.message, fix if "@" in base.name else "") from problem
    dist = paths.PROJECT / "dist"
    dist.mkdir(exist_ok=True)
    shutil.copy(context.STAGED / context.SBOM, dist / f"llama-operator-{names.tag}.cdx.json")


def _deliver(builder: builders.Builder, tag: str, target: str, *, push: bool) -> None:
    if push:
        builder.push(tag)
        return
    file = paths.PROJECT / "dist" / f"llama-{target}-{tag.rpartition(':')[2]}.tar"
    builder.save(tag, file)
    print(file.relative_to(paths.PROJECT))


if __name__ == "__main__":
    sys.exit(main())
