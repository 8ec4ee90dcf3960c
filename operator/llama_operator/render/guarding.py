"""The guard in a server's pod: its code from the pod's own annotation, its keys from the Secret.

The code travels in the template, so it is kept with the revision, needs no object of its own and
no right to make one. The Secret is a volume: the kubelet brings a new key to a server that runs.
What else stands in the engine lies beside it and comes the same way.
"""

from __future__ import annotations

from llama_operator import guard, sources, warmup
from llama_operator.api import labels
from llama_operator.render import adapting, secret
from llama_operator.render.carried import as_file
from llama_operator.render.inputs import Object, Serving

_CODE, _KEYS = "guard", "api-keys"
_FILES = {
    labels.GUARD: guard.FILE,
    labels.LAUNCHER: guard.LAUNCHER_FILE,
    labels.WARM_UP: warmup.FILE,
    labels.CANARY: guard.CANARY_FILE,
}


def carried(serving: Serving) -> dict[str, str]:
    """Annotations: the sources of the guard and of what else this server has of ours."""
    launched = serving.spec.engine.type == "transformers"
    wanted = {
        labels.GUARD: True,
        labels.LAUNCHER: launched,
        labels.WARM_UP: serving.spec.startup.warm_up and not launched,
        labels.CANARY: serving.plan.nodes > 1,
    }
    return {name: sources.carried(_FILES[name]) for name, asked in wanted.items() if asked}


def env(serving: Serving) -> list[Object]:
    """Where Python finds the guard, and where the guard finds keys."""
    keys = guard.KEYS_DIR if _asks(serving) else guard.NO_KEYS
    return [
        {"name": "PYTHONPATH", "value": adapting.python_path(serving)},
        {"name": guard.KEYS_VARIABLE, "value": keys},
    ]


def mounts(serving: Serving) -> list[Object]:
    """Both directories, read-only."""
    paths = {_CODE: guard.CODE_DIR, **({_KEYS: guard.KEYS_DIR} if _asks(serving) else {})}
    return [{"name": name, "mountPath": path, "readOnly": True} for name, path in paths.items()]


def volumes(serving: Serving) -> list[Object]:
    """The annotation as a file, and the Secret; without the Secret the pod waits for it."""
    items = [as_file(name, _FILES[name]) for name in carried(serving)]
    found: list[Object] = [{"name": _CODE, "downwardAPI": {"items": items}}]
    if _asks(serving):
        name = secret.secret_name(serving.owner.name, serving.spec)
        found.append({"name": _KEYS, "secret": {"secretName": name}})
    return found


def names(serving: Serving) -> set[str]:
    """Names of both volumes."""
    return {each["name"] for each in volumes(serving)}


def _asks(serving: Serving) -> bool:
    return serving.spec.auth.mode == "APIKey"
