"""Judged by the libraries that models are run with: torch, transformers, tiktoken, sentencepiece.

They live in the environment of the serving engine, so each question is a script of its own.
"""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support.models import metashards
from tests.support.models.metashards import Sizes
from tests.support.models.smollm2 import smollm2
from tests.support.vllm_cpu.install import install

from llama_weights.convert.convert import Order, convert
from llama_weights.convert.shard import Shard
from llama_weights.meter import Meter

pytestmark = pytest.mark.vllm
TEXTS = [
    "Hello world, it's 12345 o'clock.",
    "  two  spaces\n\nand lines\t\r\n",
    "Größe, naïve café, 漢字 and 🦙 emoji",
    "def f(x):\n    return x ** 2  # don't",
    "bad dog finds a longer road to a dim moon",
    "",
]

SAVE = """
import sys, json, collections, torch
torch.manual_seed(0)
kinds = [torch.bfloat16, torch.float16, torch.float32]
data = collections.OrderedDict((f"t{i}", torch.randn(5 + i, 7).to(k)) for i, k in enumerate(kinds))
data["view"] = torch.arange(24, dtype=torch.float32).reshape(6, 4)[2:4]
class Module(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.Linear(3, 2, bias=False)
torch.save(data, sys.argv[1])
torch.save(Module().state_dict(), sys.argv[2])
print(json.dumps({k: v.contiguous().view(torch.uint8).flatten().tolist() for k, v in data.items()}))
"""

TOKENS = """
import sys, json
from transformers import AutoTokenizer
texts = json.load(sys.stdin)
ours = AutoTokenizer.from_pretrained(sys.argv[1])
chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": " Hi "}]
answer = chat + [{"role": "assistant", "content": "Yes"}, {"role": "user", "content": "More"}]
ids = [ours(text, add_special_tokens=False)["input_ids"] for text in texts]
if sys.argv[2] == "tiktoken":
    import base64, tiktoken
    lines = open(sys.argv[1] + "/tokenizer.model", "rb").read().splitlines()
    ranks = {base64.b64decode(a): int(b) for a, b in (line.split() for line in lines)}
    words = json.load(open(sys.argv[1] + "/tokenizer.json"))["pre_tokenizer"]["pretokenizers"][0]
    encoding = tiktoken.Encoding("x", pat_str=words["pattern"]["Regex"], mergeable_ranks=ranks, special_tokens={})
    theirs = [encoding.encode_ordinary(text) for text in texts]
else:
    import sentencepiece
    model = sentencepiece.SentencePieceProcessor(sys.argv[1] + "/tokenizer.model")
    theirs = [model.encode(text) for text in texts]
print(json.dumps({
    "ours": ids, "theirs": theirs,
    "begin": ours("a")["input_ids"][0] == ours.bos_token_id,
    "decoded": [ours.decode(each) for each in ids],
    "chat": ours.apply_chat_template(chat, tokenize=False, add_generation_prompt=True),
    "longer": ours.apply_chat_template(answer, tokenize=False, add_generation_prompt=True),
}))
"""

TRAIN = """
import sys, io, sentencepiece
text = open(sys.argv[2], encoding="utf-8").read().splitlines() * 3
model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(text), model_writer=model, vocab_size=600, model_type="bpe",
    byte_fallback=True, split_digits=True, normalization_rule_name="identity",
    remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, minloglevel=2)
open(sys.argv[1], "wb").write(model.getvalue())
"""

LOGITS = """
import sys, torch
from transformers import AutoModelForCausalLM
models = [AutoModelForCausalLM.from_pretrained(each, dtype=torch.float32) for each in sys.argv[1:]]
torch.manual_seed(1)
ids = torch.randint(0, models[0].config.vocab_size, (1, 24))
with torch.no_grad():
    found = [model(ids).logits for model in models]
    for other in found[1:]:
        assert torch.equal(found[0], other), (found[0] - other).abs().max()
    said = [model.generate(ids, max_new_tokens=12, do_sample=False, eos_token_id=None) for model in models]
assert all(torch.equal(said[0], other) for other in said[1:])
print("equal", found[0].shape, float(found[0].std()))
"""


def ask(script: str, *arguments: str | Path, given: str = "") -> str:
    command = [str(install() / "bin/python"), "-c", script, *map(str, arguments)]
    done = subprocess.run(
        command, input=given, text=True, capture_output=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_what_torch_writes_is_read(tmp_path: Path) -> None:
    files = [tmp_path / "consolidated.00.pth", tmp_path / "module.pth"]
    expected = json.loads(ask(SAVE, *files))
    shard = Shard(files[0])
    for name, values in expected.items():
        stored = shard.tensors[name]
        found = bytearray(stored.size)
        shard.read([memoryview(found)], stored.offset)
        assert found == bytes(values), name
    assert [each.dtype for each in shard.tensors.values()] == ["BF16", "F16", "F32", "F32"]
    assert Shard(files[1]).tensors["norm.weight"].shape == (2, 3)


def converted(tmp_path: Path, model: str, tokenizer: bytes, **params: Any) -> Path:
    sizes = Sizes(layers=1, vocabulary=4096)
    shards = metashards.split(metashards.noise(sizes), sizes.head_dim, 1)
    source = metashards.checkpoint(tmp_path / "in", shards, sizes.params(**params), tokenizer)
    convert(Order(source, tmp_path / "out", model), Meter(), threading.Event())
    return tmp_path / "out"


def test_tiktoken_cuts_texts_the_same_way(tmp_path: Path) -> None:
    out = converted(
        tmp_path, "llama-3.1-8b-instruct", metashards.tiktoken(3840), use_scaled_rope=True
    )
    found = json.loads(ask(TOKENS, out, "tiktoken", given=json.dumps(TEXTS)))
    assert found["ours"] == found["theirs"]
    assert found["decoded"] == TEXTS
    assert found["begin"]
    assert found["chat"] == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_sentencepiece_cuts_texts_the_same_way(tmp_path: Path) -> None:
    corpus = Path(__file__).parents[3] / "README.md"
    ask(TRAIN, tmp_path / "made.model", corpus)
    tokenizer = (tmp_path / "made.model").read_bytes()
    out = converted(tmp_path, "llama-2-7b-chat", tokenizer, rope_theta=None)
    texts = [*TEXTS, *corpus.read_text(encoding="utf-8").splitlines()[:60]]
    found = json.loads(ask(TOKENS, out, "sentencepiece", given=json.dumps(texts)))
    for text, ours, theirs in zip(texts, found["ours"], found["theirs"], strict=True):
        assert ours == theirs, text
    assert found["begin"]
    assert found["chat"] == "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi [/INST]"
    assert found["longer"] == f"{found['chat']} Yes </s><s>[INST] More [/INST]"


@pytest.mark.slow
def test_a_real_model_says_the_same(tmp_path: Path) -> None:
    original = smollm2()
    config = json.loads((original / "config.json").read_text())
    tensors = metashards.read(original / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    params = {
        "dim": config["hidden_size"],
        "n_layers": config["num_hidden_layers"],
        "n_heads": config["num_attention_heads"],
        "n_kv_heads": config["num_key_value_heads"],
        "vocab_size": config["vocab_size"],
        "multiple_of": 256,
        "norm_eps": config["rms_norm_eps"],
        "rope_theta": config["rope_parameters"]["rope_theta"],
    }
    made = []
    for ranks in (1, 3):
        shards = metashards.split(tensors, config["head_dim"], ranks)
        tokenizer = metashards.tiktoken(4096)
        source = metashards.checkpoint(tmp_path / f"mp{ranks}", shards, params, tokenizer)
        made.append(tmp_path / f"out{ranks}")
        convert(Order(source, made[-1], "llama-3-8b"), Meter(), threading.Event())
    assert "equal" in ask(LOGITS, original, *made)


# -- logits ----------------------------------------------------------------------------------------

# What each release is, written down from its papers and Hugging Face's own files, not from ours.
RELEASES: dict[str, Any] = {
    "llama-1-7b": {"theta": 1e4, "scaling": None, "columns": True},
    "llama-2-7b-chat": {"theta": 1e4, "scaling": None, "columns": True},
    "codellama-7b-instruct": {"theta": 1e6, "scaling": None, "columns": True},
    "llama-3-8b-instruct": {"theta": 5e5, "scaling": None},
    "llama-3.1-8b-instruct": {"theta": 5e5, "scaling": 8.0},
    "llama-3.2-1b-instruct": {"theta": 5e5, "scaling": 32.0, "tied": True},
    "llama-3.3-70b-instruct": {"theta": 5e5, "scaling": 8.0},
}
ORIGINALS = """
import sys, json, torch
from transformers import LlamaConfig, LlamaForCausalLM
for name, each in json.load(sys.stdin).items():
    torch.manual_seed(len(name))
    rope = {"rope_type": "default", "rope_theta": each["theta"]}
    if each["scaling"]:
        rope = {"rope_type": "llama3", "rope_theta": each["theta"], "factor": each["scaling"],
                "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192}
    config = LlamaConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=8,
        intermediate_size=192, vocab_size=640, rms_norm_eps=1e-5, rope_parameters=rope,
        max_position_embeddings=131072, tie_word_embeddings=each.get("tied", False))
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(f"{sys.argv[1]}/{name}")
"""
COMPARED = """
import sys, json, torch
from transformers import AutoModelForCausalLM
def logits(directory):
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    # Far positions: there a missing rope scaling shows.
    places = torch.tensor([[0, 1, 7, 300, 9000, 40000, 90000, 120000]])
    with torch.no_grad():
        return model(torch.arange(8)[None] * 77, position_ids=places).logits
spread = {}
for original, others in json.load(sys.stdin).items():
    expected = logits(original)
    spread[original] = float(expected.std())
    for other in others:
        found = logits(other)
        assert torch.equal(expected, found), (other, float((expected - found).abs().max()))
print(json.dumps(spread))
"""


def test_logits_are_those_of_the_original_for_every_release_and_split(tmp_path: Path) -> None:
    ask(ORIGINALS, tmp_path, given=json.dumps(RELEASES))
    made: dict[str, list[str]] = {}
    for name, release in RELEASES.items():
        tensors = metashards.read(tmp_path / name / "model.safetensors")
        columns, scaled = release.get("columns", False), release["scaling"] is not None
        changes: dict[str, Any] = {"use_scaled_rope": True} if scaled else {}
        theta = release["theta"] if release["theta"] != 1e4 else None
        params = Sizes().params(rope_theta=theta, **changes)
        tokenizer = metashards.sentencepiece if columns else metashards.tiktoken
        for ranks in (1, 2, 4, 8):
            shards = metashards.split(tensors, Sizes().head_dim, ranks, embed_columns=columns)
            where = tmp_path / f"{name}-mp{ranks}"
            source = metashards.checkpoint(where / "in", shards, params, tokenizer(384))
            convert(Order(source, where / "out", name), Meter(), threading.Event())
            made.setdefault(str(tmp_path / name), []).append(str(where / "out"))
    spread = json.loads(ask(COMPARED, given=json.dumps(made)))
    assert len(spread) == len(RELEASES)
    assert all(value > 0.01 for value in spread.values()), "logits that say something"
