"""Ctrl-C: nothing is half made, and what goes on in the cluster is said."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.cli.conftest import DEPLOYMENTS, PODS, Run
from tests.cli.engine_stub import Engine
from tests.cli.fake_api import Answer, Fake
from tests.cli.objects import deployment, pod
from tests.cli.patching import takes_patches

Object = dict[str, Any]


def interrupted(api: Fake, *args: str, when: str, count: int = 2) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) after Ctrl-C, once `when` has been asked for `count` times."""
    # A shell's background job, such as this test run may be, would ignore the signal.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "llamactl", *args]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        deadline = time.monotonic() + 20
        while sum(when in path for _, path in api.asked) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=20)
    return running.returncode, stdout, stderr


@pytest.mark.parametrize(
    ("args", "goes_on", "offer"),
    [
        ("deploy 8b --gpu=L4 --name=x", "x goes on in the cluster", "llamactl status x"),
        ("delete x --yes", "the deletion of x goes on in the cluster", "llamactl list"),
    ],
)
def test_ctrl_c_in_a_wait_says_what_goes_on(api: Fake, args: str, goes_on: str, offer: str) -> None:
    api.rules.append(takes_patches)
    there = args.startswith("delete")
    if there:
        api.put(f"{DEPLOYMENTS}/x", deployment("x"))
    before = 3 if there else 2
    code, stdout, stderr = interrupted(api, *args.split(), when="/x", count=before + 2)
    assert code == 130
    assert goes_on in stderr
    assert offer in stderr
    assert "Traceback" not in stderr
    assert stdout.count("\n") == (0 if args.startswith("delete") else 1), "said once it was made"


def test_a_deletion_is_waited_for(llamactl: Run, api: Fake) -> None:
    api.put(f"{DEPLOYMENTS}/x", deployment("x"))
    api.put(f"{PODS}/x-0", pod("x-0", "x"))

    def rule(fake: Fake, method: str, path: str, _: Object) -> Answer | None:
        if method == "DELETE":
            del fake.objects[f"{DEPLOYMENTS}/x"]
            return 200, {}
        if path == PODS and f"{DEPLOYMENTS}/x" not in fake.objects:
            fake.objects.pop(f"{PODS}/x-0", None)  # it is gone when it is asked for again
        return None

    api.rules.append(rule)
    result = llamactl("delete", "x", "--yes")
    assert result.stdout == "llamadeployment.llamactl.dev/x deleted\n"
    assert f"{PODS}/x-0" not in api.objects


def test_ctrl_c_before_anything_was_written_leaves_nothing(api: Fake) -> None:
    def slow(_: Fake, method: str, *__: Any) -> Answer | None:
        if method == "PATCH":
            time.sleep(1)
        return None

    api.rules += [slow, takes_patches]
    code, stdout, _ = interrupted(api, "deploy", "8b", "--gpu=L4", when="dryRun", count=1)
    assert (code, stdout) == (130, "")
    assert [path for method, path in api.asked if method == "PATCH" and "dryRun" not in path] == []


def test_ctrl_c_in_one_answer_ends_it(engine: Engine, api: Fake) -> None:
    engine.words, engine.delay = ("one ",) * 200, 0.05
    code, stdout, stderr = interrupted(
        api, "chat", "my-llama", "count", when="portforward", count=1
    )
    assert code == 130
    assert stdout.startswith("one one")
    assert "Traceback" not in stderr
