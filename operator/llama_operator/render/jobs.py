"""The two Jobs of a copy: a preflight without a volume, then the fetch.

The preflight asks for access, the commit, the bytes and the shape, so that the claim can be
sized and a layout planned before anything is reserved. Exit code 1 means that a retry cannot
help; any other failure is retried by the Job controller with its own backoff.
"""

from __future__ import annotations

from llama_operator.api import labels
from llama_operator.api.wire import as_dict
from llama_operator.render import access
from llama_operator.render.inputs import Fetching, Object
from llama_operator.render.meta import child_labels, hashed_name, metadata
from llama_operator.render.pod import container_security, pod_security

PERMANENT_EXIT = 1
RETRIES = 6
# A preflight says what it met at once; the operator asks again.
PREFLIGHT_RETRIES = 0
PREFLIGHT_ATTEMPTS = 3
PREFLIGHT_WAIT_SECONDS = 20
MOUNT = "/weights"
_TMP: Object = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - an emptyDir of the pod's own


def preflight_name(fetching: Fetching) -> str:
    """Named by its whole pod: a Job's template can never change.

    A Job whose pod no node takes, or whose image does not exist, never ends: only another name
    lets a corrected toleration or image through.
    """
    return hashed_name(fetching.owner.name, "preflight", {"pod": _preflight_pod(fetching)})


def fetch_name(fetching: Fetching) -> str:
    """Named by its whole pod, for the same reason; what has been fetched is gone on with."""
    return hashed_name(fetching.owner.name, "fetch", {"pod": _fetch_pod(fetching)})


def preflight(fetching: Fetching) -> Object:
    """One authorised look at the source."""
    pod = _preflight_pod(fetching)
    job = _job(fetching, preflight_name(fetching), labels.PREFLIGHT, pod)
    job["spec"]["backoffLimit"] = PREFLIGHT_RETRIES
    return job


def fetch(fetching: Fetching) -> Object:
    """The download of one commit into one directory of the claim."""
    return _job(fetching, fetch_name(fetching), labels.FETCH, _fetch_pod(fetching))


def _preflight_pod(fetching: Fetching) -> Object:
    return _pod(fetching, _container(fetching, "preflight", _preflight_args(fetching)))


def _fetch_pod(fetching: Fetching) -> Object:
    container = _container(fetching, "fetch", _fetch_args(fetching))
    container["volumeMounts"] = [_TMP, {"name": "weights", "mountPath": MOUNT}]
    container["resources"] = _fetch_resources(fetching)
    pod = _pod(fetching, container)
    pod["serviceAccountName"] = access.account_name(fetching)
    pod["automountServiceAccountToken"] = True
    claim = {"claimName": fetching.claim}
    pod["volumes"] = [*pod["volumes"], {"name": "weights", "persistentVolumeClaim": claim}]
    return pod


def _preflight_args(fetching: Fetching) -> list[str]:
    source = fetching.spec.source.hugging_face if fetching.spec.source else None
    revision = source.revision if source else "main"
    return [
        "preflight",
        f"--repo={fetching.repo}",
        f"--revision={revision}",
        f"--retries={PREFLIGHT_ATTEMPTS}",
        f"--rate-limit-wait={PREFLIGHT_WAIT_SECONDS}",
        *_endpoint(fetching),
    ]


def _fetch_args(fetching: Fetching) -> list[str]:
    owner, spec = fetching.owner, fetching.spec
    args = [
        "fetch",
        f"--repo={fetching.repo}",
        f"--commit={fetching.commit}",
        f"--dest={MOUNT}/{fetching.path}",
        f"--connections={spec.fetch.connections}",
        f"--progress-object={owner.namespace}/{owner.name}",
        *_endpoint(fetching),
    ]
    if spec.fetch.max_bytes_per_second:
        args.append(f"--max-bytes-per-second={spec.fetch.max_bytes_per_second}")
    return args


def _endpoint(fetching: Fetching) -> list[str]:
    endpoint = fetching.endpoint or fetching.settings.hf_endpoint
    return [f"--endpoint={endpoint}"] if endpoint else []


def _fetch_resources(fetching: Fetching) -> Object:
    default = {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}
    return as_dict(fetching.spec.fetch.resources) or default


def _container(fetching: Fetching, name: str, args: list[str]) -> Object:
    return {
        "name": name,
        "image": fetching.settings.weights_image,
        "command": ["llama-weights"],
        "args": args,
        "env": [{"name": "HOME", "value": "/tmp"}, *_token(fetching)],  # noqa: S108
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": "512Mi"},
        },
        "securityContext": container_security(),
        "volumeMounts": [_TMP],
    }


def _token(fetching: Fetching) -> list[Object]:
    if not fetching.token_secret:
        return []
    reference = {
        "name": fetching.token_secret,
        "key": fetching.token_key,
        "optional": fetching.token_optional,
    }
    return [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": reference}}]


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
        "securityContext": pod_security(),
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
        **{key: value for key, value in placement.items() if value},
    }


def _job(fetching: Fetching, name: str, component: str, pod: Object) -> Object:
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [PERMANENT_EXIT]}},
    ]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(fetching.owner, name, component),
        "spec": {
            "backoffLimit": RETRIES,
            "podFailurePolicy": {"rules": rules},
            "template": {
                "metadata": {"labels": child_labels(fetching.owner, component)},
                "spec": pod,
            },
        },
    }
