"""A certificate authority of the cluster's own, made with the openssl program.

One authority signs servers and clients; what a client may do is decided by RBAC from the names in
its certificate. Keys are P-256: they are made in milliseconds, where RSA would cost the control
plane a second of its start.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import ClusterError

VALID_DAYS = "30"


@dataclass(frozen=True)
class Pair:
    """A private key and its certificate (or public key)."""

    key: Path
    certificate: Path


class Authority:
    """Makes keys and certificates in one private directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, mode=0o700, exist_ok=True)
        self.ca = self._pair("ca")

    def create(self) -> None:
        """Make the authority itself."""
        self._new_key("ca")
        usage = "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"
        _openssl(
            *("req", "-x509", "-new", "-key", self.ca.key, "-out", self.ca.certificate),
            *("-days", VALID_DAYS, "-subj", "/CN=llama-operator-test-cluster"),
            *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", usage),
        )

    def client(self, name: str, user: str, group: str = "") -> Pair:
        """A client certificate for an API user, optionally in one group."""
        subject = f"/O={group}/CN={user}" if group else f"/CN={user}"
        return self._sign(name, subject, ["extendedKeyUsage=clientAuth"])

    def server(
        self, name: str, user: str, names: Sequence[str], group: str = "", days: str = VALID_DAYS
    ) -> Pair:
        """A certificate for a server (and client) with DNS names and IP addresses.

        It has ended already where `days` are less than none.
        """
        kinds = ",".join(f"{'IP' if _is_address(host) else 'DNS'}:{host}" for host in names)
        subject = f"/O={group}/CN={user}" if group else f"/CN={user}"
        extensions = ["extendedKeyUsage=serverAuth,clientAuth", f"subjectAltName={kinds}"]
        return self._sign(name, subject, extensions, days)

    def signing_keys(self, name: str) -> Pair:
        """A bare key pair, for service-account tokens."""
        pair = self._pair(name)
        self._new_key(name)
        _openssl("pkey", "-in", pair.key, "-pubout", "-out", pair.certificate)
        return pair

    def _sign(
        self, name: str, subject: str, extensions: Sequence[str], days: str = VALID_DAYS
    ) -> Pair:
        pair = self._pair(name)
        self._new_key(name)
        request, config = self._directory / f"{name}.csr", self._directory / f"{name}.ext"
        config.write_text("\n".join([*extensions, "keyUsage=critical,digitalSignature"]))
        _openssl("req", "-new", "-key", pair.key, "-out", request, "-subj", subject)
        # A random serial number per certificate: a serial file would be a race between clusters.
        _openssl(
            *("x509", "-req", "-in", request, "-out", pair.certificate, "-days", days),
            *("-CA", self.ca.certificate, "-CAkey", self.ca.key, "-extfile", config),
            *("-set_serial", f"0x{_random_serial()}"),
        )
        request.unlink()
        config.unlink()
        return pair

    def _new_key(self, name: str) -> None:
        key = self._pair(name).key
        key.touch(mode=0o600)
        _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)

    def _pair(self, name: str) -> Pair:
        return Pair(self._directory / f"{name}.key", self._directory / f"{name}.crt")


def _random_serial() -> str:
    return secrets.token_hex(16)


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdigit()


def _openssl(*arguments: str | Path) -> None:
    program = shutil.which("openssl")
    if not program:
        raise ClusterError("there is no `openssl` on PATH", "Install the Debian package openssl")
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise ClusterError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
