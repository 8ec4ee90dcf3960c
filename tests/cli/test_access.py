"""Kubeconfigs that need no package are read as the package reads them, over real TLS."""

from __future__ import annotations

import base64
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from llamactl import kubeconfig
from llamactl.kube import Kube
from llamactl.settings import Settings
from tests.cli.conftest import DEPLOYMENTS, Run, process
from tests.cli.fake_api import Fake, fake_api
from tests.cli.objects import ready
from tests.support.cluster.pki import Authority, Pair

Values = dict[str, Any]
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("pki") / "own")
    made.create()
    return made


@pytest.fixture(scope="module")
def person(authority: Authority) -> Pair:
    return authority.client("person", "me")


@pytest.fixture(scope="module")
def secure(authority: Authority) -> Iterator[Fake]:
    """A server at 127.0.0.1 and api.example that asks for a client certificate."""
    pair = authority.server("api", "api", ["127.0.0.1", "api.example"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    context.load_verify_locations(authority.ca.certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    with fake_api(context) as fake:
        fake.put(f"{DEPLOYMENTS}/my-llama", ready())
        yield fake


def written(directory: Path, cluster: Values, user: Values | None = None) -> Path:
    context = {"cluster": "c", "namespace": "n", **({"user": "u"} if user is not None else {})}
    document = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "x", "context": context}],
        "current-context": "x",
    }
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def server(secure: Fake) -> str:
    return f"https://127.0.0.1:{secure.port}/"


def listed(llamactl: Run, path: Path) -> Any:
    return llamactl("list", "-o", "name", "--kubeconfig", path)


def connected(path: Path) -> kubeconfig.Connection:
    return kubeconfig.connect(Settings(kubeconfig=str(path)))


@pytest.mark.parametrize("inline", [True, False])
def test_certificates_inline_and_by_relative_path(
    llamactl: Run, secure: Fake, authority: Authority, person: Pair, tmp_path: Path, inline: bool
) -> None:
    files = {
        "certificate-authority": authority.ca.certificate,
        "client-certificate": person.certificate,
        "client-key": person.key,
    }
    if inline:
        given = {f"{key}-data": encoded(path) for key, path in files.items()}
    else:
        for key, path in files.items():
            (tmp_path / key).write_bytes(path.read_bytes())
        given = {key: key for key in files}
    user = {key: value for key, value in given.items() if key.startswith("client")}
    cluster = {key: value for key, value in given.items() if key not in user}
    path = written(tmp_path, {"server": server(secure), **cluster}, user)
    assert connected(path).access is not None
    result = listed(llamactl, path)
    assert (result.exit_code, result.stdout) == (0, "llamadeployment.llamactl.dev/my-llama\n")
    assert list(tmp_path.parent.glob("llamactl-*")) == []


def test_a_certificate_of_somebody_else_is_refused(
    llamactl: Run, secure: Fake, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Authority(tmp_path_factory.mktemp("pki") / "other")
    other.create()
    for more in ({}, {"certificate-authority": str(other.ca.certificate)}):
        result = listed(llamactl, written(tmp_path, {"server": server(secure), **more}))
        assert result.exit_code == 1
        assert "its certificate is not signed by the CA of the kubeconfig" in result.stderr


def test_it_may_be_left_unverified(secure: Fake, tmp_path: Path) -> None:
    cluster = {"server": server(secure), "insecure-skip-tls-verify": True}
    done = process("list", "-o", "name", env={"KUBECONFIG": str(written(tmp_path, cluster))})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("name", "code"), [("api.example", 0), ("other.example", 1)])
def test_the_name_of_the_certificate(
    llamactl: Run, secure: Fake, authority: Authority, tmp_path: Path, name: str, code: int
) -> None:
    ca = str(authority.ca.certificate)
    cluster = {"server": server(secure), "certificate-authority": ca, "tls-server-name": name}
    assert listed(llamactl, written(tmp_path, cluster)).exit_code == code


def test_a_key_that_is_none_is_said(llamactl: Run, secure: Fake, tmp_path: Path) -> None:
    bad = base64.b64encode(b"no key").decode()
    user = {"client-certificate-data": bad, "client-key-data": bad}
    result = listed(llamactl, written(tmp_path, {"server": server(secure)}, user))
    assert result.exit_code == 1
    assert "context 'x' cannot be used: its certificates cannot be read" in result.stderr


CLUSTER = {"server": "https://127.0.0.1:6443/"}
USERS: dict[str, Values] = {
    "nobody": {},
    "token": {"token": "abc"},
    "token file": {"tokenFile": "token"},
    "password": {"username": "me", "password": "p:w"},
    "token and password": {"token": "abc", "username": "me", "password": "pw"},
    "name alone": {"username": "me"},
}


@pytest.mark.parametrize("name", USERS)
def test_the_header_is_that_of_the_package(tmp_path: Path, name: str) -> None:
    (tmp_path / "token").write_text("from-file")
    found = connected(written(tmp_path, CLUSTER, USERS[name]))
    assert found.access is not None
    theirs = kubeconfig.Connection(found.namespace, found.context, found.load)
    settings = Settings()
    assert Kube(found, settings).headers() == Kube(theirs, settings).headers()
    assert found.host == theirs.host == "https://127.0.0.1:6443"


@pytest.mark.parametrize(
    ("cluster", "user"),
    [
        ({**CLUSTER, "proxy-url": "http://p:1"}, {}),
        (CLUSTER, {"token": "a", "tokenFile": "token"}),
        (CLUSTER, {"exec": {"command": "true", "apiVersion": "client.authentication.k8s.io/v1"}}),
        (CLUSTER, {"auth-provider": {"name": "oidc"}}),
        (CLUSTER, {"token": 5}),
        ({"server": "127.0.0.1:6443"}, {}),
        (CLUSTER, {"client-certificate-data": "!", "client-key-data": "!"}),
        (CLUSTER, {"client-certificate-data": "YQ=="}),
    ],
)
def test_what_is_not_plain_is_left_to_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Values, user: Values
) -> None:
    (tmp_path / "token").write_text("from-file")
    loaded: list[str] = []
    monkeypatch.setattr(kubeconfig, "_load", lambda _, context: loaded.append(context))
    assert connected(written(tmp_path, cluster, user)).access is None
    assert loaded == ["x"]


def test_so_is_what_goes_by_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, CLUSTER, {"token": "a"})
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert connected(path).access is None


def test_the_first_file_that_defines_an_entry_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for folder, token in (("a", "first"), ("b", "second")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "token").write_text(token)
        paths.append(str(written(tmp_path / folder, CLUSTER, {"tokenFile": "token"})))
    monkeypatch.setenv("KUBECONFIG", ":".join(paths))
    access = kubeconfig.connect(Settings()).access
    assert access is not None
    assert access.authorization == "Bearer first"
    assert "first" not in repr(access)
