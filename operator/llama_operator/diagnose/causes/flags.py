"""Flags and variables that vLLM refuses."""

from __future__ import annotations

from llama_operator.diagnose import fixes
from llama_operator.diagnose.known import KnownCause, Rank, Signature

BATCH = KnownCause(
    "InvalidBatchSize",
    "Sequences, tokens of a step and context do not go together.",
    "Raise spec.sizing.maxNumBatchedTokens, or leave it and spec.sizing.maxNumSeqs out.",
    (
        # recorded: batched-tokens-below-seqs, batched-tokens-below-len
        Signature(
            r"max_num_batched_tokens \((?P<tokens>\d+)\) must be greater than or equal to max_num_seqs"
            r" \((?P<least>\d+)\)",
            "{tokens} tokens of a step are fewer than {least} sequences.",
            fixes.batched_tokens,
        ),
        Signature(
            r"max_num_batched_tokens \((?P<tokens>\d+)\) is smaller than max_model_len \((?P<least>\d+)\)",
            "{tokens} tokens of a step are fewer than a context of {least}, and prompts are not split.",
            fixes.batched_tokens,
        ),
        # source
        Signature(r"Consider increasing max_num_batched_tokens|Increase max_num_batched_tokens to"),
    ),
)
ARGUMENTS = KnownCause(
    "InvalidArguments",
    "vLLM refuses a flag or its value.",
    "Correct or remove it in spec.engine.args, or set spec.engine.version to that of the image: flags "
    "come and go with versions.",
    (
        # recorded: unknown-flag, bad-dtype, missing-value, bad-kv-cache-dtype ...
        Signature(r"\berror: unrecognized arguments: (?P<flag>.+)", "vLLM does not know {flag}."),
        Signature(
            r"\berror: argument (?P<flag>[-\w/. ]+): (?P<what>.+)",
            "vLLM refuses {flag}: {what}.",
        ),
        Signature(r"^vllm(?: serve)?: error: (?P<what>.+)", "vLLM refuses its arguments: {what}."),
        # recorded: bad-choice
        Signature(
            r"Load format `(?P<value>[^`]*)` is not supported|Unknown load_format: ",
            "vLLM does not know this --load-format.",
        ),
        # recorded: bad-port
        Signature(
            r"bind\(\): port must be 0-65535|Port must be between", "The port is out of range."
        ),
        # recorded: bad-tool-parser, tool-choice-alone
        Signature(
            r"invalid (?:tool call|reasoning) parser: (?P<value>\S+)", "vLLM has no parser {value}."
        ),
        # recorded: tool-parser-misfit
        Signature(
            r"--tool-call-parser (?P<value>\S+) cannot be used with the tokenizer",
            "The parser {value} is for another tokenizer than the model's.",
        ),
        Signature(
            r"(?:Type|Value)Error: Error: (?P<what>--.+)", "vLLM refuses its arguments: {what}."
        ),
        # recorded: bad-chat-template
        Signature(
            r"chat template string \((?P<path>[^)]*)\) (?:appears path-like|looks like a file path)",
            "There is no chat template {path}.",
        ),
        # source: configuration checks
        Signature(
            r"Unknown (?:quantization method|dtype|attention backend|KV cache layout|vLLM environment"
            r" variable|Mamba)|Invalid quantization method|Unrecognized distributed executor backend"
            r"|Unsupported kv_role|Invalid data-parallel launch options|are mutually exclusive"
            r"|(?:Sleep mode|cumem allocator) is not supported on current platform"
            r"|Invalid compilation mode|Invalid value of|Unknown config format"
            r"|jinja2\.exceptions\.TemplateSyntaxError|Unsupported speculative method|Invalid repo type"
        ),
        # source: pydantic's refusal of a value, by the field's name
        Signature(
            r"^(?:Input should be|Extra inputs are not permitted|Unexpected keyword argument"
            r"|Value error, \S.*(?:must be|should be|is not a valid|cannot be|not supported))",
            near=r"validation errors? for \w+(?:Config|Args)\b",
        ),
    ),
    exit_codes=(2,),
)
# What pydantic refuses without one of the texts above.
SETTINGS = KnownCause(
    "InvalidSettings",
    "vLLM refuses a combination of settings.",
    "The line says which; change spec.sizing or spec.engine.args.",
    (
        Signature(
            r"^Value error, (?P<what>.+?)(?: \[type=|$)",
            "vLLM refuses its settings: {what}.",
            near=r"validation errors? for \w+Config\b",
        ),
    ),
    rank=Rank.GENERAL,
)
CAUSES = (BATCH, ARGUMENTS, SETTINGS)
