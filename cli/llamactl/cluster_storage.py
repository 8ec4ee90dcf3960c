"""The storage of a cluster: classes, the default one, and whether nodes can share a copy. Pure.

A StorageClass does not tell its access modes; what its provisioner is known for must do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llamactl import view
from llamactl.check import Check, unknown

Object = Mapping[str, Any]

DEFAULT = "storageclass.kubernetes.io/is-default-class"
# Parts of the names of provisioners.
MANY = (
    "nfs", "efs.csi.aws.com", "fsx.csi.aws.com", "file.csi.azure.com", "filestore.csi",
    "cephfs", "juicefs", "longhorn", "lustre", "beegfs", "glusterfs", "weka", "vastdata", "quobyte",
)  # fmt: skip
ONE = (
    "ebs.csi.aws.com", "pd.csi.storage.gke.io", "disk.csi.azure.com", "local-path", "rbd.csi",
    "no-provisioner", "hostpath", "cinder", "vsphere", "digitalocean", "topolvm", "aws-ebs",
    "gce-pd", "azure-disk", "hetzner", "linode",
)  # fmt: skip


def checks(classes: Sequence[Object] | None) -> list[Check]:
    """Classes, default class, shared volumes."""
    if classes is None:
        return [unknown(what) for what in ("Storage classes", "Default class", "Shared volumes")]
    return [_classes(classes), _default(classes), _shared(classes)]


def access(storage_class: Object) -> str:
    """The widest access mode that the provisioner is known for; "?" where it is not known."""
    provisioner = str(storage_class.get("provisioner", ""))
    if any(part in provisioner for part in MANY):
        return "ReadWriteMany"
    return "ReadWriteOnce" if any(part in provisioner for part in ONE) else "?"


def _classes(classes: Sequence[Object]) -> Check:
    if not classes:
        text = "weights need a claim of your own: spec.storage.claimName"
        return Check("Storage classes", "note", "none", text)
    found = ", ".join(f"{view.name_of(each)} ({access(each)})" for each in classes)
    return Check("Storage classes", "ok", found, "volumes for weights are made from these")


def _default(classes: Sequence[Object]) -> Check:
    names = [view.name_of(each) for each in classes if _is_default(each)]
    if not names:
        text = "each deployment must name its class: spec.storage.storageClassName"
        return Check("Default class", "note", "none", text)
    if len(names) > 1:
        text = "the newest of them is taken; keep the annotation on one"
        return Check("Default class", "note", ", ".join(names), text)
    return Check("Default class", "ok", names[0], "deployments need not name one")


def _is_default(storage_class: Object) -> bool:
    return (view.path(storage_class, "metadata", "annotations") or {}).get(DEFAULT) == "true"


def _shared(classes: Sequence[Object]) -> Check:
    names = [view.name_of(each) for each in classes if access(each) == "ReadWriteMany"]
    if names:
        text = "replicas on several nodes can serve from one copy"
        return Check("Shared volumes", "ok", ", ".join(names), text)
    unknown_ = [view.name_of(each) for each in classes if access(each) == "?"]
    text = (
        "replicas that share a copy stay on one node; for more nodes use a class that is "
        "ReadWriteMany (spec.storage.accessModes)"
    )
    found = f"not known of {', '.join(unknown_)}" if unknown_ else "none"
    return Check("Shared volumes", "note", found, text)
