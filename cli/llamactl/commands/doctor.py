"""`llamactl doctor`: what is wrong with a deployment, or in a log of vLLM, and what mends it."""

from __future__ import annotations

from typing import Any, NoReturn

import click

from llamactl import options, output
from llamactl.command import Command
from llamactl.complete import deployment_names

FORMATS = ("text", "json", "yaml")
CLUSTER, PREFIX = "cluster", "llama/"


@click.command(
    cls=Command,
    examples=[
        "llamactl doctor my-llama",
        "llamactl doctor my-llama --fix",
        "llamactl doctor my-llama -o json | jq .cause",
        "llamactl doctor cluster",
        "llamactl doctor --log server.log",
        "kubectl logs --previous --tail=400 POD | llamactl doctor --log -",
    ],
)
@click.argument("name", required=False, shell_complete=deployment_names)
@click.option(
    "--log",
    "path",
    type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True),
    help="Judge a log of vLLM in a file, as kubectl prints it; - is the standard input.",
)
@click.option("--fix", is_flag=True, help="Show the change of the spec that mends it, and make it.")
@click.option("-y", "--yes", is_flag=True, help="Make it without asking.")
@options.output(*FORMATS)
@options.cluster
def command(name: str | None, path: str | None, fix: bool, yes: bool, fmt: str) -> None:
    """Name what is wrong with deployment NAME, what it means, and what mends it.

    It reads the object, its conditions, pods, events, the log of servers that ended and the last
    words of the weights Job, and judges them as the operator does for the condition Degraded.
    --fix shows the change of the spec, has the API server judge it, asks and makes it. The exit
    code is 0 where nothing is wrong or the fix was made, and 1 where something is wrong.

    `llamactl doctor cluster` looks at the cluster instead: CRDs, operator, rights, GPUs, storage and
    what else may be installed, and says what each means. The exit code is 1 where something is
    missing that deployments need. (A deployment of that name is llama/cluster.)

    With --log it judges a log offline and needs no cluster. A cause that is not known is Unknown,
    with the line that tells most; so is a log without a failure. Both end with exit code 0. The
    fix is a patch for `kubectl patch llama NAME --type=merge`, empty where no field mends it.
    """
    if (name is None) == (path is None):
        raise click.UsageError("name a deployment, or a log with --log FILE")
    if path is not None and (fix or yes):
        raise click.UsageError("--fix changes a deployment; name it instead of --log")
    if name == CLUSTER and (fix or yes):
        raise click.UsageError("--fix changes a deployment, not the cluster")
    if path is not None:
        _judge_log(path, fmt)
    elif name == CLUSTER:
        _check_cluster(fmt)
    else:
        _check_up(str(name).removeprefix(PREFIX), fmt, fix=fix, yes=yes)


def _judge_log(path: str, fmt: str) -> None:
    from llamactl import doctor_view

    verdict = doctor_view.judge(path)
    if fmt == "text":
        output.data(doctor_view.page(verdict, output.width()))
    else:
        output.document(doctor_view.document(verdict), fmt)


def _check_up(name: str, fmt: str, *, fix: bool, yes: bool) -> None:
    from llamactl import checkup, doctor_page, findings
    from llamactl.kube import open_cluster

    kube = open_cluster()
    seen = checkup.read(kube, name)
    found = findings.find(seen)
    if fmt == "text":
        output.data(doctor_page.page(seen, found, output.width()))
    else:
        output.document(doctor_page.document(seen, found), fmt)
    if not found:
        return
    if not fix:
        _offer(kube, name, found)
        _exit(1)
    _mend(kube, seen.deployment, found, yes=yes)


def _check_cluster(fmt: str) -> None:
    from llama_operator import __version__
    from llamactl import cluster_checks, cluster_facts, cluster_page
    from llamactl.kube import open_cluster

    facts = cluster_facts.read(open_cluster())
    checks = cluster_checks.run(facts, __version__)
    if fmt == "text":
        output.data(cluster_page.page(checks, facts.unread, output.width()))
    else:
        output.document(cluster_page.document(checks, facts.unread), fmt)
    if not cluster_page.healthy(checks):
        _exit(1)


def _offer(kube: Any, name: str, found: Any) -> None:
    if any(each.fix for each in found):
        output.talk("Make this change with:")
        output.hint(kube.settings.llamactl("doctor", name, "--fix"))


def _mend(kube: Any, deployment: Any, found: Any, *, yes: bool) -> None:
    from llamactl import fixing

    patch = next((each.fix for each in found if each.fix), None)
    if patch is None:
        output.talk("No field of the spec is known to mend this; do what the meaning says.")
        _exit(1)
    fixing.run(kube, deployment, patch, yes=yes)


def _exit(code: int) -> NoReturn:
    click.get_current_context().exit(code)
