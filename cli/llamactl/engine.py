"""Questions to a deployed model: OpenAI's protocol, over a tunnel to a ready server pod.

The API key is read from the Secret that the deployment's status names, sent in a header and
shown nowhere: no message and no traceback of ours holds it.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llama_operator.api import labels
from llama_operator.render.flags import listening_port
from llamactl import apikey, forward, sse, view
from llamactl.errors import CliError
from llamactl.kube import Kube
from llamactl.resources import PODS

DEFAULT_PORT = 8000
READ_SECONDS = 600.0


class EngineError(CliError):
    """The model's server refused the request, or its answer broke off."""


@dataclass(frozen=True)
class Target:
    """Where to ask, as whom, and the name that the server gives the model."""

    kube: Kube
    name: str
    pod: str
    port: int
    model: str
    key: str = field(repr=False)


def find(kube: Kube, name: str) -> Target:
    """A ready server pod of a deployment. Raises CliError where there is none."""
    return find_all(kube, name)[0]


def find_all(kube: Kube, name: str) -> list[Target]:
    """Every ready server pod of a deployment. Raises CliError where there is none."""
    obj = kube.deployment(name)
    pods = kube.list(PODS, selector=view.pod_selector(name, labels.SERVER))
    ready = sorted(view.name_of(pod) for pod in pods if view.pod_ready(pod))
    if not ready:
        raise _not_ready(kube, name, obj)
    served = view.path(obj, "status", "endpoint", "servedModelName")
    served = served or view.path(obj, "spec", "endpoint", "servedModelName")
    first = Target(
        kube=kube,
        name=name,
        pod=ready[0],
        port=listening_port(int(view.path(obj, "spec", "endpoint", "port") or DEFAULT_PORT)),
        model=str(served or view.path(obj, "spec", "model")),
        key=apikey.read(kube, obj).key if apikey.is_asked_for(obj) else "",
    )

    return [replace(first, pod=pod) for pod in ready]


def _not_ready(kube: Kube, name: str, obj: Mapping[str, Any]) -> CliError:
    found = view.condition(obj, "Ready")
    why = found.get("message") or found.get("reason") or "the operator has not looked at it yet"
    return CliError(
        f"{name} has no replica that answers: {why}",
        fix="Wait until it is ready",
        next=kube.settings.llamactl("status", name),
    )


def ask(target: Target, route: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """One answer, whole. Raises EngineError."""
    response = _post(target, route, {**body, "model": target.model})
    try:
        return dict(json.loads(response.read()))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _broken(target, error) from error
    finally:
        response.close()


def stream(
    target: Target,
    route: str,
    body: Mapping[str, Any],
    connection: http.client.HTTPConnection | None = None,
) -> Iterator[dict[str, Any]]:
    """The answer in pieces as they come. Raises EngineError, also for one that breaks off."""
    request = {**body, "model": target.model, "stream": True}
    response = _post(target, route, request, connection)
    finished = False
    try:
        for text in sse.events(response):
            piece = json.loads(text)
            if "error" in piece:
                raise EngineError(f"the server gave up: {_message(piece)}")
            finished = finished or _finishes(piece)
            yield piece
        if not finished:
            raise _broken(target, ConnectionError("it broke off"))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _broken(target, error) from error
    finally:
        response.close()


def _finishes(piece: Mapping[str, Any]) -> bool:
    return any(choice.get("finish_reason") for choice in piece.get("choices") or [])


def connect(target: Target) -> http.client.HTTPConnection:
    """A connection to the server, for one request. Raises ForwardError."""
    connection = http.client.HTTPConnection("localhost", target.port)
    tunnel: Any = forward.connect(target.kube, target.pod, target.port, READ_SECONDS)
    connection.sock = tunnel
    return connection


def _post(
    target: Target,
    route: str,
    body: Mapping[str, Any],
    connection: http.client.HTTPConnection | None = None,
) -> http.client.HTTPResponse:
    headers = {"Content-Type": "application/json", "Connection": "close"}
    if target.key:
        headers["Authorization"] = f"Bearer {target.key}"
    connection = connection or connect(target)
    try:
        connection.request("POST", route, body=json.dumps(body).encode(), headers=headers)
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise _broken(target, error) from error
    if response.status != 200:
        text = response.read()
        response.close()
        raise _refused(target, response.status, text)
    return response


def _refused(target: Target, status: int, body: bytes) -> EngineError:
    if status == 401:
        return EngineError(
            f"the server of {target.name} does not accept the key of its Secret (401)",
            fix="A key that changed counts within two minutes. A server from before keys could change "
            "while it runs must restart",
            next=target.kube.settings.kubectl("delete", "pod", target.pod),
        )
    try:
        text = _message(json.loads(body))
    except ValueError:
        text = body.decode(errors="replace").strip()[:200]
    return EngineError(f"the server of {target.name} answered {status}: {text}")


def _message(answer: Mapping[str, Any]) -> str:
    error = answer.get("error")
    if isinstance(error, Mapping):
        return str(error.get("message") or error)
    return str(error or answer.get("message") or answer.get("detail") or answer)


def _broken(target: Target, error: Exception) -> EngineError:
    text = str(error) or type(error).__name__
    return EngineError(
        f"the answer of pod {target.pod} broke off: {text}",
        fix="Its log says why",
        next=target.kube.settings.kubectl("logs", target.pod, "--tail=50"),
    )
