"""Metrics over TLS: real sockets, certificates of our own, and what happens as they change."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import uvloop
from click.testing import CliRunner
from tests.support.cluster.pki import Authority, Pair
from tests.support.mounted import Mounted
from tests.unit.runtime.helpers import eventually

from llama_operator.main import main
from llama_operator.telemetry import certificates
from llama_operator.telemetry.certificates import CertificateError, Certificates, Files
from llama_operator.telemetry.health import HealthServer
from llama_operator.telemetry.metrics import Metrics

NAME = "llama-operator.llama-system.svc"
Asked = tuple[int, str]


class Issued:
    """Authorities and pairs, made once for all tests."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority, self.other = Authority(directory / "a"), Authority(directory / "b")
        for each in (self.authority, self.other):
            each.create()
        self.first = self.server("first")
        self.second = self.server("second")
        self.foreign = self.other.server("foreign", "f", [NAME])
        self.expired = self.server("expired", days="-1")
        self.client = self.authority.client("prometheus", "prometheus")
        self.weak = self._weak(directory)
        self.stranger = self.other.client("stranger", "stranger")

    @staticmethod
    def _weak(directory: Path) -> Pair:
        """A key that can be guessed."""
        pair = Pair(directory / "weak.key", directory / "weak.crt")
        command = ["openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=weak"]
        files: list[str | Path] = ["-keyout", pair.key, "-out", pair.certificate]
        subprocess.run([*command, *files], check=True, capture_output=True)
        return pair

    def server(self, name: str, days: str = "30") -> Pair:
        return self.authority.server(name, name, [NAME], days=days)


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return Issued(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def mounted(issued: Issued, tmp_path: Path) -> Mounted:
    return Mounted(tmp_path / "tls", issued.first)


def trusting(authority: Authority, client: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.ca.certificate))
    if client:
        context.load_cert_chain(client.certificate, client.key)
    return context


@asynccontextmanager
async def serving(secured: Certificates) -> AsyncIterator[int]:
    server = HealthServer(
        {"caches": lambda: True},
        lambda: b"metric 1\n",
        host="127.0.0.1",
        port=0,
        certificates=secured,
    )
    await server.start()
    try:
        yield server.port
    finally:
        await server.stop()


async def ask(port: int, path: str, context: ssl.SSLContext) -> Asked:
    """Over a connection of its own, as somebody who expects the Service's name."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://127.0.0.1:{port}{path}", ssl=context, server_hostname=NAME) as answer,
    ):
        return answer.status, await answer.text()


async def shown(port: int, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> str:
    """The certificate that a new connection of this version of TLS gets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    whole = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return ssl.DER_cert_to_PEM_cert(whole)


def pem(pair: Pair) -> str:
    return pair.certificate.read_text()


# -- serving ----------------------------------------------------------------------------------


async def test_all_pages_come_over_tls_and_can_be_verified(
    issued: Issued, mounted: Mounted
) -> None:
    async with serving(Certificates(Files(mounted.directory), Metrics().certificates)) as port:
        context = trusting(issued.authority)
        assert await ask(port, "/metrics", context) == (200, "metric 1\n")
        assert await ask(port, "/healthz", context) == (200, "ok\n")
        assert await ask(port, "/readyz", context) == (200, "ok\n")
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(port, "/metrics", trusting(issued.other))
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://127.0.0.1:{port}/metrics")


@pytest.mark.filterwarnings("ignore:.*TLSv1_1:DeprecationWarning")
async def test_tls_of_the_last_century_is_refused(mounted: Mounted) -> None:
    async with serving(Certificates(Files(mounted.directory), Metrics().certificates)) as port:
        assert await shown(port, ssl.TLSVersion.TLSv1_2)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await shown(port, ssl.TLSVersion.TLSv1_1)


async def test_metrics_are_for_clients_of_the_authority_and_probes_for_all(
    issued: Issued, mounted: Mounted
) -> None:
    files = Files(mounted.directory, issued.authority.ca.certificate)
    async with serving(Certificates(files, Metrics().certificates)) as port:
        nobody, known = trusting(issued.authority), trusting(issued.authority, issued.client)
        assert (await ask(port, "/metrics", nobody))[0] == 403
        assert (await ask(port, "/readyz", nobody))[0] == 200
        assert await ask(port, "/metrics", known) == (200, "metric 1\n")
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await ask(port, "/metrics", trusting(issued.authority, issued.stranger))


async def test_without_an_authority_of_clients_nobody_is_asked(
    issued: Issued, mounted: Mounted
) -> None:
    async with serving(Certificates(Files(mounted.directory), Metrics().certificates)) as port:
        stranger = trusting(issued.authority, issued.stranger)
        assert (await ask(port, "/metrics", stranger))[0] == 200


# -- files that change ------------------------------------------------------------------------


@pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_new_pair_is_served_without_a_restart(
    issued: Issued, mounted: Mounted, make: Callable[[], asyncio.AbstractEventLoop],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(certificates, "POLL_SECONDS", 0.01)

    async def change() -> None:
        metrics = Metrics()
        async with serving(Certificates(Files(mounted.directory), metrics.certificates)) as port:
            assert await shown(port) == pem(issued.first)
            mounted.put(issued.second.certificate, issued.second.key)
            await eventually(lambda: read(metrics) == 2)
            await asyncio.sleep(0.05)
            assert read(metrics) == 2, "what has not changed is not read again"
            assert await shown(port) == pem(issued.second)
            assert (await ask(port, "/metrics", trusting(issued.authority)))[0] == 200

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(change())


async def test_a_connection_goes_on_while_the_pair_changes(
    issued: Issued, mounted: Mounted
) -> None:
    secured = Certificates(Files(mounted.directory), Metrics().certificates)
    async with serving(secured) as port:
        context = trusting(issued.authority)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=NAME
        )
        for _ in range(2):
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"metric 1\n")).startswith(b"HTTP/1.1 200")
            mounted.put(issued.second.certificate, issued.second.key)
            secured.refresh()
        writer.close()
        assert await shown(port) == pem(issued.second)


async def test_no_session_of_a_client_outlives_its_authority(
    issued: Issued, mounted: Mounted
) -> None:
    context = trusting(issued.authority, issued.client)

    def connect(session: ssl.SSLSession | None = None) -> tuple[ssl.SSLSession | None, bool | None]:
        plain = socket.create_connection(("127.0.0.1", port), 5)
        with context.wrap_socket(plain, server_hostname=NAME, session=session) as talk:
            talk.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            while talk.recv(4096):
                pass
            return talk.session, talk.session_reused

    files = Files(mounted.directory, issued.authority.ca.certificate)
    async with serving(Certificates(files, Metrics().certificates)) as port:
        session, _ = await asyncio.to_thread(connect)
        assert (await asyncio.to_thread(connect, session))[1] is False
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(connect)


BAD: dict[str, Callable[[Issued], tuple[Path, Path]]] = {
    "is not the key of": lambda own: (own.second.certificate, own.foreign.key),
    "certificate has expired": lambda own: (own.expired.certificate, own.expired.key),
    "unsuitable certificate purpose": lambda own: (own.client.certificate, own.client.key),
    "tls.crt is of no use for a server: ee key too small": lambda own: (
        own.weak.certificate,
        own.weak.key,
    ),
    "tls.crt holds no certificate": lambda own: (own.second.key, own.second.key),
    "is no private key in PEM": lambda own: (own.second.certificate, own.second.certificate),
}


@pytest.mark.parametrize("said", BAD)
async def test_a_bad_pair_leaves_the_one_before_and_is_told_once(
    issued: Issued, mounted: Mounted, caplog: pytest.LogCaptureFixture, said: str
) -> None:
    metrics = Metrics()
    secured = Certificates(Files(mounted.directory), metrics.certificates)
    async with serving(secured) as port:
        mounted.put(*BAD[said](issued))
        for _ in range(3):
            secured.refresh()
        assert await shown(port) == pem(issued.first)
        assert (await ask(port, "/metrics", trusting(issued.authority)))[0] == 200
        (line,) = [each.getMessage() for each in caplog.records if each.levelno > logging.INFO]
        assert said in line and "--metrics-tls-dir: " in line and str(mounted.directory) in line
        assert "the certificate that was read before is served" in line
        assert (read(metrics), failures(metrics)) == (1, 3)
        mounted.put(issued.second.certificate, issued.second.key)
        secured.refresh()
        assert await shown(port) == pem(issued.second)


async def test_files_that_are_written_one_after_the_other_and_removed(
    issued: Issued, tmp_path: Path
) -> None:
    """No kubelet, and so no moment at which both change."""
    for name, source in (("tls.crt", issued.first.certificate), ("tls.key", issued.first.key)):
        (tmp_path / name).write_bytes(source.read_bytes())
    secured = Certificates(Files(tmp_path), Metrics().certificates)
    async with serving(secured) as port:
        (tmp_path / "tls.crt").write_text(pem(issued.second)[:200])
        secured.refresh()
        (tmp_path / "tls.crt").write_text(pem(issued.second))
        secured.refresh()
        assert await shown(port) == pem(issued.first)
        (tmp_path / "tls.key").write_bytes(issued.second.key.read_bytes())
        secured.refresh()
        assert await shown(port) == pem(issued.second)
        (tmp_path / "tls.key").unlink()
        secured.refresh()
        assert await shown(port) == pem(issued.second)


def test_a_file_that_goes_while_it_is_read_is_looked_for_again(
    issued: Issued, mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics()
    secured = Certificates(Files(mounted.directory), metrics.certificates)
    mounted.put(issued.second.certificate, issued.second.key)

    def gone(*_: object) -> None:
        raise FileNotFoundError("tls.crt")

    with monkeypatch.context() as swapped:
        swapped.setattr(certificates, "load", gone)
        secured.refresh()
    assert (read(metrics), failures(metrics)) == (1, 1)
    secured.refresh()
    assert read(metrics) == 2


async def test_another_authority_of_clients_counts_from_the_next_connection_on(
    issued: Issued, mounted: Mounted, tmp_path: Path
) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(issued.authority.ca.certificate.read_bytes())
    secured = Certificates(Files(mounted.directory, file), Metrics().certificates)
    async with serving(secured) as port:
        other = trusting(issued.authority, issued.stranger)
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await ask(port, "/metrics", other)
        file.write_bytes(issued.other.ca.certificate.read_bytes())
        secured.refresh()
        assert (await ask(port, "/metrics", other))[0] == 200
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await ask(port, "/metrics", trusting(issued.authority, issued.client))


def test_a_served_certificate_that_ends_is_told_once(
    mounted: Mounted, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    secured = Certificates(Files(mounted.directory), Metrics().certificates, lambda: now[0])
    secured.refresh()
    assert not caplog.records
    now[0] = 1e11
    secured.refresh()
    secured.refresh()
    assert [
        each.getMessage() for each in caplog.records if "has expired on 20" in each.getMessage()
    ]
    assert len(caplog.records) == 1


def read(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("certwatcher_read_certificate_total")


def failures(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("certwatcher_read_certificate_errors_total")


# -- at the start -----------------------------------------------------------------------------


def refused(*options: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["run", "--kubeconfig=/nonexistent", *options])
    return done.exit_code, done.stderr


def test_a_directory_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    code, said = refused(f"--metrics-tls-dir={tmp_path / 'none'}")
    assert code == 1
    assert said == (
        f"llama-operator: --metrics-tls-dir: {tmp_path}/none/tls.crt cannot be read: no such file or "
        "directory. Put tls.crt and its tls.key there in PEM, as a Secret of type kubernetes.io/tls "
        "has them\n"
    )


@pytest.mark.parametrize("said", BAD)
def test_a_bad_pair_ends_the_start(issued: Issued, tmp_path: Path, said: str) -> None:
    code, told = refused(f"--metrics-tls-dir={mounted_with(tmp_path, *BAD[said](issued))}")
    assert code == 1
    assert told.count("\n") == 1 and said in told
    assert told.startswith(f"llama-operator: --metrics-tls-dir: {tmp_path}/tls/tls.")


def test_an_authority_of_clients_that_is_none_ends_the_start(
    issued: Issued, mounted: Mounted
) -> None:
    tls = f"--metrics-tls-dir={mounted.directory}"
    code, said = refused(tls, "--metrics-client-ca=/nonexistent")
    assert (code, "--metrics-client-ca: /nonexistent cannot be read" in said) == (1, True)
    code, said = refused(tls, f"--metrics-client-ca={issued.first.key}")
    assert (code, "first.key holds no certificate" in said) == (1, True)
    code, said = refused("--metrics-client-ca=/nonexistent")
    assert (code, "name --metrics-tls-dir as well" in said) == (2, True)


def test_a_key_with_a_password_is_not_asked_for_one(issued: Issued, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    command: list[str | Path] = [
        "openssl",
        "ec",
        "-in",
        issued.first.key,
        "-aes256",
        "-passout",
        "pass:secret",
    ]
    subprocess.run([*command, "-out", locked], check=True, capture_output=True)
    folder = mounted_with(tmp_path, issued.first.certificate, locked)
    with pytest.raises(CertificateError, match="without a password"):
        certificates.load(Files(folder))


def mounted_with(tmp_path: Path, certificate: Path, key: Path) -> Path:
    return Mounted(tmp_path / "tls", Pair(key, certificate)).directory
