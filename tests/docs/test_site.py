"""The site of docs/: every page is in the navigation, every link leads somewhere, nothing is loaded
from elsewhere. MkDocs itself is not needed; `make docs` asks it the same with --strict."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docs import built, markdown
from tests.docs.markdown import PROJECT

DOCS = PROJECT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml without running what its Python tags name."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
SETTINGS = yaml.load((PROJECT / "mkdocs.yml").read_text(), Loader=_Loader)  # noqa: S506


def _hook() -> Any:
    spec = importlib.util.spec_from_file_location("outside", PROJECT / SETTINGS["hooks"][0])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


outside = _hook()


def entries(nav: Any) -> Iterator[str]:
    """The pages that a navigation names, in order."""
    if isinstance(nav, str):
        yield nav
    else:
        for each in nav.values() if isinstance(nav, dict) else nav:
            yield from entries(each)


def test_each_page_is_in_the_navigation_once_and_each_entry_is_a_page() -> None:
    named = list(entries(SETTINGS["nav"]))
    assert sorted(named) == [page.relative_to(DOCS).as_posix() for page in PAGES]


def test_a_page_has_the_address_that_alerts_link() -> None:
    assert SETTINGS["use_directory_urls"] is True
    assert SETTINGS["site_url"] == built.HOST
    assert len(built.runbooks()) >= 12
    for path in built.runbooks():
        assert (DOCS / f"{path}.md").exists(), path


def test_nothing_of_the_theme_is_fetched_from_elsewhere() -> None:
    assert SETTINGS["theme"]["font"] is False
    assert not {"extra_javascript", "extra_css"} & set(SETTINGS)


@pytest.mark.parametrize("page", PAGES, ids=markdown.name)
def test_links_hold_in_the_site_as_well(page: Path) -> None:
    path = markdown.name(page)
    text = page.read_text()
    published = {outside.address(markdown.name(each)) for each in PAGES}
    published |= {outside.address(each) for each in outside.outside({path: text})}
    here = Path(outside.address(path)).parent
    for link in markdown.links(outside.rewritten(text, path)):
        place = link.partition("#")[0]
        if place and not re.match(r"[a-z]+:", link):
            found = (PROJECT / here / place).resolve().relative_to(PROJECT).as_posix()
            assert found in published or (DOCS / found).is_file(), f"{link}: {found}"


@pytest.mark.parametrize("page", PAGES, ids=markdown.name)
def test_lists_and_tables_begin_after_an_empty_line(page: Path) -> None:
    """MkDocs shows them as part of the paragraph otherwise; a code host does not."""
    lines = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    before = ""
    for line in lines.splitlines():
        for begin in (r"- |\d\. ", r"\|"):
            if re.match(begin, line) and before and not before.startswith((" ", "#")):
                assert re.match(begin, before) or _inside_item(lines, line), line
        before = line


def _inside_item(text: str, line: str) -> bool:
    """Whether the lines above, up to an empty one, begin with an item of the list."""
    above = text[: text.index(line)].rpartition("\n\n")[2]
    return bool(re.match(r"- |\d\. ", above.lstrip("\n")))


def test_a_link_out_of_docs_is_written_anew() -> None:
    text = "See [x](../examples/a.yaml), [y](sizing.md#a), `[z](../no)` and [w](https://w/)."
    wanted = "See [x](source/examples/a.yaml), [y](sizing.md#a), `[z](../no)` and [w](https://w/)."
    assert outside.rewritten(text, "docs/x.md") == wanted
    assert outside.rewritten("[a](../../x/b.go)", "docs/reference/r.md") == (
        "[a](../source/x/b.go)"
    )
    assert outside.rewritten("[a](docs/cli.md)", "CONTRIBUTING.md") == "[a](../cli.md)"
    assert outside.rewritten("In [tests/](../tests/).", "docs/x.md") == "In tests/."
    assert list(outside.targets(text, "docs/x.md")) == ["examples/a.yaml", "docs/sizing.md"]


@pytest.mark.parametrize(
    "text",
    [
        '<script async src="https://cdn.example/x.js"></script>',
        '<link rel="preconnect" href="https://fonts.example">',
        '<link href="//fonts.example/a.css" rel=stylesheet>',
        "a{background:url(https://img.example/a.png)}",
        '<img alt="x" src="https://img.example/b.svg">',
    ],
)
def test_what_is_loaded_from_elsewhere_is_seen(text: str) -> None:
    assert len(built.loads(text)) == 1


def test_a_plain_link_and_the_own_host_are_no_load() -> None:
    text = (
        '<a href="https://vllm.ai">x</a><link rel="stylesheet" href="https://llamactl.dev/a.css">'
    )
    assert not built.loads(text + '<script src="assets/x.js"></script>')


def test_a_site_without_a_runbook_is_seen(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>")
    assert len(list(built.problems(tmp_path))) == len(built.runbooks())
