"""The ways to break a real vLLM that a machine without GPUs has, each with the cause it shows.

What `llamactl doctor` says of a log is only as good as the logs it was tried on. Texts that were
typed once go stale with the next version of vLLM; these are made anew by the vLLM that the tests
run, from a made-up Llama of half a million parameters.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.cluster import paths
from tests.support.models import metashards
from tests.support.models.tiny import HEADS, HIDDEN, LAYERS, VOCABULARY, tiny
from tests.support.vllm_cpu.install import install

LIMIT_SECONDS = 120.0
Model = Callable[[Path], str]


@dataclass(frozen=True)
class Breakage:
    """One way: the model, more arguments and variables of `vllm serve`, and what comes of it.

    `exit_code` None: it serves, and `after` breaks it (or nothing does, and it is ended).
    """

    name: str
    cause: str
    model: Model
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    exit_code: int | None = 1
    shm: str = ""
    port_taken: bool = False
    # All that is on the PATH; None: the usual.
    programs: tuple[str, ...] | None = None
    after: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class Outcome:
    """How the process ended (None: it was ended by us), and all that it wrote."""

    exit_code: int | None
    log: str


# -- models ------------------------------------------------------------------------------------


def whole(_: Path) -> str:
    """The model as it should be."""
    return str(tiny())


def named(text: str) -> Model:
    """A name or a path, whatever is there."""
    return lambda _: text


def changed(change: Callable[[Path], None]) -> Model:
    """A copy of the model with something done to it."""

    def make(scratch: Path) -> str:
        copy = scratch / "model"
        shutil.copytree(tiny(), copy)
        change(copy)
        return str(copy)

    return make


def configured(**fields: object) -> Model:
    """A copy with other fields in config.json; None removes one."""

    def change(model: Path) -> None:
        path = model / "config.json"
        config = {**json.loads(path.read_text()), **fields}
        path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))

    return changed(change)


def _cut(model: Path) -> None:
    weights = model / "model.safetensors"
    with weights.open("r+b") as file:
        file.truncate(weights.stat().st_size // 2)


def _shard_missing(model: Path) -> None:
    (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
    names = {"model.norm.weight": "model-00001-of-00002.safetensors"}
    names["lm_head.weight"] = "model-00002-of-00002.safetensors"
    index = {"metadata": {"total_size": 1}, "weight_map": names}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))


def _without(name: str) -> Callable[[Path], None]:
    return lambda model: (model / name).unlink()


def _holding(name: str, data: bytes) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        (model / name).write_bytes(data)

    return change


def empty(scratch: Path) -> str:
    """A folder with nothing in it."""
    (scratch / "empty").mkdir()
    return str(scratch / "empty")


def metas(name: str) -> Model:
    """The model as Meta hands it out: .pth files and params.json, in a folder of that name."""

    def make(scratch: Path) -> str:
        weights = metashards.read(tiny() / "model.safetensors")
        shards = metashards.split(weights, HIDDEN // HEADS, 2)
        params = {"dim": HIDDEN, "n_layers": LAYERS, "n_heads": HEADS, "vocab_size": VOCABULARY}
        metashards.checkpoint(scratch / name, shards, params, b"")
        return str(scratch / name)

    return make


# -- what breaks a server that serves -----------------------------------------------------------


def ask(port: int, _: int) -> None:
    """One request; what it answers does not matter."""
    body = json.dumps({"model": "tiny", "prompt": "a", "max_tokens": 4}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions",
        body,
        {"Content-Type": "application/json", "Authorization": "Bearer sk-tiny"},
    )
    try:
        urllib.request.urlopen(request, timeout=120).read()  # noqa: S310
    except (urllib.error.URLError, OSError):
        return


def kill(title: str) -> Callable[[int, int], None]:
    """Kill the server's process of that title, as the kernel's OOM killer does."""

    def do(_: int, server: int) -> None:
        for pid in _family(server):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            if title in words:
                os.kill(pid, signal.SIGKILL)

    return do


def terminate(_: int, server: int) -> None:
    """Ask it to end, as a node that is drained does."""
    os.kill(server, signal.SIGTERM)


def _family(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        found += (more := children.get(todo.pop(), []))
        todo += more
    return found


# -- the ways -----------------------------------------------------------------------------------

BREAKAGES: tuple[Breakage, ...] = (
    Breakage("model-dir-missing", "ModelNotFound", named("/models/does-not-exist")),
    Breakage("hub-id-offline", "ModelNotFound", named("meta-llama/Llama-3.1-8B-Instruct")),
    Breakage("empty-dir", "ModelNotFound", empty),
    Breakage("config-json-corrupt", "ModelInvalid", changed(_holding("config.json", b"{"))),
    Breakage("config-no-architectures", "Unknown", configured(architectures=None),
             exit_code=None),
    Breakage("config-unknown-type", "ModelUnsupported", configured(model_type="nosuch")),
    Breakage("config-no-heads", "ModelInvalid", configured(num_attention_heads="x")),
    Breakage("arch-unsupported", "ModelUnsupported", configured(architectures=["FooForCausalLM"])),
    Breakage("tokenizer-missing", "TokenizerInvalid", changed(_without("tokenizer.json"))),
    Breakage("tokenizer-corrupt", "TokenizerInvalid", changed(_holding("tokenizer.json", b"{"))),
    Breakage("no-weights", "WeightsMissing", changed(_without("model.safetensors"))),
    Breakage("shard-missing", "WeightsMissing", changed(_shard_missing)),
    Breakage("safetensors-truncated", "WeightsCorrupt", changed(_cut)),
    Breakage("safetensors-garbage-header", "WeightsCorrupt",
             changed(_holding("model.safetensors", b"\x40" + b"\0" * 7 + b"\0" * 64))),
    Breakage("safetensors-zero-length", "WeightsCorrupt",
             changed(_holding("model.safetensors", b""))),
    Breakage("weights-other-shape", "WeightsMismatch", configured(intermediate_size=512)),
    Breakage("weights-other-layers", "WeightsMismatch", configured(num_hidden_layers=1)),
    Breakage("tp3-heads4", "InvalidTensorParallelSize", whole, ("--tensor-parallel-size=3",)),
    Breakage("tp2-kv3", "InvalidTensorParallelSize",
             configured(num_attention_heads=6, num_key_value_heads=3, hidden_size=192),
             ("--tensor-parallel-size=2", "--load-format=dummy")),
    Breakage("tp2-ffn-odd", "InvalidTensorParallelSize", configured(intermediate_size=255),
             ("--tensor-parallel-size=2", "--load-format=dummy")),
    Breakage("pp-more-than-layers", "InvalidPipelineParallelSize", whole,
             ("--pipeline-parallel-size=3",)),
    Breakage("pp-eager", "InvalidPipelineParallelSize", whole, ("--pipeline-parallel-size=2",),
             exit_code=0, after=ask),
    Breakage("tp2-auto-bind-1numa", "NumaNodesTooFew", whole, ("--tensor-parallel-size=2",),
             {"VLLM_CPU_OMP_THREADS_BIND": "auto"}),
    Breakage("max-model-len-too-big", "InvalidMaxModelLen", whole, ("--max-model-len=4096",)),
    Breakage("max-model-len-zero", "InvalidMaxModelLen", whole, ("--max-model-len=0",)),
    Breakage("kv-cache-too-small", "InsufficientMemoryForContext", whole,
             ("--kv-cache-memory-bytes=1M",)),
    Breakage("kv-cache-none", "InsufficientMemory", whole,
             ("--kv-cache-memory-bytes=100",)),
    Breakage("kv-space-too-big", "InsufficientMemory", whole, ("--kv-cache-memory-bytes=200G",)),
    Breakage("gpu-mem-util-0.99", "InsufficientMemory", whole,
             ("--kv-cache-memory-bytes=", "--gpu-memory-utilization=0.99")),
    Breakage("gpu-mem-util-tiny", "InsufficientMemory", whole,
             ("--kv-cache-memory-bytes=", "--gpu-memory-utilization=0.01")),
    Breakage("batched-tokens-below-seqs", "InvalidBatchSize", whole,
             ("--max-num-batched-tokens=8", "--max-num-seqs=16")),
    Breakage("batched-tokens-below-len", "InvalidBatchSize", whole,
             ("--max-num-batched-tokens=64", "--no-enable-chunked-prefill")),
    Breakage("unknown-flag", "InvalidArguments", whole, ("--no-such-flag",), exit_code=2),
    Breakage("missing-value", "InvalidArguments", whole, ("--max-num-seqs",), exit_code=2),
    Breakage("no-integer", "InvalidArguments", whole, ("--max-num-seqs=many",), exit_code=2),
    Breakage("bad-choice", "InvalidArguments", whole, ("--load-format=nosuch",)),
    Breakage("bad-dtype", "InvalidArguments", whole, ("--dtype=float8",), exit_code=2),
    Breakage("bad-kv-cache-dtype", "InvalidArguments", whole, ("--kv-cache-dtype=nonsense",),
             exit_code=2),
    Breakage("bad-json", "InvalidArguments", whole, ("--hf-overrides={",)),
    Breakage("bad-tool-parser", "InvalidArguments", whole,
             ("--enable-auto-tool-choice", "--tool-call-parser=nosuch")),
    Breakage("tool-parser-misfit", "InvalidArguments", whole,
             ("--enable-auto-tool-choice", "--tool-call-parser=llama3_json")),
    Breakage("tool-choice-alone", "InvalidArguments", whole, ("--enable-auto-tool-choice",)),
    Breakage("bad-chat-template", "InvalidArguments", whole, ("--chat-template=/no/such.jinja",)),
    Breakage("bad-attention-backend", "InvalidArguments", whole,
             ("--attention-backend=NOSUCH",)),
    Breakage("bad-compilation-config", "InvalidArguments", whole,
             ("--compilation-config={\"nosuch\": 1}",), exit_code=2),
    Breakage("quant-unknown", "InvalidArguments", whole, ("--quantization=nosuch",)),
    Breakage("quant-fp8", "QuantizationUnsupported", whole, ("--quantization=fp8",)),
    Breakage("quant-awq", "QuantizationMismatch", whole, ("--quantization=awq",)),
    Breakage("quant-config-mismatch", "QuantizationMismatch",
             configured(quantization_config={"quant_method": "fp8", "activation_scheme": "static"}),
             ("--quantization=awq",)),
    Breakage("head-size-16", "HeadSizeUnsupported",
             configured(hidden_size=64, head_dim=16), ("--load-format=dummy",),
             exit_code=0, after=ask),
    Breakage("bad-port", "InvalidArguments", whole, ("--port=80999",)),
    Breakage("tensorizer-not-installed", "LoadFormatUnavailable", whole,
             ("--load-format=tensorizer",)),
    Breakage("fastsafetensors-not-installed", "LoadFormatUnavailable", whole,
             ("--load-format=fastsafetensors",)),
    Breakage("runai-not-installed", "LoadFormatUnavailable", whole,
             ("--load-format=runai_streamer",)),
    Breakage("s3-path", "LoadFormatUnavailable", named("s3://bucket/model")),
    Breakage("load-format-pt", "WeightsMissing", whole, ("--load-format=pt",)),
    Breakage("meta-layout-direct", "NeedsConversion", metas("Llama-3.1-8B-MP2")),
    Breakage("meta-layout-original", "NeedsConversion", metas("original")),
    Breakage("lora-missing", "AdapterNotFound", whole,
             ("--enable-lora", "--lora-modules=sql=/no/such/adapter")),
    Breakage("lora-no-config", "AdapterNotFound", whole,
             ("--enable-lora", f"--lora-modules=sql={os.sep}tmp")),
    Breakage("cuda-flag-on-cpu", "InvalidArguments", whole, ("--enable-sleep-mode",)),
    Breakage("dev-shm-64Mi", "SharedMemoryTooSmall", whole, shm="size=64m"),
    Breakage("dev-shm-readonly", "SharedMemoryTooSmall", whole, shm="ro"),
    Breakage("compile-without-gxx", "CompilerMissing", whole, ("--no-enforce-eager",),
             programs=("lscpu",)),
    Breakage("without-lscpu", "ImageBroken", whole, programs=()),
    Breakage("world-size-nnodes", "InvalidNodes", whole,
             ("--nnodes=3", "--tensor-parallel-size=2")),
    Breakage("port-taken", "PortInUse", whole, port_taken=True),
    Breakage("worker-killed", "EngineKilled", whole, exit_code=0, after=kill("Worker")),
    Breakage("engine-killed", "EngineKilled", whole, exit_code=0, after=kill("EngineCore")),
    Breakage("terminated", "Unknown", whole, exit_code=0, after=terminate),
    Breakage("served", "Unknown", whole, exit_code=None, after=ask),
)  # fmt: skip


# -- running ------------------------------------------------------------------------------------


def run(breakage: Breakage, scratch: Path) -> Outcome:
    """Start vLLM that way and wait until it ends; one that serves is broken, or ended by us."""
    scratch.mkdir(parents=True, exist_ok=True)
    log = scratch / "log"
    with socket.socket() as probe, log.open("wb") as output:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        if breakage.port_taken:
            probe.listen()
        else:
            probe.close()
        process = subprocess.Popen(
            _command(breakage, scratch, port),
            env=_environment(breakage, scratch),
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = _watch(process, port, breakage.after)
        finally:
            _end(process)
    return Outcome(code, log.read_text(errors="replace"))


def _command(breakage: Breakage, scratch: Path, port: int) -> list[str]:
    own = {
        "--served-model-name": "tiny",
        "--host": "127.0.0.1",
        "--port": str(port),
        "--max-num-seqs": "16",
        "--kv-cache-memory-bytes": "64M",
        "--shutdown-timeout": "2",
        "--disable-access-log-for-endpoints": "/health,/metrics",
    }
    # A flag that the breakage sets, or empties, is not ours to set.
    named_flags = {arg.split("=")[0] for arg in breakage.args}
    args = [f"{flag}={value}" for flag, value in own.items() if flag not in named_flags]
    args += [] if "--no-enforce-eager" in named_flags else ["--enforce-eager"]
    args += [arg for arg in breakage.args if not arg.endswith("=")]
    program = [str(install() / "bin/vllm"), "serve", breakage.model(scratch), *args]
    return [*_isolated(breakage.shm), *program]


def _isolated(shm: str) -> list[str]:
    if not shm:
        return []
    mount = f'mount -t tmpfs -o {shm} tmpfs /dev/shm && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", mount, "sh"]


def _only(programs: tuple[str, ...], scratch: Path) -> str:
    folder = scratch / "bin"
    folder.mkdir()
    for program in programs:
        (folder / program).symlink_to(str(shutil.which(program)))
    return str(folder)


def _environment(breakage: Breakage, scratch: Path) -> dict[str, str]:
    own = {
        "PATH": os.defpath if breakage.programs is None else _only(breakage.programs, scratch),
        "HOME": str(scratch),
        "VLLM_TARGET_DEVICE": "cpu",
        "VLLM_API_KEY": "sk-tiny",
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CACHE_ROOT": str(paths.cache() / "vllm-cache"),
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    return own | dict(breakage.env)


def _watch(
    process: subprocess.Popen[bytes], port: int, after: Callable[[int, int], None] | None
) -> int | None:
    deadline = time.monotonic() + LIMIT_SECONDS
    broken = 0.0
    while time.monotonic() < deadline:
        if (code := process.poll()) is not None:
            return code
        if broken and time.monotonic() - broken > (15 if after else 1):
            return None  # it still serves: nothing was broken
        if not broken and _healthy(port):
            broken = time.monotonic()
            if after:
                after(port, process.pid)
        time.sleep(0.25)
    return None  # it hangs: after some failures it does


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
