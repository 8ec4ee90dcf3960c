"""From flags and kubeconfig files to a connection, with errors that name the file and context.

Which context is meant is decided here, as kubectl does it: the first file that names a current
context wins, and the first that defines an entry. The `kubernetes` package does the credentials
that are not plain (exec plugins, OIDC, proxies: see `access`). Its own words for a wrong context
("Expected object with name x in /contexts list") help nobody.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from llamactl.access import Access, Entry, plain
from llamactl.errors import CliError
from llamactl.near import nearest
from llamactl.settings import Settings

Documents = Sequence[tuple[Path, Mapping[str, Any]]]
IN_CLUSTER_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True)
class Connection:
    """A cluster that we can speak to; `access` is None where only the package knows how."""

    namespace: str
    context: str
    load: Callable[[], Any]
    access: Access | None = None

    @cached_property
    def configuration(self) -> Any:
        """The package's Configuration. Raises CliError for credentials that cannot be had."""
        return self.load()

    @property
    def host(self) -> str:
        """The API server's URL."""
        return self.access.host if self.access else str(self.configuration.host)


def connect(settings: Settings) -> Connection:
    """The connection that the flags and the environment ask for; opens no socket."""
    paths = _paths(settings)
    files = [path for path in paths if path.is_file()]
    if not files:
        return _without_file(settings, paths)
    documents = [(path.absolute().parent, _read(path)) for path in files]
    contexts = _entries(documents, "context")
    name = settings.context or _active(document for _, document in documents)
    context = _choose(name, contexts, files, settings).values
    namespace = settings.namespace or str(context.get("namespace") or "default")
    cluster = _entries(documents, "cluster").get(str(context.get("cluster")))
    user = _entries(documents, "user").get(str(context.get("user")))
    # A context that names a user which is not there is for the package to judge.
    access = plain(cluster, user) if user or not context.get("user") else None
    paths_ = os.pathsep.join(map(str, files))
    connection = Connection(namespace, name, lambda: _load(paths_, name), access)
    if access is None:
        _ = connection.configuration  # what is wrong with it is said before anything is done
    return connection


def _paths(settings: Settings) -> list[Path]:
    text = settings.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    return [Path(part).expanduser() for part in text.split(os.pathsep) if part]


def _without_file(settings: Settings, paths: list[Path]) -> Connection:
    if os.environ.get("KUBERNETES_SERVICE_HOST") and not settings.kubeconfig:
        return _in_cluster(settings)
    looked = ", ".join(map(str, paths))
    raise CliError(
        f"no kubeconfig: {looked} does not exist",
        fix="Name the file of your cluster with --kubeconfig or KUBECONFIG",
        next="kubectl config view",
    )


def _in_cluster(settings: Settings) -> Connection:
    from kubernetes.client import Configuration
    from kubernetes.config import load_incluster_config

    configuration = Configuration()
    load_incluster_config(client_configuration=configuration)
    namespace = settings.namespace or IN_CLUSTER_NAMESPACE.read_text(encoding="utf-8").strip()
    return Connection(namespace, "in-cluster", lambda: configuration)


def _entries(documents: Documents, kind: str) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for folder, document in documents:
        for entry in document.get(f"{kind}s") or []:
            values = entry.get(kind) if isinstance(entry, Mapping) else None
            if entry and isinstance(values or {}, Mapping) and entry.get("name"):
                found.setdefault(str(entry["name"]), Entry(values or {}, folder))
    return found


def _active(documents: Iterable[Mapping[str, Any]]) -> str:
    named = (str(document.get("current-context") or "") for document in documents)
    return next(filter(None, named), "")


def _read(path: Path) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CliError(
            f"{path} cannot be read as a kubeconfig: {_first_line(error)}",
            fix="Mend the file, or name another one with --kubeconfig",
        ) from error
    if not isinstance(document, dict):
        raise CliError(
            f"{path} is not a kubeconfig: it holds no mapping",
            fix="Name the file of your cluster with --kubeconfig or KUBECONFIG",
        )
    return document


def _choose(
    name: str, contexts: Mapping[str, Entry], files: list[Path], settings: Settings
) -> Entry:
    if name in contexts:
        return contexts[name]
    where = ", ".join(map(str, files))
    if not name:
        raise CliError(
            f"{where} names no current context",
            fix="Choose one with --context",
            next="kubectl config get-contexts",
        )
    near = nearest(name, contexts) or sorted(contexts)[:5]
    raise CliError(
        f"no context {name!r} in {where}",
        field="--context" if settings.context else "",
        fix=f"There is {', '.join(near)}" if near else "The file has no contexts",
        next="kubectl config get-contexts",
    )


def _load(files: str, context: str) -> Any:
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException, load_kube_config

    configuration = Configuration()
    try:
        load_kube_config(
            config_file=files,
            context=context,
            client_configuration=configuration,
            persist_config=False,
        )
    except (ConfigException, OSError, KeyError, TypeError, ValueError) as error:
        raise CliError(
            f"context {context!r} cannot be used: {_first_line(error)}",
            fix="Mend its cluster or user in the kubeconfig, or log in again",
            next="kubectl config view --minify",
        ) from error
    return configuration


def _first_line(error: BaseException) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"line {mark.line + 1}: {getattr(error, 'problem', '') or 'not YAML'}"
    return (str(error).strip() or type(error).__name__).splitlines()[0]
