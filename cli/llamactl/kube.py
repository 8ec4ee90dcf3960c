"""The API server over plain HTTPS: raw dicts in, raw dicts out.

The typed models of the `kubernetes` package take half a second to import and know nothing of
our kinds, so only its configuration and its TLS set-up are used, and only where credentials are
not plain. Every failure leaves as an ApiError or an UnreachableError that knows what was tried;
the words for the user are made in `api_errors`.
"""

from __future__ import annotations

import builtins
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from llamactl import answers
from llamactl.api_errors import ApiError, Attempt, UnreachableError, other_versions
from llamactl.errors import CliError
from llamactl.kubeconfig import Connection, connect
from llamactl.near import nearest, or_list
from llamactl.resources import DEPLOYMENTS, WEIGHTS, Resource
from llamactl.settings import Settings, current

MANAGER = "llamactl"
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
BUSY_TRIES = 4
APPLY_PATCH = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"

Object = dict[str, Any]


class Kube:
    """One cluster, one namespace."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self.connection = connection
        self.settings = settings
        self.namespace = connection.namespace
        self._pool: Any = None

    def within(self, namespace: str) -> Kube:
        """The same cluster, in another namespace."""
        if namespace == self.namespace:
            return self
        other = Kube(self.connection, self.settings)
        other.namespace = namespace
        return other

    @property
    def host(self) -> str:
        """The API server's URL."""
        return self.connection.host

    def get(self, resource: Resource, name: str) -> Object:
        """One object of the namespace. Raises ApiError (404 where it does not exist)."""
        return self._call(Attempt("get", resource, self.namespace, name))

    def deployment(self, name: str) -> Object:
        """A LlamaDeployment; where there is none of that name, the error offers the nearest."""
        return self.named(DEPLOYMENTS, name, "list")

    def weights(self, name: str) -> Object:
        """A LlamaWeights, likewise."""
        return self.named(WEIGHTS, name, "weights", "ls")

    def named(self, resource: Resource, name: str, *listing: str) -> Object:
        """An object that must exist. Raises CliError with the nearest name and how to list all."""
        found = self.find(resource, name)
        if found is not None:
            return found
        near = nearest(name, [str(o["metadata"]["name"]) for o in self.list(resource)])
        raise CliError(
            f"no {resource.kind} {name!r} in namespace {self.namespace!r}",
            fix=f"Did you mean {or_list(near)}?" if near else "",
            next=self.settings.llamactl(*listing),
        )

    def find(self, resource: Resource, name: str) -> Object | None:
        """One object, or None where it does not exist."""
        try:
            return self.get(resource, name)
        except ApiError as error:
            if error.missing_object:
                return None
            raise

    def list(
        self, resource: Resource, *, selector: str = "", everywhere: bool = False, fields: str = ""
    ) -> list[Object]:
        """The objects of the namespace, or of all, that the selectors match."""
        return self.list_at(resource, selector=selector, everywhere=everywhere, fields=fields)[0]

    def list_at(
        self, resource: Resource, *, selector: str = "", everywhere: bool = False, fields: str = ""
    ) -> tuple[builtins.list[Object], str]:
        """The same, with the resourceVersion from which a watch goes on."""
        attempt = Attempt("list", resource, "" if everywhere else self.namespace)
        wanted = {"labelSelector": selector, "fieldSelector": fields}
        answer = self._call(attempt, query={key: text for key, text in wanted.items() if text})
        defaults = {"apiVersion": resource.api_version, "kind": resource.kind}
        found = [{**defaults, **item} for item in answer.get("items") or []]
        return found, str(answer.get("metadata", {}).get("resourceVersion", ""))

    def apply(
        self, resource: Resource, obj: Mapping[str, Any], *, dry: bool = False, force: bool = False
    ) -> Object:
        """Server-side apply; fields of other managers are a conflict unless `force`."""
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        query |= {"force": "true"} if force else {}
        query |= {"dryRun": "All"} if dry else {}
        attempt = Attempt("patch", resource, self.namespace, obj["metadata"]["name"])
        return self._call(attempt, method="PATCH", query=query, body=obj, content=APPLY_PATCH)

    def patch(
        self,
        resource: Resource,
        name: str,
        body: Mapping[str, Any],
        *,
        part: str = "",
        dry: bool = False,
    ) -> Object:
        """Merge into an object, or into a subresource of it such as scale; null removes."""
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        query |= {"dryRun": "All"} if dry else {}
        attempt = Attempt("patch", resource, self.namespace, name, part)
        return self._call(attempt, method="PATCH", query=query, body=body, content=MERGE_PATCH)

    def delete(
        self,
        resource: Resource,
        name: str,
        *,
        uid: str = "",
        foreground: bool,
        dry: bool = False,
    ) -> None:
        """Delete an object, its children with it (foreground: they go first)."""
        body: Object = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground" if foreground else "Background",
        }
        if uid:
            body["preconditions"] = {"uid": uid}
        attempt = Attempt("delete", resource, self.namespace, name)
        query = {"dryRun": "All"} if dry else {}
        self._call(attempt, method="DELETE", query=query, body=body)

    def watch(
        self,
        resource: Resource,
        *,
        version: str,
        selector: str = "",
        seconds: int = 300,
        everywhere: bool = False,
    ) -> Iterator[tuple[str, Object]]:
        """Events (type, object) since a resourceVersion, until the server ends the watch."""
        namespace = "" if everywhere else self.namespace
        attempt = Attempt("watch", resource, namespace)
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(seconds)}
        query |= {"labelSelector": selector} if selector else {}
        for line in self.lines(attempt, query, read=seconds + READ_SECONDS):
            event = json.loads(line)
            yield event["type"], event["object"]

    def lines(
        self, attempt: Attempt, query: Mapping[str, str], *, read: float | None
    ) -> Iterator[bytes]:
        """The lines of a streamed answer as they come, without their ends and without empty ones."""
        response = self._open(attempt, "GET", query, read=read)
        try:
            # A torn event is none; a log may end without a newline.
            yield from answers.lines(response, unended=attempt.verb != "watch")
        finally:
            response.close()

    def at(self, path: str) -> Object:
        """What the API server answers at a path of its own, such as /version."""
        return self._call(Attempt("get", None, ""), path=path)

    def ask(self, resource: Resource, body: Mapping[str, Any]) -> Object:
        """The answer to a question that is posed by making an object, such as a review."""
        return self._call(Attempt("create", resource, ""), method="POST", body=body)

    def _call(
        self,
        attempt: Attempt,
        *,
        method: str = "GET",
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
        path: str = "",
    ) -> Object:
        read = READ_SECONDS
        response = self._open(attempt, method, query or {}, body, content, path, read=read)
        try:
            answer = json.loads(response.data)
        except ValueError as error:
            raise UnreachableError(
                self._where(), "its answer is not JSON", self.settings
            ) from error
        return dict(answer)

    def _open(
        self,
        attempt: Attempt,
        method: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        content: str = "application/json",
        path: str = "",
        *,
        read: float | None,
    ) -> Any:
        url = self.host + (path or attempt.path) + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Content-Type": content, **self.headers()}
        text = None if body is None else json.dumps(body).encode()
        streamed = attempt.verb == "watch" or attempt.part == "log"
        for left in reversed(range(BUSY_TRIES)):
            response = self._request(method, url, headers, text, read, streamed)
            if response.status < 300:
                return response
            if response.status != 429 or not left:
                break
            # A kind whose CRD is seconds old answers so, too.
            time.sleep(answers.retry_after(response.headers.get("Retry-After", "")))
        raise self._refusal(response, attempt)

    def _refusal(self, response: Any, attempt: Attempt) -> ApiError:
        error = ApiError.of(response.status, response.data, attempt, self.settings)
        resource = attempt.resource
        if error.status != 404 or error.missing_object or resource is None or not resource.group:
            return error
        group = self._request("GET", f"{self.host}/apis/{resource.group}", self.headers(), None)
        found = answers.document(group) if group.status == 200 else {}
        served = [str(each["version"]) for each in found.get("versions") or []]
        return other_versions(attempt, served, self.settings) or error

    def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        read: float | None = READ_SECONDS,
        streamed: bool = False,
    ) -> Any:
        import urllib3

        try:
            return self._manager().request(
                method,
                url,
                headers=headers,
                body=body,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read),
                retries=False,
                redirect=False,
                preload_content=not streamed,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnreachableError.of(error, self._where(), self.settings) from error

    def headers(self) -> dict[str, str]:
        """The Authorization header, refreshed where the token expires."""
        if self.connection.access is not None:
            authorization = self.connection.access.authorization
            return {"authorization": authorization} if authorization else {}
        configuration = self.connection.configuration
        token = configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token:
            return {"authorization": token if " " in token else f"Bearer {token}"}
        basic = configuration.get_basic_auth_token() if configuration.username else ""
        return {"authorization": basic} if basic else {}

    def _manager(self) -> Any:
        if self._pool is None and self.connection.access is not None:
            self._pool = self.connection.access.pool(self.connection.context)
        elif self._pool is None:
            from kubernetes.client.rest import RESTClientObject

            self._pool = RESTClientObject(self.connection.configuration).pool_manager
        return self._pool

    def _where(self) -> str:
        return f"{self.host} (context {self.connection.context!r})"


def open_cluster() -> Kube:
    """The cluster that the running command's flags name."""
    settings = current()
    return Kube(connect(settings), settings)
