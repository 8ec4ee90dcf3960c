"""Which release a checkpoint is of: the files themselves do not say it.

Llama 1 and 2 have the same params.json, and so have the base and the instruct model of every
release, but context, stop tokens and prompt differ. So a name is needed: the one given, or that
of the directory. A wrong guess would load and then never stop talking, hence none is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llama_weights.convert.refusal import shown, unsupported
from llama_weights.errors import UsageError, WeightsError

SCALED = {
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
_FLAG = "--model"
_EXAMPLES = "llama-1-7b, llama-2-7b-chat, codellama-7b-instruct, llama-3-8b, llama-3.1-8b-instruct"
_FP8 = "meta-llama/Llama-3.1-405B-FP8 or meta-llama/Llama-3.1-405B-Instruct-FP8"
_SCOUT = "meta-llama/Llama-4-Scout-17B-16E-Instruct"


@dataclass(frozen=True)
class Release:
    """What holds for all sizes of a release.

    `template` names the chat template, "" where there is none. `rope_factor` is 0 without
    scaling; `tied` says that some of its models have no output matrix of their own.
    """

    name: str
    context: int
    tiktoken: bool
    instruct: bool = False
    template: str = ""
    rope_factor: float = 0.0
    tied: bool = False

    @property
    def rope_scaling(self) -> dict[str, Any] | None:
        """`rope_scaling` of config.json."""
        return {**SCALED, "factor": self.rope_factor} if self.rope_factor else None


_LLAMA_2 = Release("2", 4096, tiktoken=False)
_CODE = Release("code", 16384, tiktoken=False)
_LLAMA_3 = Release("3", 8192, tiktoken=True)
_LLAMA_31 = Release("3.1", 131072, tiktoken=True, rope_factor=8.0)
_LLAMA_32 = Release("3.2", 131072, tiktoken=True, rope_factor=32.0, tied=True)
# "guard-3-8b" is the third; in "guard-7b" the digit is the size of the first.
_GUARD = re.compile(r"guard(?:-(\d))?(?!b)")
# The first that matches. Meta's server, its scripts and Hugging Face spell each differently.
_NAMES: tuple[tuple[str, Release], ...] = (
    (r"code-?llama", _CODE),
    (r"llama-?3\.1", _LLAMA_31),
    (r"llama-?3\.2", _LLAMA_32),
    (r"llama-?3\.3", replace(_LLAMA_31, name="3.3", instruct=True, template="llama3.1")),
    (r"llama-?3(?![.\d])|^(8|70)b-(pre-trained|instruction-tuned)$", _LLAMA_3),
    (r"llama-?2(?![.\d])", _LLAMA_2),
    (r"llama-?1(?![.\d])|^(7|13|30|33|65)b$", Release("1", 2048, tiktoken=False)),
)
_GUARDS = {
    "": _LLAMA_2,
    "1": _LLAMA_2,
    "2": _LLAMA_3,
    "3": _LLAMA_31,
}


def identify(model: str, source: Path) -> tuple[str, Release]:
    """The name that decides and its release: `model`, or the name of the source's directory.

    Raises UsageError when no release is named, FormatError for those that are not converted.
    """
    resolved = source.absolute()
    names = [model] if model else [resolved.name, resolved.parent.name]
    for name in names:
        found = _release(_plain(name))
        if found:
            return name, found
    what = f"{shown(model)} names no release" if model else f"{source.name!r} names no release"
    fix = f"Say which it is, for example {_EXAMPLES}"
    raise UsageError(f"{what} of Llama, and the files alone cannot tell", field=_FLAG, fix=fix)


def _plain(name: str) -> str:
    return name.rstrip("/").rsplit("/", 1)[-1].lower().replace("_", "-").replace(" ", "-")


def _release(name: str) -> Release | None:
    _refuse(name)
    if "guard" in name:
        return _guard(name)
    for pattern, release in _NAMES:
        if re.search(pattern, name):
            return _variant(release, name)
    return None


def _refuse(name: str) -> None:
    if re.search(r"llama-?4|scout|maverick|guard-4", name):
        raise _llama4(name)
    if "vision" in name:
        raise _vision(name)
    if re.search(r"fp8|int[48]|qlora|spinquant", name):
        raise quantised(name)


def _guard(name: str) -> Release | None:
    match = _GUARD.search(name)
    base = _GUARDS.get((match[1] or "") if match else "none")
    if base is _LLAMA_31 and "-1b" in name:
        base = _LLAMA_32
    # It is asked with a prompt that lists its categories, which the caller writes.
    return replace(base, instruct=True) if base else None


def _variant(release: Release, name: str) -> Release:
    if not re.search(r"instruct|chat", name):
        return _short_code(release, name)
    if release.name == "code" and "70b" in name:
        return replace(release, instruct=True, template="code-70b", context=4096)
    template = {"2": "llama2", "code": "llama2", "3": "llama3"}.get(release.name, "llama3.1")
    return replace(release, instruct=True, template="" if release.name == "1" else template)


def _short_code(release: Release, name: str) -> Release:
    # Of the models of 70B only the base model was tuned for long contexts.
    if release.name == "code" and "70b" in name and "python" in name:
        return replace(release, context=4096)
    return release


def check(name: str, release: Release, params: Mapping[str, Any]) -> None:
    """Raise FormatError when params.json is of another release than the name says."""
    file = "params.json"
    if "moe_args" in params:
        raise _llama4(file)
    if any(key.startswith("vision") for key in params):
        raise _vision(file)
    if params.get("quantization_args") or params.get("lora_args"):
        raise quantised(file)
    scaled = params.get("use_scaled_rope")
    if scaled is not None and bool(scaled) != bool(release.rope_factor):
        expected = "true" if release.rope_factor else "false or absent"
        raise _differs(name, release, f"use_scaled_rope {scaled}, expected {expected}")
    theta = params.get("rope_theta")
    if theta is None and release.name not in ("1", "2"):
        raise _differs(name, release, "no rope_theta")
    if theta not in (None, 10000, 10000.0) and release.name in ("1", "2"):
        raise _differs(name, release, f"rope_theta {theta}, expected 10000 or none")


def _differs(name: str, release: Release, what: str) -> WeightsError:
    return unsupported(
        "params.json",
        f"{shown(name)} is read as release {release.name}, but it has {what}",
        f"Name the right release with {_FLAG}",
    )


def quantised(file: str) -> WeightsError:
    """The error for Meta's FP8 405B and its mobile checkpoints."""
    return unsupported(
        file,
        "belongs to a quantised checkpoint of Meta's own format, which vLLM cannot load",
        f"Use {_FP8}, or convert the bfloat16 files (folder Llama-3.1-405B-MP8 or -MP16)",
    )


def _llama4(where: str) -> WeightsError:
    return unsupported(
        where,
        "is of Llama 4, whose experts and vision tower are not converted",
        f"Use the repository in Hugging Face format, such as {_SCOUT}",
    )


def _vision(where: str) -> WeightsError:
    return unsupported(
        where,
        "is of a vision model of Llama 3.2, which vLLM has not served since 0.10.2",
        "Use a text model, such as meta-llama/Llama-3.1-8B-Instruct",
    )
