"""Real Prometheus and promtool for tests of alerts and dashboards: Debian's own package."""
