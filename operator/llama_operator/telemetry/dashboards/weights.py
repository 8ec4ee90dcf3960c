"""Copies of weights: which there are, how those that come are doing, when their URLs end."""

from __future__ import annotations

from llama_operator.telemetry.dashboards.grafana import Dashboard, Query, Row, lines, stat, table
from llama_operator.telemetry.dashboards.words import OBJECT, each, variables

_NAME = "{{namespace}}/{{name}}"
_W = "llama_operator_weights"
_LEFT = f"({each(f'{_W}_bytes')} - {each(f'{_W}_done_bytes')})"

DASHBOARD = Dashboard(
    uid="llama-weights",
    title="Llama / Weights",
    text="All LlamaWeights: which there are, how those that come are doing, when URLs end.",
    variables=variables(f"{_W}_state"),
    rows=(
        Row(
            "Now",
            (
                stat("Copies", Query(f"count({each(f'{_W}_ready')})"), width=6),
                stat("Ready", Query(f"sum({each(f'{_W}_ready')})"), width=6),
                stat("Bytes in all", Query(f"sum({each(f'{_W}_bytes')})"), unit="bytes", width=6),
                stat("Bytes to come", Query(f"sum({_LEFT})"), unit="bytes", width=6),
                table(
                    "Copies",
                    Query(each(f"{_W}_state", "namespace, name, state")),
                    Query(each(f"{_W}_bytes"), "bytes"),
                    Query(each(f"{_W}_done_bytes"), "there"),
                    Query(each(f"{_W}_users"), "deployments"),
                ),
                lines(
                    "Copies by state",
                    Query(
                        "sum by (state) (max by (namespace, state) "
                        f'({_W}{{namespace=~"$namespace"}}))',
                        "{{state}}",
                    ),
                    width=12,
                    stacked=True,
                ),
                lines(
                    "Since every byte was compared",
                    Query(f"time() - {each(f'{_W}_verified_timestamp_seconds')}", _NAME),
                    unit="s",
                    width=12,
                ),
            ),
        ),
        Row(
            "On their way",
            (
                lines(
                    "There",
                    Query(f"{each(f'{_W}_done_bytes')} / {each(f'{_W}_bytes')}", _NAME),
                    unit="percentunit",
                ),
                lines("Speed", Query(each(f"{_W}_bytes_per_second"), _NAME), unit="Bps"),
                lines(
                    "Time left",
                    Query(each(f"{_W}_eta_seconds"), _NAME),
                    unit="s",
                ),
                lines(
                    "Time until Meta's URL ends",
                    Query(f"{each(f'{_W}_url_expiry_timestamp_seconds')} - time()", _NAME),
                    unit="s",
                    width=24,
                    text="Below the time left a new URL is needed. Nothing is lost by that.",
                ),
            ),
        ),
        Row(
            "Jobs",
            (
                lines(
                    "What they are at",
                    Query(
                        f"sum by (namespace, name, phase) (llama_weights_phase{{{OBJECT}}})",
                        f"{_NAME} {{{{phase}}}}",
                    ),
                    width=6,
                ),
                lines(
                    "Came over the network",
                    Query(each("llama_weights_fetched_bytes"), _NAME),
                    unit="bytes",
                    width=6,
                ),
                lines(
                    "Speed",
                    Query(each("llama_weights_bytes_per_second"), _NAME),
                    unit="Bps",
                    width=6,
                ),
                lines("Requests made again", Query(each("llama_weights_retries"), _NAME), width=6),
            ),
        ),
    ),
)
