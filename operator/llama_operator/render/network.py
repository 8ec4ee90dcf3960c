"""The Service, the NetworkPolicy and the PodDisruptionBudget of a server."""

from __future__ import annotations

from llama_operator.api import labels
from llama_operator.render import group, peers
from llama_operator.render.flags import container_port
from llama_operator.render.inputs import Object, Serving
from llama_operator.render.meta import metadata, selector, selector_of


def objects(serving: Serving, *, grouped: bool) -> list[Object]:
    """All of them, as far as they are wanted; `grouped`: some servers are of several pods."""
    made = [service(serving)]
    if serving.spec.endpoint.network_policy.enabled:
        made.append(network_policy(serving, grouped=grouped))
        made += [group.policy(serving)] if grouped else []
    if serving.spec.replicas > 1:
        made.append(disruption_budget(serving, grouped=grouped))
    return made


def service(serving: Serving) -> Object:
    """A cluster address for all replicas that are ready.

    Where there may be none, the activator is behind it as well, always: nothing has to be switched
    at the moment when the first server comes or the last one goes.
    """
    port, pods = serving.spec.endpoint.port, selector(serving.owner, labels.SERVER)
    if serving.to_zero:
        del pods[labels.COMPONENT]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(serving.owner, serving.owner.name, labels.SERVER),
        "spec": {
            "type": "ClusterIP",
            "selector": pods,
            "ports": [{"name": "http", "port": port, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def network_policy(serving: Serving, *, grouped: bool = False) -> Object:
    """Lets in the own namespace, the operator and Prometheus, or whom the user names; and gateways.

    The guard asks for a key whoever connects; health and metrics answer without one.
    """
    port = {"port": container_port(serving), "protocol": "TCP"}
    meta = metadata(serving.owner, serving.owner.name, labels.SERVER)
    asking = {"from": [*peers.of(serving), *_own(serving)], "ports": [port]}
    ranks = [group.from_members(serving)] if grouped else []
    return peers.policy(meta, _servers(serving), [asking, *ranks])


def _servers(serving: Serving) -> Object:
    """All that answer, a canary as well for as long as one of its pods is left."""
    if serving.canary is not None:
        return selector_of(serving.owner, labels.SERVER, labels.TRIED)
    return {"matchLabels": selector(serving.owner, labels.SERVER)}


def _own(serving: Serving) -> list[Object]:
    """What we have beside the servers ourselves and that connects to them."""
    if not serving.spec.endpoint.network_policy.from_:
        return []  # the own namespace may connect anyway
    beside = {labels.ACTIVATOR: serving.to_zero, labels.PICKER: serving.gateway.pool}
    return [
        {"podSelector": {"matchLabels": selector(serving.owner, component)}}
        for component, there in beside.items()
        if there
    ]


def disruption_budget(serving: Serving, *, grouped: bool = False) -> Object:
    """Keeps a drain from taking more than `spec.disruption.maxUnavailable` servers at once.

    Of a group any pod counts, for none of its pods can be missed.
    """
    one = {"matchLabels": selector(serving.owner, labels.SERVER)}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(serving.owner, serving.owner.name, labels.SERVER),
        "spec": {
            "maxUnavailable": serving.spec.disruption.max_unavailable,
            "selector": group.members(serving) if grouped else one,
        },
    }
