"""What Meta's server holds of each model, and which URL is for which."""

from __future__ import annotations

import pytest

from llama_operator.api.signed_url import SignedUrl, UrlRefused
from llama_operator.catalog import catalog, entry, meta_files
from llama_operator.catalog.model import Model


def model(name: str) -> Model:
    found = catalog.load().get(name)
    assert found is not None, name
    return found


def at(host: str) -> SignedUrl:
    return SignedUrl(f"https://{host}/", host, 1, "Policy=x")


@pytest.mark.parametrize(
    ("name", "folders", "weights", "small", "above"),
    [
        ("llama-1-33b", ("30B",), 4, ("params.json", "checklist.chk"),
         ("tokenizer.model", "tokenizer_checklist.chk")),
        ("llama-2-13b-chat", ("llama-2-13b-chat",), 2, ("params.json", "checklist.chk"),
         ("tokenizer.model", "tokenizer_checklist.chk")),
        ("codellama-34b", ("CodeLlama-34b",), 4,
         ("params.json", "checklist.chk", "tokenizer.model"), ()),
        ("llama-3-8b-instruct", ("8b_instruction_tuned", "Llama-3-8B-Instruct"), 1,
         ("params.json", "checklist.chk", "tokenizer.model"), ()),
        ("llama-3.1-405b-bf16-mp16", ("Llama-3.1-405B-MP16", "Meta-Llama-3.1-405B-MP16"), 16,
         ("params.json", "checklist.chk", "tokenizer.model"), ()),
        ("llama-guard-1-7b", ("",), 1, ("params.json",), ("tokenizer.model",)),
        ("llama-guard-2-8b", ("llama-guard-2",), 1, ("params.json", "tokenizer.model"), ()),
    ],
)  # fmt: skip
def test_the_files_of_each_family(
    name: str,
    folders: tuple[str, ...],
    weights: int,
    small: tuple[str, ...],
    above: tuple[str, ...],
) -> None:
    found = meta_files.listing(model(name))
    assert found.folders == folders
    assert found.weights[0] == "consolidated.00.pth"
    assert (len(found.weights), len(set(found.weights))) == (weights, weights)
    assert (found.small, found.above) == (small, above)


def test_the_users_folder_is_the_only_one() -> None:
    assert meta_files.listing(model("llama-3.1-8b"), "own").folders == ("own",)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("llama-3.1-405b-fp8", ("FP8", "meta-llama/Llama-3.1-405B-FP8")),
        ("llama-4-scout-instruct", ("Llama 4", "meta-llama/Llama-4-Scout-17B-16E-Instruct")),
        ("llama-guard-4-12b", ("Llama 4", "meta-llama/Llama-Guard-4-12B")),
        ("llama-3.2-11b-vision", ("0.10.2", "llamactl models")),
        ("llama-2-34b", ("no .pth files", "llamactl models")),
    ],
)
def test_what_cannot_be_converted_is_refused_before_a_byte(
    name: str, words: tuple[str, str]
) -> None:
    with pytest.raises(UrlRefused) as refused:
        meta_files.listing(model(name))
    assert refused.value.reason == "FormatUnsupported"
    for word in words:
        assert word in str(refused.value)


def test_every_model_is_listed_or_refused_with_a_reason() -> None:
    listed = 0
    for each in catalog.load():
        try:
            listed += bool(meta_files.listing(each).weights)
        except UrlRefused as refused:
            assert refused.fix, each.id
    assert listed == 43


@pytest.mark.parametrize(
    ("host", "fitting", "wrong"),
    [
        ("llama3-1.llamameta.net", ("llama-3.1-8b", "llama-guard-3-8b"), ("llama-3-8b", "llama-2-7b")),
        ("llama3-2.llamameta.net", ("llama-3.2-1b", "llama-guard-3-1b"), ("llama-3.3-70b-instruct",)),
        ("llama3-3.llamameta.net", ("llama-3.3-70b-instruct",), ("llama-3.1-70b",)),
        ("download.llamameta.net", ("llama-2-7b", "codellama-7b", "llama-3-8b"), ("llama-3.1-8b",)),
        ("download6.llamameta.net", ("llama-3-8b", "llama-guard-2-8b"), ("llama-3.2-1b",)),
        ("mirror.example.com", ("llama-2-7b", "llama-3.1-8b"), ()),
    ],
)  # fmt: skip
def test_a_url_is_for_one_family(
    host: str, fitting: tuple[str, ...], wrong: tuple[str, ...]
) -> None:
    for name in fitting:
        meta_files.check_family(at(host), model(name))
    for name in wrong:
        with pytest.raises(UrlRefused, match=host) as refused:
            meta_files.check_family(at(host), model(name))
        assert refused.value.reason == "URLWrongFamily"


def test_a_model_goes_to_a_job_and_back() -> None:
    for each in catalog.load():
        found = entry.loads(entry.dumps(each))
        assert (found.id, found.shape, found.meta) == (each.id, each.shape, each.meta)
        assert meta_files.family_of(found) == meta_files.family_of(each)
    with pytest.raises(Exception, match="no entry of the catalogue"):
        entry.loads('{"id": "x"}')
