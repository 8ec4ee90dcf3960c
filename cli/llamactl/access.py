"""The usual ways into a cluster, without the `kubernetes` package: its import takes 0.2 s.

A server with a CA, and a client certificate, a token or a password: that is most kubeconfigs, and
needs a TLS context and a header. All else (exec plugins, OIDC, proxies) and all that looks odd is
left to the package, which then has the words for it as well.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llamactl.errors import CliError

_CLUSTER = {
    "server", "certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify",
    "tls-server-name",
}  # fmt: skip
_USER = {
    "client-certificate", "client-certificate-data", "client-key", "client-key-data", "token",
    "tokenFile", "username", "password",
}  # fmt: skip


class NotPlainError(Exception):
    """Something that the package is to look at."""


@dataclass(frozen=True)
class Entry:
    """A cluster or user of a kubeconfig; its paths are relative to the folder of its file."""

    values: Mapping[str, Any]
    folder: Path

    def text(self, key: str) -> str:
        """A value; "" where it is not given. Raises NotPlainError for what is no text."""
        value = self.values.get(key) or ""
        if not isinstance(value, str):
            raise NotPlainError(key)
        return value

    def data(self, key: str) -> bytes:
        """The bytes of KEY-data or of the file of KEY. Raises NotPlainError, OSError."""
        if inline := self.text(f"{key}-data"):
            try:
                return base64.b64decode(inline, validate=True)
            except (binascii.Error, ValueError) as error:
                raise NotPlainError(key) from error
        path = self.text(key)
        return (self.folder / path).read_bytes() if path else b""


@dataclass(frozen=True)
class Access:
    """Where the API server is and how to prove who asks."""

    host: str
    authorization: str = field(repr=False)
    authority: bytes = field(repr=False)
    certificate: bytes = field(repr=False)
    verify: bool = True
    server_name: str = ""

    def pool(self, context: str) -> Any:
        """A pool of connections. Raises CliError for certificates that are none."""
        import urllib3

        options: dict[str, Any] = {"server_hostname": self.server_name} if self.server_name else {}
        try:
            options |= {"ssl_context": self._tls()} if self.host.startswith("https") else {}
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            raise CliError(
                f"context {context!r} cannot be used: its certificates cannot be read: {error}",
                fix="Mend its cluster or user in the kubeconfig, or log in again",
                next="kubectl config view --minify",
            ) from error
        if not self.verify:
            # The kubeconfig says so; a warning with each answer tells nobody anything new.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return urllib3.PoolManager(**options)

    def _tls(self) -> Any:
        import ssl

        from urllib3.util.ssl_ import create_urllib3_context

        context = create_urllib3_context()
        context.check_hostname = self.verify
        context.verify_mode = ssl.CERT_REQUIRED if self.verify else ssl.CERT_NONE
        if self.authority:
            context.load_verify_locations(cadata=self.authority.decode())
        elif self.verify:
            context.load_default_certs()
        if self.certificate:
            _load_chain(context, self.certificate)
        return context


def plain(cluster: Entry | None, user: Entry | None) -> Access | None:
    """The access that they describe; None where the package is needed."""
    if cluster is None or not set(cluster.values) <= _CLUSTER or _behind_proxy():
        return None
    who = user or Entry({}, cluster.folder)
    if not set(who.values) <= _USER:
        return None
    try:
        return _read(cluster, who)
    except (NotPlainError, OSError, UnicodeDecodeError):
        return None


def _read(cluster: Entry, user: Entry) -> Access:
    host = cluster.text("server").rstrip("/")
    if not host.startswith(("https://", "http://")):
        raise NotPlainError("server")
    certificate, key = user.data("client-certificate"), user.data("client-key")
    if bool(certificate) != bool(key):
        raise NotPlainError("client-key")
    return Access(
        host,
        _authorization(user),
        cluster.data("certificate-authority"),
        certificate + b"\n" + key if key else b"",
        verify=not cluster.values.get("insecure-skip-tls-verify"),
        server_name=cluster.text("tls-server-name"),
    )


def _authorization(user: Entry) -> str:
    token, path = user.text("token"), user.text("tokenFile")
    if token and path:
        raise NotPlainError("token")
    token = token or ((user.folder / path).read_text().strip() if path else "")
    if token:
        return f"Bearer {token}"
    name, password = user.text("username"), user.text("password")
    if name and password:
        return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"
    return ""


def _behind_proxy() -> bool:
    names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
    return any(os.environ.get(name) or os.environ.get(name.lower()) for name in names)


def _load_chain(context: Any, pem: bytes) -> None:
    # Python's ssl takes certificates of its own from files only.
    with tempfile.NamedTemporaryFile(prefix="llamactl-") as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)
