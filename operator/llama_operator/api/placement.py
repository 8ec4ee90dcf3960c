"""Structural schemas of affinity, topology spread and network peers.

Kept apart from the other Kubernetes leaves because they nest; written with small builders
because the same selector appears in seven places.
"""

from __future__ import annotations

from typing import Final

from llama_operator.api.leaves import (
    LABEL_VALUE,
    Schema,
    array,
    integer,
    obj,
    string_map,
    text,
)

_TERMS = 16


def _expression(operators: tuple[str, ...]) -> Schema:
    return obj(
        "One requirement on a label.",
        {
            "key": text("Key of the label.", 316),
            "operator": text(f"One of {', '.join(operators)}.", 16, enum=list(operators)),
            "values": array(
                "Values to compare with; empty for Exists and DoesNotExist.",
                {"type": "string", "maxLength": 63},
                64,
            ),
        },
        ("key", "operator"),
    )


def _label_selector(description: str) -> Schema:
    return obj(
        description,
        {
            "matchLabels": string_map(
                "Labels that must have exactly these values.", 16, LABEL_VALUE
            ),
            "matchExpressions": array(
                "Requirements that must all hold.",
                _expression(("In", "NotIn", "Exists", "DoesNotExist")),
                _TERMS,
            ),
        },
    )


def _keys(description: str) -> Schema:
    return array(description, {"type": "string", "maxLength": 316}, 16)


_NODE_EXPRESSION = _expression(("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"))
_NODE_TERM = obj(
    "A set of requirements on a node, all of which must hold.",
    {
        "matchExpressions": array("Requirements on the node's labels.", _NODE_EXPRESSION, _TERMS),
        "matchFields": array("Requirements on the node's fields.", _NODE_EXPRESSION, _TERMS),
    },
)
_WEIGHT = integer("Preference from 1 to 100; the sum decides.", minimum=1, maximum=100)

_NODE_AFFINITY = obj(
    "Rules about the nodes that pods may run on.",
    {
        "requiredDuringSchedulingIgnoredDuringExecution": obj(
            "Nodes must match one of the terms.",
            {"nodeSelectorTerms": array("Terms, one of which must hold.", _NODE_TERM, _TERMS)},
            ("nodeSelectorTerms",),
        ),
        "preferredDuringSchedulingIgnoredDuringExecution": array(
            "Nodes that match are preferred.",
            obj(
                "A preference.",
                {"weight": _WEIGHT, "preference": _NODE_TERM},
                ("weight", "preference"),
            ),
            _TERMS,
        ),
    },
)

_POD_TERM = obj(
    "Pods, and the topology within which they count.",
    {
        "labelSelector": _label_selector("Pods by their labels."),
        "namespaceSelector": _label_selector("Namespaces of the pods by their labels."),
        "namespaces": array(
            "Namespaces of the pods; auto: the own one.", {"type": "string", "maxLength": 63}, 32
        ),
        "topologyKey": text("Node label whose equal values make one place.", 316),
        "matchLabelKeys": _keys("Label keys whose own values are added to the selector."),
        "mismatchLabelKeys": _keys("Label keys whose own values are excluded."),
    },
    ("topologyKey",),
)


def _pod_affinity(description: str) -> Schema:
    weighted = obj(
        "A preference.",
        {"weight": _WEIGHT, "podAffinityTerm": _POD_TERM},
        ("weight", "podAffinityTerm"),
    )
    return obj(
        description,
        {
            "requiredDuringSchedulingIgnoredDuringExecution": array(
                "Terms that must all hold.", _POD_TERM, _TERMS
            ),
            "preferredDuringSchedulingIgnoredDuringExecution": array(
                "Terms that are preferred.", weighted, _TERMS
            ),
        },
    )


AFFINITY: Final = obj(
    "Rules about nodes and neighbours, as in a pod.",
    {
        "nodeAffinity": _NODE_AFFINITY,
        "podAffinity": _pod_affinity("Pods to run near to."),
        "podAntiAffinity": _pod_affinity("Pods to keep away from."),
    },
)

_POLICY = ["Honor", "Ignore"]
TOPOLOGY_SPREAD: Final = obj(
    "How evenly replicas are spread, as in a pod.",
    {
        "maxSkew": integer("Largest difference of pods between two places.", minimum=1),
        "topologyKey": text("Node label whose equal values make one place.", 316),
        "whenUnsatisfiable": text(
            "DoNotSchedule or ScheduleAnyway.", 32, enum=["DoNotSchedule", "ScheduleAnyway"]
        ),
        "labelSelector": _label_selector("Pods that count; auto: the servers of this object."),
        "minDomains": integer("Fewest places, with DoNotSchedule.", minimum=1),
        "nodeAffinityPolicy": text(
            "Honor or Ignore node affinity; default Honor.", 16, enum=_POLICY
        ),
        "nodeTaintsPolicy": text("Honor or Ignore taints; default Ignore.", 16, enum=_POLICY),
        "matchLabelKeys": _keys("Label keys whose own values are added to the selector."),
    },
    ("maxSkew", "topologyKey", "whenUnsatisfiable"),
)

NETWORK_PEER: Final = obj(
    "Who may connect, as in a NetworkPolicy: selectors or an address range.",
    {
        "podSelector": _label_selector(
            "Pods by label; of the own namespace without the next field."
        ),
        "namespaceSelector": _label_selector("Namespaces by label."),
        "ipBlock": obj(
            "A range of addresses; not together with selectors.",
            {
                "cidr": text("The range, such as 10.0.0.0/8.", 64, minLength=1),
                "except": array(
                    "Ranges within it that may not.", {"type": "string", "maxLength": 64}, 32
                ),
            },
            ("cidr",),
        ),
    },
)
