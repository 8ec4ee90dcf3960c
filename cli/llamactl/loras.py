"""LoRA adapters as options: NAME=org/repo, or NAME=pvc:CLAIM/PATH. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llamactl.errors import BadValueError

OPTION = "--adapter"
_CLAIM = "pvc:"


def parse(texts: Sequence[str]) -> list[dict[str, Any]]:
    """`spec.adapters`. Raises BadValueError, naming the option and what is wrong."""
    found = [_adapter(text) for text in texts]
    names = [each["name"] for each in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadValueError(
            f"{twice!r} is named twice", field=OPTION, fix="Give each adapter a name of its own"
        )
    return found


def _adapter(text: str) -> dict[str, Any]:
    name, _, where = text.partition("=")
    if not name or not where.removeprefix(_CLAIM):
        raise BadValueError(
            f"{text!r} is not NAME=WHERE",
            field=OPTION,
            fix="Write sql=my-org/llama-sql, or sql=pvc:CLAIM/PATH for files on a claim",
        )
    return {"name": name, "source": _source(where)}


def _source(where: str) -> dict[str, Any]:
    if where.startswith(_CLAIM):
        claim, _, path = where.removeprefix(_CLAIM).partition("/")
        place = {"name": claim, **({"path": path} if path else {})}
        return {"claim": place}
    return {"huggingFace": {"repo": where}}
