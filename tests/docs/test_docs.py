"""The documents against the code: links, targets, command lines, manifests, reasons."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from pydantic import BaseModel
from tests.docs import markdown
from tests.docs.markdown import PROJECT, Command
from tests.docs.reasons import reasons
from tests.docs.running import ROOTS, offline, run
from tests.support.cluster.__main__ import main as cluster_cli
from tests.support.demo import current

from llama_operator.api import conditions, crd, reference
from llama_operator.api.v1alpha1 import LlamaDeploymentSpec, LlamaWeightsSpec
from llamactl.app import cli as llamactl_cli

SPECS: dict[str, type[BaseModel]] = {
    "LlamaDeployment": LlamaDeploymentSpec,
    "LlamaWeights": LlamaWeightsSpec,
}
FOLDERS = ("docs", "operator", "cli", "tests", "examples", "charts", "requirements", ".ci")
ABSENT = ("operator/__init__.py",)  # named because it must not be there
# Fields of other kinds.
OTHERS = ("spec.template",)
PAGES = markdown.pages()
COMMANDS = [command for page in PAGES for command in markdown.commands(page)]
# Pages repeat each other; each command line is run once.
RUN = list({(each.text, each.code): each for each in COMMANDS if offline(each)}.values())
TROUBLESHOOTING = (PROJECT / "docs" / "troubleshooting.md").read_text()

each_page = pytest.mark.parametrize("page", PAGES, ids=markdown.name)


# -- links, files, targets --------------------------------------------------------------------


@each_page
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in markdown.links(page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place) if place else page
        assert target.exists(), f"{link}: there is no {target}"
        if anchor:
            assert anchor in markdown.anchors(target.read_text()), f"{link}: no such heading"


@each_page
def test_files_that_are_named_exist(page: Path) -> None:
    for span in markdown.spans(page.read_text()):
        if span in ABSENT:
            assert not (PROJECT / span).exists()
        elif re.fullmatch(r"[\w.*-]+/[\w.*/-]+", span) and span.split("/")[0] in FOLDERS:
            assert list(PROJECT.glob(span.rstrip("/"))), f"there is no {span}"


@each_page
def test_make_targets_that_are_named_exist(page: Path) -> None:
    known = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()
    blocks = (block for kind, block in markdown.blocks(text) if kind in ("", "sh"))
    code = [*markdown.spans(text), *blocks]
    for piece in code:
        for words in re.findall(r"(?:^|[\s$])make ((?:[a-z-]+\b ?)+)", piece):
            assert words.split()[0] in known, f"make {words}"


@each_page
def test_modules_that_are_run_exist(page: Path) -> None:
    for module, rest in re.findall(r"python -m ([\w.]+)([^\n`#]*)", page.read_text()):
        assert importlib.util.find_spec(module), module
        if module == "tests.support.cluster":
            parse(cluster_cli, rest.split())


# -- command lines ----------------------------------------------------------------------------


def parse(command: click.Command, words: list[str], *, whole: bool = True) -> click.Command:
    """The command that `words` reach; raises click.UsageError for what it would not take.

    Without `whole`, arguments may be missing: text names `llamactl status` without a NAME.
    """
    ctx = click.Context(command, info_name=command.name)
    options, rest, _ = command.make_parser(ctx).parse_args(list(words))
    for param in command.params:
        _check(param, options.get(param.name or ""), ctx, whole)
    if not isinstance(command, click.Group):
        assert not rest, f"{rest} is one argument too many"
        return command
    if not rest:
        return command
    _, found, rest = command.resolve_command(ctx, rest)
    assert found is not None
    return parse(found, rest, whole=whole)


def _check(param: click.Parameter, value: Any, ctx: click.Context, whole: bool) -> None:
    missing = value is None or value == () or "UNSET" in repr(value)
    if missing:
        assert not (whole and param.required), f"{param.name} is missing"
    elif isinstance(value, str) and not isinstance(param.type, click.File | click.Path):
        param.type.convert(value, param, ctx)


def refusal(command: Command, *, whole: bool = True) -> str:
    """Why a command line is wrong; "" where it is right."""
    try:
        parse(ROOTS[command.words[0]], list(command.words[1:]), whole=whole)
    except (click.UsageError, AssertionError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def test_command_lines_are_found() -> None:
    assert {each.words[0] for each in COMMANDS} == set(ROOTS)
    assert len(COMMANDS) > 40


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_command_lines_parse(command: Command) -> None:
    problem = refusal(command)
    if command.code != 2:
        assert not problem
    elif not offline(command):  # those are run
        assert problem


@each_page
def test_commands_in_text_parse(page: Path) -> None:
    for span in markdown.spans(page.read_text()):
        words = span.split(" | ")[0].split()
        if len(words) > 1 and words[0] in ROOTS:
            wrong = refusal(Command(markdown.name(page), span, tuple(words)), whole=False)
            assert not wrong, f"{span}: {wrong}"


def test_a_wrong_command_line_is_seen() -> None:
    for text in ("llamactl plan 8b --no-such 1", "llamactl status", "llamactl frobnicate x",
                 "llamactl plan 8b --gpus none", "llamactl list one two"):  # fmt: skip
        assert refusal(Command("", text, tuple(text.split()))), text


@pytest.mark.parametrize("command", RUN, ids=str)
def test_offline_commands_end_as_documented(command: Command) -> None:
    result = run(command)
    assert result.exit_code == command.code, result.output
    assert (result.stdout if result.exit_code == 0 else result.output).strip()


def test_every_command_of_llamactl_is_documented() -> None:
    text = (PROJECT / "docs" / "cli.md").read_text()
    for name in llamactl_cli.list_commands(click.Context(llamactl_cli)):
        assert f"`llamactl {name}`" in text, name
        assert any(each.words[:2] == ("llamactl", name) for each in COMMANDS), name


# -- manifests --------------------------------------------------------------------------------


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    texts = [
        (markdown.name(page), block)
        for page in PAGES
        for language, block in markdown.blocks(page.read_text())
        if language == "yaml"
    ]
    texts += [
        (markdown.name(path), path.read_text()) for path in PROJECT.glob("examples/**/*.yaml")
    ]
    for place, text in texts:
        for document in yaml.safe_load_all(text):
            if document.get("kind") in SPECS:
                yield f"{place}: {document['metadata']['name']}", document


SCHEMAS = {
    each["spec"]["names"]["kind"]: each["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for each in crd.all_crds()
}


def unknown(value: Any, schema: dict[str, Any], path: str = "") -> list[str]:
    """Fields that the schema does not have: the models would drop them without a word."""
    if isinstance(value, list):
        return [found for each in value for found in unknown(each, schema.get("items", {}), path)]
    known = schema.get("properties")
    if not isinstance(value, dict) or known is None:
        return []
    wrong = [f"{path}.{name}" for name in value if name not in known]
    inner = [name for name in value if name in known and path + name != "metadata"]
    return wrong + [
        found for name in inner for found in unknown(value[name], known[name], f"{path}.{name}")
    ]


@pytest.mark.parametrize(("place", "document"), list(manifests()), ids=[m[0] for m in manifests()])
def test_manifests_are_valid(place: str, document: dict[str, Any]) -> None:
    SPECS[document["kind"]].model_validate(document["spec"])
    spec = SCHEMAS[document["kind"]]["properties"]["spec"]
    assert not unknown(document["spec"], spec, "spec"), place


def test_an_unknown_field_is_seen() -> None:
    spec = SCHEMAS["LlamaDeployment"]["properties"]["spec"]
    assert unknown({"gpu": {"counts": 1}}, spec, "spec") == ["spec.gpu.counts"]


# -- reasons and the reference ----------------------------------------------------------------


def documented(kind: str) -> set[str]:
    """The reasons that troubleshooting.md has for a type, of either kind."""
    return markdown.first_cells(
        "".join(
            markdown.section(part, f"### {kind}")
            for part in _kinds().values()
            if f"\n### {kind}\n" in part
        )
    )


def _kinds() -> dict[str, str]:
    return {name: markdown.section(TROUBLESHOOTING, f"## {name}") for name in SPECS}


@pytest.mark.parametrize(("reason", "kinds"), sorted(reasons().items()))
def test_every_reason_that_the_code_sets_is_documented(reason: str, kinds: set[str]) -> None:
    everywhere = markdown.first_cells("".join(_kinds().values()))
    assert reason in everywhere, f"docs/troubleshooting.md has no row for {reason}"
    for kind in kinds:
        assert reason in documented(kind), f"docs/troubleshooting.md: {kind} has no {reason}"


def test_no_reason_is_documented_that_the_code_does_not_set() -> None:
    everywhere = markdown.first_cells("".join(_kinds().values()))
    assert everywhere <= set(reasons()), everywhere - set(reasons())


def test_reasons_are_found_in_the_code() -> None:
    found = reasons()
    assert found["UnknownModel"] == {"Planned"}
    assert found["ChecksumMismatch"] == {"Verified"}
    assert {"ObjectNotOwned", "ContextTooLong", "RateLimited", "ClaimMissing"} <= set(found)
    assert "StartupTimeout" in conditions.DEPLOYMENT_REASONS["Degraded"]
    # Nothing sets it so far; it must not be documented as if it were set.
    assert "StartupTimeout" not in found


def test_the_api_reference_is_as_generated() -> None:
    assert reference.FILE.read_text() == reference.text(), "run `make generate`"


@pytest.mark.parametrize("kind", SPECS)
def test_the_api_reference_has_every_field_with_a_description(kind: str) -> None:
    text = markdown.section(reference.text(), f"## {kind}")
    for part in ("spec", "status"):
        for path, field, _ in reference.tree(SCHEMAS[kind]["properties"][part], part):
            row = next(line for line in text.splitlines() if line.startswith(f"| `{path}` |"))
            assert field.get("description"), f"{path} has no description"
            assert " ".join(field["description"].split()).replace("|", "\\|") in row


# -- manifests as users judge them --------------------------------------------------------------


@pytest.mark.parametrize(("place", "document"), list(manifests()), ids=[m[0] for m in manifests()])
def test_apply_takes_every_manifest(place: str, document: dict[str, Any], tmp_path: Path) -> None:
    """As llamactl judges it without a cluster, with the plan where the GPU is named."""
    file = tmp_path / "shown.yaml"
    file.write_text(yaml.safe_dump(document))
    result = run(Command(place, "", ("llamactl", "apply", "-f", str(file), "--dry-run=client")))
    assert result.exit_code == 0, result.output


def _fields(schema: dict[str, Any], path: str) -> set[str]:
    return {path, *(each for each, _, _ in reference.tree(schema, path))}


FIELDS = {
    name.replace("[]", "")
    for schema in SCHEMAS.values()
    for part in ("spec", "status")
    for name in _fields(schema["properties"][part], part)
}


@each_page
def test_fields_that_are_named_exist(page: Path) -> None:
    """`spec.gpu.count`, and `status.plan`; what is said of other kinds stands in the first column."""
    text = re.sub(r"^\| `[^|]*\|", "|", page.read_text(), flags=re.MULTILINE)
    for span in markdown.spans(text):
        path = re.fullmatch(r"((?:spec|status)(?:\.[a-zA-Z]+)+)(?:[:=].*)?", span)
        if path and not span.startswith(OTHERS):
            assert path[1] in FIELDS, f"{path[1]} is no field"


def test_the_demo_on_a_cluster_of_yours_is_given_what_it_needs() -> None:
    shown = [
        line
        for page in [*markdown.pages(), PROJECT / "README.md"]
        for line in page.read_text().replace("\\\n", " ").splitlines()
        if line.strip().startswith("make demo CLUSTER=current")
    ]
    assert len(shown) >= 3
    for line in shown:
        assert set(current.NEEDED) <= set(re.findall(r" ([A-Z_]+)=", line)), line
