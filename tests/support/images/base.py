"""A base image of Debian's own packages, for a machine that reaches no registry.

apt resolves and verifies the packages against an empty system, and they are unpacked side by side.
No script of theirs runs: Python needs none, and so this takes seconds and no `debootstrap`.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from tests.support import debian
from tests.support.cluster import paths
from tests.support.images.architecture import Architecture, own
from tests.support.once import once

PACKAGES = ("base-files", "libc-bin", "dash", "coreutils", "python3", "ca-certificates", "tzdata")
PASSWD = "root:x:0:0:root:/root:/bin/sh\nllama:x:10001:10001:llama:/tmp:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nllama:x:10001:\n"
# Nothing in an image reads them.
UNREAD = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache")
_MERGED = ("bin", "sbin", "lib", "lib64")


def ensure(architecture: Architecture | None = None) -> Path:
    """The directory with `rootfs.tar` and `python` (its version), made once for a recipe."""
    wanted = architecture or own()
    target = paths.cache() / "images" / f"base-{key(wanted)}"
    once(target, key(wanted), lambda: _build(target, wanted))
    return target


def key(architecture: Architecture | None = None) -> str:
    """Of the recipe and of the release whose packages are taken."""
    release = Path("/etc/os-release")
    text = release.read_text() if release.exists() else ""
    recipe = f"{Path(__file__).read_text()}{text}{(architecture or own()).name}"
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _build(target: Path, architecture: Architecture) -> None:
    target.mkdir(parents=True)
    root = target / "root"
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for archive in _download(target, architecture):
        command = 'dpkg-deb --fsys-tarfile "$0" | tar -C "$1" -x --keep-directory-symlink'
        debian.run(["sh", "-c", command, str(archive), str(root)], target)
    _finish(root)
    (target / "python").write_text(
        (root / "usr/bin/python3").readlink().name.removeprefix("python")
    )
    debian.run(["tar", "-C", str(root), "--sort=name", "-cf", "rootfs.tar", "."], target)
    shutil.rmtree(root)
    shutil.rmtree(target / "lists", ignore_errors=True)


def _download(target: Path, architecture: Architecture) -> list[Path]:
    debian.require("apt-get", "dpkg-deb", "tar", packages=PACKAGES)
    kept = target / "archives"
    (kept / "partial").mkdir(parents=True)
    (target / "status").touch()
    options: dict[str, Path | str] = {
        "Dir::State::status": target / "status",
        "Dir::Cache::archives": kept,
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Debug::NoLocking": "true",
        "APT::Sandbox::User": "root",
    }
    if architecture != own():
        options |= _foreign(target, architecture)
    flags = [f"-o{name}={value}" for name, value in options.items()]
    install = ["apt-get", "-qy", *flags, "--no-install-recommends", "--download-only", "install"]
    try:
        debian.run([*install, *PACKAGES], target)
    except debian.DebianError:
        debian.run(["apt-get", "-q", *flags, "update"], target)
        debian.run([*install, *PACKAGES], target)
    return sorted(kept.glob("*.deb"))


def _foreign(target: Path, architecture: Architecture) -> dict[str, Path | str]:
    """Lists of its own: the machine has none of another architecture."""
    lists = target / "lists"
    (lists / "partial").mkdir(parents=True)
    name = architecture.name
    return {"APT::Architecture": name, "APT::Architectures": name, "Dir::State::lists": lists}


def _finish(root: Path) -> None:
    """What the packages' scripts would have made and Python or TLS look for."""
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    shell = root / "usr/bin/sh"
    if not shell.exists():
        shell.symlink_to("dash")
    authorities = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(each.read_text() for each in authorities))
    for name in UNREAD:
        shutil.rmtree(root / name, ignore_errors=True)
