"""Progress into the status of the LlamaWeights object, from inside the Job's pod.

Server-side apply of `status.progress` alone, with a field manager of our own: the API server
keeps the rest of the status out of our reach, and the Job's account may do nothing else. A
cluster that is upgrading its API server must not cost a download: failures are counted, never
raised.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import urllib3

from llama_weights.errors import UsageError
from llama_weights.meter import Meter
from llama_weights.progress import as_status

MANAGER = "llama-weights"
SECONDS = 10.0
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_API_VERSION = "llamactl.dev/v1alpha1"
_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")


class Reporter:
    """Writes the progress of one object; `failures` counts what the API server refused."""

    def __init__(self, target: str, meter: Meter, account: Path = _ACCOUNT) -> None:
        self._namespace, _, self._name = target.partition("/")
        if not (_NAME.match(self._namespace) and _NAME.match(self._name)):
            raise UsageError(f"{target!r} is not NAMESPACE/NAME", field="--progress-object")
        self._meter, self._account = meter, account
        self._pool: urllib3.PoolManager | None = None
        self.failures = 0

    def report(self) -> None:
        """Write the present state; does nothing outside a cluster, and never raises."""
        if not os.environ.get("KUBERNETES_SERVICE_HOST"):
            return
        try:
            refused = self._apply() >= 400
        except Exception:
            refused = True
        self.failures += refused

    def _apply(self) -> int:
        if self._pool is None:
            certificate = str(self._account / "ca.crt")
            self._pool = urllib3.PoolManager(ca_certs=certificate, retries=False, timeout=5.0)
        # Read each time: the kubelet renews it within the hour.
        token = (self._account / "token").read_text().strip()
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/apply-patch+yaml",
        }
        body = json.dumps(self._object())
        return self._pool.request("PATCH", self._url(), headers=headers, body=body).status

    def _object(self) -> dict[str, object]:
        return {
            "apiVersion": _API_VERSION,
            "kind": "LlamaWeights",
            "metadata": {"namespace": self._namespace, "name": self._name},
            "status": {"progress": as_status(self._meter.read())},
        }

    def _url(self) -> str:
        host = os.environ["KUBERNETES_SERVICE_HOST"]
        host = f"[{host}]" if ":" in host else host
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        path = f"/apis/{_API_VERSION}/namespaces/{self._namespace}/llamaweights/{self._name}/status"
        return f"https://{host}:{port}{path}?fieldManager={MANAGER}&force=true"
