"""Which tensors the model has, and from which shards each comes: every shape is checked.

The shards must agree with params.json and with each other before a byte is written; a missing
shard would otherwise be a model of fewer heads that loads and talks nonsense.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llama_weights.convert.params import Params
from llama_weights.convert.pieces import Target, same
from llama_weights.convert.refusal import corrupt, shown, unsupported
from llama_weights.convert.release import Release
from llama_weights.convert.shard import Shard, Stored
from llama_weights.errors import WeightsError

_EMBED, _OUTPUT, _NORM = "tok_embeddings.weight", "output.weight", "norm.weight"
_ROPE = "rope.freqs"
# Meta's name in a layer -> Hugging Face's, in the order in which a layer is written
_LAYER = {
    "attention_norm": "input_layernorm",
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w3": "mlp.up_proj",
    "feed_forward.w2": "mlp.down_proj",
}
_FOREIGN = re.compile(r"vision|cross_attention|router|experts|moe|lora|scale|zero")


@dataclass(frozen=True)
class Layout:
    """The tensors to write, in order, and the sizes that the weights gave."""

    targets: tuple[Target, ...]
    vocabulary: int
    feed_forward: int
    kv_heads: int
    tied: bool
    dtype: str


def plan(shards: Sequence[Shard], params: Params, release: Release) -> Layout:
    """The layout. Raises FormatError when shards, params.json and release disagree."""
    _check_names(shards, params)
    planner = _Planner(shards, params, release)
    targets = tuple(planner.targets())
    return Layout(
        targets,
        planner.vocabulary,
        planner.feed_forward,
        planner.kv_heads,
        planner.tied,
        targets[0].dtype,
    )


def _expected(params: Params) -> Iterator[str]:
    yield _EMBED
    for layer in range(params.layers):
        for name in _LAYER:
            yield f"layers.{layer}.{name}.weight"
    yield _NORM


def _check_names(shards: Sequence[Shard], params: Params) -> None:
    expected = set(_expected(params))
    for shard in shards:
        names = {name for name in shard.tensors if not name.endswith(_ROPE)}
        unknown, missing = sorted(names - expected - {_OUTPUT}), sorted(expected - names)
        if unknown:
            raise _foreign(shard, unknown, params)
        if missing:
            raise corrupt(
                shard.path,
                f"lacks {len(missing)} tensors of the {params.layers} layers of params.json, the "
                f"first is {missing[0]}",
            )
        if (_OUTPUT in names) != (_OUTPUT in shards[0].tensors):
            raise corrupt(shard.path, f"{shards[0].path.name} and it disagree on {_OUTPUT}")


def _foreign(shard: Shard, unknown: list[str], params: Params) -> WeightsError:
    first = f"{len(unknown)} tensors that no Llama of text has, the first is {shown(unknown[0])}"
    if any(_FOREIGN.search(name) for name in unknown):
        fix = "Use the repository of this model in Hugging Face format"
        return unsupported(shard.path, f"holds {first}", fix)
    what = f"{len(unknown)} tensors beyond the {params.layers} layers of params.json"
    return corrupt(shard.path, f"holds {what}, the first is {shown(unknown[0])}")


class _Planner:
    """Makes the targets, each from the same tensor of all shards."""

    def __init__(self, shards: Sequence[Shard], params: Params, release: Release) -> None:
        self._shards, self._params = shards, params
        self._count = len(shards)
        self._check_count()
        self.kv_heads = params.kv_heads
        self._doubled = self._is_doubled()
        if self._doubled:
            self.kv_heads //= 2
        self.feed_forward = self._feed_forward()
        self._embed_by_columns, self.vocabulary = self._embedding()
        self.tied = self._is_tied(release)

    def targets(self) -> Iterator[Target]:
        """All tensors, in the order of the model."""
        rows, hidden = self.vocabulary, self._params.hidden
        name = "model.embed_tokens.weight"
        yield self._matrix(name, _EMBED, rows, hidden, by_columns=self._embed_by_columns)
        for layer in range(self._params.layers):
            yield from self._layer(f"layers.{layer}.")
        yield self._norm("model.norm.weight", _NORM)
        if not self.tied:
            yield self._matrix("lm_head.weight", _OUTPUT, rows, hidden)

    def _layer(self, prefix: str) -> Iterator[Target]:
        hidden, inner, head = self._params.hidden, self.feed_forward, self._params.head_dim
        columns = {"attention.wo": hidden, "feed_forward.w2": inner}
        rows = {"attention.wq": hidden, "feed_forward.w1": inner, "feed_forward.w3": inner}
        for name, theirs in _LAYER.items():
            source, target = f"{prefix}{name}.weight", f"model.{prefix}{theirs}.weight"
            if name.endswith("norm"):
                yield self._norm(target, source)
            elif name in columns:
                yield self._matrix(target, source, hidden, columns[name], by_columns=True)
            elif name in rows:
                turned = head if name == "attention.wq" else 0
                yield self._matrix(target, source, rows[name], hidden, head_dim=turned)
            else:
                yield self._kv(target, source, head if name == "attention.wk" else 0)

    def _kv(self, target: str, source: str, head_dim: int) -> Target:
        parts = self._parts(source)
        if self._doubled:
            for even, odd in zip(parts[::2], parts[1::2], strict=True):
                if not same([even, odd]):
                    raise _unequal(odd, even, "each KV head is stored twice")
            parts = parts[::2]
        rows = self.kv_heads * self._params.head_dim
        return self._checked(Target(target, parts, head_dim=head_dim), rows, self._params.hidden)

    def _norm(self, target: str, source: str) -> Target:
        parts = self._parts(source)
        for part in parts:
            if part.shape != (self._params.hidden,):
                raise _wrong_shape(part, (self._params.hidden,))
            if not same([parts[0], part]):
                raise _unequal(part, parts[0], "every rank holds a copy of it")
        return Target(target, parts[:1])

    def _matrix(
        self,
        target: str,
        source: str,
        rows: int,
        columns: int,
        *,
        by_columns: bool = False,
        head_dim: int = 0,
    ) -> Target:
        made = Target(target, self._parts(source), by_columns, head_dim)
        return self._checked(made, rows, columns)

    def _checked(self, target: Target, rows: int, columns: int) -> Target:
        count = len(target.parts)
        divided = columns if target.by_columns else rows
        local = (rows, divided // count) if target.by_columns else (divided // count, columns)
        for part in target.parts:
            if part.shape != local or divided % count:
                raise _wrong_shape(part, local)
        if target.head_dim and local[0] % target.head_dim:
            raise corrupt(target.parts[0].shard.path, f"{target.parts[0].name} cuts a head in two")
        return target

    def _parts(self, name: str) -> tuple[Stored, ...]:
        parts = tuple(shard.tensors[name] for shard in self._shards)
        for part in parts:
            if part.dtype != parts[0].dtype:
                message = f"{name} is {part.dtype}, {parts[0].dtype} in {_file(parts[0])}"
                raise corrupt(part.shard.path, message)
        return parts

    def _rows(self, name: str) -> int:
        part = self._shards[0].tensors[name]
        if len(part.shape) != 2:
            raise corrupt(part.shard.path, f"{name} has {len(part.shape)} dimensions, expected 2")
        return part.shape[0]

    def _check_count(self) -> None:
        """The rows of wq say over how many ranks the tensors were split."""
        local, hidden = self._rows("layers.0.attention.wq.weight"), self._params.hidden
        if local and hidden % local == 0 and hidden // local == self._count:
            return
        path = self._shards[0].path
        if not local or hidden % local:
            message = f"layers.0.attention.wq.weight has {local} rows, no part of dim {hidden}"
            raise corrupt(path, f"{message} in params.json")
        expected = hidden // local
        what = "are missing" if expected > self._count else "belong to something else"
        first = min(expected, self._count)
        last = max(expected, self._count) - 1
        raise corrupt(
            path,
            f"its tensors are one of {expected} parts (wq has {local} of {hidden} rows), but there "
            f"are {self._count} files: consolidated.{first:02d}.pth to .{last:02d}.pth {what}",
            "Put all shards of one checkpoint, and no others, into the directory",
        )

    def _is_doubled(self) -> bool:
        """With 16 ranks and 8 KV heads Meta stores each head twice, so that all ranks have one."""
        if self._params.kv_heads != self._count or self._count % 2:
            return False
        pairs = self._parts("layers.0.attention.wk.weight")
        return all(same(pair) for pair in zip(pairs[::2], pairs[1::2], strict=True))

    def _feed_forward(self) -> int:
        name = "layers.0.feed_forward.w1.weight"
        found, expected = self._rows(name) * self._count, self._params.feed_forward
        if expected and found != expected:
            raise corrupt(
                self._shards[0].path,
                f"{name} makes {found} rows over {self._count} files; dim, multiple_of and "
                f"ffn_dim_multiplier of params.json make {expected}",
                "Use the params.json that came with these files",
            )
        return found

    def _embedding(self) -> tuple[bool, int]:
        """(split by columns?, vocabulary): Llama 1, 2 and Code Llama split the other way than 3."""
        part = self._parts(_EMBED)[0]
        rows, hidden = self._rows(_EMBED), self._params.hidden
        if part.shape[1] == hidden:
            by_columns, vocabulary = False, rows * self._count
        elif part.shape[1] * self._count == hidden:
            by_columns, vocabulary = True, rows
        else:
            raise _wrong_shape(part, (rows, hidden))
        said = self._params.vocabulary
        if said and said != vocabulary:
            message = f"{_EMBED} has {vocabulary} rows in all, params.json says vocab_size {said}"
            raise corrupt(part.shard.path, message, "Use the params.json of these files")
        return by_columns, vocabulary

    def _is_tied(self, release: Release) -> bool:
        if _OUTPUT not in self._shards[0].tensors:
            if not release.tied:
                message = f"lacks {_OUTPUT}, which every Llama {release.name} has"
                raise corrupt(self._shards[0].path, message)
            return True
        if not release.tied or self._embed_by_columns:
            return False
        pairs = zip(self._parts(_EMBED), self._parts(_OUTPUT), strict=True)
        return all(same(pair) for pair in pairs)


def _file(part: Stored) -> str:
    return part.shard.path.name


def _wrong_shape(part: Stored, expected: tuple[int, ...]) -> WeightsError:
    message = f"{part.name} is {list(part.shape)}, expected {list(expected)} from params.json"
    return corrupt(part.shard.path, message)


def _unequal(part: Stored, other: Stored, why: str) -> WeightsError:
    message = f"{part.name} differs from that in {_file(other)}, though {why}"
    return corrupt(part.shard.path, message)
