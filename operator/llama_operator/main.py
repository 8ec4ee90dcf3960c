"""`llama-operator`: the process that reconciles, and the manifests it needs."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from llama_operator import __version__, metrics_options, option_values
from llama_operator.activator.options import with_options
from llama_operator.config import Config
from llama_operator.render.inputs import Settings

_ENV = "LLAMA_OPERATOR"
LOST_LEASE_EXIT = 3


@click.group(context_settings={"auto_envvar_prefix": _ENV, "max_content_width": 100})
@click.version_option(__version__, prog_name="llama-operator")
def main() -> None:
    """Serve Llama models on Kubernetes.

    Every option can be set by an environment variable: LLAMA_OPERATOR_RUN_<OPTION>.
    """


@main.command()
@click.option("--kubeconfig", default="", help="Kubeconfig file; in a pod its own account is used.")
@click.option("--context", default="", help="Context of the kubeconfig.")
@click.option("--watch-namespace", default="", help="Only this namespace; default: all.")
@click.option(
    "--workers",
    default=4,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Objects that are worked on at once.",
)
@click.option(
    "--leader-elect/--no-leader-elect",
    default=True,
    show_default=True,
    help="Work only with the lease, so that one of several processes does.",
)
@click.option(
    "--operator-namespace",
    default="llama-system",
    show_default=True,
    help="Namespace of the lease; servers let connections from it in.",
)
@metrics_options.with_options
@click.option("--weights-image", default="", help="Image of the weights Jobs.")
@click.option("--weights-runtime-class", default="", help="RuntimeClass of the weights Jobs.")
@click.option(
    "--hf-endpoint", default="", help="Hub where a source names none; default: Hugging Face."
)
@click.option(
    "--hf-token-secret", default="hf-token", show_default=True, help="Used if it is there."
)
@click.option(
    "--pod-user-id",
    default=10001,
    show_default=True,
    type=click.IntRange(0, 2**31 - 1),
    help="User and group of all pods; 0: the cluster gives them (OpenShift).",
)
@click.option(
    "--monitoring-namespace",
    "monitoring",
    multiple=True,
    default=("monitoring",),
    show_default=True,
    help="Namespace of Prometheus, which may connect to servers; empty: none. Repeatable.",
)
@click.option("--image-registry", default="", help="Registry that mirrors vLLM's default images.")
@click.option("--http-proxy", default="", help="Proxy of all pods for http:// addresses.")
@click.option("--https-proxy", default="", help="Proxy of all pods for https:// addresses.")
@click.option(
    "--no-proxy",
    multiple=True,
    help="Host, suffix or CIDR range reached without it; the cluster's own always are. Repeatable.",
)
@click.option(
    "--ca-bundle",
    default="",
    metavar="CONFIGMAP[/KEY]",
    help="ConfigMap of every namespace with the authorities that all pods trust; key ca.crt.",
)
@click.option(
    "--otlp-endpoint",
    default="",
    metavar="URL",
    help="Collector that servers send traces to; with a path OTLP over HTTP, else gRPC.",
)
@click.option(
    "--prometheus-address",
    default="",
    metavar="URL",
    help="Prometheus that KEDA asks for spec.autoscaling; empty: KEDA is not used.",
)
@click.option(
    "--keda-namespace",
    default="keda",
    show_default=True,
    help="Namespace of KEDA, which may ask activators.",
)
@click.option(
    "--group-env",
    multiple=True,
    metavar="NAME=VALUE",
    help="Variable of servers over several nodes, such as NCCL_SOCKET_IFNAME=eth0. Repeatable.",
)
@click.option(
    "--group-resource",
    multiple=True,
    metavar="NAME=COUNT",
    help="Resource of each of their pods, such as rdma/ib=1. Repeatable.",
)
@click.option("--activator-image", default="", help="Image of activators: that of the operator.")
@click.option(
    "--picker-image",
    default="",
    help="Image of what chooses servers for InferencePools; default: Gateway API's own.",
)
@click.option(
    "--gateway-namespace",
    "gateways",
    multiple=True,
    default=Settings.gateway_namespaces,
    show_default=True,
    help="Namespace of proxies that may connect to servers with a route or an Ingress, besides those of "
    "their Gateways; empty: none. Repeatable.",
)
@click.option("--models-file", default="", help="More models, in the catalogue's own form.")
@click.option(
    "--log-format",
    default="json",
    show_default=True,
    type=click.Choice(["json", "text"]),
    help="Form of the log.",
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning"]),
    help="Least level that is written.",
)
def run(**options: Any) -> None:
    """Reconcile until SIGTERM or SIGINT.

    Exit status: 0 after a signal, 1 when the cluster or a setting is of no use, 2 for wrong
    usage, 3 when the lease was lost (start again).

    \b
    Examples:
      llama-operator run --kubeconfig ~/.kube/config --no-leader-elect --log-format text
      llama-operator run --hf-endpoint https://hub.example.com
    """
    from llama_operator import loop
    from llama_operator.process import serve
    from llama_operator.runtime.manager import LeadershipLost

    try:
        loop.run(serve(_config(options)))
    except LeadershipLost as lost:
        click.echo(f"llama-operator: {lost}", err=True)
        sys.exit(LOST_LEASE_EXIT)
    except Exception as error:
        _end(error)


def _end(error: Exception) -> None:
    from llama_operator.api.errors import LlamaError
    from llama_operator.runtime.errors import ClusterError

    if not isinstance(error, LlamaError | ClusterError | OSError):
        raise error
    click.echo(f"llama-operator: {error}", err=True)
    sys.exit(1)


def _config(options: dict[str, Any]) -> Config:
    settings = Settings(
        weights_image=options["weights_image"] or Settings.weights_image,
        weights_runtime_class=options["weights_runtime_class"],
        hf_endpoint=options["hf_endpoint"].rstrip("/"),
        hf_token_secret=options["hf_token_secret"],
        user_id=options["pod_user_id"],
        operator_namespace=options["operator_namespace"],
        monitoring_namespaces=tuple(filter(None, options["monitoring"])),
        http_proxy=options["http_proxy"],
        https_proxy=options["https_proxy"],
        no_proxy=tuple(options["no_proxy"]),
        ca_bundle=option_values.bundle(options["ca_bundle"]),
        image_registry=options["image_registry"].rstrip("/"),
        otlp_endpoint=option_values.otlp(options["otlp_endpoint"]),
        prometheus_address=options["prometheus_address"].rstrip("/"),
        keda_namespace=options["keda_namespace"],
        group_env=option_values.pairs(options["group_env"], "--group-env"),
        group_resources=option_values.pairs(options["group_resource"], "--group-resource"),
        activator_image=options["activator_image"] or Settings.activator_image,
        picker_image=options["picker_image"] or Settings.picker_image,
        gateway_namespaces=tuple(filter(None, options["gateways"])),
    )
    return Config(
        kubeconfig=options["kubeconfig"],
        context=options["context"],
        watch_namespace=options["watch_namespace"],
        workers=options["workers"],
        leader_election=options["leader_elect"],
        health_host=options["health_host"],
        health_port=options["health_port"],
        metrics_tls_dir=options["metrics_tls_dir"],
        metrics_client_ca=option_values.client_ca(
            options["metrics_client_ca"], options["metrics_tls_dir"]
        ),
        metrics_per_object=options["metrics_per_object"],
        log_format=options["log_format"],
        log_level=options["log_level"],
        models_file=options["models_file"],
        settings=settings,
    )


@main.command()
@with_options
def activator(**options: Any) -> None:
    """Hold requests while one deployment has no replica; the operator starts this by itself.

    \b
    Examples:
      llama-operator activator --namespace default --name web --kubeconfig ~/.kube/config
    """
    from llama_operator import loop
    from llama_operator.activator.program import Options, serve

    try:
        loop.run(serve(Options(**options)))
    except Exception as error:
        _end(error)


@main.command()
@click.option(
    "--namespace",
    default="llama-system",
    show_default=True,
    help="Namespace of the operator and of its account.",
)
@click.option("--crds-only", is_flag=True, help="Only the custom resource definitions.")
def manifests(namespace: str, crds_only: bool) -> None:
    """Print what the operator needs in a cluster, as YAML.

    \b
    Examples:
      llama-operator manifests | kubectl apply --server-side -f -
      llama-operator manifests --crds-only
    """
    import yaml

    from llama_operator.install import manifests as objects

    wanted = [
        obj
        for obj in objects(namespace)
        if not crds_only or obj["kind"] == "CustomResourceDefinition"
    ]
    # Through JSON, so that shared parts are written out and not as YAML anchors.
    click.echo(yaml.safe_dump_all(json.loads(json.dumps(wanted)), sort_keys=False), nl=False)


if __name__ == "__main__":
    main()
