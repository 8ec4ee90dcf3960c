"""`make release`. `python -m images.release --help`.

Exit status: 0 released, 1 failed, 2 refused before anything was pushed.
"""

from __future__ import annotations

import argparse
import sys

from images.release import publish, tree
from images.release.refusals import Refused, refusals
from images.release.wanted import BUILDER_ID, Wanted
from tests.support.cluster.errors import ClusterError
from tests.support.cluster.progress import Progress
from tests.support.debian import DebianError
from tests.support.images import make

FAILED, REFUSED = 1, 2


def main() -> int:
    """Exit status."""
    wanted = _wanted()
    try:
        facts = tree.facts(wanted)
        if found := refusals(wanted, facts):
            raise Refused(*found)
        made = publish.release(wanted, facts, Progress())
    except Refused as refused:
        print(f"release refused, nothing was pushed:\n{refused}", file=sys.stderr)
        return REFUSED
    except (ClusterError, DebianError, ValueError) as problem:
        print(f"release failed, no tag was set: {problem}", file=sys.stderr)
        return FAILED
    print(made)
    return 0


def _wanted() -> Wanted:
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument(
        "--version", default="", help="as pyproject.toml, Chart.yaml and CHANGELOG say"
    )
    parser.add_argument("--registry", default="", help="such as registry.example.com/team")
    parser.add_argument("--key", default="", help="cosign's: a file, a KMS reference, or `keyless`")
    parser.add_argument("--tlog", default="", help="anything: enter signatures in the public log")
    parser.add_argument("--pgp-key", default="", help="signs the chart's .prov, as gpg names it")
    parser.add_argument("--pgp-url", default="", help="where its public half is published")
    parser.add_argument("--pgp-passphrase-file", default="", help="what opens it")
    parser.add_argument("--base", default="", help="index by digest; default: the Dockerfile's")
    parser.add_argument("--builder-id", default="", help="what provenance calls the builder")
    given = vars(parser.parse_args())
    base, builder = given["base"] or make.pinned(), given["builder_id"] or BUILDER_ID
    return Wanted(**given | {"base": base, "builder_id": builder, "tlog": bool(given["tlog"])})


if __name__ == "__main__":
    sys.exit(main())
