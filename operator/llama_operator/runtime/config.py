"""Find the cluster: a kubeconfig file, or the service account that a pod is given.

Two things the loaders of the package leave out are added: credentials of a kubeconfig (exec
plugins, token files) are read again each minute, because a process that lives for weeks outlives
its first token; and the proxy environment is read once, here, instead of on each request.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import (
    ConfigException,
    load_incluster_config,
    load_kube_config,
)

from .errors import TransportError

REFRESH_SECONDS = 60.0
HOME_CONFIG = "~/.kube/config"


async def load_configuration(
    kubeconfig: str | Path | None = None, context: str | None = None
) -> Configuration:
    """Configuration from `kubeconfig`, else $KUBECONFIG, else the pod, else ~/.kube/config.

    Raises TransportError with the path and the cause when none of them can be used.
    """
    chosen = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG", "")
    in_pod = bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
    try:
        if not chosen and in_pod:
            return _in_cluster()
        return await _from_file(chosen or HOME_CONFIG, context)
    except (ConfigException, OSError, ValueError) as error:
        where = chosen or ("the service account of this pod" if in_pod else HOME_CONFIG)
        raise TransportError(f"no access to a cluster through {where}: {error}") from error


def _in_cluster() -> Configuration:
    configuration = Configuration()
    load_incluster_config(client_configuration=configuration)
    return configuration


async def _from_file(path: str, context: str | None) -> Configuration:
    configuration = Configuration()
    loader = await load_kube_config(
        config_file=_expanded(path),
        context=context,
        client_configuration=configuration,
        persist_config=False,
    )
    configuration.refresh_api_key_hook = _refresher(loader)
    if not configuration.proxy:
        configuration.proxy = _environment_proxy(configuration.host)
    return configuration


def _expanded(path: str) -> str:
    return str(Path(path).expanduser())


def _refresher(loader: Any) -> Callable[[Any], Awaitable[None]]:
    last = time.monotonic()

    async def refresh(configuration: Any) -> None:
        nonlocal last
        if time.monotonic() - last >= REFRESH_SECONDS:
            last = time.monotonic()
            await loader.load_and_set(configuration)

    return refresh


def _environment_proxy(host: str) -> str | None:
    url = urlsplit(host)
    if proxy_bypass(url.netloc):
        return None
    return getproxies().get(url.scheme)
