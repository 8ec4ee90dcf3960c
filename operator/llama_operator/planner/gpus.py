"""GPUs: what is known of a product, found by the name that node labels spell.

A node's label counts the whole card in MiB, which CUDA does not give to a process: the label
of an H100 says 81,559 MiB, CUDA 81,079. So for a product in the table its own figure is used,
and a label only where it tells of another card than the table does (a MIG slice, a variant).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from llama_operator.api.errors import PlanRefused
from llama_operator.catalog.catalog import read_packaged

GIB = 1 << 30
MIB = 1 << 20
# What CUDA reports is 97 to 99.9 % of the label on the cards of the table.
_CUDA_SHARE = 0.96
_SAME_CARD = 0.03
_MIG = re.compile(r"-MIG-(\d+)g\.(\d+)gb.*$")


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU.

    `memory_bytes` is the total that CUDA reports to a process. `bandwidth` and `link` are bytes
    per second (link: one way, NVLink or PCIe), `flops_16` and `flops_8` dense operations per
    second. `fp8` is native FP8; `link_domain` how many are joined faster than by PCIe.
    """

    product: str
    memory_bytes: int
    vendor: str = "nvidia"
    short: tuple[str, ...] = ()
    memory_source: str = "label"
    label_mib: int = 0
    capability: float = 8.0
    link_domain: int = 1
    link: float = 32e9
    bandwidth: float = 0.0
    flops_16: float = 0.0
    flops_8: float = 0.0
    fp4: bool = False

    @property
    def fp8(self) -> bool:
        """Whether it multiplies FP8 natively; older cards unpack FP8 weights."""
        return self.flops_8 > 0


@cache
def table() -> dict[str, Gpu]:
    """All known GPUs by product name."""
    found = (_read(entry) for entry in read_packaged("gpus.json")["gpus"])
    return {gpu.product: gpu for gpu in found}


def _read(raw: dict[str, object]) -> Gpu:
    numbers = {key: float(raw.pop(key)) for key in ("bandwidth", "link")}  # type: ignore[arg-type]
    flops = {f"flops_{bits}": float(raw.pop(f"tflops_{bits}")) for bits in (16, 8)}  # type: ignore[arg-type]
    scaled = {key: value * 1e9 for key, value in numbers.items()}
    scaled |= {key: value * 1e12 for key, value in flops.items()}
    short = tuple(str(each) for each in raw.pop("short"))  # type: ignore[attr-defined]
    return Gpu(**{**raw, **scaled, "short": short})  # type: ignore[arg-type]


def find(product: str | None, memory: int | None = None) -> Gpu:
    """The GPU of that product name or short name.

    `memory` is the bytes that a label or a user gives for one GPU; needed where the product is
    not in the table, and believed where it differs from the table by more than 3 %. Raises
    PlanRefused (GPUUnknown) with the nearest names.
    """
    if memory is not None and not MIB <= memory <= 1 << 50:
        raise PlanRefused(
            "GPUUnknown",
            f"{memory} bytes is not the memory of a GPU",
            field="spec.gpu.memory",
            fix="Write bytes per GPU as a quantity, such as 80Gi",
        )
    known = _known(product or "")
    if known is not None:
        return _with_memory(known, memory)
    if memory is None:
        raise _unknown(product or "")
    return Gpu(product=product or "", memory_bytes=_from_label(memory))


def _known(product: str) -> Gpu | None:
    plain = _MIG.sub("", product.removesuffix("-SHARED"))
    found = table().get(plain) or _by_short_name(plain)
    slice_of = _MIG.search(product)
    if found is None or slice_of is None:
        return found
    return _mig_slice(found, product, int(slice_of[1]), int(slice_of[2]))


def _mig_slice(whole: Gpu, product: str, compute: int, gigabytes: int) -> Gpu:
    share = compute / 7
    return replace(
        whole,
        product=product,
        memory_bytes=min(whole.memory_bytes, int(gigabytes * GIB * 0.97)),
        memory_source="nominal",
        label_mib=0,
        link_domain=1,
        bandwidth=whole.bandwidth * share,
        flops_16=whole.flops_16 * share,
        flops_8=whole.flops_8 * share,
    )


def _by_short_name(text: str) -> Gpu | None:
    wanted = _fold(text)
    for gpu in table().values():
        if wanted in (_fold(each) for each in (gpu.product, *gpu.short)):
            return gpu
    return None


def _fold(text: str) -> str:
    folded = re.sub(r"[\s_-]+", "-", text.strip().lower())
    return folded.removeprefix("nvidia-").removeprefix("geforce-").removeprefix("amd-instinct-")


def _with_memory(gpu: Gpu, memory: int | None) -> Gpu:
    if memory is None:
        return gpu
    said = gpu.label_mib * MIB or gpu.memory_bytes
    close = (abs(memory - each) <= _SAME_CARD * each for each in (said, gpu.memory_bytes))
    if any(close):
        return gpu
    return replace(gpu, memory_bytes=_from_label(memory), memory_source="label")


def _from_label(memory: int) -> int:
    return int(memory * _CUDA_SHARE)


def names() -> Iterator[str]:
    """Every product name."""
    return iter(table())


def nearest(text: str, limit: int = 3) -> list[str]:
    """Product names that resemble `text`, the best first."""
    by_name = {_fold(each): gpu for gpu in table().values() for each in (gpu.product, *gpu.short)}
    wanted = _fold(text)
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistyped name needs it

    found = get_close_matches(wanted, list(by_name), n=4 * limit, cutoff=0.5)
    found += [each for each in by_name if wanted and wanted in each]
    return list(dict.fromkeys(by_name[each].product for each in found))[:limit]


def _unknown(product: str) -> PlanRefused:
    near = nearest(product) if product else []
    offered = f"Did you mean {', '.join(near)}? Or set" if near else "Set"
    said = f"{product!r} is not a known GPU" if product else "no GPU is named"
    return PlanRefused(
        "GPUUnknown",
        said,
        near,
        field="spec.gpu.product",
        fix=f"{offered} spec.gpu.memory (bytes per GPU) as well",
    )
