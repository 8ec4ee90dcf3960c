"""The model itself: where it is, its config.json, its tokenizer, its format."""

from __future__ import annotations

from llama_operator.diagnose import fixes
from llama_operator.diagnose.known import KnownCause, Signature

# Meta's folders are named so, and the repositories of Hugging Face keep its files in "original".
_METAS = r"(?:original|[\w.-]*[-_]mp\d+)"

CONVERSION = KnownCause(
    "NeedsConversion",
    "The folder holds Meta's own files (consolidated.*.pth, params.json), which vLLM does not load.",
    "Let a LlamaWeights fetch or adopt it, which converts it, or run llama-weights convert, or name a "
    "repository in Hugging Face format.",
    (
        # recorded: meta-layout-direct; the text is that of an empty folder but for its name
        Signature(
            rf"(?i)Invalid repository ID or local directory specified: '(?:\S*/)?{_METAS}/?'"
        ),
        # recorded: meta-layout-as-pt
        Signature(
            rf"(?i)Cannot find any (?:safetensors )?model weights with `(?:\S*/)?{_METAS}/?`"
        ),
        # recorded in the project's facts: meta-layout-as-mistral
        Signature(
            r"'PreTrainedConfig' object has no attribute '(?:intermediate_size|num_attention_heads)'"
        ),
        # source: what else is looked for by the Mistral format and by old versions
        Signature(
            r"consolidated\S*\.(?:pth|safetensors).*(?:not found|missing|No such file)"
            r"|Failed to load mistral '\S+' config for model"
        ),
    ),
)
NOT_FOUND = KnownCause(
    "ModelNotFound",
    "There is no model where the server looks: nothing is mounted there, the path is wrong, or the "
    "folder has no config.json (Meta's .pth files must be converted first).",
    "Look at the LlamaWeights (llamactl status shows it); a claim of your own needs the folder with "
    "config.json in spec.source.claim.path.",
    (
        # recorded: transformers-model-dir-missing
        Signature(r"^llama_serve: there is no folder (?P<path>\S+)", "There is no folder {path}."),
        # recorded: model-dir-missing, hub-id-offline, empty-dir
        Signature(
            r"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '(?P<path>[^']*)'",
            "There is no folder {path}, so its name was taken for that of a repository.",
        ),
        Signature(
            r"Cannot find an appropriate cached snapshot folder|Cannot find the requested files in the"
            r" (?:disk|local) cache|(?:couldn't|could not) find them in the cached files"
            r"|find the requested files in the local cache|OfflineModeIsEnabled: Cannot reach",
            "The server runs offline, and what it was given is no folder but the name of a repository.",
        ),
        Signature(r"Invalid repository ID or local directory specified"),
        # source: transformers and the hub's library
        Signature(
            r"does not appear to have a file named config\.json"
            r"|is not a local folder and is not a valid model identifier"
            r"|RepositoryNotFoundError|RevisionNotFoundError|is not a valid git identifier"
            r"|Can't load the configuration of|HFValidationError|EntryNotFoundError: .*config\.json"
            r"|Could not detect config format for no config file found"
            r"|(?:NotADirectoryError|FileNotFoundError): .*(?:/models?/?'|/config\.json)"
        ),
    ),
)
INVALID = KnownCause(
    "ModelInvalid",
    "config.json cannot be read or holds a value that cannot be.",
    "Fetch the copy anew, choose another revision, or correct the file.",
    (
        # recorded: config-json-corrupt, config-no-heads
        Signature(
            r"config file at '(?P<path>[^']*)' is not a valid JSON file",
            "{path} is not valid JSON.",
        ),
        Signature(
            r"StrictDataclassFieldValidationError: Validation error for field '(?P<field>\w+)'",
            "The field {field} of config.json cannot be so.",
        ),
        # source: transformers, model_arch_config_convertor
        Signature(
            r"StrictDataclassClassValidationError|`rope_(?:scaling|parameters)`.*(?:must|missing)"
            r"|rope_parameters.*(?:must|missing|KeyError)|Found conflicts between 'rope_type"
            r"|does not have `num_attention_heads` attribute"
            r"|Could not determine the number of key-value attention heads"
            r"|object has no attribute '(?:hidden_size|num_hidden_layers|vocab_size|architectures)'"
            r"|embed_dim \(\d+\) is not a multiple of the number of attention heads"
            r"|Unsupported activation: \w+\. Only silu"
        ),
        Signature(
            r"^(?:json\.decoder\.)?JSONDecodeError: ",
            "config.json, or another of the model's files, is not valid JSON.",
            near=r"get_config|configuration_utils|generation_config|safetensors\.index",
        ),
    ),
)
UNSUPPORTED = KnownCause(
    "ModelUnsupported",
    "This vLLM does not know the architecture of the model.",
    "Choose a model of llamactl models, or set spec.engine.image and spec.engine.version to a vLLM "
    "that knows it.",
    (
        # recorded: arch-unsupported, config-unknown-type
        Signature(
            r"Model architectures (?P<names>\[[^\]]*\]) are not supported for now",
            "This vLLM does not know the architecture {names}.",
        ),
        Signature(
            r"model type `(?P<type>[^`]*)` but Transformers does not recognize this architecture",
            "The installed transformers does not know the model type {type}.",
        ),
        # recorded: transformers-arch
        Signature(
            r"^AttributeError: module transformers has no attribute (?P<name>\w+)",
            "The installed transformers does not know the architecture {name}.",
        ),
        # source: model_executor/models/registry.py
        Signature(
            r"Model architectures \S+ failed to be inspected|was supported in vLLM until v\S+, and is not"
            r"|Model architecture \S+ is not supported in-tree|No model architectures are specified"
            r"|Cannot find model module|Transformers implementation of \S+ is not compatible with vLLM"
            r"|Model architecture '\S+' is not supported by ROCm"
            r"|does not support `--runner generate`|Unrecognized model in |Unrecognized configuration class"
            r"|Model Runner V\d does not (?:yet )?support"
        ),
    ),
)
REMOTE_CODE = KnownCause(
    "RemoteCodeNeeded",
    "The checkpoint brings Python code of its own, which is never run here.",
    "Choose a checkpoint whose architecture vLLM has; --trust-remote-code is reserved.",
    (
        # source: transformers/dynamic_module_utils.py, transformers_utils/config.py
        Signature(
            r"trust_remote_code=True|--trust-remote-code|requires you to execute the \w+ file"
            r"|contains custom code which must be executed"
        ),
    ),
)
TOKENIZER = KnownCause(
    "TokenizerInvalid",
    "The tokenizer's files are missing or cannot be read.",
    "Fetch the copy anew, or choose a repository that has tokenizer.json.",
    (
        # recorded: tokenizer-missing, tokenizer-corrupt
        Signature(r"Couldn't instantiate the backend tokenizer"),
        Signature(
            r"^(?:json\.decoder\.)?JSONDecodeError: ",
            "A file of the tokenizer is not valid JSON.",
            near=r"tokeniz",
        ),
        # recorded: transformers-notok
        Signature(r"^ValueError: Unrecognized processing class in "),
        # source: transformers, tokenizers, sentencepiece, tiktoken
        Signature(
            r"Can't load tokenizer for|Unable to load vocabulary from file|Failed to load the tokenizer"
            r"|Tokenizer class \S+ does not exist|data did not match any variant of untagged enum"
            r"|Unable to load tokenizer model from|Internal: could not parse ModelProto"
            r"|No tokenizer registered for tokenizer_mode|Error loading tokenizer"
            r"|(?:FileNotFoundError|EntryNotFoundError|OSError): .*tokenizer(?:_config)?\.(?:json|model)"
        ),
        Signature(
            r"^(?:OSError|TypeError|Exception|UnicodeDecodeError): ",
            near=r"vllm/tokenizers/hf\.py|from_file\(fast_tokenizer_file\)",
        ),
    ),
)
CONTEXT = KnownCause(
    "InvalidMaxModelLen",
    "The context is longer than the model's own, or no number of tokens at all.",
    "Lower spec.sizing.maxModelLen, or leave it out.",
    (
        # recorded: max-model-len-too-big
        Signature(
            r"max_model_len \((?P<asked>\d+)\) is greater than the derived max_model_len"
            r" \((?:\w+=)(?P<limit>\d+)",
            "A context of {asked} tokens was asked for and the model has {limit}.",
            fixes.context,
        ),
        # source: other fields of config.json that limit it; a sliding window
        Signature(r"is greater than the derived max_model_len"),
        # recorded: max-model-len-zero
        Signature(
            r"max_model_len must be a positive integer", "The context must be a number above 0."
        ),
        Signature(r"max_model_len \(\d+\) (?:exceeds|must not|cannot)"),
    ),
)
CAUSES = (CONVERSION, NOT_FOUND, INVALID, UNSUPPORTED, REMOTE_CODE, TOKENIZER, CONTEXT)
