"""LoRA adapters on the command line: how they are named, and how they are shown."""

from __future__ import annotations

import pytest

from llamactl import detail, loras, manifest
from llamactl.errors import BadValueError


def test_a_repository_and_a_directory_of_a_claim() -> None:
    assert loras.parse(["sql=o/sql", "mine=pvc:files/a/b", "root=pvc:files"]) == [
        {"name": "sql", "source": {"huggingFace": {"repo": "o/sql"}}},
        {"name": "mine", "source": {"claim": {"name": "files", "path": "a/b"}}},
        {"name": "root", "source": {"claim": {"name": "files"}}},
    ]


@pytest.mark.parametrize("text", ["sql", "=o/sql", "sql=", "sql=pvc:"])
def test_what_is_no_adapter_says_how_to_write_one(text: str) -> None:
    with pytest.raises(BadValueError, match="NAME=WHERE"):
        loras.parse([text])


def test_a_name_stands_once() -> None:
    with pytest.raises(BadValueError, match="'sql' is named twice"):
        loras.parse(["sql=o/a", "sql=o/b"])


def test_adapters_come_with_room_for_them() -> None:
    wanted = manifest.Wanted("llama-3.1-8b-instruct", "web", "", {"adapters": ("sql=o/sql",)})
    spec = manifest.build(wanted)["spec"]
    assert spec["lora"] == {"enabled": True}
    assert [each["name"] for each in spec["adapters"]] == ["sql"]
    assert "lora" not in manifest.build(manifest.Wanted("m", "web", "", {}))["spec"]


def test_a_bad_name_is_refused_before_anything_is_sent() -> None:
    wanted = manifest.Wanted("llama-3.1-8b-instruct", "web", "", {"adapters": ("a/b=o/sql",)})
    with pytest.raises(BadValueError, match=r"adapters.*name"):
        manifest.build(wanted)


def test_status_shows_each_with_its_replicas_and_what_is_wrong() -> None:
    rows = [
        {"name": "sql", "digest": "sha256:" + "a" * 64, "readyReplicas": 2},
        {"name": "bad", "digest": "", "readyReplicas": 0, "message": "its rank is 64"},
    ]
    text = detail.adapters({"status": {"readyReplicas": 2, "adapters": rows}}, 100)
    assert text.splitlines()[1].split()[:2] == ["sql", "2/2"]
    assert "its rank is 64" in text
    assert "sha256:aaaaaaaaaaaa" in text
    assert detail.adapters({"status": {}}, 100) == ""
