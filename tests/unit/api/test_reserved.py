"""Reserved flags, judged against argparse itself as vLLM's parser uses it.

The option strings are those that `vllm serve --help=all` of the version in the file's name
prints; argparse decides what a spelling means, so the rule is not tested against itself.
"""

import argparse
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from llama_operator.api.reserved import (
    RESERVED_ENV,
    RESERVED_FAMILIES,
    RESERVED_FLAGS,
    reserved_args,
    reserved_env,
)

OPTIONS = (Path(__file__).parent / "data" / "vllm-0.32.0-options.txt").read_text().split()
LONG = [each for each in OPTIONS if each.startswith("--") and each != "--help"]
SHORT_OF = {"-tp": "tensor-parallel-size", "-pp": "pipeline-parallel-size"}
SHORT_OF |= {"-n": "nnodes", "-r": "node-rank"}
SWITCHES = {"-ep"}


class QuietParser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise ValueError(message)


def is_reserved(flag: str) -> bool:
    return flag.startswith(RESERVED_FAMILIES) or flag in RESERVED_FLAGS


def parser() -> QuietParser:
    made = QuietParser(add_help=False)
    for option in LONG:
        made.add_argument(option, dest=option[2:], nargs="?", default=argparse.SUPPRESS)
    for option in OPTIONS:
        if option.startswith("--") or option == "-h":
            continue
        dest = SHORT_OF.get(option, option)
        if option in SWITCHES:
            made.add_argument(option, dest=dest, action="store_true", default=argparse.SUPPRESS)
        else:
            made.add_argument(option, dest=dest, nargs="?", default=argparse.SUPPRESS)
    return made


PARSER = parser()


def meant(arg: str) -> set[str]:
    """The flags that vLLM's parser would set for an argument; empty where it fails."""
    if arg.startswith("--"):
        name, equals, value = arg.partition("=")
        arg = name.split(".", 1)[0].replace("_", "-") + equals + value
    try:
        known, _ = PARSER.parse_known_args([arg])
    except ValueError:
        return set()
    return set(vars(known))


NOTABLE = [each for each in OPTIONS if not each.startswith("--") or is_reserved(each[2:])]


def spelled(option: str, cut: int, dash: str, tail: str) -> str:
    """An option abbreviated by `cut` letters, its inner dashes changed, something glued on."""
    lead = "--" if option.startswith("--") else "-"
    body = option.removeprefix(lead)
    return lead + body[: max(1, len(body) - cut)].replace("-", dash) + tail


SPELLING = st.builds(
    spelled,
    option=st.one_of(st.sampled_from(NOTABLE), st.sampled_from(OPTIONS)),
    cut=st.integers(0, 12),
    dash=st.sampled_from("-_"),
    tail=st.sampled_from(["", "=1", "=n4", "4", ".a=1", ".a.b", "=a.b", "=r0"]),
)


@settings(max_examples=400)
@example("-ep=n4")
@example("--reasoning-parser-=x")
@given(st.one_of(SPELLING, st.text("-_=.tprnemodlhs1", max_size=12)))
def test_nothing_that_sets_a_reserved_flag_gets_through(arg: str) -> None:
    if any(is_reserved(flag) for flag in meant(arg)):
        assert reserved_args([arg]) == [arg]


def test_every_reserved_flag_of_vllm_is_refused_in_every_spelling() -> None:
    for flag in (each for each in LONG if is_reserved(each[2:])):
        spellings = [flag, f"{flag}=x", f"{flag}.x=1", "--" + flag[2:].replace("-", "_")]
        assert reserved_args(spellings) == spellings
        if not flag[2:].startswith(RESERVED_FAMILIES):
            prefixes = [flag[:end] for end in range(3, len(flag))]
            assert reserved_args(prefixes) == prefixes


def test_every_other_flag_of_vllm_may_be_used() -> None:
    for flag in (each for each in LONG if not is_reserved(each[2:])):
        underscored = "--" + flag[2:].replace("-", "_")
        assert reserved_args([flag, f"{flag}=x", f"{flag}.x=1", underscored]) == []


def test_short_flags() -> None:
    refused = [
        "-tp",
        "-tp=4",
        "-pp",
        "-pp=2",
        "-n",
        "-n4",
        "-r",
        "-r=1",
        "-t",
        "-p",
        "-ep=n4",
        "-dp",
        "-dpn",
    ]
    allowed = ["-q", "-O3", "-O", "-pcp", "-dcp", "-cc", "-asc", "-ep", "-sc", "-1"]
    assert reserved_args([*refused, *allowed, "fp8", "8192", "{}", "", "a--model"]) == refused


def test_every_listed_flag_exists_in_vllm() -> None:
    """A name that vLLM does not know would guard nothing."""
    for flag in RESERVED_FLAGS:
        assert any(each.startswith(f"--{flag}") for each in LONG)


def test_environment() -> None:
    refused = [*RESERVED_ENV, "LD_PRELOAD", "PYTHONPATH", "PYTHONSTARTUP"]
    allowed = ["VLLM_LOGGING_LEVEL", "HF_HOME", "OLD_PYTHON", "ld_preload", "NCCL_DEBUG"]
    assert reserved_env([*refused, *allowed]) == refused
