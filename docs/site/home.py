"""The home page, pages of the site that stand at the top of the repository, and the files there that pages link to.

docs/index.md is the home page; README.md, which says more, is that of a code host. CONTRIBUTING.md and CHANGELOG.md
become pages, so there is one text of each, whose links work on a code host too. So do links to pages that only the site
has, made from code: they name the code. What any page links to outside docs/, such as a file of results, becomes a file
of the site.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from twelve.version import __version__

HOME = Path(__file__).parents[2]
START = "index.md"
PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
MADE = {"src/twelve/cli/__init__.py": "reference/cli/index.md"}
"""Code -> the page that is made from it."""
BESIDE = "repository"
"""Folder of the site with the files from outside docs/."""
_BOOSTS = {
    4: ("search.md",),
    3: ("add-a-task.md", "configuration.md", "data.md", "predict.md", "regions.md", "tutorial.md"),
    2: ("score.md",),
    0.5: ("architecture.md", "kubernetes.md", "microworld.md", "protocols.md", "studies-reference.md"),
    0.02: ("reference/cli/",),
    0.1: ("reference/",),
    0.005: (
        *("ablations.md", "balancing.md", "joint-vs-single.md", "joint-vs-single-studies.md", "reading-speed.md"),
        *("real-photographs.md", "relations.md", "results.md", "search-and-service.md", "study-record.md"),
        *("the-papers-numbers.md", "contributing.md", "testing.md"),
    ),
}
SEARCHED: dict[str, dict[str, float | bool]] = {
    **{name: {"boost": boost} for boost, names in _BOOSTS.items() for name in names},
    "changelog.md": {"exclude": True},
    "renamed.md": {"exclude": True},
}
"""How the search ranks a page, or all pages of a folder, the first that fits; others have a boost of 1.

A word in a heading counts 1,000 times as much as one in a text. A guide with a word in its text comes before results
with it in a heading only if these have a boost of a few thousandths. Lists of changes have every word, and answer no
question. ``tests/test_site.py`` has questions and the pages that answer them.
"""
LINK = re.compile(r"(!?\[(?:[^\[\]]|!?\[[^\]]*\])*\])\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")


def targets(text: str, folder: str) -> Iterator[str]:
    """Paths, from the top of the repository, that a page in ``folder`` links to."""
    for found in LINK.finditer(text):
        yield posixpath.normpath(posixpath.join(folder, found[2]))


def in_site(path: str) -> str | None:
    """Where the site has a file of the repository, from the site's top; None where it has not, as for folders."""
    if path in PAGES or path in MADE:
        return (PAGES | MADE)[path]
    if path == "README.md":
        return START
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"{BESIDE}/{path}" if not (HOME / path).is_dir() else None


def relinked(text: str, folder: str, page: str) -> str:
    """The text with its links as they are in the site; a link to a folder keeps its text alone.

    Args:
        folder: of the text's file in the repository.
        page: its place in the site.
    """

    def link(found: re.Match[str]) -> str:
        to = in_site(posixpath.normpath(posixpath.join(folder, found[2])))
        if to is None:
            return found[1].strip("[]")
        return f"{found[1]}({posixpath.relpath(to, posixpath.dirname(page) or '.')}{found[3] or ''})"

    return LINK.sub(link, text)


def on_config(config: Any) -> Any:
    """The version stands at the foot of every page."""
    config.copyright = f"twelve {__version__}"
    return config


def on_files(files: Files, config: Any) -> Files:
    texts = {name: (HOME / name).read_text(encoding="utf-8") for name in PAGES}
    wanted = {path for text in texts.values() for path in targets(text, "")}
    for name, text in texts.items():
        files.append(File.generated(config, PAGES[name], content=relinked(text, "", PAGES[name])))
    for file in files.documentation_pages():
        if file.generated_by is None:
            wanted |= {*targets(file.content_string, posixpath.dirname(f"docs/{file.src_uri}"))}
    for path in sorted(wanted):
        to = in_site(path)
        if to is not None and to.startswith(BESIDE) and (HOME / path).is_file():
            files.append(File.generated(config, to, abs_src_path=str(HOME / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    searched = [how for name, how in SEARCHED.items() if page.file.src_uri.startswith(name)]
    if searched:
        page.meta["search"] = searched[0]
    if page.file.generated_by is not None:
        return markdown
    if page.file.src_uri == START:  # nothing but its own name would stand beside it
        page.meta["hide"] = ["navigation", "toc"]
    return relinked(markdown, posixpath.dirname(f"docs/{page.file.src_uri}"), page.file.src_uri)
