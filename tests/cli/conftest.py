"""Running llamactl in tests: in this process for speed, as a process where that is the point."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llamactl.app import cli
from tests.cli import engine_stub, fake_api
from tests.cli.objects import pod, ready, secret

Run = Callable[..., Result]

DEPLOYMENTS = "/apis/llamactl.dev/v1alpha1/namespaces/n/llamadeployments"
WEIGHTS = "/apis/llamactl.dev/v1alpha1/namespaces/n/llamaweights"
PODS = "/api/v1/namespaces/n/pods"
SECRETS = "/api/v1/namespaces/n/secrets"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "NO_COLOR", "COLUMNS", "KUBERNETES_SERVICE_HOST", "HF_ENDPOINT", "HF_TOKEN",
        "LLAMACTL_MODELS",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))


@pytest.fixture
def llamactl() -> Run:
    """Call the command; stdout and stderr are kept apart, exit_code is what a shell sees."""

    def run(*args: object, **more: object) -> Result:
        return CliRunner().invoke(cli, [str(a) for a in args], prog_name="llamactl", **more)  # type: ignore[arg-type]

    return run


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fake_api.Fake]:
    """A fake API server, with KUBECONFIG pointing at it."""
    with fake_api.fake_api() as fake:
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path)))
        yield fake


@pytest.fixture
def engine(api: fake_api.Fake) -> Iterator[engine_stub.Engine]:
    """A deployment my-llama that serves, behind the fake API server's port-forward."""
    with engine_stub.engine() as stub:
        api.pod_port = stub.port
        api.put(f"{DEPLOYMENTS}/my-llama", ready())
        api.put(f"{PODS}/my-llama-0", pod())
        api.put(f"{SECRETS}/my-llama-api-key", secret(stub.key))
        yield stub


def process(*args: str, **more: object) -> subprocess.CompletedProcess[str]:
    """llamactl as its own process."""
    command = [sys.executable, "-m", "llamactl", *args]
    env = {**os.environ, **more.pop("env", {})}  # type: ignore[dict-item]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False, **more)  # type: ignore[call-overload,no-any-return]
