"""Debian's buildah and its libraries, unpacked into the cache, with a storage of its own.

buildah starts itself again with an empty environment, so LD_LIBRARY_PATH does not reach that half.
Instead the linker's cache of one mount namespace names the libraries: nothing of the machine changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.support import debian
from tests.support.cluster import paths
from tests.support.once import once

PACKAGES = (
    "buildah",
    "golang-github-containers-common",
    "golang-github-containers-image",
    "libassuan0",
    "libdevmapper1.02.1",
    "libgpg-error0",
    "libgpgme11",
    "libseccomp2",
)
# Layers of every source state stay as a cache until then.
STORAGE_LIMIT = 3 << 30
_KEY = "debian-2"
_WRAPPED = 'mount --bind "$0" /etc/ld.so.cache && exec "$@"'


def command() -> tuple[str, ...]:
    """The program with its private libraries; raises DebianError where it cannot be had."""
    if os.geteuid() != 0:
        raise debian.DebianError("a buildah that is only unpacked needs root")
    debian.require("unshare", "mount", packages=["buildah"])
    once(_home(), _KEY, _unpack)
    _limit()
    storage, running = str(_storage()), str(_storage().with_name("run"))
    wrapper = ("unshare", "--mount", "sh", "-c", _WRAPPED, str(_home() / "ld.so.cache"))
    program = str(_home() / "usr/bin/buildah")
    return (*wrapper, program, "--root", storage, "--runroot", running)


def environment() -> dict[str, str]:
    """Its settings, none of them the machine's."""
    etc, share = _home() / "etc/containers", _home() / "usr/share/containers"
    return {
        # Where it looks for a signature policy, besides /etc.
        "HOME": str(_home()),
        "BUILDAH_ISOLATION": "chroot",
        "CONTAINERS_CONF": str(share / "containers.conf"),
        "CONTAINERS_REGISTRIES_CONF": str(etc / "registries.conf"),
        "CONTAINERS_STORAGE_CONF": str(_home() / "storage.conf"),
        "STORAGE_DRIVER": _driver(),
    }


def _home() -> Path:
    return paths.tool_cache() / "buildah-debian"


def _storage() -> Path:
    return paths.cache() / "buildah" / _driver()


def _unpack() -> None:
    home = _home()
    debian.unpack(PACKAGES, home)
    policy = home / ".config/containers/policy.json"
    policy.parent.mkdir(parents=True)
    shutil.copy(home / "etc/containers/policy.json", policy)
    folders = sorted({str(file.parent) for file in home.rglob("lib*.so.*")})
    (home / "ld.conf").write_text("\n".join(["include /etc/ld.so.conf", *folders, ""]))
    (home / "storage.conf").write_text('[storage]\ndriver = "vfs"\n')
    ldconfig = shutil.which("ldconfig", path="/sbin:/usr/sbin") or "ldconfig"
    debian.run([ldconfig, "-X", "-C", "ld.so.cache", "-f", "ld.conf"], home)


def _driver() -> str:
    """Overlay is five times as fast, but does not lie on another overlay."""
    at = paths.cache()
    at.mkdir(parents=True, exist_ok=True)
    found = subprocess.run(
        ["stat", "--file-system", "--format=%T", str(at)],
        capture_output=True,
        text=True,
        check=False,
    )
    return "overlay" if found.stdout.strip() in ("ext2/ext3", "xfs", "btrfs") else "vfs"


def _limit() -> None:
    storage = _storage()
    if not storage.exists():
        return
    if _size(storage) > STORAGE_LIMIT:
        shutil.rmtree(storage)
        shutil.rmtree(storage.with_name("run"), ignore_errors=True)


def _size(storage: Path) -> int:
    """Of all files; another build may be making and removing some meanwhile."""
    total = 0
    for directory, _, names in os.walk(storage):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(directory) / name).lstat().st_size
    return total
