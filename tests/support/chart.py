"""`make chart`: helm made ready, the chart checked and packed. `python -m tests.support.chart DIR`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from llama_operator.chart.generate import CHART
from tests.support.cluster import build, tools
from tests.support.cluster.errors import ClusterError
from tests.support.cluster.progress import Progress


def pack(directory: Path) -> None:
    """Lint strictly, then write the archive; raises CalledProcessError after helm's own words."""
    build.ensure(tools.EXTRAS, Progress())
    helm = str(tools.path_of("helm"))
    subprocess.run([helm, "lint", "--strict", str(CHART)], check=True)
    subprocess.run([helm, "package", str(CHART), "--destination", str(directory)], check=True)


def main() -> int:
    """Exit status 0 when the archive is there."""
    try:
        pack(Path(sys.argv[1] if len(sys.argv) > 1 else "dist"))
    except ClusterError as error:
        print(f"chart: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as failed:
        return failed.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
