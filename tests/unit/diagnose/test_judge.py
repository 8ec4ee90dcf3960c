"""Every known failure by its texts, and what the verdict is made of."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.diagnose.samples import DATA, Sample, branches, samples

from llama_operator.api import crd
from llama_operator.api.v1alpha1 import DEPLOYMENT_KIND, LlamaDeploymentSpec
from llama_operator.diagnose import loglines
from llama_operator.diagnose.causes import CAUSES
from llama_operator.diagnose.judge import UNKNOWN, Diagnosis, diagnose

# Texts of real vLLM 0.32 on a CPU, from the project's record of reproduced failures. The last two
# serve: nothing in their logs is a failure.
RECORDED = {
    "model-dir-missing": "ModelNotFound",
    "hub-id-offline": "ModelNotFound",
    "empty-dir": "ModelNotFound",
    "config-json-corrupt": "ModelInvalid",
    "no-weights": "WeightsMissing",
    "safetensors-truncated": "WeightsCorrupt",
    "safetensors-garbage-header": "WeightsCorrupt",
    "safetensors-zero-length": "WeightsCorrupt",
    "arch-unsupported": "ModelUnsupported",
    "tp3-heads4": "InvalidTensorParallelSize",
    "tp2-kv3": "InvalidTensorParallelSize",
    "tp2-auto-bind-1numa": "NumaNodesTooFew",
    "max-model-len-too-big": "InvalidMaxModelLen",
    "kv-cache-too-small": "InsufficientMemoryForContext",
    "kv-space-too-big": "InsufficientMemory",
    "gpu-mem-util-0.99": "InsufficientMemory",
    "gpu-mem-util-tiny": "InsufficientMemory",
    "unknown-flag": "InvalidArguments",
    "bad-choice": "InvalidArguments",
    "bad-dtype": "InvalidArguments",
    "quant-fp8": "QuantizationUnsupported",
    "head-size-16": "HeadSizeUnsupported",
    "bad-port": "InvalidArguments",
    "tensorizer-not-installed": "LoadFormatUnavailable",
    "fastsafetensors-not-installed": "LoadFormatUnavailable",
    "s3-path": "LoadFormatUnavailable",
    "load-format-pt": "WeightsMissing",
    "meta-layout-direct": "NeedsConversion",
    "meta-layout-as-mistral": "NeedsConversion",
    "meta-layout-as-pt": "NeedsConversion",
    "dev-shm-64Mi": "SharedMemoryTooSmall",
    "dev-shm-readonly": "SharedMemoryTooSmall",
    "compile-without-gxx": "CompilerMissing",
    "ngram-without-numba": "ImageBroken",
    "transformers-arch": "ModelUnsupported",
    "transformers-keys": "WeightsMissing",
    "transformers-model-dir-missing": "ModelNotFound",
    "transformers-no-weights": "WeightsMissing",
    "transformers-notok": "TokenizerInvalid",
    "transformers-shape": "WeightsMismatch",
    "transformers-trunc": "WeightsCorrupt",
    "transformers-without-typer": "ImageWithoutTransformers",
    "safetensors-bitflip": UNKNOWN,
    "tensor-missing": UNKNOWN,
}
WRAPPER = [
    '  File "/opt/vllm/v1/engine/core_client.py", line 682, in __init__',
    "    with launch_core_engines(",
    "         ^^^^^^^^^^^^^^^^^^^^",
    "Exception: WorkerProc initialization failed due to an exception in a background process. "
    "See stack trace for root cause.",
]
SAMPLES = samples()


def recorded(name: str) -> list[str]:
    return (DATA / "recorded" / f"{name}.log").read_text().splitlines()


@pytest.mark.parametrize(("name", "cause"), RECORDED.items())
def test_a_recorded_failure_is_recognised(name: str, cause: str) -> None:
    verdict = diagnose(recorded(name))
    assert verdict.cause == cause
    assert bool(verdict.evidence) == (cause != UNKNOWN)


@pytest.mark.parametrize("name", [n for n, cause in RECORDED.items() if cause != UNKNOWN])
def test_it_is_recognised_from_far_away(name: str) -> None:
    lines = [
        each for line in recorded(name) for each in ((WRAPPER * 33) if line == "..." else [line])
    ]
    near, far = diagnose(recorded(name)), diagnose(lines[-400:])
    assert (far.cause, far.evidence) == (near.cause, near.evidence)


def test_every_record_is_tried() -> None:
    assert {path.stem for path in DATA.glob("recorded/*.log")} == set(RECORDED)


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_a_text_is_recognised(sample: Sample) -> None:
    verdict = diagnose(sample.lines)
    assert verdict.cause == sample.cause
    assert verdict.evidence in "\n".join(sample.lines)
    assert not re.search(r"[{}]", verdict.explanation.replace(verdict.evidence, ""))


def test_every_branch_of_every_signature_has_a_text() -> None:
    """A pattern that no text meets is a guess, and its typing mistakes stay unseen."""
    lines = [line for sample in SAMPLES for line in sample.lines]
    lines += [line for name in RECORDED for line in recorded(name)]
    texts = {line.text.strip() for line in loglines.read(lines)}
    patterns = [sign.pattern for cause in CAUSES for sign in cause.signatures]
    unmet = [
        branch
        for pattern in patterns
        for branch in _with_flags(pattern)
        if not any(re.search(branch, text) for text in texts)
    ]
    assert not unmet


def _with_flags(pattern: str) -> list[str]:
    flags, rest = ("(?i)", pattern[4:]) if pattern.startswith("(?i)") else ("", pattern)
    return [flags + branch for branch in branches(rest)]


def test_names_are_unique_words_and_sentences_end() -> None:
    names = [cause.name for cause in CAUSES]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"([A-Z]+[a-z]*)+", name) for name in names)
    assert all(c.meaning.endswith(".") and c.advice.endswith(".") for c in CAUSES)
    assert UNKNOWN not in names
    assert {cause.name for cause in CAUSES if cause.signatures} == {s.cause for s in SAMPLES} | (
        set(RECORDED.values()) - {UNKNOWN}
    )


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_a_fix_is_a_patch_that_the_api_takes(sample: Sample) -> None:
    # With the configuration at hand, as whole logs have it, fixes have numbers.
    before = "INFO core.py: tensor_parallel_size=4, pipeline_parallel_size=1, max_num_seqs=1024"
    fix = diagnose([before, *sample.lines]).fix
    assert set(fix) <= {"spec"}
    LlamaDeploymentSpec.model_validate({"model": "llama-3.1-8b-instruct", **fix.get("spec", {})})


def test_every_field_that_an_advice_names_exists() -> None:
    deployment = next(
        each for each in crd.all_crds() if each["spec"]["names"]["kind"] == DEPLOYMENT_KIND
    )
    schema = deployment["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    texts = [text for cause in CAUSES for text in (cause.meaning, cause.advice)]
    fields = {field for text in texts for field in re.findall(r"\bspec(?:\.[a-zA-Z]+)+", text)}
    assert len(fields) > 20
    for field in fields:
        node = schema
        for name in field.split("."):
            if "additionalProperties" in node:
                break
            assert name in node.get("properties", {}), field
            node = node["properties"][name]


def fix_of(*lines: str) -> object:
    return diagnose(lines).fix.get("spec")


CONFIG = (
    "INFO [core.py:77] config: max_seq_len=8192, tensor_parallel_size={}, pipeline_parallel_size=1"
)
LOADED = "INFO [gpu_model_runner.py:1] Model loading took 15.0 GiB and 3 seconds"
OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 448.00 MiB."


def test_the_numbers_of_a_fix_come_from_the_log() -> None:
    assert fix_of(*recorded("kv-cache-too-small")) == {"sizing": {"maxModelLen": 1920}}
    assert fix_of(*recorded("max-model-len-too-big")) == {"sizing": {"maxModelLen": 2048}}
    assert fix_of(*recorded("tp3-heads4")) == {
        "gpu": {"count": 2},
        "sizing": {"tensorParallel": 2},
    }
    assert fix_of(CONFIG.format(8), *recorded("tp2-kv3")) == {
        "gpu": {"count": 4},
        "sizing": {"tensorParallel": 4},
    }
    free = (
        "ValueError: Free memory on device cuda:0 (41.37/79.18 GiB) on startup is less than desired "
        "GPU memory utilization (0.92, 72.84 GiB)."
    )
    assert fix_of(free) == {"sizing": {"gpuMemoryUtilization": 0.52}}
    seqs = "RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests."
    assert fix_of(seqs) == {"sizing": {"maxNumSeqs": 512}}


def test_the_largest_size_below_is_offered_that_divides_the_heads() -> None:
    text = "ValueError: Total number of attention heads (10) must be divisible by tensor parallel size (4)."
    assert fix_of(text) == {"gpu": {"count": 2}, "sizing": {"tensorParallel": 2}}
    staged = "INFO [core.py:77] config: tensor_parallel_size=4, pipeline_parallel_size=3"
    assert fix_of(staged, text) == {"gpu": {"count": 6}, "sizing": {"tensorParallel": 2}}


def test_of_several_lines_of_one_cause_the_most_exact_is_shown() -> None:
    vague = "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)"
    exact = "OSError: It looks like the config file at '/m/config.json' is not a valid JSON file."
    frame = '  File "/opt/transformers/configuration_utils.py", line 9, in get_config_dict'
    for lines in ([frame, vague, exact], [exact, frame, vague]):
        verdict = diagnose(lines)
        assert verdict.evidence == exact
        assert verdict.explanation == "/m/config.json is not valid JSON."


def test_a_card_that_is_full_needs_gpus_for_weights_and_a_smaller_share_after_them() -> None:
    assert fix_of(CONFIG.format(2), OOM) == {"gpu": {"count": 4}}
    assert fix_of(CONFIG.format(2), LOADED, OOM) == {"sizing": {"gpuMemoryUtilization": 0.87}}
    assert fix_of(OOM) is None, "a guess without the number of GPUs would be none"


def test_no_fix_asks_for_gpus_on_a_cpu() -> None:
    cpu = "INFO core.py: device_config=cpu, tensor_parallel_size=1"
    assert fix_of(cpu, "ValueError: No available memory for the cache blocks.") is None


def test_the_first_to_fail_is_named_and_not_those_that_it_took_along() -> None:
    place = "ERROR 11-25 10:00:00 [multiproc_executor.py:9]"
    log = [
        f"(Worker_TP1 pid=8) {place} RuntimeError: Connection closed by peer [10.0.0.9]:1",
        f"(Worker_TP0 pid=7) {place} {OOM}",
        f"(Worker_TP2 pid=9) {place} torch.distributed.DistBackendError: NCCL error in: x",
        f"(EngineCore pid=5) {place} Worker proc VllmWorker-1 died unexpectedly, shutting down",
    ]
    assert diagnose(log).cause == "GPUOutOfMemory"
    assert diagnose(log[:1] + log[2:]).cause == "NCCLFailed"
    assert diagnose(log[3:]).cause == "EngineKilled"


def test_what_follows_from_an_unknown_failure_is_not_its_cause() -> None:
    strange = "FrobnicationError: the flux is out of range"
    verdict = diagnose([strange, "ConnectionResetError: [Errno 104] Connection reset by peer"])
    assert (verdict.cause, verdict.evidence) == (UNKNOWN, strange)


def test_what_was_survived_is_no_cause() -> None:
    served = "INFO:     Application startup complete."
    assert diagnose([OOM, served]).cause == UNKNOWN
    assert diagnose([served, OOM]).cause == "GPUOutOfMemory"


def test_a_warning_counts_only_where_something_failed() -> None:
    warning = "h:1:2 [0] transport/net.cc:1104 NCCL WARN Cuda failure 'out of memory'"
    assert diagnose([warning]).cause == UNKNOWN
    assert diagnose([warning, "RuntimeError: NCCL error: x"]).cause == "GPUOutOfMemory"


def test_a_line_of_code_is_not_a_message() -> None:
    code = [
        '  File "/opt/x.py", line 1, in f',
        '    raise ValueError("No CUDA GPUs are available")',
    ]
    assert diagnose([*code, "ValueError: something of ours"]).cause == UNKNOWN


# -- unknown ------------------------------------------------------------------------------------


def unknown(*lines: str) -> Diagnosis:
    verdict = diagnose(lines)
    assert verdict.cause == UNKNOWN
    assert not verdict.fix
    return verdict


def test_of_an_unknown_failure_the_last_exception_is_shown_that_is_no_wrapper() -> None:
    verdict = unknown(
        "ValueError: first",
        "FrobnicationError: the flux is out of range",
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
    )
    assert verdict.evidence == "FrobnicationError: the flux is out of range"
    assert "ValueError: first" in verdict.explanation
    assert "initialization failed" not in verdict.explanation


def test_an_assertion_without_words_is_shown_by_its_code() -> None:
    verdict = unknown(
        '  File "/opt/x.py", line 1, in f', "    assert a > b", "           ^^^^^", "AssertionError"
    )
    assert verdict.evidence == "assert a > b"
    assert "AssertionError" in verdict.explanation


def test_pydantics_words_are_shown_and_not_its_heading() -> None:
    heading = "pydantic_core._pydantic_core.ValidationError: 1 validation error for Thing"
    assert (
        unknown(heading, "  Field required [type=missing]").evidence
        == "Field required [type=missing]"
    )


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((), "The log is empty."),
        (("", "  "), "The log is empty."),
        (("INFO 11-25 10:00:00 [x.py:1] hello",), "before the server serves"),
        (("INFO:     Application startup complete.",), "came to serve"),
    ],
)
def test_a_log_without_a_failure_says_so(lines: Sequence[str], said: str) -> None:
    verdict = unknown(*lines)
    assert verdict.evidence == ""
    assert said in verdict.explanation


# -- how the container ended --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason", "cause"),
    [
        (137, "OOMKilled", "OutOfMemory"),
        (137, "Error", "KilledFromOutside"),
        (143, "Error", "KilledFromOutside"),
        (139, "Error", "NativeCrash"),
        (134, "Error", "NativeCrash"),
        (135, "Error", "SharedMemoryTooSmall"),
        (132, "Error", "ImageForOtherProcessor"),
        (127, "Error", "ImageWithoutVLLM"),
        (2, "Error", "InvalidArguments"),
        (1, "Error", UNKNOWN),
        (0, "Completed", UNKNOWN),
    ],
)
def test_without_a_log_the_exit_tells(code: int, reason: str, cause: str) -> None:
    assert diagnose([], code, reason).cause == cause


def test_a_signal_tells_more_than_an_unknown_exception_and_that_more_than_another_code() -> None:
    strange = "FrobnicationError: no"
    assert diagnose([strange], 139, "Error").cause == "NativeCrash"
    assert diagnose([strange], 2, "Error").evidence == strange


def test_a_log_tells_more_than_an_exit_code_and_the_kernel_more_than_a_log() -> None:
    assert diagnose([OOM], 137, "Error").cause == "GPUOutOfMemory"
    assert diagnose([OOM], 137, "OOMKilled").cause == "OutOfMemory"
    assert "exit code 7" in diagnose([], 7, "Error").explanation


# -- any text -----------------------------------------------------------------------------------

_PIECES = st.sampled_from([line for sample in SAMPLES for line in sample.lines])


@given(st.lists(st.one_of(_PIECES, st.text()), max_size=20), st.integers(-1, 300) | st.none())
def test_any_text_gets_a_verdict_that_stands_in_it(lines: list[str], code: int | None) -> None:
    verdict = diagnose(lines, code)
    assert verdict.cause == UNKNOWN or verdict.cause in {cause.name for cause in CAUSES}
    assert verdict.explanation
    assert diagnose(lines, code) == verdict
