"""The right that the API server says is missing, as manifests that whoever has it can apply."""

from __future__ import annotations

import json
import re

from llamactl import rights

_USER = re.compile(r'User "([^"]+)"')
_ACCOUNT = re.compile(r"system:serviceaccount:([^:]+):(.+)")
_RBAC = "rbac.authorization.k8s.io"


def manifest(text: str, verb: str, group: str, resource: str, namespace: str) -> str:
    """A role and its binding for the user whom the refusal `text` names, as YAML.

    Without a namespace it is for all of them. A refusal that names nobody gives the role alone.
    """
    kind = "Role" if namespace else "ClusterRole"
    name = re.sub(r"[^a-z0-9.-]+", "-", f"llamactl-{verb}-{resource}")
    meta = f"metadata: {{name: {name}{f', namespace: {namespace}' if namespace else ''}}}"
    rule = rights.written(group, [resource], [verb])
    role = f"{_head(kind, meta)}rules:\n- {rule}"
    user = _USER.search(text)
    if user is None:
        return role
    reference = f"roleRef: {{apiGroup: {_RBAC}, kind: {kind}, name: {name}}}"
    binding = f"{_head(f'{kind}Binding', meta)}{reference}\nsubjects:\n- {_subject(user[1])}"
    return f"{role}\n---\n{binding}"


def _head(kind: str, meta: str) -> str:
    return f"apiVersion: {_RBAC}/v1\nkind: {kind}\n{meta}\n"


def _subject(user: str) -> str:
    account = _ACCOUNT.fullmatch(user)
    if account:
        return f"{{kind: ServiceAccount, namespace: {account[1]}, name: {account[2]}}}"
    return f"{{apiGroup: {_RBAC}, kind: User, name: {json.dumps(user)}}}"
