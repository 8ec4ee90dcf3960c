"""How long llamactl takes to answer, over what cannot be less: `python -m tests.cli.bench_startup`.

Over the bare interpreter for what needs no cluster; for `list` also over one bare HTTPS request, by
an interpreter that does nothing else. A bench and not a test: on a machine that does other work the
figures are several times higher. `tests/cli/test_imports.py` watches over what they are made of.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.cli.fake_api import fake_api
from tests.cli.objects import ready
from tests.support.cluster.pki import Authority

ROUNDS = 15
LIMIT_MS = 150
LIST_MS = 300
OBJECTS = 20
PATH = "/apis/llamactl.dev/v1alpha1/namespaces/n/llamadeployments"
CASES = (
    ("--help",),
    ("deploy", "--help"),
    ("weights", "add", "--help"),
    ("bench", "--help"),
    ("models",),
    ("plan", "70b", "--gpu", "H100", "--gpus", "8"),
    ("plan", "70b"),
    ("plan", "70b", "-o", "json"),
)
LISTS = (("list",), ("list", "-o", "name"), ("get", "-o", "json"))
BARE_REQUEST = """
import http.client, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
connection = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[1]), context=context)
connection.request("GET", sys.argv[3])
assert len(connection.getresponse().read()) > 1000
"""


def best_ms(*command: str) -> float:
    """The quickest of several runs, in milliseconds."""
    found = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], capture_output=True, check=True)
        found.append(1000 * (time.perf_counter() - start))
    return min(found)


def report(bare: float, limit: float, cases: tuple[tuple[str, ...], ...]) -> None:
    """One line for each case."""
    for case in cases:
        over = best_ms("-m", "llamactl", *case) - bare
        print(f"{'ok ' if over <= limit else 'SLOW'} {over:5.0f} ms  llamactl {' '.join(case)}")


def offline() -> None:
    """What asks no cluster."""
    bare = best_ms("-c", "pass")
    print(f"bare interpreter {bare:.0f} ms; limit for each of these {LIMIT_MS} ms over it")
    report(bare, LIMIT_MS, CASES)


def lists(directory: Path) -> None:
    """What asks a cluster once, over TLS."""
    authority = Authority(directory)
    authority.create()
    pair = authority.server("api", "api", ["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    with fake_api(context) as api:
        for number in range(OBJECTS):
            api.put(f"{PATH}/llama-{number}", ready(f"llama-{number}"))
        os.environ["KUBECONFIG"] = str(api.kubeconfig(directory, authority.ca.certificate))
        ca = str(authority.ca.certificate)
        bare = best_ms("-c", BARE_REQUEST, str(api.port), ca, PATH)
        print(f"bare HTTPS request {bare:.0f} ms; limit for each of these {LIST_MS} ms over it")
        report(bare, LIST_MS, LISTS)


def main() -> None:
    """Measure both."""
    offline()
    with tempfile.TemporaryDirectory() as directory:
        lists(Path(directory) / "pki")


if __name__ == "__main__":
    main()
