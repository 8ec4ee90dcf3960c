"""What an engineer elsewhere needs to understand a deployment, without its secrets.

Secrets are read, where they may be, only to know what to take out of everything else; none is
written. What may not be read is named in the bundle, so that nobody takes a gap for a finding.
"""

from __future__ import annotations

import base64
import io
import os
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from llama_operator.api import labels
from llamactl import (
    checkup,
    cluster_checks,
    cluster_facts,
    cluster_page,
    discovery,
    doctor_page,
    findings,
    logtail,
    output,
    podruns,
    view,
)
from llamactl.errors import CliError
from llamactl.kube import Kube, Object
from llamactl.reader import Reader
from llamactl.redact import Redactor
from llamactl.resources import (
    CLAIMS,
    EVENTS,
    GROUPS,
    INFERENCES,
    JOBS,
    LLM_INFERENCES,
    PODS,
    SECRETS,
    SERVERS,
    Resource,
)

LOG_LINES = 5000
LOG_BYTES = 4 * 1024 * 1024
DEFAULT_SECRETS = ("hf-token",)
# What the operator makes for a deployment, and what Kubernetes makes of it.
CHILDREN = (
    SERVERS,
    Resource("apps", "v1", "replicasets", "ReplicaSet"),
    Resource("apps", "v1", "controllerrevisions", "ControllerRevision"),
    Resource("", "v1", "services", "Service"),
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy"),
    Resource("networking.k8s.io", "v1", "ingresses", "Ingress"),
)
# The same, of kinds that a cluster may not have.
OPTIONAL = (
    Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute"),
    Resource("inference.networking.k8s.io", "v1", "inferencepools", "InferencePool"),
    Resource("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate"),
)
Files = dict[str, str]


def collect(kube: Kube, name: str, command_version: str) -> tuple[Files, int]:
    """Path in the bundle -> text, and how many secrets were taken out."""
    reader = Reader(kube)
    seen = checkup.read(kube, name)
    facts = cluster_facts.read(kube)
    there = [each for each in OPTIONAL if each.version in facts.groups.get(each.group, ())]
    objects = _objects(reader, seen, name, [*CHILDREN, *there])
    redactor = Redactor(_secret_values(reader, objects))
    checks = cluster_checks.run(facts, command_version)
    files: dict[str, Any] = {
        "versions.yaml": _versions(kube, command_version),
        "doctor.yaml": doctor_page.document(seen, findings.find(seen)),
        "cluster.yaml": cluster_page.document(checks, facts.unread),
        "events.yaml": output.object_list(_events(reader, objects)),
        **{f"objects/{_file(each)}.yaml": output.clean(each) for each in objects},
    }
    texts = {path: output.to_yaml(redactor.object(each)) for path, each in files.items()}
    texts |= {path: redactor.text(each) for path, each in _logs(reader, seen, facts).items()}
    unread = [*dict.fromkeys([*reader.unread, *seen.unread, *facts.unread])]
    texts["README.txt"] = redactor.text(_readme(name, unread))
    return texts, redactor.count


def write(files: Files, path: Path, root: str) -> None:
    """One tar.gz that only its owner may read. Raises CliError where there is such a file."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise CliError(f"{path} exists already", field="--to", fix="Name another file") from error
    with os.fdopen(handle, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, text in sorted(files.items()):
            data = text.encode()
            entry = tarfile.TarInfo(f"{root}/{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
            tar.addfile(entry, io.BytesIO(data))


def _objects(
    reader: Reader, seen: checkup.Checkup, name: str, kinds: Iterable[Resource]
) -> list[Object]:
    kube = reader.kube
    copy = view.name_of(seen.weights or {})
    found = [dict(seen.deployment), *([dict(seen.weights)] if seen.weights else [])]
    for resource in kinds:
        selector = f"{labels.DEPLOYMENT}={name}"
        found += _kinds(reader, resource, selector)
    if view.grouped(seen.deployment) and seen.server:
        found.append({"kind": GROUPS.kind, **seen.server})
    if view.behind_kserve(seen.deployment):
        wanted = view.path(seen.deployment, "spec", "kserve", "resource")
        asked = LLM_INFERENCES if wanted == LLM_INFERENCES.kind else INFERENCES
        service = reader.read(lambda: kube.find(asked, name))
        found += [{"kind": asked.kind, **service}] if service else []
    if copy:
        found += _kinds(reader, JOBS, f"{labels.WEIGHTS}={copy}")
    claim = view.path(seen.weights or {}, "status", "claimName")
    volume = reader.read(lambda: kube.find(CLAIMS, str(claim))) if claim else None
    found += [{"kind": CLAIMS.kind, **volume}] if volume else []
    pods = [{"kind": PODS.kind, **pod} for pod in (*seen.pods, *seen.job_pods)]
    return [_short(each) for each in (*found, *pods)]


def _short(value: Any) -> Any:
    """Without the guard's source, which each template repeats."""
    if isinstance(value, Mapping):
        mark = (
            f"<llama_guard.py, {len(value[labels.GUARD])} characters>"
            if labels.GUARD in value
            else ""
        )
        shortened = {key: _short(each) for key, each in value.items()}
        return shortened | ({labels.GUARD: mark} if mark else {})
    return [_short(each) for each in value] if isinstance(value, list) else value


def _kinds(reader: Reader, resource: Resource, selector: str) -> list[Object]:
    return reader.read(lambda: reader.kube.list(resource, selector=selector)) or []


def _file(obj: Mapping[str, Any]) -> str:
    return f"{str(obj.get('kind', 'object')).lower()}-{view.name_of(obj)}"


def _events(reader: Reader, objects: list[Object]) -> list[Object]:
    names = {view.name_of(each) for each in objects}
    found = reader.read(lambda: reader.kube.list(EVENTS)) or []
    return [each for each in found if view.path(each, "involvedObject", "name") in names]


def _versions(kube: Kube, command: str) -> dict[str, Any]:
    return {
        "llamactl": command,
        "kubernetes": discovery.server_version(kube),
        "apis": discovery.groups(kube),
    }


# -- secrets ------------------------------------------------------------------------------------


def _secret_values(reader: Reader, objects: list[Object]) -> list[str]:
    """The values of every Secret that the objects name, as far as they may be read."""
    names = {*DEFAULT_SECRETS, *(name for each in objects for name in _secret_names(each))}
    found = [_secret(reader, name) for name in sorted(names)]
    return [text for each in found if each for text in _plain(each)]


def _secret(reader: Reader, name: str) -> Object | None:
    return reader.read(lambda: reader.kube.find(SECRETS, name))


def _secret_names(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        if "secret" in key.lower() and isinstance(value.get("name"), str):
            yield str(value["name"])
        for inner, each in value.items():
            yield from _secret_names(each, inner)
    elif isinstance(value, list):
        for each in value:
            yield from _secret_names(each, key)
    elif key == "secretName" and isinstance(value, str) and value:
        yield value


def _plain(secret: Object) -> Iterator[str]:
    for value in (secret.get("data") or {}).values():
        yield str(value)
        try:
            yield base64.b64decode(str(value)).decode(errors="ignore")
        except ValueError:
            continue


# -- logs and the page about it -----------------------------------------------------------------


def _logs(reader: Reader, seen: checkup.Checkup, facts: cluster_facts.Facts) -> Files:
    files = _of_pods(reader, [*seen.pods, *seen.job_pods], "logs")
    for operator in facts.operators or ():
        namespace = str(view.path(operator, "metadata", "namespace") or "")
        other = Reader(reader.kube.within(namespace))
        files |= _of_pods(other, _kinds(other, PODS, cluster_facts.OURS), "operator")
        reader.unread += other.unread
    return files


def _of_pods(reader: Reader, pods: list[Object], folder: str) -> Files:
    files: Files = {}
    query = {"tailLines": str(LOG_LINES), "limitBytes": str(LOG_BYTES), "timestamps": "true"}
    for run in podruns.runs(pods):
        for suffix, more in (("", {}), (".previous", {"previous": "true"})):
            if suffix and not run.number:
                continue
            lines = [line.text for line in logtail.once(reader.kube, [run], query | more)]
            files[f"{folder}/{run.pod}/{run.container}{suffix}.log"] = "\n".join(lines) + "\n"
    return files


def _readme(name: str, unread: list[str]) -> str:
    gaps = "\n".join(f"- {each}" for each in unread) or "- nothing"
    return f"""Support bundle of LlamaDeployment {name}.

versions.yaml  this command, Kubernetes, API groups
doctor.yaml    what llamactl doctor says of it
cluster.yaml   what llamactl doctor cluster says
events.yaml    events of its objects
objects/       the deployment, its weights, and what was made of them
logs/          its servers and weights Jobs, the last {LOG_LINES} lines of each container
operator/      the operator's own logs

Secrets are not in it. What looks like one reads <redacted> everywhere, and so does the query of
every URL. Not read:
{gaps}
"""
