"""Connections: pools, proxies, certificates and timeouts; every failure becomes an AccessError.

urllib3 follows no redirect and retries nothing here: both decide where a token goes, and that is
the source's to say. HTTPS_PROXY, HTTP_PROXY and NO_PROXY (with CIDR ranges, as clusters write
them) and SSL_CERT_FILE, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE are honoured.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment
from urllib.request import proxy_bypass_environment as by_name  # type: ignore[attr-defined]

import urllib3
from urllib3 import exceptions

from llama_weights.errors import AccessError
from llama_weights.retry import Policy

ENDPOINT_FIELD = "spec.source.huggingFace.endpoint"
_BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CERTIFICATE_FIX = "Give the authority's certificate in spec.caBundle (SSL_CERT_FILE)"


class Transport:
    """Opens single requests. Thread-safe."""

    def __init__(self, policy: Policy, connections: int = 16) -> None:
        self._timeout = urllib3.Timeout(connect=policy.connect_timeout, read=policy.stall_timeout)
        self._connections = connections + 2
        self._context = trusted()
        self._proxies = getproxies_environment()
        self._managers: dict[str, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def get(self, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """The answer's head; its body is still to be read. Raises AccessError (temporary)."""
        try:
            return self._manager(url).request(
                "GET",
                url,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=self._timeout,
            )
        except (exceptions.HTTPError, OSError, ValueError) as error:
            raise unreachable(error, url) from error

    def _manager(self, url: str) -> urllib3.PoolManager:
        proxy = self._proxy(url)
        with self._lock:
            if proxy not in self._managers:
                self._managers[proxy] = self._new_manager(proxy)
            return self._managers[proxy]

    def _new_manager(self, proxy: str) -> urllib3.PoolManager:
        if not proxy:
            return urllib3.PoolManager(maxsize=self._connections, ssl_context=self._context)
        parts = urlsplit(proxy)
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        return urllib3.ProxyManager(
            proxy,
            maxsize=self._connections,
            ssl_context=self._context,
            proxy_headers=urllib3.make_headers(proxy_basic_auth=login) if parts.username else None,
        )

    def _proxy(self, url: str) -> str:
        parts = urlsplit(url)
        if bypassed(parts.hostname or "", self._proxies):
            return ""
        found = self._proxies.get(parts.scheme, "") or self._proxies.get("all", "")
        return found if not found or "://" in found else f"http://{found}"


def bypassed(host: str, proxies: Mapping[str, str]) -> bool:
    """Whether NO_PROXY names a host: by name, by suffix, by address or by CIDR range."""
    if by_name(host, dict(proxies)):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(_within(address, each.strip()) for each in proxies.get("no", "").split(","))


def _within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, text: str) -> bool:
    try:
        return "/" in text and address in ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False


def trusted() -> ssl.SSLContext:
    """The authorities we believe. Raises AccessError for a bundle that is not one."""
    name = next((each for each in _BUNDLES if os.environ.get(each)), "")
    if not name:
        return ssl.create_default_context()
    bundle = os.environ[name]
    try:
        folder = Path(bundle).is_dir()
        return ssl.create_default_context(
            cafile=None if folder else bundle, capath=bundle if folder else None
        )
    except (OSError, ssl.SSLError) as error:
        raise AccessError(
            "EndpointUnreachable",
            f"{bundle!r} is not a readable file of PEM certificates ({error})",
            field=name,
            fix="Correct spec.caBundle",
        ) from error


def unreachable(error: Exception, url: str) -> AccessError:
    """Why an address cannot be talked to, without its query (which may be a credential)."""
    parts = urlsplit(url)
    where = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    certificate = _certificate(error)
    return AccessError(
        "EndpointUnreachable",
        f"{where}: {certificate or _words(error)}",
        field=ENDPOINT_FIELD,
        fix=_CERTIFICATE_FIX if certificate else "Check the address, DNS, proxy and egress rules",
        temporary=not certificate,
    )


def _certificate(error: BaseException | None) -> str:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {error.verify_message}"
        inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else None
        error = error.__cause__ or inner
    return ""


_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.NameResolutionError, "the name does not resolve"),
    (exceptions.ConnectTimeoutError, "no connection within the timeout"),
    (exceptions.ReadTimeoutError, "no answer within the timeout"),
    (exceptions.ProxyError, "the proxy does not connect"),
    (exceptions.SSLError, "the TLS handshake failed"),
    (exceptions.NewConnectionError, "the connection was refused or has no route"),
    (exceptions.ProtocolError, "the connection was cut before an answer"),
)


def _words(error: Exception) -> str:
    return next((words for kind, words in _WORDS if isinstance(error, kind)), type(error).__name__)
