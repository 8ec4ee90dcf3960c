"""The certificate of a server over TLS, as files that are replaced while it runs.

New files are tried by a whole handshake in memory before a scraper gets to see them, so that a
pair which is half written, does not fit or has expired costs nothing but a line in the log: the
one before it stays. A context of OpenSSL cannot be trusted after a pair was refused, so each pair
has its own, and connections are handed the newest one as they begin.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

log = logging.getLogger(__name__)

OPTION, CLIENT_OPTION = "--metrics-tls-dir", "--metrics-client-ca"
CERTIFICATE, KEY = "tls.crt", "tls.key"
# The kubelet brings a changed Secret within about a minute.
POLL_SECONDS = 10.0
_PAIR = (
    f"Put {CERTIFICATE} and its {KEY} there in PEM, as a Secret of type kubernetes.io/tls has them"
)
_RENEW = "Renew it: it must be valid today, and for the use as a server"

Stamp = tuple[tuple[int, ...] | None, ...]


class CertificateError(OSError):
    """A file is of no use; the text names the option, the file and the fix."""

    def __init__(self, option: str, path: Path, what: str, fix: str) -> None:
        super().__init__(f"{option}: {path} {what}. {fix}")


class Meter(Protocol):
    """Counts what was read."""

    def read(self) -> None:
        """A pair was read and is served."""

    def failed(self) -> None:
        """A pair was of no use."""


@dataclass(frozen=True)
class Files:
    """Where the pair is, and the authority of clients, if they need one."""

    directory: Path
    client_ca: Path | None = None

    def stamp(self) -> Stamp:
        """Another one when a file is another one."""
        paths = [self.directory / CERTIFICATE, self.directory / KEY, self.client_ca]
        return tuple(_stat(path) for path in paths if path)

    def pair(self) -> tuple[Path, Path]:
        """Both of the same moment: the kubelet swaps the folder that `..data` points to."""
        mounted = self.directory / "..data"
        folder = mounted.resolve() if mounted.is_dir() else self.directory
        return folder / CERTIFICATE, folder / KEY


@dataclass(frozen=True)
class Pair:
    """A pair that was tried, and when it ends, in seconds since 1970."""

    context: ssl.SSLContext
    ends: float


class Certificates:
    """The newest pair that is of use; raises CertificateError when there is none at the start."""

    def __init__(self, files: Files, meter: Meter, clock: Callable[[], float] = time.time) -> None:
        self._files, self._meter, self._clock = files, meter, clock
        self._stamp = files.stamp()
        self._said = ""
        self._pair = load(files)
        self._meter.read()
        self.context = self._pair.context
        self.context.sni_callback = self._hand_over

    @property
    def asks_clients(self) -> bool:
        """Whether metrics are only for those who show a certificate."""
        return self._files.client_ca is not None

    async def watch(self) -> None:
        """Look for other files until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Take other files, if there are and if they are of use."""
        stamp = self._files.stamp()
        if stamp == self._stamp:
            self._mind_the_end()
            return
        try:
            self._pair, self._stamp = load(self._files), stamp
        except OSError as problem:  # a file may also go while it is read
            self._meter.failed()
            self._say(f"{problem}. Until then the certificate that was read before is served")
            return
        self._meter.read()
        self._said = ""
        log.info("%s: serving the new certificate, valid until %s", OPTION, _day(self._pair.ends))

    def _mind_the_end(self) -> None:
        if self._clock() > self._pair.ends:
            served = self._files.directory / CERTIFICATE
            self._say(f"{OPTION}: {served} has expired on {_day(self._pair.ends)}. {_RENEW}")

    def _say(self, text: str) -> None:
        """Once, and not at each look."""
        if text != self._said:
            self._said = text
            log.warning("%s", text)

    def _hand_over(self, connection: Any, _name: str | None, _first: ssl.SSLContext) -> None:
        """OpenSSL asks at the beginning of each handshake, whether a name was sent or not."""
        connection.context = self._pair.context


def load(files: Files) -> Pair:
    """The pair of now, tried; raises CertificateError."""
    certificate, key = files.pair()
    shown = (files.directory / CERTIFICATE, files.directory / KEY)
    for path, name in zip((certificate, key), shown, strict=True):
        _readable(OPTION, path, name, _PAIR)
    trusting = _trusting(certificate, shown[0])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_pair(context, (certificate, key), shown)
    ends = _ends(context, trusting, shown[0])
    if files.client_ca:
        _ask_clients(context, files.client_ca)
    return Pair(context, ends)


def _load_pair(context: ssl.SSLContext, pair: tuple[Path, Path], shown: tuple[Path, Path]) -> None:
    try:
        # An empty password, or OpenSSL would ask for one at a terminal.
        context.load_cert_chain(*pair, password="")
    except ssl.SSLError as problem:
        raise CertificateError(OPTION, *_refusal(problem.reason or "", shown), _PAIR) from None


def _refusal(reason: str, shown: tuple[Path, Path]) -> tuple[Path, str]:
    """The file at fault, and what is wrong with it."""
    if "MISMATCH" in reason:
        return shown[1], f"is not the key of {shown[0]}"
    if reason:
        return shown[0], _useless(reason)
    return shown[1], "is no private key in PEM without a password"


def _ask_clients(context: ssl.SSLContext, path: Path) -> None:
    fix = "Name a file with the certificates of the authorities of scrapers, in PEM"
    _readable(CLIENT_OPTION, path, path, fix)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise CertificateError(CLIENT_OPTION, path, "holds no certificate", fix) from None
    # The kubelet shows none, so probes do without; the page of metrics asks for itself.
    context.verify_mode = ssl.CERT_OPTIONAL
    # A session that is resumed would go on by an authority that was taken away since. Before 1.3
    # Python cannot switch that off.
    context.minimum_version, context.num_tickets = ssl.TLSVersion.TLSv1_3, 0


def _readable(option: str, path: Path, shown: Path, fix: str) -> None:
    try:
        path.read_bytes()
    except OSError as problem:
        reason = (problem.strerror or "nobody says why").lower()
        raise CertificateError(option, shown, f"cannot be read: {reason}", fix) from None


def _trusting(certificate: Path, shown: Path) -> ssl.SSLContext:
    """A client that trusts just this certificate, whoever signed it."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        client.load_verify_locations(cafile=certificate)
    except ssl.SSLError:
        raise CertificateError(OPTION, shown, "holds no certificate", _PAIR) from None
    return client


def _ends(server: ssl.SSLContext, client: ssl.SSLContext, shown: Path) -> float:
    """When the certificate ends, as a client sees it that speaks to the server."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking, answering = client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)
    try:
        while not (_done(asking) & _done(answering)):
            pass
    except ssl.SSLCertVerificationError as problem:
        raise CertificateError(OPTION, shown, _useless(problem.verify_message), _RENEW) from None
    except ssl.SSLError as problem:
        raise CertificateError(OPTION, shown, _useless(problem.reason), _PAIR) from None
    seen = asking.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(seen["notAfter"])))


def _done(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _useless(reason: str) -> str:
    return f"is of no use for a server: {reason.replace('_', ' ').lower()}"


def _stat(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
