"""The Secret with the API keys: made once, never rewritten, never read back into an object.

Every entry is a key. Servers made before the guard know the entry `default` alone.
"""

from __future__ import annotations

from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.render.inputs import Object, Owner
from llama_operator.render.meta import metadata

ENTRY = "default"


def secret_name(name: str, spec: LlamaDeploymentSpec) -> str:
    """The Secret that holds the keys of a deployment: the user's, or ours."""
    return spec.auth.secret_name or f"{name}-api-key"


def api_key_secret(owner: Owner, key: str) -> Object:
    """Our own Secret with one entry; `key` is chosen by the caller, at random."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(owner, f"{owner.name}-api-key", "key"),
        "type": "Opaque",
        "stringData": {ENTRY: key},
    }
