"""What an API server tells of itself: its version, and the API groups that it has."""

from __future__ import annotations

from llamactl.api_errors import ApiError
from llamactl.kube import Kube


def server_version(kube: Kube) -> str:
    """The API server's version, such as v1.36.3."""
    return str(kube.at("/version").get("gitVersion", ""))


def versions(kube: Kube, group: str) -> list[str]:
    """Versions of an API group that the server has; none where it is not installed."""
    try:
        found = kube.at(f"/apis/{group}")
    except ApiError as error:
        if error.status == 404:
            return []
        raise
    return [str(each["version"]) for each in found.get("versions") or []]


def groups(kube: Kube) -> dict[str, list[str]]:
    """All API groups with their versions."""
    return {
        str(group["name"]): [str(each["version"]) for each in group.get("versions") or []]
        for group in kube.at("/apis").get("groups") or []
    }
