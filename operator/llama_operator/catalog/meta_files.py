"""What Meta's server holds of a model: which host, which folders, which files.

Taken from Meta's own download scripts (sources L1SH, L2SH, CLSH, L3SH, SKU and PURPLE of the
catalogue). Traps that they hold: the 405B without a suffix is the FP8 checkpoint; Llama 1, 2 and
Guard 1 keep the tokenizer above the folders; both guards of the first years have no checklist.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from llama_operator.api.signed_url import SignedUrl, UrlRefused
from llama_operator.catalog.model import Model

PARAMS: Final = "params.json"
TOKENIZER: Final = "tokenizer.model"
CHECKLIST: Final = "checklist.chk"
TOKENIZER_CHECKLIST: Final = "tokenizer_checklist.chk"
# "llama3-1.llamameta.net" names its family; "download.llamameta.net" is of the first years.
_OF_A_FAMILY: Final = re.compile(r"^llama-?(\d)(?:[-.](\d))?\.llamameta\.net$")
_OF_OLD: Final = re.compile(r"^download\d*\.llamameta\.net$")
_OLD: Final = ("1", "2", "code", "3")
_ROOT_TOKENIZER: Final = ("llama-1-", "llama-2-", "llama-guard-1-")


class Listing(NamedTuple):
    """Files of a model: names inside one of `folders` (tried in order), and above them.

    `weights` are consolidated.NN.pth. Without a `checklist` Meta publishes no checksums.
    """

    folders: tuple[str, ...]
    weights: tuple[str, ...]
    checklist: bool
    tokenizer_above: bool

    @property
    def small(self) -> tuple[str, ...]:
        """Small files in the folder, in the order in which they are asked for."""
        own = () if self.tokenizer_above else (TOKENIZER,)
        return (PARAMS, *((CHECKLIST,) if self.checklist else ()), *own)

    @property
    def above(self) -> tuple[str, ...]:
        """Small files above the folder."""
        if not self.tokenizer_above:
            return ()
        return (TOKENIZER, *((TOKENIZER_CHECKLIST,) if self.checklist else ()))


def listing(model: Model, folder: str = "") -> Listing:
    """The files of a model; `folder` is the user's own word for where they lie.

    Raises UrlRefused (FormatUnsupported) for what is not there, or cannot be converted.
    """
    meta = model.meta
    if meta is None or not meta.pth_files:
        raise _not_there(model)
    problem = _unconvertible(model)
    if problem:
        raise problem
    folders = (folder,) if folder else (meta.folder, *meta.aliases)
    weights = tuple(f"consolidated.{rank:02d}.pth" for rank in range(meta.pth_files))
    above = model.id.startswith(_ROOT_TOKENIZER)
    return Listing(folders, weights, meta.checklist, above)


def check_family(url: SignedUrl, model: Model) -> None:
    """Raises UrlRefused (URLWrongFamily) where the host is known to hold other models.

    A host that nobody has seen yet is not judged: the server itself will.
    """
    found = _OF_A_FAMILY.match(url.host)
    family = family_of(model)
    if found:
        named = ".".join(part for part in found.groups() if part)
        fits = named == family
    else:
        named, fits = "Llama 1 to 3", not _OF_OLD.match(url.host) or family in _OLD
    if not fits:
        shown = named if named.startswith("Llama") else f"Llama {named}"
        raise UrlRefused(
            "URLWrongFamily",
            f"the URL is for {shown} ({url.host}), and {model.id} is of {_spoken(family)}",
            fix=f"Ask for {_spoken(family)} at https://www.llama.com/llama-downloads and put that "
            "URL into the Secret, or change spec.model",
        )


def family_of(model: Model) -> str:
    """The release whose e-mail gives access: "1", "2", "code", "3", "3.1", "3.2", "3.3", "4"."""
    if model.generation != "guard":
        return model.generation
    # Guards come with the models that they were made from.
    made_from = {"1": "2", "2": "3", "3": "3.1", "4": "4"}
    number = model.id.removeprefix("llama-guard-").partition("-")[0]
    small = model.id.startswith(("llama-guard-3-1b", "llama-guard-3-11b"))
    return "3.2" if small else made_from.get(number, "3.1")


def _spoken(family: str) -> str:
    return "Code Llama" if family == "code" else f"Llama {family}"


def _not_there(model: Model) -> UrlRefused:
    return UrlRefused(
        "FormatUnsupported",
        f"Meta's server holds no .pth files of {model.id}",
        fix=_instead(model),
    )


def _unconvertible(model: Model) -> UrlRefused | None:
    what = ""
    if model.refusal:
        what = f"is {model.refusal}"
    elif model.generation == "4" or model.id.startswith("llama-guard-4"):
        what = "is of Llama 4, whose experts and vision tower are not converted"
    elif model.shape.quantization or "fp8" in model.id:
        what = "is in Meta's own FP8 format, which vLLM cannot load"
    if not what:
        return None
    message = f"{model.id} {what}"
    return UrlRefused("FormatUnsupported", message, fix=_instead(model))


def _instead(model: Model) -> str:
    if not model.hf_repo or model.refusal:
        return "Choose another model: `llamactl models` lists all"
    return f"Use spec.source.huggingFace with the repository {model.hf_repo}"
