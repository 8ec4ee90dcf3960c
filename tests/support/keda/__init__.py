"""KEDA, as far as tests need it: the real definition of ScaledObject. Its controller is not run."""

from __future__ import annotations

from pathlib import Path

CRD = Path(__file__).with_name("scaledobjects.yaml")
NAME = "scaledobjects.keda.sh"
