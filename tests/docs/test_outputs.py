"""Outputs that the documents show are those of the commands above them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs import markdown, outputs
from tests.docs.outputs import Shown
from tests.docs.running import offline, said

SHOWN = [each for page in markdown.pages() for each in outputs.shown(page)]


def test_they_are_found() -> None:
    assert len(SHOWN) >= 10


@pytest.mark.parametrize("shown", SHOWN, ids=str)
def test_an_output_is_what_the_command_says(shown: Shown) -> None:
    assert offline(shown.command), "only what runs without a cluster can be held to its output"
    wanted = outputs.beginning(said(shown.command), shown.text)
    assert shown.text == wanted, "run `python -m tests.docs.outputs`"


def test_an_output_is_written_anew_as_far_as_it_was_shown(tmp_path: Path) -> None:
    page = "Text\n\n```sh\nllamactl models\n```\n\n```\none\ntwo\n```\n\nMore\n"
    (tmp_path / "p.md").write_text(page)
    wanted = page.replace("one\ntwo\n", "A\nB\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markdown, "PROJECT", tmp_path)
        assert outputs.written(tmp_path / "p.md", lambda _: "A\nB\nC\n") == wanted
