"""Grafana dashboards, described in a few lines each; `make generate` writes their JSON.

A dashboard by hand is two thousand lines in which nobody sees a wrong query. What Grafana wants
besides is in `grafana.py`, once.
"""

from llama_operator.telemetry.dashboards import deployment, fleet, operator, weights

ALL = (fleet.DASHBOARD, deployment.DASHBOARD, weights.DASHBOARD, operator.DASHBOARD)

__all__ = ["ALL"]
