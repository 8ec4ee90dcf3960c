"""What is known of Secrets with API keys: read by name, as no cache holds Secrets.

One that was made or read a moment ago is not asked for again. A new deployment is looked at several
times while what it was made of comes to be; and a retry must not begin with the same calls as the
attempt before it: where every third call fails, it would always be the same one.
"""

from __future__ import annotations

from collections import OrderedDict

from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from llama_operator.reconcile import resources
from llama_operator.reconcile.reading import present
from llama_operator.reconcile.recent import keep
from llama_operator.reconcile.snapshot import Object, SecretView
from llama_operator.render import secret
from llama_operator.runtime.api import Api
from llama_operator.runtime.clock import Clock

# Nobody else knows of a key that was just made; one that is somebody's may go at any time.
MADE_SECONDS = 10.0
READ_SECONDS = 1.0
KNOWN = 1024


async def secret_of(api: Api, namespace: str, name: str) -> SecretView:
    """A Secret as it is now."""
    found = await present(api, resources.SECRETS, namespace, name)
    return SecretView(name) if found is None else SecretView.of(found)


class Keys:
    """The Secrets with keys of deployments."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        # UIDs without a status so far.
        self._met: set[str] = set()
        # By UID and name: what was there, and until when nobody asks whether it still is.
        self._known: OrderedDict[tuple[str, str], tuple[SecretView, float]] = OrderedDict()

    async def of(self, raw: Object, spec: LlamaDeploymentSpec) -> SecretView | None:
        """The Secret of a deployment's keys; None where it asks for none."""
        if spec.auth.mode != "APIKey":
            return None
        meta = raw["metadata"]
        name = secret.secret_name(meta["name"], spec)
        if not spec.auth.secret_name and self._first_look(raw):
            # Making it tells as well whether it is there.
            return SecretView(name)
        known, until = self._known.get((meta["uid"], name), (None, 0.0))
        if known is not None and self._clock.monotonic() < until:
            return known
        found = await secret_of(self._api, meta["namespace"], name)
        if found.entries:
            self._keep(meta["uid"], found, READ_SECONDS)
        return found

    def made(self, uid: str, key: SecretView) -> None:
        """Take note of a key that was just made for the deployment with this UID."""
        self._keep(uid, key, MADE_SECONDS)

    def _keep(self, uid: str, key: SecretView, seconds: float) -> None:
        keep(self._known, (uid, key.name), (key, self._clock.monotonic() + seconds), KNOWN)

    def _first_look(self, raw: Object) -> bool:
        """Whether this is a new object that was not looked at before; true once per object."""
        uid = raw["metadata"]["uid"]
        if raw.get("status"):
            self._met.discard(uid)
            return False
        first = uid not in self._met
        self._met.add(uid)
        return first
