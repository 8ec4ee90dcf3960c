"""The Jobs of a copy: a preflight without a volume, the fetch, and later looks at every byte.

The preflight asks for access, the commit, the bytes and the shape, so that the claim can be
sized and a layout planned before anything is reserved. Exit code 1 means that a retry cannot
help; any other failure is retried by the Job controller with its own backoff.
"""

from __future__ import annotations

from typing import Any

from llama_operator.api import labels
from llama_operator.api.v1alpha1_weights import CaBundle
from llama_operator.api.wire import as_dict
from llama_operator.render import access, outward
from llama_operator.render.inputs import Fetching, Object
from llama_operator.render.meta import child_labels, hashed_name, metadata
from llama_operator.render.origins import SOURCE_MOUNT, Placed
from llama_operator.render.pod import container_security, pod_security

PERMANENT_EXIT = 1
RETRIES = 6
# A preflight says what it met at once; the operator asks again.
PREFLIGHT_RETRIES = 0
MOUNT = "/weights"
METRICS_PORT = 9090
HOME: Object = {"name": "HOME", "value": "/tmp"}  # noqa: S108
_TMP: Object = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - an emptyDir of the pod's own


def preflight_name(fetching: Fetching) -> str:
    """Named by its whole pod: a Job's template can never change.

    A Job whose pod no node takes, or whose image does not exist, never ends: only another name
    lets a corrected toleration or image through.
    """
    return _named(fetching, "preflight", pod=_preflight_pod(fetching))


def fetch_name(fetching: Fetching) -> str:
    """Named by its whole pod, for the same reason; what has been fetched is gone on with."""
    return _named(fetching, "fetch", pod=_fetch_pod(fetching))


def _named(fetching: Fetching, purpose: str, **inputs: Any) -> str:
    """By the queue as well: Kueue lets no Job that it has admitted change to another one."""
    queue = {"queue": fetching.queue} if fetching.queue else {}
    return hashed_name(fetching.owner.name, purpose, {**inputs, **queue})


def preflight(fetching: Fetching) -> Object:
    """One authorised look at the source."""
    pod = _preflight_pod(fetching)
    job = _job(fetching, preflight_name(fetching), labels.PREFLIGHT, pod)
    job["spec"]["backoffLimit"] = PREFLIGHT_RETRIES
    return job


def fetch(fetching: Fetching) -> Object:
    """The download of one commit into one directory of the claim."""
    return _job(fetching, fetch_name(fetching), labels.FETCH, _fetch_pod(fetching))


def verify_name(fetching: Fetching, since: str) -> str:
    """Named by its pod and by the round: the last one ended at `since`."""
    pod = _verify_pod(fetching, "")
    return _named(fetching, "verify", pod=pod, since=since)


def verify(fetching: Fetching, digest: str, since: str) -> Object:
    """Every byte of the finished copy, read again."""
    name = verify_name(fetching, since)
    return _job(fetching, name, labels.VERIFY, _verify_pod(fetching, digest))


def _fetch_pod(fetching: Fetching) -> Object:
    origin = fetching.origin
    args = [*origin.bring(f"{MOUNT}/{fetching.path}", fetching.commit), _progress(fetching)]
    if not isinstance(origin, Placed):
        args += _limits(fetching)
    return _working_pod(fetching, "fetch", args, read_only=False)


def _verify_pod(fetching: Fetching, digest: str) -> Object:
    origin = fetching.origin
    if isinstance(origin, Placed) and not origin.converts:
        known = [f"--digest={digest}"] if digest else []
        args = ["adopt", origin.place, *known]
    else:
        args = ["verify", f"{MOUNT}/{fetching.path}"]
    return _working_pod(fetching, "verify", [*args, _progress(fetching)], read_only=True)


def _working_pod(fetching: Fetching, name: str, args: list[str], *, read_only: bool) -> Object:
    container = _container(fetching, name, [*args, f"--metrics-port={METRICS_PORT}"])
    container["ports"] = [{"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"}]
    if name == "verify":
        container["env"] = [HOME]  # nobody is asked, so no credential goes along
    if fetching.claim:
        mount: Object = {"name": "weights", "mountPath": MOUNT}
        container["volumeMounts"].append({**mount, "readOnly": True} if read_only else mount)
    container["resources"] = _fetch_resources(fetching)
    pod = _pod(fetching, container)
    pod["serviceAccountName"] = access.account_name(fetching)
    pod["automountServiceAccountToken"] = True
    if fetching.claim:
        claim: Object = {"claimName": fetching.claim}
        pod["volumes"].append({"name": "weights", "persistentVolumeClaim": claim})
    return pod


def _preflight_pod(fetching: Fetching) -> Object:
    return _pod(fetching, _container(fetching, "preflight", fetching.origin.look()))


def _progress(fetching: Fetching) -> str:
    owner = fetching.owner
    return f"--progress-object={owner.namespace}/{owner.name}"


def _limits(fetching: Fetching) -> list[str]:
    spec = fetching.spec.fetch
    most = spec.max_bytes_per_second
    limit = [f"--max-bytes-per-second={most}"] if most else []
    return [f"--connections={spec.connections}", *limit]


def _fetch_resources(fetching: Fetching) -> Object:
    default = {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}
    return as_dict(fetching.spec.fetch.resources) or default


def _container(fetching: Fetching, name: str, args: list[str]) -> Object:
    container: Object = {
        "name": name,
        "image": fetching.settings.weights_image,
        "command": ["llama-weights"],
        "args": args,
        "env": [
            HOME,
            *fetching.origin.env(),
            *outward.proxy_env(fetching.settings),
            *outward.ca_env(_bundle(fetching), "SSL_CERT_FILE"),
        ],
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": "512Mi"},
        },
        "securityContext": container_security(),
        "volumeMounts": [_TMP, *outward.ca_mounts(_bundle(fetching))],
    }
    if isinstance(fetching.origin, Placed):
        mount = {"name": "source", "mountPath": SOURCE_MOUNT, "readOnly": True}
        container["volumeMounts"].append(mount)
    return container


def _pod(fetching: Fetching, container: Object) -> Object:
    spec = fetching.spec.fetch
    placement: Object = {
        "nodeSelector": spec.node_selector,
        "tolerations": [as_dict(entry) for entry in spec.tolerations],
        "affinity": spec.affinity,
        "runtimeClassName": fetching.settings.weights_runtime_class,
    }
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(fetching.settings.user_id),
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}, *_volumes(fetching)],
        **{key: value for key, value in placement.items() if value},
    }


def _volumes(fetching: Fetching) -> list[Object]:
    found = outward.ca_volumes(_bundle(fetching))
    origin = fetching.origin
    if isinstance(origin, Placed):
        claim = {"claimName": origin.claim, "readOnly": True}
        found.append({"name": "source", "persistentVolumeClaim": claim})
    return found


def _bundle(fetching: Fetching) -> CaBundle | None:
    """Its own, else that of the operator."""
    return fetching.spec.ca_bundle or fetching.settings.ca_bundle


def _metadata(fetching: Fetching, name: str, component: str) -> Object:
    meta = metadata(fetching.owner, name, component)
    if fetching.queue:
        meta["labels"] = {**meta["labels"], labels.QUEUE: fetching.queue}
    return meta


def _job(fetching: Fetching, name: str, component: str, pod: Object) -> Object:
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [PERMANENT_EXIT]}},
    ]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(fetching, name, component),
        # Not `suspend`: that is for Kueue, or whoever lets a Job wait.
        "spec": {
            "backoffLimit": RETRIES,
            "podFailurePolicy": {"rules": rules},
            "template": {
                "metadata": {"labels": child_labels(fetching.owner, component)},
                "spec": pod,
            },
        },
    }
