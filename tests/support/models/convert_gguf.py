"""`python convert_gguf.py FILE.gguf OUT PARAMETERS`: a GGUF file as a directory of safetensors.

Runs in the environment that serves, never in the project's own. Nothing is taken on trust: a
tensor that the GGUF reader does not know would silently get random values, so the number of
parameters must be what the caller says, and a missing weight is an error.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def main(source: Path, out: Path, parameters: int) -> None:
    """Write config, generation config, tokenizer with chat template, and weights in bfloat16."""
    where = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
    model, info = AutoModelForCausalLM.from_pretrained(
        **where,
        # A quantized model cannot be saved.
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
        output_loading_info=True,
    )
    tokenizer = AutoTokenizer.from_pretrained(**where)
    found = sum(weight.numel() for weight in model.parameters())
    # The output matrix is the embedding matrix, so it has no tensor of its own.
    missing = set(info["missing_keys"]) - {"lm_head.weight"}
    if found != parameters or missing or not tokenizer.chat_template:
        sys.exit(f"{source}: {found} parameters, missing {sorted(missing)}, or no chat template")
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
