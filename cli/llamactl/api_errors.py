"""What the API server's refusals mean to a user, and what to do about each.

A `Status` names the verb's machinery ("llamadeployments.llamactl.dev is forbidden: User ..."),
not the way out. Here each code becomes a sentence with the field, the fix and a command; the
403 carries the RBAC rule to ask for, since that is what the user's administrator needs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from llamactl import permission, rights
from llamactl.errors import CliError
from llamactl.resources import Resource
from llamactl.settings import Settings

CRD_GROUP = "llamactl.dev"
# A patch that is applied (with code 500), and one that is merged. Fields that this command does not
# know either never get so far.
_UNDECLARED = re.compile(
    r'\.(spec\.[\w.]+): field not declared in schema|unknown field "(spec[^"]+)"'
)
_REFUSED_VERB = re.compile(r"cannot (\w+) resource")
_WRAPPING = re.compile(r'^Invalid value: (?:"(?:[^"\\]|\\.)*": )?')


@dataclass(frozen=True)
class Attempt:
    """What was tried: verb and object. Without a resource, a path outside the API groups."""

    verb: str
    resource: Resource | None
    namespace: str
    name: str = ""
    part: str = ""  # a subresource, such as scale

    @property
    def path(self) -> str:
        """The URL path."""
        return self.resource.path(self.namespace, self.name, self.part) if self.resource else "/"

    @property
    def what(self) -> str:
        """The object in words: LlamaDeployment "x" in namespace "y"."""
        kind = self.resource.kind if self.resource else "the API server"
        name = f' "{self.name}"' if self.name else ""
        return f'{kind}{name} in namespace "{self.namespace}"' if self.namespace else kind + name


class Words(NamedTuple):
    """What the user reads: a sentence, the way out, a command to run, and what to paste somewhere."""

    message: str
    fix: str = ""
    next: str = ""
    paste: str = ""


class UnreachableError(CliError):
    """No answer from the API server, or none that makes sense."""

    def __init__(self, where: str, why: str, settings: Settings) -> None:
        super().__init__(
            f"no answer from the cluster at {where}: {why}",
            fix="Is it running, and is this the right context?",
            next=settings.kubectl("cluster-info"),
        )

    @classmethod
    def of(cls, error: Exception, where: str, settings: Settings) -> UnreachableError:
        """From what urllib3 or the socket raised."""
        return cls(where, _why(error), settings)


class ApiError(CliError):
    """The API server said no."""

    def __init__(self, status: int, reason: str, attempt: Attempt, words: Words) -> None:
        super().__init__(words.message, fix=words.fix, next=words.next, paste=words.paste)
        self.status = status
        self.reason = reason
        self.attempt = attempt

    @property
    def missing_object(self) -> bool:
        """The kind is served, but no object has this name."""
        return self.status == 404 and self.reason == "NotFound"

    @classmethod
    def of(cls, status: int, body: bytes, attempt: Attempt, settings: Settings) -> ApiError:
        """From an HTTP status and the body that came with it."""
        detail = _detail(body)
        reason = str(detail.get("reason") or "")
        return cls(status, reason, attempt, _words(status, reason, detail, attempt, settings))


def _detail(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {"message": body.decode(errors="replace").strip()[:200]}
    return value if isinstance(value, dict) else {}


def _words(
    status: int, reason: str, detail: dict[str, Any], attempt: Attempt, settings: Settings
) -> Words:
    text = str(detail.get("message") or f"HTTP {status}")
    fix = "Try again; if it stays, look at the API server's health"
    words = Words(
        f"the API server failed ({status}): {text}",
        fix,
        settings.kubectl("cluster-info"),
    )
    lacking = _UNDECLARED.search(text) if _ours(attempt.resource) else None
    if lacking:
        words = _older(lacking[1] or lacking[2], attempt, settings)
    elif status == 401:
        words = _unauthorized(settings)
    elif status == 403:
        words = _forbidden(text, attempt, settings)
    elif status == 404 and (detail.get("details") or {}).get("kind") == "namespaces":
        words = _no_namespace(attempt, settings)
    elif status == 404:
        words = _not_found(reason, attempt, settings)
    elif status == 409:
        words = _conflict(reason, text, attempt, settings)
    elif status in (400, 422):
        words = _invalid(detail, text, attempt, settings)
    elif status == 429:
        words = Words("the API server is busy (429)", "Try again in a moment")
    return words


def _older(field: str, attempt: Attempt, settings: Settings) -> Words:
    kind = attempt.resource.kind if attempt.resource else ""
    return Words(
        f"{field}: the {kind} of this cluster has no such field; its CRDs are older than this command",
        "Nothing was changed. Upgrade the CRDs and the operator, or leave the field out",
        settings.llamactl("crds", "apply", "--dry-run=server"),
    )


def other_versions(attempt: Attempt, served: Sequence[str], settings: Settings) -> ApiError | None:
    """What to say of a kind that is served in other versions only; None where it is in none."""
    resource = attempt.resource
    if resource is None or not served or resource.version in served:
        return None
    words = Words(
        f"this cluster serves {resource.group} in {', '.join(served)}, and this command speaks "
        f"{resource.version}",
        "Use the llamactl of the release that is installed there",
        settings.llamactl("version"),
    )
    return ApiError(404, "", attempt, words)


def _unauthorized(settings: Settings) -> Words:
    return Words(
        "the cluster does not accept your credentials (401)",
        "They may have expired: log in again, or choose another context with --context",
        settings.kubectl("config", "view", "--minify"),
    )


def _forbidden(text: str, attempt: Attempt, settings: Settings) -> Words:
    resource = attempt.resource
    if resource is None or "cannot" not in text:
        # An admission policy or a quota refused the object; its own words say why.
        return Words(f"the cluster refuses this (403): {text}")
    # To apply what is not there yet takes the right to create as well.
    said = _REFUSED_VERB.search(text)
    verb = said[1] if said else attempt.verb
    plural = f"{resource.plural}/{attempt.part}".rstrip("/")
    rule = rights.written(resource.group, [plural], [verb])
    wide = " in all namespaces" if _ours(resource) else " in the cluster"
    scope = f' in namespace "{attempt.namespace}"' if attempt.namespace else wide
    where = settings.namespace or attempt.namespace
    question = ["auth", "can-i", verb, resource.qualified]
    question += [f"--subresource={attempt.part}"] if attempt.part else []
    question += ["--all-namespaces"] if _ours(resource) and not attempt.namespace else []
    probe = settings.kubectl(*question)
    if where and not settings.namespace:
        probe += f" -n {where}"
    return Words(
        f"you may not {verb} {resource.named(attempt.part)}{scope} (403)",
        f"Ask for a role with this rule: {rule}",
        probe,
        permission.manifest(text, verb, resource.group, plural, attempt.namespace),
    )


def _no_namespace(attempt: Attempt, settings: Settings) -> Words:
    bare = Settings(prog=settings.prog, context=settings.context, kubeconfig=settings.kubeconfig)
    return Words(
        f"no namespace {attempt.namespace!r}",
        "Make it first, or choose another with -n",
        bare.kubectl("create", "namespace", attempt.namespace),
    )


def _not_found(reason: str, attempt: Attempt, settings: Settings) -> Words:
    resource = attempt.resource
    if reason == "NotFound" and attempt.name:
        follow = settings.llamactl("list") if _ours(resource) else ""
        return Words(f"no {attempt.what}", next=follow)
    if _ours(resource) and resource is not None:
        return Words(
            f"this cluster has no {resource.kind} API ({resource.qualified} is not installed)",
            "Install the operator and its CRDs first (docs/install.md), or choose another cluster with "
            "--context",
            settings.llamactl("doctor", "cluster"),
        )
    return Words(f"the API server does not know {attempt.path} (404)")


def _ours(resource: Resource | None) -> bool:
    return resource is not None and resource.group == CRD_GROUP


def _conflict(reason: str, text: str, attempt: Attempt, settings: Settings) -> Words:
    if text.startswith("Apply failed with"):
        return Words(
            f"{attempt.what} has fields that somebody else set: {_after(text, ': ')}",
            "Take them over with --overwrite, or leave them out",
        )
    if reason == "AlreadyExists":
        return Words(
            f"{attempt.what} exists already", "Choose another name", settings.llamactl("list")
        )
    return Words(f"{attempt.what} was changed by somebody else at the same moment", "Try again")


def _invalid(detail: dict[str, Any], text: str, attempt: Attempt, settings: Settings) -> Words:
    causes = (detail.get("details") or {}).get("causes") or []
    found = [_cause(cause) for cause in causes if isinstance(cause, dict)]
    kind = attempt.resource.kind.lower() if attempt.resource else ""
    explain = settings.kubectl("explain", f"{kind}.spec") if _ours(attempt.resource) else ""
    if found:
        return Words("; ".join(dict.fromkeys(found)), "Nothing was changed", explain)
    return Words(_after(text, "error: ") or text, "Nothing was changed", explain)


def _cause(cause: dict[str, Any]) -> str:
    field = str(cause.get("field") or "").replace("<nil>", "")
    message = str(cause.get("message") or "")
    # The server wraps a rule's own text: Invalid value: "string": spec.model: ...
    message = _WRAPPING.sub("", message)
    if not field or message.startswith(("spec.", "metadata.")):
        return message
    return f"{field}: {message}"


def _after(text: str, marker: str) -> str:
    return text.split(marker, 1)[1] if marker in text else text


def _why(error: Exception) -> str:
    text = f"{type(error).__name__} {error}"
    for sign, meaning in _CAUSES:
        if sign in text:
            return meaning
    return str(error).splitlines()[0] if str(error) else type(error).__name__


_CAUSES = (
    ("refused", "connection refused"),
    ("NameResolution", "its name is unknown to DNS"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not signed by the CA of the kubeconfig"),
    ("ConnectTimeout", "it did not answer within 5 s"),
    ("ReadTimeout", "it took the request and did not answer within 30 s"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS; is it http://?"),
    ("unreachable", "the network is unreachable"),
    ("No route", "there is no route to it"),
    ("reset", "the connection was reset"),
    ("RemoteDisconnected", "the connection was closed"),
)
