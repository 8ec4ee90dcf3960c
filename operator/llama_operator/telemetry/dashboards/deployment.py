"""One deployment: plan against reality, requests, latency, cache, keys, GPUs."""

from __future__ import annotations

from llama_operator.telemetry.dashboards.grafana import (
    Dashboard,
    Query,
    Row,
    bars,
    heatmap,
    lines,
    quantiles,
    stat,
    table,
)
from llama_operator.telemetry.dashboards.words import OBJECT, each, mean, rate, total, variables

_BY = "namespace, name"
_LAYOUT = "model, gpu_product, tensor_parallel, pipeline_parallel, dtype"
_SHARES = (0.5, 0.95, 0.99)
_GPU = 'namespace=~"$namespace", pod=~"$name-.*"'
_DCGM = "NVIDIA's dcgm-exporter, whose series carry the pod's namespace and name"


def _seconds(title: str, metric: str, text: str = "") -> tuple[str, tuple[Query, ...], str]:
    return title, quantiles(f"vllm:{metric}", OBJECT, _BY, *_SHARES), text


_NOW = Row(
    "Now",
    (
        stat("Ready", Query(each("llama_operator_ready"))),
        stat(
            "Replicas",
            Query(each("llama_operator_replicas_ready"), "ready"),
            Query(each("llama_operator_replicas_wanted"), "wanted"),
        ),
        stat("Requests that run", Query(total("vllm:num_requests_running"))),
        stat("Requests that wait", Query(total("vllm:num_requests_waiting"))),
        stat("KV cache in use", Query(each("vllm:kv_cache_usage_perc")), unit="percentunit"),
        stat("Tokens a second", Query(rate("vllm:generation_tokens_total"))),
        table(
            "State",
            Query(each("llama_operator_deployment_state", f"{_BY}, state")),
            width=12,
            height=5,
        ),
        table(
            "What is wrong",
            Query(each("llama_operator_degraded", f"{_BY}, cause")),
            width=12,
            height=5,
            text="Empty is good. The runbooks say what to do.",
            apart="nothing is wrong with a server that answers",
        ),
    ),
)

_PLAN = Row(
    "Plan against reality",
    (
        table(
            "Plan",
            Query(each("llama_operator_plan_gpus", _BY), "GPUs of a replica"),
            Query(each("llama_operator_plan_kv_tokens", _BY), "KV tokens planned"),
            Query(each("llama_operator_observed_kv_tokens", _BY), "KV tokens found"),
            Query(each("llama_operator_plan_max_model_len", _BY), "context planned"),
            Query(each("llama_operator_observed_max_model_len", _BY), "context served"),
            Query(each("llama_operator_plan_max_num_seqs", _BY), "sequences at once"),
            Query(each("llama_operator_plan_info", f"{_BY}, {_LAYOUT}")),
            height=5,
        ),
        table(
            "Cache, as vLLM made it",
            Query(
                "max by (namespace, name, pod, num_gpu_blocks, block_size, cache_dtype, "
                f"gpu_memory_utilization) (vllm:cache_config_info{{{OBJECT}}})"
            ),
            width=12,
            height=5,
        ),
        bars(
            "Last start",
            Query(each("llama_operator_last_start_seconds", f"{_BY}, phase"), "{{phase}}"),
            unit="s",
            width=12,
            height=5,
        ),
    ),
)

_REQUESTS = Row(
    "Requests",
    (
        lines(
            "Requests a second, by how they ended",
            Query(rate("vllm:request_success_total", "finished_reason"), "{{finished_reason}}"),
            unit="reqps",
            width=6,
            stacked=True,
        ),
        lines(
            "HTTP answers a second, by status",
            Query(rate("http_requests_total", "status"), "{{status}}"),
            unit="reqps",
            width=6,
            stacked=True,
        ),
        lines(
            "Tokens a second",
            Query(rate("vllm:prompt_tokens_total"), "prompt"),
            Query(rate("vllm:generation_tokens_total"), "generated"),
            width=6,
        ),
        lines(
            "Requests in the server",
            Query(total("vllm:num_requests_running", "pod"), "run {{pod}}"),
            Query(total("vllm:num_requests_waiting", "pod"), "wait {{pod}}"),
            width=6,
        ),
        lines(
            "Tokens of a prompt",
            *quantiles("vllm:request_prompt_tokens", OBJECT, _BY, 0.5, 0.95),
            width=12,
        ),
        lines(
            "Tokens of an answer",
            *quantiles("vllm:request_generation_tokens", OBJECT, _BY, 0.5, 0.95),
            width=12,
        ),
    ),
)

_LATENCY = Row(
    "Latency",
    (
        *(
            lines(title, *queries, unit="s", text=text)
            for title, queries, text in (
                _seconds("First token", "time_to_first_token_seconds"),
                _seconds("Between tokens", "inter_token_latency_seconds"),
                _seconds("Whole request", "e2e_request_latency_seconds"),
            )
        ),
        heatmap("First token, all requests", "vllm:time_to_first_token_seconds", OBJECT, width=12),
        lines(
            "Where the time goes",
            *(
                Query(mean(f"vllm:request_{part}_time_seconds"), part)
                for part in ("queue", "prefill", "decode")
            ),
            unit="s",
            width=12,
            stacked=True,
            text="Means of a request.",
        ),
    ),
)

_CACHE = Row(
    "KV cache",
    (
        lines(
            "In use",
            Query(each("vllm:kv_cache_usage_perc", "pod"), "{{pod}}"),
            unit="percentunit",
        ),
        lines(
            "Tokens of prompts found in it",
            Query(
                f"{rate('vllm:prefix_cache_hits_total')} / {rate('vllm:prefix_cache_queries_total')}",
                "found",
            ),
            unit="percentunit",
        ),
        lines(
            "Requests thrown out a second",
            Query(rate("vllm:num_preemptions_total", "pod"), "{{pod}}"),
            text="Preemptions: computed again later. More than none means too small a cache.",
        ),
    ),
)

_KEYS = Row(
    "Keys",
    (
        lines(
            "Requests a second, by key",
            Query(rate("llama_guard_requests_total", "key"), "{{key}}"),
            unit="reqps",
            stacked=True,
            text="The name of the key's entry in the Secret; empty with spec.auth.mode None.",
        ),
        lines(
            "Tokens a second, by key",
            Query(rate("llama_guard_tokens_total", "key, kind"), "{{key}} {{kind}}"),
            text="As the answers told; streams tell with stream_options.include_usage.",
        ),
        lines(
            "Requests refused a second",
            Query(rate("llama_guard_refused_total", "reason"), "{{reason}}"),
            unit="reqps",
            stacked=True,
        ),
    ),
)

_GPUS = Row(
    "GPUs",
    tuple(
        lines(title, Query(f"avg by (pod, gpu) ({metric}{{{_GPU}}})", "{{pod}} {{gpu}}"),
              unit=unit, text=f"Needs {_DCGM}.", apart=_DCGM)
        for title, metric, unit in (
            ("Busy", "DCGM_FI_DEV_GPU_UTIL", "percent"),
            ("Memory in use", "DCGM_FI_DEV_FB_USED", "decmbytes"),
            ("Power", "DCGM_FI_DEV_POWER_USAGE", "watt"),
        )
    ),
)  # fmt: skip

DASHBOARD = Dashboard(
    uid="llama-deployment",
    title="Llama / Deployment",
    text="One LlamaDeployment: plan against reality, requests, latency, cache, keys, GPUs.",
    variables=variables("llama_operator_deployment_state", multi=False),
    rows=(_NOW, _PLAN, _REQUESTS, _LATENCY, _CACHE, _KEYS, _GPUS),
)
