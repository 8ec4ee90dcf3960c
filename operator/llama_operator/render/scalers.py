"""Who sets the replicas: a ScaledObject of KEDA, or a HorizontalPodAutoscaler.

Both target the LlamaDeployment and never its child: the operator gives the child what the spec
says, so a child that is scaled would be scaled back.
"""

from __future__ import annotations

from llama_operator.api import labels
from llama_operator.api.v1alpha1 import API_VERSION, DEPLOYMENT_KIND
from llama_operator.api.v1alpha1_autoscaling import AutoscalingSpec, ScalingTarget
from llama_operator.render import activator
from llama_operator.render.inputs import Object, Serving
from llama_operator.render.meta import metadata

KEDA_API = "keda.sh/v1alpha1"
POLL_SECONDS = 15
# The activator decides when there is to be none; KEDA is told when it has happened.
COOLDOWN_SECONDS = 30
# Names of a metrics adapter, whose API takes no colon; the rules are in docs/autoscaling.md.
HPA_METRICS = {
    "WaitingRequests": "vllm_num_requests_waiting",
    "KVCacheUsage": "vllm_kv_cache_usage_perc",
}


def scalers(serving: Serving) -> list[Object]:
    """None or one object."""
    if serving.scaling is None or serving.spec.autoscaling is None:
        return []
    made = {"KEDA": _scaled_object, "HPA": _hpa}.get(serving.scaling.scaler)
    return [made(serving, serving.spec.autoscaling)] if made else []


def _reference() -> Object:
    return {"apiVersion": API_VERSION, "kind": DEPLOYMENT_KIND}


def _bounds(serving: Serving, wanted: AutoscalingSpec) -> tuple[int, int]:
    most = max(1, serving.scaling.max_replicas if serving.scaling else 1)
    return min(wanted.min_replicas, most), most


# -- HorizontalPodAutoscaler ----------------------------------------------------------------------


def _hpa(serving: Serving, wanted: AutoscalingSpec) -> Object:
    least, most = _bounds(serving, wanted)
    metrics = [_pods_metric(each) for each in wanted.targets if each.metric in HPA_METRICS]
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(serving.owner, serving.owner.name, labels.SERVER),
        "spec": {
            "scaleTargetRef": {**_reference(), "name": serving.owner.name},
            # It does nothing while there are 0; from and to 0 is the activator's.
            "minReplicas": max(1, least),
            "maxReplicas": most,
            "metrics": metrics,
        },
    }


def _pods_metric(target: ScalingTarget) -> Object:
    # vLLM tells the usage as a fraction.
    value = f"{target.value * 10}m" if target.metric == "KVCacheUsage" else str(target.value)
    return {
        "type": "Pods",
        "pods": {
            "metric": {"name": HPA_METRICS[target.metric]},
            "target": {"type": "AverageValue", "averageValue": value},
        },
    }


# -- KEDA -----------------------------------------------------------------------------------------


def _scaled_object(serving: Serving, wanted: AutoscalingSpec) -> Object:
    least, most = _bounds(serving, wanted)
    triggers = [_trigger(serving, each) for each in wanted.targets]
    if serving.to_zero:
        triggers.append(_activity(serving))
    return {
        "apiVersion": KEDA_API,
        "kind": "ScaledObject",
        "metadata": metadata(serving.owner, serving.owner.name, labels.SERVER),
        "spec": {
            "scaleTargetRef": {**_reference(), "name": serving.owner.name},
            "pollingInterval": POLL_SECONDS,
            "cooldownPeriod": COOLDOWN_SECONDS,
            "minReplicaCount": least,
            "maxReplicaCount": most,
            "triggers": triggers,
        },
    }


def _trigger(serving: Serving, target: ScalingTarget) -> Object:
    of = f'namespace="{serving.owner.namespace}",name="{serving.owner.name}"'
    # A sum against an average per replica asks for the same number of replicas at each look,
    # however many there are by now; a time to the first token can only be compared.
    query, kind = {
        "WaitingRequests": (f"sum(vllm:num_requests_waiting{{{of}}})", "AverageValue"),
        "KVCacheUsage": (f"100 * sum(vllm:kv_cache_usage_perc{{{of}}})", "AverageValue"),
        "TimeToFirstToken": (_first_token(of), "Value"),
    }[target.metric]
    return {
        "type": "prometheus",
        "name": target.metric.lower(),
        "metricType": kind,
        "metadata": {
            "serverAddress": serving.settings.prometheus_address,
            "query": query,
            "threshold": str(target.value),
        },
    }


def _first_token(of: str) -> str:
    buckets = f"sum by (le) (rate(vllm:time_to_first_token_seconds_bucket{{{of}}}[2m]))"
    # Without requests the quantile is no number, which a comparison drops.
    return f"(1000 * histogram_quantile(0.95, {buckets}) >= 0) or vector(0)"


def _activity(serving: Serving) -> Object:
    """Keeps KEDA from taking away what the activator has asked for, or has left."""
    return {
        "type": "metrics-api",
        "name": "activity",
        "metricType": "AverageValue",
        "metadata": {
            "url": activator.activity_url(serving),
            "valueLocation": "active",
            "targetValue": "1",
        },
    }
