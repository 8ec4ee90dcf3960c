"""The `llamactl` command: the list of commands, the shared flags and the exit codes."""

from __future__ import annotations

from typing import NoReturn

import click

from llamactl import options
from llamactl.command import WIDTH, LazyGroup

SECTIONS = {
    "Choose a model": {
        "models": "List, show and compare the Llama models that can be served.",
        "plan": "Work out GPUs, parallelism, context and memory, without a cluster.",
    },
    "Serve it": {
        "deploy": "Serve a model: weights, GPUs, server and endpoint.",
        "list": "List what is deployed.",
        "status": "Show one deployment: conditions, plan, weights, pods, endpoint.",
        "scale": "Set the number of replicas of a deployment.",
        "set": "Set fields of a deployment, and say what restarts.",
        "apply": "Make or change what a manifest says.",
        "rollout": "Follow a rollout, list revisions, and go back to one.",
        "delete": "Delete a deployment; its weights are kept.",
        "logs": "Print the logs of its servers and of the Jobs of its weights.",
        "doctor": "Say what is wrong with a deployment or in a log, and mend it.",
    },
    "Keep it": {
        "key": "Show, rotate, add and revoke the API keys of an endpoint.",
        "weights": "List, add, verify and remove copies of weights; renew Meta's URL.",
    },
    "Use it": {
        "chat": "Talk with a deployed model.",
        "complete": "Let a deployed model continue a text.",
        "bench": "Measure an endpoint: first token, time per token, throughput.",
    },
    "Prepare a cluster": {
        "crds": "Install or upgrade the kinds LlamaDeployment and LlamaWeights.",
    },
    "Other": {
        "support-bundle": "Write all about a deployment into a file, without secrets.",
        "completion": "Print the completion script of a shell.",
        "version": "Print the versions of this command and of the cluster.",
    },
}
EXAMPLES = (
    "llamactl plan 70b --gpu H100 --gpus 8",
    "llamactl deploy 70b --gpus 8",
    'llamactl chat llama-3-3-70b-instruct "What is the capital of France?"',
)
EPILOG = """\b
Exit codes:
  0    done
  1    failed; stderr says what, and what to do
  2    wrong usage: an argument, an option or a value
  3    not ready in time (--timeout)
  130  interrupted with Ctrl-C
  141  nobody reads the answer any more (a closed pipe)

Answers go to stdout, everything else to stderr. NO_COLOR=1 turns colour off, LLAMACTL_DEBUG=1
adds the traceback of an error."""


@click.group(
    cls=LazyGroup,
    package="llamactl.commands",
    sections=SECTIONS,
    aliases={"get": "list", "ls": "list", "rm": "delete"},
    examples=EXAMPLES,
    epilog=EPILOG,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": WIDTH,
        "auto_envvar_prefix": None,
    },
)
@options.cluster
def cli() -> None:
    """Serve Llama models on Kubernetes."""


def main() -> NoReturn:
    """Entry point of the scripts `llamactl` and `kubectl-llama`."""
    cli.main()
