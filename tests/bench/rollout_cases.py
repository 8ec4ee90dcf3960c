"""The rollouts that are played: what is changed on how many GPUs, and how it must end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llama_operator.api import labels
from tests.support.played_node import BAD_FLAG

Object = dict[str, Any]
NAME = "web"


@dataclass(frozen=True)
class Case:
    """A change of flags, and how it must end."""

    name: str
    replicas: int
    gpus: int
    strategy: str
    # Fewest servers that must answer at any time.
    floor: int
    bad: bool = False
    # Whether no old server may be stopped.
    untouched: bool = False
    # The change is one of the image; "": of a flag.
    image: str = ""
    rollout: Object = field(default_factory=dict)
    affinity: Object = field(default_factory=dict)

    @property
    def change(self) -> Object:
        """What is changed of `spec.engine`."""
        if self.image:
            return {"image": self.image, "vllmVersion": "0.24.0"}
        return {"args": [BAD_FLAG] if self.bad else ["--seed=7"]}

    @property
    def reason(self) -> str:
        """What `Progressing` must say in the end."""
        return "RevisionRejected" if self.bad else "RolloutComplete"


_APART = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {
                "labelSelector": {"matchLabels": {labels.DEPLOYMENT: NAME}},
                "topologyKey": "kubernetes.io/hostname",
            }
        ]
    }
}
IMAGE = Case("another image, 2 on 2", 2, 2, "InPlace", floor=1, image="example.com/vllm:v2")
IN_PLACE = Case("2 replicas on 2 GPUs", 2, 2, "InPlace", floor=1)
REJECTED = Case("bad flag, 2 on 3", 2, 3, "Surge", floor=2, bad=True, untouched=True)
CASES = (
    IN_PLACE,
    Case("8 replicas on 8 GPUs", 8, 8, "InPlace", floor=7),
    Case("8 replicas on 10 GPUs", 8, 10, "Surge", floor=8),
    Case("1 replica on 1 GPU", 1, 1, "Swap", floor=0),
    Case("1 replica on 2 GPUs", 1, 2, "Surge", floor=1),
    REJECTED,
    Case("bad flag, 8 on 10", 8, 10, "Surge", floor=8, bad=True, untouched=True),
    IMAGE,
    Case("another image, 1 on 1", 1, 1, "Swap", floor=0, image="example.com/vllm:v3"),
    Case("bad flag, 2 on 2", 2, 2, "InPlace", floor=1, bad=True),
    Case("bad flag, 1 on 1", 1, 1, "Swap", floor=0, bad=True),
    # The count does not see that no node may hold two: the surge falls back after a minute.
    Case("surge without a node, 1 on 2", 1, 2, "Swap", floor=0, affinity=_APART),
)
