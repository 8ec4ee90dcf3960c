"""All deployments at a glance: what there is, what is wrong, what it does."""

from __future__ import annotations

from llama_operator.telemetry.dashboards.grafana import (
    Dashboard,
    Query,
    Row,
    bars,
    lines,
    quantiles,
    stat,
    table,
)
from llama_operator.telemetry.dashboards.words import OBJECT, each, rate, total, variables

_NAME = "{{namespace}}/{{name}}"
_STARTS = "llama_operator_cold_start_seconds"
_LAYOUT = "namespace, name, model, gpu_product, tensor_parallel, pipeline_parallel, dtype"

DASHBOARD = Dashboard(
    uid="llama-fleet",
    title="Llama / Fleet",
    text="All LlamaDeployments: what there is, what is wrong, what it does.",
    variables=variables("llama_operator_deployment_state"),
    rows=(
        Row(
            "Now",
            (
                stat("Deployments", Query(f"count({each('llama_operator_replicas_wanted')})")),
                stat("Ready", Query(f"sum({each('llama_operator_ready')})")),
                stat("Degraded", Query(f"count({each('llama_operator_degraded')}) or vector(0)")),
                stat(
                    "Replicas",
                    Query(f"sum({each('llama_operator_replicas_ready')})", "ready"),
                    Query(f"sum({each('llama_operator_replicas_wanted')})", "wanted"),
                ),
                stat(
                    "GPUs planned",
                    Query(
                        f"sum({each('llama_operator_plan_gpus')}"
                        f" * {each('llama_operator_replicas_wanted')})"
                    ),
                ),
                stat("Tokens a second", Query(f"sum({rate('vllm:generation_tokens_total')})")),
            ),
        ),
        Row(
            "State",
            (
                lines(
                    "Deployments by state",
                    Query(
                        "sum by (state) (max by (namespace, state) "
                        '(llama_operator_deployments{namespace=~"$namespace"}))',
                        "{{state}}",
                    ),
                    width=12,
                    stacked=True,
                ),
                lines(
                    "What is wrong",
                    Query(
                        f"count by (cause) ({each('llama_operator_degraded', 'namespace, name, cause')})",
                        "{{cause}}",
                    ),
                    width=12,
                    stacked=True,
                    text="Deployments by the cause in their condition Degraded; empty is good.",
                ),
                lines(
                    "Size and load do not fit",
                    Query(
                        f"count by (reason) "
                        f"({each('llama_operator_sizing_advice', 'namespace, name, reason')})",
                        "{{reason}}",
                    ),
                    width=24,
                    stacked=True,
                    text="Deployments with advice in status.sizingAdvice; empty is good.",
                    apart="advice is given after an hour of load",
                ),
                table(
                    "Deployments",
                    Query(each("llama_operator_deployment_state", "namespace, name, state")),
                    Query(each("llama_operator_replicas_ready"), "ready"),
                    Query(each("llama_operator_replicas_wanted"), "wanted"),
                    Query(each("llama_operator_plan_gpus"), "GPUs of a replica"),
                    Query(each("llama_operator_plan_info", _LAYOUT)),
                ),
            ),
        ),
        Row(
            "Load",
            (
                lines(
                    "Tokens a second", Query(rate("vllm:generation_tokens_total"), _NAME), width=6
                ),
                lines(
                    "Requests that wait", Query(total("vllm:num_requests_waiting"), _NAME), width=6
                ),
                lines(
                    "KV cache in use",
                    Query(each("vllm:kv_cache_usage_perc"), _NAME),
                    unit="percentunit",
                    width=6,
                    text="Of the fullest server of each deployment.",
                ),
                lines(
                    "First token, p95",
                    *quantiles("vllm:time_to_first_token_seconds", OBJECT, "namespace, name", 0.95),
                    unit="s",
                    width=6,
                ),
            ),
        ),
        Row(
            "Starts",
            (
                bars(
                    "Seconds of a start, by phase",
                    Query(
                        f"sum by (phase) ({_STARTS}_sum) / sum by (phase) ({_STARTS}_count)",
                        "{{phase}}",
                    ),
                    unit="s",
                    width=12,
                    text="Mean since the operator began. load, compile and graphs are parts of startup.",
                ),
                lines(
                    "Starts",
                    Query(f'sum({_STARTS}_count{{phase="startup"}})', "starts"),
                    width=12,
                    text="Servers that became ready since the operator began.",
                ),
            ),
        ),
    ),
)
