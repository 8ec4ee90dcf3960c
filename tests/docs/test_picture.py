"""The picture in the README is what the commands say."""

from __future__ import annotations

from xml.etree import ElementTree

from tests.docs import picture

TEXTS = [text for _, text in picture.lines()]


def test_it_is_drawn_from_what_the_commands_say() -> None:
    assert picture.FILE.read_text() == picture.drawn(), "run `python -m tests.docs.picture`"


def test_it_shows_a_plan_a_refusal_and_a_cause() -> None:
    assert any(text.startswith("Parallel: tensor 8") for text in TEXTS)
    assert ("wrong", "Error: --gpus: 6 GPUs: 64 attention heads are not divisible by 6.") in (
        picture.lines()
    )
    assert "Patch:    spec.sizing.maxModelLen: 1920" in TEXTS


def test_it_is_well_formed_loads_nothing_and_fits() -> None:
    tree = ElementTree.fromstring(picture.drawn())  # noqa: S314 - of our own making
    texts = [each for each in tree if each.tag.endswith("text")]
    assert [each.text for each in texts] == [text for text in TEXTS if text]
    assert max(len(text) for text in TEXTS) <= picture.COLUMNS
    assert "url(" not in picture.drawn() and picture.drawn().count("http") == 1
