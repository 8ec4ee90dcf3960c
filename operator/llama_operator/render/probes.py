"""Probes: vLLM's /health refuses connections until it can answer, so one path serves all three.

Slow starts are killed by constants: the startup probe's budget grows with the bytes to load. A
probe cannot be changed while its pod runs, so the budget is generous; a start that hangs is told
by the silence of its log long before.
"""

from __future__ import annotations

import math

from llama_operator.api.quantity import parse_duration
from llama_operator.render.inputs import Object, Serving

PERIOD_SECONDS = 5
# Assumed for a slow network volume; a local disk is several times faster.
READ_BYTES_PER_SECOND = 100 * 10**6
# Imports, compilation and CUDA graphs, all cold, took 118 s for an 8B on an H100 and 151 s
# at tensor parallel 2: five times that leaves room for slower machines.
FIXED_SECONDS = 600
GENEROUS = 2


def read_speed(measured: float) -> float:
    """Bytes a second to reckon with: a fast read may have come from the page cache, a slow one not."""
    return min(measured or READ_BYTES_PER_SECOND, READ_BYTES_PER_SECOND)


def startup_seconds(serving: Serving) -> int:
    """How long a server may take to its first healthy answer."""
    budget = serving.spec.startup.budget
    if budget != "auto":
        return math.ceil(parse_duration(budget, "spec.startup.budget"))
    loading = serving.weights.bytes / read_speed(serving.measured_speed)
    return GENEROUS * (FIXED_SECONDS + math.ceil(loading))


def allowed_seconds(template: Object) -> int:
    """How long a server of this template may take: what its startup probe says."""
    probe = template["spec"]["containers"][0]["startupProbe"]
    return int(probe["failureThreshold"]) * int(probe["periodSeconds"])


def probes(serving: Serving) -> Object:
    """Startup, readiness and liveness probe of the engine's container."""
    check = {"httpGet": {"path": "/health", "port": "http", "scheme": "HTTP"}}
    failures = max(1, math.ceil(startup_seconds(serving) / PERIOD_SECONDS))
    common = {**check, "periodSeconds": PERIOD_SECONDS, "timeoutSeconds": 5, "successThreshold": 1}
    return {
        "startupProbe": {**common, "failureThreshold": failures},
        "readinessProbe": {**common, "failureThreshold": 3},
        # A dead engine ends vLLM by itself; this one is for a process that hangs.
        "livenessProbe": {**common, "periodSeconds": 10, "failureThreshold": 6},
    }
