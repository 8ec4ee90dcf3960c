"""How the model is split: tensor and pipeline parallel sizes, GPUs, nodes."""

from __future__ import annotations

from llama_operator.diagnose import fixes
from llama_operator.diagnose.known import KnownCause, Rank, Signature

TENSOR = KnownCause(
    "InvalidTensorParallelSize",
    "The tensor parallel size does not divide the model.",
    "Set spec.sizing.tensorParallel to a size that divides the attention heads, the KV heads and the "
    "feed-forward size (llamactl plan shows which), or leave it out.",
    (
        # recorded: tp3-heads4
        Signature(
            r"Total number of attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel"
            r" size \((?P<size>\d+)\)",
            "{heads} attention heads cannot be shared by {size} GPUs.",
            fixes.dividing_heads,
        ),
        # recorded: tp2-kv3, an assertion without a text
        Signature(
            r"^assert (?:self\.)?(?:total_)?num_kv_heads % tp_size == 0"
            r"|^assert self\.total_num_kv_heads % tp_size|^assert tp_size % self\.total_num_kv_heads",
            "The tensor parallel size does not divide the KV heads of the model.",
            fixes.halved_tensor_parallel,
            code=True,
        ),
        # recorded: tp2-ffn-odd
        Signature(
            r"^assert .*(?:intermediate_size|output_size|hidden_size)\S* % (?:self\.)?tp_size",
            "The tensor parallel size does not divide a layer of the model.",
            fixes.halved_tensor_parallel,
            code=True,
        ),
        # source: distributed.utils.divide
        Signature(
            r"^AssertionError: (?P<size>\d+) is not divisible by (?P<by>\d+)",
            "{size} rows of a layer cannot be shared by {by} GPUs.",
            fixes.halved_tensor_parallel,
        ),
        # source: quantised weights
        Signature(
            r"input_size_per_partition ?= ?(?P<size>\d+).* is not divisible by (?:group_size|weight"
            r" quantization block_k) ?= ?(?P<group>\d+)",
            "Split so far, {size} inputs of a layer are no whole number of quantisation groups of {group}.",
            fixes.halved_tensor_parallel,
        ),
        Signature(
            r"output_partition_size = (?P<size>\d+) is not divisible by weight quantization"
            r" block_n = (?P<group>\d+)",
            "Split so far, {size} outputs of a layer are no whole number of quantisation blocks of {group}.",
            fixes.halved_tensor_parallel,
        ),
        Signature(
            r"(?:input|output) size is not aligned with the quantized weight shape",
            "Split so far, a layer's part is no whole number of quantisation groups.",
            fixes.halved_tensor_parallel,
        ),
        Signature(
            r"(?:num_heads|vocab_size|[Hh]idden size)\S* .*(?:must be|not) divisible by .*"
            r"(?:tensor[_ ]parallel|tp_size|world[_ ]size)",
            fix=fixes.halved_tensor_parallel,
        ),
    ),
)
PIPELINE = KnownCause(
    "InvalidPipelineParallelSize",
    "The model cannot be cut into that many stages.",
    "Lower spec.sizing.pipelineParallel, or leave it out.",
    (
        # recorded: pp-more-than-layers
        Signature(
            r"^ZeroDivisionError: integer division or modulo by zero",
            "There are more pipeline stages than layers.",
            fixes.one_stage,
            near=r"num_blocks = available_memory // |get_pp_indices|num_hidden_layers",
        ),
        # source: vLLM 0.24 with one layer in two stages; a partition of the user's
        Signature(
            r"group_size must be greater than 0",
            "There are more pipeline stages than layers.",
            fixes.one_stage,
        ),
        Signature(
            r"len\(partitions\)=.* does not match pp_size|sum\(partitions\)=.* does not match",
            "VLLM_PP_LAYER_PARTITION does not fit the layers or the stages.",
        ),
        Signature(
            r"Pipeline parallelism is not supported for this model",
            "vLLM cannot cut this architecture into stages.",
            fixes.one_stage,
        ),
        # recorded in the project's facts: pipeline stages on a CPU with --enforce-eager
        Signature(
            r"^assert (?:self\.)?intermediate_tensors is not None",
            "The stages of a pipeline do not find each other's tensors without compiled graphs.",
            fixes.setting("engine", enforceEager=False),
            code=True,
        ),
    ),
)
GPUS = KnownCause(
    "NotEnoughGPUs",
    "The pod sees fewer GPUs than the layout needs.",
    "Set spec.gpu.count to what one node has; a pod sees the GPUs of its "
    "resource request, so look at spec.gpu.resourceName and the device plugin too.",
    (
        # source: config/parallel.py
        Signature(
            r"World size \((?P<world>\d+)\) is larger than the number of available GPUs \((?P<gpus>\d+)\)",
            "The layout needs {world} GPUs and the pod sees {gpus}.",
            fixes.gpus_there,
        ),
        # source: CUDA, HIP, Ray, vLLM's device ids
        Signature(
            r"CUDA error: invalid device ordinal|hipErrorInvalidDevice|cudaErrorInvalidDevice\b"
            r"|CUDA call failed .* invalid device ordinal"
            r"|Cannot provide a placement group|number of required \w+s exceeds the total number of available"
            r"|device_id \d+ is out of range for|visible device ordinal \d+ is out of range"
            r"|local_rank .* is out of bounds"
        ),
    ),
)
NODES = KnownCause(
    "InvalidNodes",
    "The nodes of one replica do not fit its layout.",
    "The number of nodes must divide spec.sizing.tensorParallel x spec.sizing.pipelineParallel.",
    (
        # recorded: world-size-nnodes
        Signature(
            r"`?--nnodes (?P<nodes>\d+)`? must evenly divide the total world size \((?P<world>\d+)\)",
            "{nodes} nodes do not divide {world} ranks.",
        ),
        # source
        Signature(
            r"`?--node-rank`? must be between 0 and|nnodes \(\d+\) must be divisible"
            r"|world_size \(\d+\) must be (?:equal to|divisible by)"
            r"|nnodes > 1 can only be set when distributed executor backend"
        ),
    ),
)
NUMA = KnownCause(
    "NumaNodesTooFew",
    "CPU ranks are bound to NUMA nodes, and there are fewer nodes than ranks.",
    "Remove VLLM_CPU_OMP_THREADS_BIND from spec.engine.env (the operator sets nobind), or lower "
    "spec.gpu.count.",
    (
        # recorded: tp2-auto-bind-1numa
        Signature(
            r"Not enough allowed NUMA nodes to bind threads of (?P<ranks>\d+) local CPUWorkers",
            "{ranks} CPU ranks are to be bound to as many NUMA nodes, and there are fewer.",
            fixes.variable("VLLM_CPU_OMP_THREADS_BIND", "nobind"),
        ),
    ),
)
# An assertion in a worker whose code is not in the log any more.
LAYOUT = KnownCause(
    "LayoutRefused",
    "The ranks of a server refused how the model is split.",
    "Compare spec.sizing.tensorParallel and pipelineParallel with what llamactl plan offers.",
    (
        # source: distributed/parallel_state.py
        Signature(
            r"(?:tensor|pipeline) (?:model )?parallel group already initialized, but of unexpected size"
            r"|world group already initialized with a different world size"
            r"|tp_size=\d+ must be divisible by dcp_size|Decode context parallelism for GQA"
        ),
    ),
    rank=Rank.GENERAL,
)
CAUSES = (TENSOR, PIPELINE, GPUS, NODES, NUMA, LAYOUT)
