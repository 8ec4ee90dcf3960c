"""What is asked of a server behind the guard, on a real node: closed routes, and keys that change."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request

from tests.e2e.command import llamactl
from tests.e2e.conftest import NAMESPACE
from tests.support.demo.ask import api_key
from tests.support.stack import Stack, wait_for
from tests.support.vllm_cpu import routes

OPEN = {
    ("GET", "/health"),
    ("GET", "/ping"),
    ("POST", "/ping"),
    ("GET", "/version"),
    ("GET", "/metrics"),
}
# A kubelet looks at once at a pod that was touched; this is far below its own minute.
SOON = 20.0


def status(port: int, method: str, path: str, key: str = "") -> int:
    """The status of an answer."""
    headers = {"Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {key}"} if key else {}
    body = None if method in ("GET", "HEAD") else b"{}"
    url = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, body, headers, method=method)
    # A port-forward that lost one of eighty connections ends, and is started again.
    what = f"an answer to {method} {path}"
    return int(wait_for(lambda: _answered(request), SOON, what, every=0.5))


def _answered(request: urllib.request.Request) -> int | None:
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (ConnectionError, urllib.error.URLError):
        return None


def closed_but_for_health_metrics_and_version(port: int) -> None:
    """Of all routes that vLLM can have, no other answers 200 without a key."""
    told = {}
    for method, template in routes.committed():
        if method != "WEBSOCKET":
            path = re.sub(r"\{\w+\}", "a1", template)
            told[method, path] = status(port, method, path)
    assert len(told) > 75
    assert {route for route, code in told.items() if code == 200} == OPEN
    assert {code for route, code in told.items() if route not in OPEN} <= {401, 404, 405}


def rotates_without_a_restart(stack: Stack, name: str, port: int) -> None:
    """A new key beside the old one, then the old one taken away; the pod goes on."""
    before, old = _pod(stack, name), api_key(stack.get("secret", f"{name}-api-key", NAMESPACE))
    _done(stack, "key", "rotate", name)
    data = stack.get("secret", f"{name}-api-key", NAMESPACE)["data"]
    (kept,) = (entry for entry in data if entry != "default")
    new = api_key({"data": data})
    started = time.monotonic()
    wait_for(lambda: _takes(port, new), SOON, "the new key to count", every=0.2)
    print(f"\nthe new key counted after {time.monotonic() - started:.1f} s")
    assert _takes(port, old), "both count during the overlap"
    _done(stack, "key", "revoke", name, kept)
    wait_for(lambda: not _takes(port, old), SOON, "the old key to end", every=0.2)
    assert _takes(port, new)
    assert _pod(stack, name) == before
    _counted(port, new)


def _takes(port: int, key: str) -> bool:
    return status(port, "GET", "/v1/models", key) == 200


def _counted(port: int, key: str) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    assert re.search(r'^llama_guard_requests_total{code="200",key="default"} \d', text, re.M)
    assert re.search(r'^llama_guard_requests_total{code="200",key="default.old"} [1-9]', text, re.M)
    assert re.search(
        r'^llama_guard_tokens_total{key="default",kind="completion"} [1-9]', text, re.M
    )
    assert key not in text


def _pod(stack: Stack, name: str) -> tuple[str, int]:
    (pod,) = stack.list("pods", NAMESPACE, "-l", f"llamactl.dev/deployment={name}")
    return pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]


def _done(stack: Stack, *args: str) -> None:
    done = llamactl(stack, *args)
    assert done.returncode == 0, done.stderr
