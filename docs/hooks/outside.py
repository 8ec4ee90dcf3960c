"""Hooks of MkDocs: files outside of docs/ that pages link to are published with the site.

On a code host `../examples/x.yaml` leads to the file. A site knows docs/ only, so every such file is
published under source/, and links are written anew. The part that computes needs no MkDocs, so that
tests of the repository can use it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCS = "docs"
PUBLISHED = "source"
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
_CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def address(path: str) -> str:
    """Where a file of the repository lies in the site, as a source path of MkDocs."""
    inside = posixpath.relpath(path, DOCS)
    return f"{PUBLISHED}/{path}" if inside.startswith("..") else inside


def origin(uri: str) -> str:
    """The opposite: the file of the repository for a source path of MkDocs."""
    outside = uri.removeprefix(f"{PUBLISHED}/")
    return f"{DOCS}/{uri}" if outside == uri else outside


def targets(text: str, path: str) -> Iterator[str]:
    """Files of the repository that the page at `path` links to."""
    for part in _CODE.split(text)[::2]:
        for _, link in _LINK.findall(part):
            target = _target(link, path)
            if target and not (ROOT / target).is_dir():
                yield target


def rewritten(text: str, path: str) -> str:
    """The page at `path` with links that hold in the site."""
    parts = _CODE.split(text)
    parts[::2] = [_LINK.sub(lambda found: _rewrite(found, path), part) for part in parts[::2]]
    return "".join(parts)


def outside(pages: dict[str, str]) -> list[str]:
    """Files outside of docs/ that are to be published: what pages link to, and those link to."""
    found: set[str] = set()
    while True:
        known = {**pages, **{each: _text(each) for each in found if each.endswith(".md")}}
        wanted = {target for path, text in known.items() for target in targets(text, path)}
        new = {each for each in wanted if address(each) != posixpath.relpath(each, DOCS)} - found
        if not new:
            return sorted(found)
        found |= new


def on_files(files: Any, config: Any) -> Any:
    """Add the files outside of docs/."""
    from mkdocs.structure.files import File

    pages = {origin(each.src_uri): each.content_string for each in files.documentation_pages()}
    for path in outside(pages):
        source = str(ROOT / path)
        files.append(File.generated(config, address(path), abs_src_path=source))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Write links anew."""
    return rewritten(markdown, origin(page.file.src_uri))


def _target(link: str, path: str) -> str:
    place = link.partition("#")[0]
    if not place or re.match(r"[a-z]+:", link):
        return ""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), place))


def _rewrite(found: re.Match[str], path: str) -> str:
    text, link = found.groups()
    target, anchor = _target(link, path), "".join(link.partition("#")[1:])
    if not target:
        return found[0]
    if (ROOT / target).is_dir():  # a site has no view of a folder
        return text
    here = posixpath.dirname(address(path)) or "."
    return f"[{text}]({posixpath.relpath(address(target), here)}{anchor})"


def _text(path: str) -> str:
    return (ROOT / path).read_text()
