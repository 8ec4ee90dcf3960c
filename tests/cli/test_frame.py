"""The frame: help, exit codes, streams, colour, pipes, Ctrl-C, completion."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from llamactl.app import SECTIONS, cli
from llamactl.command import LazyGroup
from tests.cli.conftest import DEPLOYMENTS, WEIGHTS, Run, process
from tests.cli.fake_api import Fake
from tests.cli.objects import deployment, ready, weights

COMMANDS = [name for part in SECTIONS.values() for name in part]
HEAVY = ("kubernetes", "pydantic", "rich", "yaml", "urllib3", "llama_operator.planner")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_has_an_example(llamactl: Run, name: str) -> None:
    result = llamactl(name, "--help")
    assert result.exit_code == 0
    assert f"Examples:\n  llamactl {name}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


def _subcommands() -> list[str]:
    context = click.Context(cli)
    groups = [(name, cli.get_command(context, name)) for name in COMMANDS]
    return [
        f"{name} {sub}"
        for name, group in groups
        if isinstance(group, LazyGroup)
        for sub in group.list_commands(context)
    ]


@pytest.mark.parametrize("words", _subcommands())
def test_help_of_each_subcommand_has_an_example(llamactl: Run, words: str) -> None:
    result = llamactl(*words.split(), "--help")
    assert result.exit_code == 0
    assert f"  llamactl {words}" in result.stdout.split("Examples:")[1]
    assert max(map(len, result.stdout.splitlines())) <= 100


def _found(words: str) -> click.Command:
    group, _, sub = words.partition(" ")
    context = click.Context(cli)
    command = cli.get_command(context, group)
    if sub:
        assert isinstance(command, click.Group)
        command = command.get_command(context, sub)
    assert command is not None
    return command


@pytest.mark.parametrize("name", [*COMMANDS, *_subcommands()])
def test_examples_parse(name: str) -> None:
    """An example that names an option which is gone would be worse than none."""
    import shlex

    command = _found(name)
    options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
    if isinstance(command, click.Group):
        context = click.Context(command)
        found = [command.get_command(context, sub) for sub in command.list_commands(context)]
        options |= {o for c in found if c for p in c.params for o in (*p.opts, *p.secondary_opts)}
    for example in command.examples:  # type: ignore[attr-defined]
        ours = re.split(r" [|>] ", example)[0 if example.startswith("llamactl") else 1]
        used = {w.split("=")[0] for w in shlex.split(ours) if re.match(r"--?[a-zA-Z]", w)}
        assert used <= options, (example, used - options)


def test_help_of_the_group_names_commands_and_exit_codes(llamactl: Run) -> None:
    text = llamactl("--help").stdout
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert re.search(r"0 +done.*1 +failed.*2 +wrong.*3 +not ready.*130 +inter", text, re.DOTALL)


@pytest.mark.parametrize(
    "args", [["--help"], ["deploy", "--help"], ["plan", "--help"], ["weights", "gc", "--help"]]
)
def test_help_imports_nothing_heavy(args: list[str]) -> None:
    code = (
        "import sys; from llamactl.app import cli\n"
        f"try: cli.main({args!r})\n"
        f"except SystemExit: print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_mistyped_command_is_wrong_usage(llamactl: Run) -> None:
    result = llamactl("lst")
    assert result.exit_code == 2
    assert "did you mean list" in result.stderr


@pytest.mark.parametrize("args", [["list", "--nope"], ["status"], ["list", "-o", "xml"]])
def test_wrong_usage_is_2(llamactl: Run, args: list[str]) -> None:
    result = llamactl(*args)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_no_arguments_show_the_help(llamactl: Run) -> None:
    result = llamactl()
    assert result.exit_code == 2
    assert "Serve Llama models on Kubernetes" in result.output


def test_get_is_list(llamactl: Run, api: Fake) -> None:
    api.put(f"{DEPLOYMENTS}/my-llama", ready())
    assert llamactl("get", "-o", "name").stdout == llamactl("list", "-o", "name").stdout != ""


def test_a_closed_pipe_is_quiet() -> None:
    command = [sys.executable, "-m", "llamactl", "models", "--all", "-o", "json"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_stdout_may_be_closed() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m llamactl --help >&-"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "fault" not in done.stderr


def test_ctrl_c_ends_without_a_traceback(api: Fake) -> None:
    api.put(f"{DEPLOYMENTS}/my-llama", deployment())
    # A shell's background job, such as this test run may be, would ignore the signal.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "llamactl"]
    command += ["status", "my-llama", "--wait"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as running:
        deadline = time.monotonic() + 20
        while len(api.asked) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, stderr = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "Traceback" not in stderr


def test_colour_only_where_it_is_wanted(api: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    api.put(f"{DEPLOYMENTS}/my-llama", ready())
    piped = process("list")
    assert "\x1b[" not in piped.stdout
    assert "\x1b[" in _on_a_terminal("list")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in _on_a_terminal("list")


def _on_a_terminal(*args: str) -> str:
    import pty

    master, slave = pty.openpty()
    with subprocess.Popen([sys.executable, "-m", "llamactl", *args], stdout=slave, stderr=slave):
        os.close(slave)
        text = b""
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:
                break
            if not piece:
                break
            text += piece
    os.close(master)
    return text.decode()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(llamactl: Run, shell: str) -> None:
    result = llamactl("completion", shell)
    assert result.exit_code == 0
    assert "_LLAMACTL_COMPLETE" in result.stdout
    assert "llamactl" in result.stdout


def test_the_bash_script_is_valid(llamactl: Run, tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(llamactl("completion", "bash").stdout)
    subprocess.run(["bash", "-n", script], check=True)


def _complete(words: str) -> list[str]:
    count = len(words.split()) - (not words.endswith(" "))
    env = {"_LLAMACTL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    done = process(env=env)
    assert done.stderr == ""
    return [line.split(",", 1)[1] for line in done.stdout.split()]


def test_commands_complete() -> None:
    assert _complete("llamactl st") == ["status"]


def test_names_complete_from_the_cluster(api: Fake) -> None:
    api.put(f"{DEPLOYMENTS}/my-llama", ready())
    api.put(f"{DEPLOYMENTS}/other", ready("other"))
    assert _complete("llamactl status my") == ["my-llama"]


def test_help_of_the_group_fits_sixty_columns() -> None:
    text = click.Context(cli, info_name="llamactl", terminal_width=58).get_help()
    ours = [line for line in text.splitlines() if not line.startswith("  llamactl ")]
    assert max(map(len, ours)) <= 60


def test_names_of_copies_and_fields_complete(api: Fake) -> None:
    api.put(f"{WEIGHTS}/the-8b", weights("the-8b"))
    assert _complete("llamactl weights verify the") == ["the-8b"]
    assert _complete("llamactl set my-llama gpu.c") == ["gpu.count="]


@pytest.mark.parametrize("name", [*COMMANDS, *_subcommands()])
def test_help_fits_sixty_columns(name: str) -> None:
    """All but the examples, which are for pasting and are never broken."""
    context = click.Context(_found(name), info_name=name, terminal_width=58)
    text, _, examples = context.get_help().partition("Examples:")
    assert examples
    assert max(map(len, text.splitlines())) <= 60


def test_a_dry_run_of_delete_deletes_nothing(llamactl: Run, api: Fake) -> None:
    api.put(f"{DEPLOYMENTS}/my-llama", deployment())
    result = llamactl("delete", "my-llama", "--dry-run=server")
    assert result.stdout == "llamadeployment.llamactl.dev/my-llama deleted (server dry run)\n"
    assert "Goes: " in result.stderr
    (deletion,) = [path for method, path in api.asked if method == "DELETE"]
    assert deletion.endswith("/my-llama?dryRun=All")


def test_names_do_not_complete_without_a_cluster() -> None:
    assert _complete("llamactl status my") == []
