"""Makes a volume for each claim of the classes `local` and `local-limited`; runs on the node.

It behaves like a CSI driver for one disk per node: it waits until the scheduler has chosen the node,
gives an empty directory of root (so a pod that forgets `fsGroup` is refused, as on real disks) and
removes it with its content when the claim is gone. `local-limited` mounts a tmpfs of the claim's
size, so that "no space left on device" can be met for real. Its rights are those of Kubernetes' own
role `system:persistent-volume-provisioner`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

from .pki import Pair
from .rest import Access, Object, RefusedError, Rest, UnreachableError
from .storage import LIMIT, PROVISIONER

ROOT = Path("/var/lib/local-volumes")
CLAIMS = "/api/v1/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
WATCH_SECONDS = 30
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


class Provisioner:
    """Brings directories in line with claims and volumes; every pass starts from the whole state."""

    def __init__(self, rest: Rest, node: str) -> None:
        self._rest = rest
        self._node = node

    def run(self) -> None:
        """Work until killed: one pass per change, and one each WATCH_SECONDS anyway."""
        while True:
            try:
                version = self.pass_once()
                self._wait_for_change(version)
            except (UnreachableError, RefusedError) as problem:
                sys.stderr.write(f"{problem}\n")
                time.sleep(0.5)

    def pass_once(self) -> str:
        """Make and remove volumes; returns the resource version of the claims it saw."""
        claims = self._rest.get(CLAIMS)
        classes = {item["metadata"]["name"]: item for item in self._rest.get(CLASSES)["items"]}
        for claim in claims["items"]:
            storage_class = classes.get(claim["spec"].get("storageClassName", ""), {})
            if storage_class.get("provisioner") == PROVISIONER and self._is_ours(claim):
                self._provide(claim, storage_class)
        for volume in self._rest.get(VOLUMES)["items"]:
            if _is_released(volume):
                self._reclaim(volume)
        version: str = claims["metadata"]["resourceVersion"]
        return version

    def _is_ours(self, claim: Object) -> bool:
        chosen = claim["metadata"].get("annotations", {}).get(SELECTED_NODE)
        bound, leaving = claim["spec"].get("volumeName"), claim["metadata"].get("deletionTimestamp")
        return chosen == self._node and not bound and not leaving

    def _provide(self, claim: Object, storage_class: Object) -> None:
        name = f"pvc-{claim['metadata']['uid']}"
        path = ROOT / name
        path.mkdir(mode=0o755, exist_ok=True)
        if storage_class.get("parameters", {}).get(LIMIT) and not path.is_mount():
            _mount_limited(path, claim["spec"]["resources"]["requests"]["storage"])
        with contextlib.suppress(RefusedError):
            self._rest.create(VOLUMES, self._volume(name, path, claim, storage_class))

    def _volume(self, name: str, path: Path, claim: Object, storage_class: Object) -> Object:
        meta, spec = claim["metadata"], claim["spec"]
        reference = {key: meta[key] for key in ("namespace", "name", "uid", "resourceVersion")}
        term = {"key": "kubernetes.io/hostname", "operator": "In", "values": [self._node]}
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {
                "name": name,
                "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
            },
            "spec": {
                "capacity": {"storage": spec["resources"]["requests"]["storage"]},
                "accessModes": spec["accessModes"],
                "persistentVolumeReclaimPolicy": storage_class["reclaimPolicy"],
                "storageClassName": storage_class["metadata"]["name"],
                "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **reference},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}},
                "local": {"path": str(path)},
            },
        }

    def _reclaim(self, volume: Object) -> None:
        path = Path(volume["spec"]["local"]["path"])
        if path.is_mount():
            subprocess.run(["umount", "--lazy", str(path)], check=True, timeout=30)
        # Removed under another name: a half-deleted directory must never be handed out again.
        doomed = path.with_name(f".{path.name}")
        if path.exists():
            path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
        with contextlib.suppress(RefusedError):
            self._rest.delete(f"{VOLUMES}/{volume['metadata']['name']}")

    def _wait_for_change(self, version: str) -> None:
        # Only claims are watched. A claim's deletion releases its volume a moment later, hence the
        # short second look after each change.
        for _ in self._rest.watch(f"{CLAIMS}?resourceVersion={version}", WATCH_SECONDS):
            break
        time.sleep(0.1)


def _is_released(volume: Object) -> bool:
    spec, annotations = volume["spec"], volume["metadata"].get("annotations", {})
    mine = annotations.get("pv.kubernetes.io/provisioned-by") == PROVISIONER
    released = volume.get("status", {}).get("phase") == "Released"
    deletable: bool = spec["persistentVolumeReclaimPolicy"] == "Delete"
    return mine and released and deletable


def _mount_limited(path: Path, quantity: str) -> None:
    options = f"size={_bytes(quantity)},mode=755"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    subprocess.run(command, check=True, timeout=30)


def _bytes(quantity: str) -> int:
    number = quantity.rstrip("kKMGTi")
    return int(Decimal(number) * _UNITS[quantity[len(number) :]])


def main() -> None:
    """Arguments: server URL, node name, CA file, client certificate, client key."""
    server, node, ca, certificate, key = sys.argv[1:]
    os.umask(0o022)
    access = Access(server, Path(ca), Pair(key=Path(key), certificate=Path(certificate)))
    Provisioner(Rest(access), node).run()


if __name__ == "__main__":
    main()
