"""plan: the JSON contract, the exit codes, pins that are kept, no cluster and no Kubernetes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from llama_operator.api.v1alpha1 import LlamaDeploymentSpec
from tests.cli.checkpoints import CONFIG, embedding, safetensors
from tests.cli.conftest import Run

FIELDS = {
    "fits", "reason", "tensorParallel", "pipelineParallel", "nodes", "replicas", "dtype",
    "quantization", "maxModelLen", "maxNumSeqs", "maxNumBatchedTokens", "gpuMemoryUtilization",
    "kvTokens", "perGpu", "vllmArgs",
}  # fmt: skip
PER_GPU = {
    "weightsBytes", "kvCacheBytes", "activationBytes", "cudaGraphBytes", "otherBytes", "freeBytes"
}  # fmt: skip


def planned(llamactl: Run, *args: object, code: int = 0) -> dict[str, Any]:
    result = llamactl("plan", *args, "-o", "json")
    assert result.exit_code == code, result.stderr
    return dict(json.loads(result.stdout))


def test_the_json_contract(llamactl: Run) -> None:
    found = planned(llamactl, "70b", "--gpu", "H100", "--gpus", 8)
    assert set(found) == {"chosen", "candidates"}
    for each in [found["chosen"], *found["candidates"]]:
        assert set(each) >= FIELDS
        assert set(each["perGpu"]) == PER_GPU
    chosen = found["chosen"]
    assert (chosen["tensorParallel"], chosen["pipelineParallel"], chosen["replicas"]) == (8, 1, 1)
    assert "--tensor-parallel-size=8" in chosen["vllmArgs"]
    assert found["candidates"].count(chosen) == 1


def test_smaller_layouts_are_offered_as_replicas(llamactl: Run) -> None:
    found = planned(llamactl, "70b", "--gpu", "H100", "--gpus", 8)
    fours = [c for c in found["candidates"] if c["gpus"] == 4]
    assert [(c["fits"], c["replicas"]) for c in fours] == [(True, 2)]


def test_no_choice_is_exit_1_with_the_json(llamactl: Run) -> None:
    found = planned(llamactl, "70b", "--gpu", "H100", "--gpus", 6, code=1)
    assert found["chosen"] is None
    assert found["refusal"]["message"] == "6 GPUs: 64 attention heads are not divisible by 6"
    assert {c["gpus"] for c in found["candidates"] if c["fits"]} >= {4, 8}


def test_a_context_beyond_the_model_offers_nothing_that_has_it(llamactl: Run) -> None:
    found = planned(llamactl, "8b", "--gpu", "H100", "--max-model-len", 999999, code=1)
    assert found["chosen"] is None
    assert not [c for c in found["candidates"] if c["fits"]]


def test_a_refusal_in_words_names_the_option(llamactl: Run) -> None:
    result = llamactl("plan", "70b", "--gpu", "H100", "--gpus", 6)
    assert result.exit_code == 1
    assert "--gpus: 6 GPUs: 64 attention heads are not divisible by 6." in result.stderr
    assert "8 (tensor parallel 8" in result.stderr
    assert "spec." not in result.stderr


def test_a_model_that_is_not_served(llamactl: Run) -> None:
    found = planned(llamactl, "llama-3.2-11b-vision", code=1)
    assert found["chosen"] is None
    assert found["refusal"]["reason"] == "ModelNotServable"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["71b"], "Did you mean"),
        (["8b", "--gpu", "H1000"], "NVIDIA-H100-80GB-HBM3"),
        (["8b", "--gpus", "0"], "--gpus"),
        (["8b", "--gpus", "-1"], "--gpus"),
        (["8b", "--gpu-memory", "x"], "--gpu-memory: 'x' is not a quantity"),
        (["8b", "--vllm-version", "abc"], "--vllm-version: 'abc'"),
        (["8b", "--objective", "fast"], "--objective"),
        (["org/..unknown"], "catalogue id or org/repo"),
        (["./none/config.json"], "No such file"),
        ([""], "no model"),
    ],
)
def test_wrong_usage_is_exit_2(llamactl: Run, args: list[str], words: str) -> None:
    result = llamactl("plan", *args)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


def test_without_a_gpu_the_fewest_and_smallest_win(llamactl: Run) -> None:
    found = planned(llamactl, "8b")
    products = {c["gpuProduct"] for c in found["candidates"]}
    assert {"NVIDIA-L4", "NVIDIA-H100-80GB-HBM3", "NVIDIA-B200"} <= products
    assert found["chosen"]["gpus"] == 1
    assert found["chosen"]["gpuProduct"] in ("NVIDIA-L4", "NVIDIA-A10")


def test_a_gpu_that_no_table_knows_by_its_memory(llamactl: Run) -> None:
    found = planned(llamactl, "8b", "--gpu", "Acme-9000", "--gpu-memory", "80Gi")
    assert found["chosen"]["gpuProduct"] == "Acme-9000"


def test_cpu_ranks(llamactl: Run) -> None:
    found = planned(llamactl, "llama-3.2-1b-instruct", "--device", "cpu", "--gpus", 2)
    assert found["chosen"]["tensorParallel"] == 2
    assert any(a.startswith("--kv-cache-memory-bytes=") for a in found["chosen"]["vllmArgs"])


def test_the_yaml_is_a_deployment_to_apply(llamactl: Run) -> None:
    result = llamactl("plan", "8b", "--gpu", "L4", "--kv-cache-dtype", "fp8", "-o", "yaml")
    obj = yaml.safe_load(result.stdout)
    assert obj["kind"] == "LlamaDeployment"
    spec = LlamaDeploymentSpec.model_validate(obj["spec"])
    assert (spec.model, spec.gpu.product) == ("llama-3.1-8b-instruct", "NVIDIA-L4")
    assert spec.sizing.kv_cache_dtype == "fp8"


def test_a_lowered_context_is_in_the_yaml(llamactl: Run) -> None:
    sizing = yaml.safe_load(llamactl("plan", "8b", "--gpu", "L4", "-o", "yaml").stdout)["spec"][
        "sizing"
    ]
    assert sizing["maxModelLen"] == planned(llamactl, "8b", "--gpu", "L4")["chosen"]["maxModelLen"]
    whole = yaml.safe_load(llamactl("plan", "8b", "--gpu", "H100", "-o", "yaml").stdout)
    assert "sizing" not in whole["spec"]


def test_the_page_has_pod_formulas_and_yaml(llamactl: Run) -> None:
    page = llamactl("plan", "70b", "--gpu", "H100", "--gpus", 8).stdout
    for words in (
        "Pod:      10 cpus, 34.0 GiB memory, 1.0 GiB /dev/shm", "CONTEXT x N", "131,072 x 10.8",
        "33,792 x 1.0", "32 ms", "FIRST token = 2 x parameters x 512", "To apply\napiVersion",
    ):  # fmt: skip
        assert words in page, words
    text = page.split("To apply\n")[1]
    shown = llamactl("plan", "70b", "--gpu", "H100", "--gpus", 8, "-o", "yaml").stdout
    assert yaml.safe_load(text) == yaml.safe_load(shown)


def test_what_the_yaml_cannot_say_is_said(llamactl: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert "write the ORG/REPO that holds" in llamactl("plan", tmp_path, "--gpu", "L4").stderr
    assert "one node a replica" in llamactl("plan", "405b", "--gpu", "H100", "-o", "yaml").stderr


def test_the_pod_and_the_cache_are_in_the_json(llamactl: Run) -> None:
    chosen = planned(llamactl, "70b", "--gpu", "H100", "--gpus", 8)["chosen"]
    # API server, engine core, 8 ranks, 8 x 1024 x 131072 x 4 B pinned, buffers, /dev/shm.
    assert chosen["pod"]["memoryBytes"] == 34 << 30 and chosen["pod"]["shmBytes"] == 1 << 30
    requests = chosen["kvTokens"] / chosen["maxModelLen"]
    assert chosen["fullContextRequests"] == pytest.approx(requests, abs=0.01)


def test_a_directory_is_read(llamactl: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "model.safetensors").write_bytes(safetensors(embedding()))
    found = planned(llamactl, tmp_path, "--gpu", "L4")
    assert found["chosen"]["maxModelLen"] == 2048
    assert found["chosen"]["checkpoint"]["tensorBytes"] == 49152 * 576 * 2
    two = planned(llamactl, tmp_path / "config.json", "--gpu", "L4", "--gpus", 2, code=1)
    assert "9 attention heads are not divisible by 2" in two["refusal"]["message"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_hidden_layers": None}, "is missing"),
        ({"num_attention_heads": 7}, "not divisible"),
        ({"architectures": ["MllamaForConditionalGeneration"]}, "Vision"),
        ({"vocab_size": -1}, "is not a whole number"),
    ],
)
def test_a_config_that_lies(
    llamactl: Run, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**CONFIG, **change}))
    result = llamactl("plan", path)
    assert result.exit_code == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_config_that_is_no_json(llamactl: Run, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("<html>")
    result = llamactl("plan", path)
    assert result.exit_code == 2
    assert "is not JSON" in result.stderr


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_the_page_fits(llamactl: Run, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    result = llamactl("plan", "70b", "--gpu", "H100", "--gpus", 8, "--explain")
    assert max(map(len, result.stdout.splitlines())) <= columns
    assert "chosen" in result.stdout


@pytest.mark.parametrize(
    ("args", "forbidden"),
    [
        (["plan", "70b"], ["kubernetes", "pydantic", "rich", "urllib3"]),
        (["plan", "70b", "-o", "json"], ["kubernetes", "pydantic", "rich", "urllib3", "yaml"]),
        (["models"], ["kubernetes", "pydantic", "rich", "urllib3", "yaml"]),
    ],
)
def test_what_is_offline_imports_no_kubernetes(args: list[str], forbidden: list[str]) -> None:
    code = (
        "import sys; from llamactl.app import cli\n"
        f"try: cli.main({args})\n"
        f"except SystemExit: print([m for m in {forbidden} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_models_lists_and_shows(llamactl: Run) -> None:
    names = llamactl("models", "-o", "name").stdout.split()
    everything = json.loads(llamactl("models", "--all", "-o", "json").stdout)
    assert set(names) == {m["id"] for m in everything if m["servable"]}
    assert all(m["refusal"] for m in everything if not m["servable"])
    shown = json.loads(llamactl("models", "show", "70b", "-o", "json").stdout)
    assert (shown["id"], shown["shape"]["numLayers"]) == ("llama-3.3-70b-instruct", 80)
    page = llamactl("models", "compare", "8b", "70b")
    assert page.exit_code == 0
    assert "70.55 B" in page.stdout
    assert "8.03 B" in page.stdout


def test_models_that_are_not_served_are_told_apart(llamactl: Run) -> None:
    lines = llamactl("models", "--all").stdout.splitlines()
    served = {line.split()[0]: line.split()[1] for line in lines[1:-1]}
    assert (served["llama-2-34b"], served["llama-2-70b"]) == ("no", "yes")
    assert len(served) == 63 and list(served.values()).count("no") == 12
    assert lines[-1] == "Why one is not served: llamactl models show NAME."
    assert "SERVED" not in llamactl("models").stdout
    assert "no: Meta never released it" in llamactl("models", "show", "llama-2-34b").stdout


def test_models_compare_as_documents(llamactl: Run) -> None:
    shown = json.loads(llamactl("models", "compare", "8b", "70b", "-o", "json").stdout)
    assert [each["id"] for each in shown] == ["llama-3.1-8b-instruct", "llama-3.3-70b-instruct"]
    assert yaml.safe_load(llamactl("models", "compare", "8b", "70b", "-o", "yaml").stdout) == shown


def test_published_scores_are_shown_beside_others(llamactl: Run) -> None:
    shown = json.loads(llamactl("models", "show", "llama-3-70b-instruct", "-o", "json").stdout)
    assert (shown["scores"]["math"], shown["trainingGpu"]) == (50.4, "H100 80G")
    assert shown["othersScores"]["gpt-3.5"]["gsm8k"] == 57.1
    page = llamactl("models", "show", "llama-3-70b-instruct").stdout
    assert "GPU hours:       6,400,000 on H100 80G" in page


def test_models_show_of_an_unknown_name(llamactl: Run) -> None:
    result = llamactl("models", "show", "71b")
    assert result.exit_code == 2
    assert "Did you mean" in result.stderr


LABELS = (
    "Parameters", "Layers", "Heads", "KV heads", "Hidden size", "Feed-forward", "Vocabulary",
    "Context", "Rope", "Tied embeddings", "Tokenizer", "MP value", "Meta's files", "Weights",
    "Files", "Licence", "Gated", "Tool calls", "Chat template", "Prompt", "Attention", "Type",
)  # fmt: skip


def test_models_show_has_what_a_user_looks_up(llamactl: Run) -> None:
    page = llamactl("models", "show", "8b").stdout
    for label in LABELS:
        assert f"\n{label}:" in page, label
    for words in (
        "32, of size 128", "16,060,522,496 bytes", "theta 500,000; rope_type llama3, factor 8",
        "1 x consolidated.*.pth of 16,060,617,592 bytes", "llama3_json", "4 safetensors",
    ):  # fmt: skip
        assert words in page, words
    old = llamactl("models", "show", "llama-3-70b-instruct").stdout
    assert "mmlu 82, gpqa 39.5" in old
    assert "gpt-4: mmlu 86.4" in old
    assert "Training tokens: 15 trillion" in old
    assert "GPU hours:       6,400,000" in old
    assert "European Union" in llamactl("models", "show", "llama-4-scout-instruct").stdout


def test_models_show_as_a_document(llamactl: Run) -> None:
    shown = json.loads(llamactl("models", "show", "8b", "-o", "json").stdout)
    assert shown["shards"] == 4
    assert shown["meta"]["pthBytes"] == 16060617592
    assert shown["ropeScaling"]["factor"] == 8
    assert shown["huggingFaceAliases"] == ["meta-llama/Meta-Llama-3.1-8B-Instruct"]
    assert yaml.safe_load(llamactl("models", "show", "8b", "-o", "yaml").stdout) == shown


def test_a_base_model_has_no_tool_calls(llamactl: Run) -> None:
    assert "Tool calls" not in llamactl("models", "show", "llama-3.1-8b").stdout


def test_the_hint_repeats_what_was_asked(llamactl: Run) -> None:
    result = llamactl("plan", "70b", "--gpu", "H100", "--explain", "-o", "table")
    assert "llamactl plan 70b --gpu H100 -o yaml | kubectl apply -f -" in result.stderr


def test_a_users_own_models_are_known(
    llamactl: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = {
        "architecture": "LlamaForCausalLM", "num_layers": 2, "hidden_size": 64, "head_dim": 16,
        "num_attention_heads": 4, "num_kv_heads": 2, "intermediate_size": 128, "vocab_size": 512,
        "max_position": 2048,
    }  # fmt: skip
    mine = {"id": "my-own-llama", "params": 100_000, "weights_bytes": 200_000, "shape": shape}
    file = tmp_path / "models.yaml"
    file.write_text(yaml.safe_dump({"models": [mine]}))
    monkeypatch.setenv("LLAMACTL_MODELS", str(file))
    assert planned(llamactl, "my-own-llama", "--gpu", "L4")["chosen"]["maxModelLen"] == 2048
    assert "my-own-llama" in llamactl("models", "-o", "name").stdout.split()
    assert planned(llamactl, "8b", "--gpu", "L4")["chosen"]

    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump({"models": [{**mine, "params": -1}]}))
    monkeypatch.setenv("LLAMACTL_MODELS", str(wrong))
    for words in (["plan", "8b"], ["models"]):
        result = llamactl(*words)
        assert result.exit_code == 2
        assert "models[0].params: -1 is not valid" in result.stderr
