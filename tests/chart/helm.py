"""Helm as a function: values in, objects out."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from llama_operator.chart.generate import CHART
from tests.support.cluster.tools import path_of

Object = dict[str, Any]
MONITORING = tuple(
    f"--api-versions=monitoring.coreos.com/v1/{kind}"
    for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule")
)


class Refused(Exception):  # noqa: N818 - what Helm did, not what went wrong with it
    """Helm did not do it; the text is what it said."""


def helm(*args: str, given: str = "", env: dict[str, str] | None = None) -> str:
    """Run helm; raises Refused."""
    command = [str(path_of("helm")), *args]
    with tempfile.TemporaryDirectory() as home:
        # No repositories, plugins or cluster of whoever runs the tests.
        own = {"HOME": home, "KUBECONFIG": "/dev/null", **(env or {})}
        done = subprocess.run(
            command, input=given, env=own, capture_output=True, text=True, timeout=280, check=False
        )
    if done.returncode:
        raise Refused(done.stderr or done.stdout)
    return done.stdout


def rendered(
    values: Object | None = None, *args: str, chart: Path = CHART, release: str = "llama-operator"
) -> list[Object]:
    """All objects of a release in the namespace llama-system, those of hooks too.

    Without CRDs where `values` do not speak of them: parsing them takes longer than all the rest.
    """
    values = {"crds": {"enabled": False}, **(values or {})}
    return list(_rendered(json.dumps(values), args, chart, release))


@cache
def _rendered(values: str, args: Sequence[str], chart: Path, release: str) -> list[Object]:
    command = ("template", release, str(chart), "--namespace=llama-system", "--values=-")
    text = helm(*command, *args, given=values)
    return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]


def of(kind: str, objects: Sequence[Object], name: str = "") -> Object:
    """The one object of a kind (and name)."""
    (found,) = [
        each for each in objects if each["kind"] == kind and name in ("", each["metadata"]["name"])
    ]
    return found


def kinds(objects: Sequence[Object]) -> set[str]:
    """Which kinds there are."""
    return {each["kind"] for each in objects}


def pod(objects: Sequence[Object]) -> Object:
    """The pod of the operator."""
    return dict(of("Deployment", objects)["spec"]["template"]["spec"])


def arguments(objects: Sequence[Object]) -> list[str]:
    """The operator's arguments, the command itself first."""
    (container,) = pod(objects)["containers"]
    return [*container["command"], *container["args"]]
