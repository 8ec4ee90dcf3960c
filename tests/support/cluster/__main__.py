"""Command line of the local cluster: `python -m tests.support.cluster --help`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from . import build as builder
from . import doctor as medic
from . import tools
from .cluster import Cluster, Options, sweep
from .errors import ClusterError
from .node import NodeOptions
from .progress import Progress

STATE_DIRECTORY = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    default=Path(".demo/cluster"),
    show_default=True,
    help="State directory of the cluster.",
)
CONTROL_PLANE_ONLY = click.option(
    "--control-plane-only", is_flag=True, help="No node: no root needed, but no pods either."
)


@click.group()
def main() -> None:
    """A real Kubernetes on this machine, for tests and the demo."""


@main.command()
@CONTROL_PLANE_ONLY
@click.option("--helm", is_flag=True, help="helm as well, for the chart.")
def build(*, control_plane_only: bool, helm: bool) -> None:
    """Find, download or build every program the cluster needs."""
    wanted = tools.CONTROL_PLANE if control_plane_only else tools.ALL
    wanted += tools.EXTRAS if helm else ()
    progress = Progress()
    builder.ensure(wanted, progress)
    builder.report(wanted, progress)


@main.command()
@CONTROL_PLANE_ONLY
@STATE_DIRECTORY
@click.option("--gpus", default=8, show_default=True, help="nvidia.com/gpu of the node.")
@click.option("--vllm-venv", type=click.Path(path_type=Path), help="Virtual environment of vLLM.")
@click.option("--audit-log", type=click.Path(path_type=Path), help="Write an audit log here.")
def up(
    *,
    control_plane_only: bool,
    directory: Path,
    gpus: int,
    vllm_venv: Path | None,
    audit_log: Path | None,
) -> None:
    """Start a cluster and leave it running."""
    progress = Progress()
    if not _already_up(directory, progress):
        node = None if control_plane_only else NodeOptions(gpus, vllm_venv)
        Cluster(directory, Options(node, audit_log, owned=False), progress).start()
    click.echo(f"export KUBECONFIG={(directory / 'kubeconfig').absolute()}")
    click.echo(f"alias kubectl={tools.path_of('kubectl')}")


@main.command()
@STATE_DIRECTORY
@click.option("--orphans", is_flag=True, help="End those whose owner was killed instead.")
def down(*, directory: Path, orphans: bool) -> None:
    """End a cluster and remove everything it made."""
    progress = Progress()
    if orphans:
        sweep(progress)
        return
    if not directory.exists():
        progress.note(f"no cluster in {directory}")
        return
    with progress.step(f"ending the cluster in {directory}"):
        Cluster.attach(directory, progress).stop()


@main.command()
@STATE_DIRECTORY
def status(*, directory: Path) -> None:
    """Say what runs; exits with 1 when something that should run does not."""
    cluster = Cluster.attach(directory)
    dead = 0
    for name in cluster.processes.names():
        alive = cluster.processes.alive(name)
        dead += not alive
        pid = cluster.processes.identity(name).pid
        click.echo(f"{name:25} {'running' if alive else 'ENDED':8} pid {pid}")
    if not dead:
        click.echo(cluster.kubectl("get", "nodes,pods", "--all-namespaces"), nl=False)
    sys.exit(1 if dead else 0)


@main.command()
@CONTROL_PLANE_ONLY
def doctor(*, control_plane_only: bool) -> None:
    """Say what this machine lacks and what to do; exits with 1 when something is missing."""
    findings = medic.control_plane() + ([] if control_plane_only else medic.node())
    for finding in findings:
        mark = "ok     " if finding.well else "MISSING"
        click.echo(f"{mark} {finding.subject}: {finding.detail}")
        if not finding.well:
            click.echo(f"        {finding.fix}")
    sys.exit(0 if all(finding.well for finding in findings) else 1)


@main.command()
def install() -> None:
    """Install the Debian packages that are missing (as root)."""
    missing = medic.missing()
    if not missing:
        click.echo("all Debian packages are there")
        return
    click.echo(f"installing {' '.join(medic.packages_of(missing))} with apt-get")
    medic.install(missing)


def _already_up(directory: Path, progress: Progress) -> bool:
    """Whether a whole cluster runs there; the rest of a broken one is removed."""
    try:
        cluster = Cluster.attach(directory, progress)
    except ClusterError:
        return False
    names = cluster.processes.names()
    if names and all(cluster.processes.alive(name) for name in names):
        progress.note(f"the cluster in {directory} is up already")
        return True
    with progress.step(f"removing what is left of the cluster in {directory}"):
        cluster.stop()
    return False


def run() -> None:
    """Run a command; a ClusterError becomes one line and exit code 1."""
    try:
        main()
    except ClusterError as problem:
        click.echo(f"error: {problem}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    run()
