"""Every example is accepted as it lies there, by a server that refuses unknown fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.snapshot import test_golden as golden
from tests.support import gateway, kserve, lws
from tests.support.cluster import Cluster
from tests.support.cluster.errors import ClusterError

pytestmark = pytest.mark.cluster
Object = dict[str, Any]
EXAMPLES = Path(__file__).parents[2] / "examples"
STRICT = ("apply", "--dry-run=server", "--validate=strict", "-f")
APPLY = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
PATHS = sorted(EXAMPLES.glob("*.yaml"))
EVERY = sorted(EXAMPLES.rglob("*.yaml"))


@pytest.fixture(scope="module")
def defined(api_cluster: Cluster) -> Iterator[Cluster]:
    """With the definitions of others that examples become objects of."""
    lws.define(api_cluster)
    kserve.define(api_cluster)
    kserve.define_llm(api_cluster)
    gateway.define(api_cluster, gateway.ROUTES, gateway.POOLS)
    yield api_cluster
    names = (lws.NAME, kserve.NAME, kserve.LLM, gateway.ROUTES, gateway.POOLS)
    # Nobody else makes objects of them there, so their going is not waited for.
    api_cluster.kubectl("delete", "crd", "--wait=false", *names)


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.stem)
def test_the_api_server_accepts_an_example(api_cluster: Cluster, path: Path) -> None:
    assert "created (server dry run)" in api_cluster.kubectl(*STRICT, str(path))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_api_server_accepts_what_an_example_becomes(defined: Cluster, path: Path) -> None:
    items = [without_uid(obj) for obj in golden.rendered(path)[1]]
    if items:
        every = {"apiVersion": "v1", "kind": "List", "items": items}
        told = defined.kubectl(*APPLY, input=json.dumps(every))
        assert len(told.splitlines()) == len(items)
    assert items or path.stem == "smollm2-two-ranks"


def without_uid(obj: Object) -> Object:
    meta = {key: value for key, value in obj["metadata"].items() if key != "uid"}
    return {key: value for key, value in {**obj, "metadata": meta}.items() if key != "status"}


def test_a_misspelt_field_would_be_refused(api_cluster: Cluster) -> None:
    text = (EXAMPLES / "llama-3.1-8b.yaml").read_text().replace("product:", "prodct:")
    with pytest.raises(ClusterError, match="prodct"):
        api_cluster.kubectl(*STRICT, "-", input=text)
