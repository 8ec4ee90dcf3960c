"""Weights: their files, whether they fit the config, the loader, adapters."""

from __future__ import annotations

from llama_operator.diagnose.known import KnownCause, Rank, Signature

MISSING = KnownCause(
    "WeightsMissing",
    "There are no weights, or not all of them.",
    "Let a LlamaWeights fetch and verify the copy; a copy of your own must hold every file that "
    "model.safetensors.index.json names. Without spec.engine.args that set --load-format, "
    "safetensors are loaded.",
    (
        # recorded: no-weights, load-format-pt
        Signature(
            r"Cannot find any (?:safetensors )?model weights with `(?P<path>[^`]*)`",
            "There is no file of weights in {path}.",
        ),
        # recorded: transformers-no-weights, transformers-keys
        Signature(
            r"^llama_serve: there are no \*\.safetensors in (?P<path>[^,]*)",
            "There is no file of weights in {path}.",
        ),
        Signature(
            r"^llama_serve: the weights lack (?P<count>\d+) tensors of the model",
            "The weights lack {count} tensors of the model.",
        ),
        # recorded: shard-missing
        Signature(
            r"Weight files referenced in index but missing",
            "Files that model.safetensors.index.json names are not there.",
        ),
        # source: other loaders and versions
        Signature(
            r"Could not find checkpoint files '|Missing keys \(.*\) in loaded state"
            r"|Following weights were not initialized from checkpoint"
            r"|is tied to .* was not found in the checkpoint"
            r"|Can't find a checkpoint index|No such file or directory: .*\.(?:safetensors|bin|pt)"
            r"|IncompleteSnapshotError|weight_scale .* was never loaded"
        ),
    ),
)
CORRUPT = KnownCause(
    "WeightsCorrupt",
    "A file of weights is damaged or cut short.",
    "Fetch the copy anew: delete the LlamaWeights, or verify your own with llama-weights verify.",
    (
        # recorded: safetensors-truncated, safetensors-garbage-header, safetensors-zero-length
        Signature(
            r"Error while deserializing header: (?P<what>incomplete metadata|invalid JSON|header too small)",
            "A file of weights is damaged or cut short ({what}).",
        ),
        # source: safetensors, torch, zip files
        Signature(
            r"SafetensorError|Error while deserializing header|InvalidHeaderDeserialization|MetadataIncompleteBuffer"
            r"|PytorchStreamReader failed|UnpicklingError|invalid load key"
            r"|BadZipFile|unexpected EOF, expected \d+ more bytes|The file might be corrupted"
        ),
    ),
)
MISMATCH = KnownCause(
    "WeightsMismatch",
    "The weights are not of the model that config.json describes.",
    "Use files of one revision of one repository; a quantised checkpoint needs its own config.json.",
    (
        # recorded: weights-other-shape, weights-other-layers
        Signature(
            r"start \(\d+\) \+ length \(\d+\) exceeds dimension size \(\d+\)",
            near=r"weight_loader|load_weights|loaded_weight",
        ),
        Signature(
            r"There is no module or parameter named '(?P<name>[^']*)'",
            "The checkpoint has a tensor {name} and the model of config.json has none.",
        ),
        # recorded: transformers-shape
        Signature(
            r"^RuntimeError: You set `ignore_mismatched_sizes` to `False`",
            "Tensors of the checkpoint have other sizes than config.json says.",
        ),
        # source: weight_utils.py, linear.py, parameter.py, torch
        Signature(
            r"Attempted to load weight \(|Tried to load weights of size|Attempted to load nested weight"
            r"|size mismatch for |Shape mismatch.*weight"
        ),
        Signature(
            r"^assert (?:param|param_data|self\.data)\S*\.(?:shape|size\(\)) == loaded_weight",
            code=True,
        ),
        Signature(
            r"^KeyError: '(?P<name>[\w.]+)'",
            "The model of config.json does not know the tensor {name} of the checkpoint.",
            near=r"load_weights|params_dict\[",
        ),
    ),
)
LOADER = KnownCause(
    "LoadFormatUnavailable",
    "The image lacks the loader that the format or the address of the weights needs.",
    "Remove --load-format from spec.engine.args, let a LlamaWeights fetch the files instead of an "
    "s3:// or gs:// address, or use an image with that loader.",
    (
        # recorded: tensorizer-not-installed, fastsafetensors-not-installed, s3-path, runai
        Signature(
            r"No module named '(?P<module>tensorizer|fastsafetensors|runai_model_streamer|instanttensor"
            r"|modelexpress|boto3|google\.cloud\.storage)\S*'",
            "The image has no {module}.",
        ),
        # source
        Signature(
            r"Please install (?:instanttensor|vllm\[(?:tensorizer|runai|fastsafetensors)\])"
            r"|InstantTensor requires NVIDIA GPUs|To load a model from object storage"
            r"|is not a valid tensorizer URI|Unable to resolve tensorizer_uri"
            r"|Unexpected extra config keys for (?:load format|runai_streamer)"
        ),
    ),
)
UNREADABLE = KnownCause(
    "WeightsUnreadable",
    "The volume with the weights cannot be read, or the server's user may not read the files.",
    "Files of a claim of your own must be readable by others or by the pod's group (chmod -R a+rX). For "
    "an I/O error look at the volume and its node.",
    (
        # source: Python and the kernel
        Signature(
            r"PermissionError: .*(?:\.safetensors|\.json|/models/|\.model)'?",
            "The server's user may not read a file of the model.",
        ),
        Signature(
            r"\[Errno 5\] Input/output error|\[Errno 116\] Stale file handle"
            r"|\[Errno 107\] Transport endpoint is not connected|\[Errno 121\] Remote I/O error"
            r"|I/O error: (?:Stale|Input)|os error (?:5|107|116)\)",
            "The volume with the weights answers with an error.",
        ),
    ),
    permanent=False,
)
ADAPTER = KnownCause(
    "AdapterNotFound",
    "A LoRA adapter is missing, or does not fit the model or its limits.",
    "Correct --lora-modules in spec.engine.args: a folder with adapter_config.json and weights, of a "
    "rank that --max-lora-rank allows.",
    (
        # recorded: lora-missing, lora-no-config
        Signature(
            r"LoRAAdapterNotFoundError|Loading lora .* failed: No adapter found"
            r"|No adapter found for|adapter_config\.json"
        ),
        # source: lora/
        Signature(
            r"LoRA rank (?P<rank>\d+) is greater than max_lora_rank (?P<limit>\d+)",
            "An adapter has rank {rank} and the server allows {limit}.",
        ),
        Signature(
            r"expected target modules in .* but received|is unsupported LoRA weight"
            r"|is not supported for LoRA|Number of requested LoRAs|doesn't contain tensors"
            r"|Call to add_lora method failed|max_cpu_loras \(\d+\) must be >= max_loras"
        ),
    ),
    rank=Rank.ROOT,
)
CAUSES = (MISSING, CORRUPT, MISMATCH, LOADER, UNREADABLE, ADAPTER)
