"""Types and quantisation: what the checkpoint, the GPU and this build of vLLM can do together."""

from __future__ import annotations

from llama_operator.diagnose import fixes
from llama_operator.diagnose.known import KnownCause, Rank, Signature

UNSUPPORTED = KnownCause(
    "QuantizationUnsupported",
    "This GPU or this build of vLLM does not do the quantisation method.",
    "Change spec.sizing.quantization or the checkpoint, or take GPUs that do it "
    "(FP8 needs compute capability 8.9, NVFP4 10.0).",
    (
        # source: config/vllm.py, compressed_tensors.py, torchao.py
        Signature(
            r"quantization method (?P<method>\S+) is not supported for the current GPU\."
            r" Minimum capability: (?P<need>\d+)\. Current capability: (?P<have>\S+?)\.",
            "{method} needs a GPU of compute capability {need}, and this one has {have}.",
        ),
        Signature(
            r"Quantization scheme is not supported for the current GPU\. (?:Min|Required) capability:"
            r" (?P<need>\d+)\. Current capability: (?P<have>\d+)",
            "The checkpoint needs a GPU of compute capability {need}, and this one has {have}.",
        ),
        Signature(
            r"requires GPU compute capability >= [\d.]+|\S+ quantization is currently not supported in"
            r"|No compressed-tensors compatible scheme was found|Unsupported quantization config"
            r"|Unsupported num_bits|is no longer supported\. Use a checkpoint"
            r"|quantization method \S+ is deprecated|no longer supports online quantization"
            r"|Sparsity support has been removed"
            r"|Failed to find a kernel that can implement|Unsupported (?:FP8|ModelOpt|NVFP4)"
            r"|type fp8\w+ not supported in this architecture|FP8 KV cache is not"
        ),
        # recorded: quant-fp8 (an operation that this build was compiled without)
        Signature(
            r"_C::\w*(?:fp8|quant|awq|gptq|marlin|scaled|int8|fp4)\w*\(?\)?.*"
            r"(?:expected at most 0 argument|Declaration)|'_OpNamespace' '_C' object has no attribute"
            r"|Could not run '_C::\w*(?:quant|fp8|scaled|marlin|gptq|awq)",
            "This build of vLLM was compiled without the operations of the quantisation method.",
        ),
    ),
)
MISMATCH = KnownCause(
    "QuantizationMismatch",
    "The quantisation that was asked for is not that of the checkpoint.",
    "Leave spec.sizing.quantization out: the checkpoint says what it is.",
    (
        # recorded: quant-config-mismatch, quant-awq
        Signature(
            r"Quantization method specified in the model config \((?P<has>[^)]*)\) does not match the"
            r" quantization method specified in the `quantization` argument \((?P<asked>[^)]*)\)",
            "The checkpoint is quantised as {has}, and {asked} was asked for.",
        ),
        Signature(
            r"Cannot find the config file for (?P<asked>\w+)",
            "The checkpoint is not quantised as {asked}.",
        ),
        # source
        Signature(
            r"Cannot find any of \[.*\] in the model's quantization config"
            r"|Found multiple config files for|Model quantization method is not specified in the config"
            r"|Missing 'quant_algo' in quantization config"
        ),
    ),
)
DTYPE = KnownCause(
    "DtypeUnsupported",
    "The GPU, the model or the quantisation method does not do this type of activations.",
    "Set spec.sizing.dtype.",
    (
        # source: platforms/cuda.py, config/vllm.py, config/model.py
        Signature(
            r"Bfloat16 is only supported on GPUs with compute capability of at least",
            "This GPU has no bfloat16.",
            fixes.setting("sizing", dtype="float16"),
        ),
        Signature(
            r"torch\.float16 is not supported for quantization method|does not support float16",
            "float16 does not go with this model or its quantisation.",
            fixes.setting("sizing", dtype="bfloat16"),
        ),
        Signature(
            r"torch\.(?:bfloat16|float32) is not supported for quantization method"
            r"|FlashAttention only support fp16 and bf16",
            "This type does not go with the quantisation method or the attention of this GPU.",
            fixes.setting("sizing", dtype="float16"),
        ),
    ),
)
ATTENTION = KnownCause(
    "AttentionUnsupported",
    "No attention kernel of this vLLM fits GPU, type and KV cache.",
    "Remove an attention backend from spec.engine.args and spec.engine.env, set "
    "spec.sizing.kvCacheDtype to auto, or use an image for this GPU.",
    (
        # source: platforms/cuda.py
        Signature(
            r"No valid attention backend found|Selected backend \S+ is not valid for this configuration"
            r"|Invalid attention backend for|requires the SM100 trtllm-gen FlashInfer path"
            r"|(?:FlashAttention|FlashInfer|Triton|FA[23])\S* (?:does not|doesn't|only) support",
            fix=fixes.setting("sizing", kvCacheDtype="auto"),
        ),
    ),
    rank=Rank.GENERAL,
)
HEAD_SIZE = KnownCause(
    "HeadSizeUnsupported",
    "The attention kernels do not take heads of this size.",
    "Choose another model or another device; CPU kernels take 32, 64, 80, 96, 112, 128, 160, 192, "
    "224, 256 and 512.",
    (
        # recorded: head-size-16
        Signature(
            r"Unsupported CPU attention configuration: head_dim=(?P<size>\d+)",
            "The CPU's attention kernels do not take heads of size {size}.",
        ),
        # source
        Signature(
            r"[Hh]ead[_ ](?:size|dim)\S* (?P<size>\d+) is not supported|Unsupported head[_ ](?:size|dim)"
        ),
    ),
)
CAUSES = (MISMATCH, UNSUPPORTED, DTYPE, ATTENTION, HEAD_SIZE)
