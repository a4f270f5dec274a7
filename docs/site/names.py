"""The index of the API reference: every name that a page of it documents, with the first sentence of its docstring."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import griffe

SOURCE = Path(__file__).parents[2] / "src"
INDEX = "reference/index.md"


def names(markdown: str) -> list[str]:
    """What a page documents."""
    return re.findall(r"^::: (\S+)$", markdown, flags=re.M)


@cache
def package() -> Any:
    extensions = griffe.load_extensions(str(Path(__file__).with_name("roles.py")))
    return griffe.load("twelve", search_paths=[SOURCE], extensions=extensions)


def summary(name: str) -> str:
    """The first sentence of a docstring, on one line."""
    found = package()[name.removeprefix("twelve.")]
    found = found.final_target if found.is_alias else found
    first = found.docstring.value.strip().split("\n\n")[0] if found.docstring else ""
    return re.split(r"(?<=[.:])\s", " ".join(first.split()), maxsplit=1)[0].rstrip(":").replace("|", "\\|")


def places(nav: Any) -> Iterator[str]:
    """The pages of a navigation, in its order."""
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from places(part)


def tables(nav: Any, files: Any) -> Iterator[str]:
    """A table for each page of the reference."""
    for file in map(files.get_file_from_path, places(nav)):
        known = names(file.content_string)
        if known:
            yield f"\n## [{_title(file)}]({file.src_uri.removeprefix('reference/')})\n\n| name | |\n|---|---|\n"
            yield "".join(f"| [`{short(name)}`][{name}] | {summary(name)} |\n" for name in known)


def short(name: str) -> str:
    """``twelve.NAME`` of what the package itself exports, else the name alone."""
    return name if name.count(".") == 1 else name.rpartition(".")[2]


def _title(file: Any) -> str:
    return re.match(r"# (.*)", file.content_string)[1]


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    return markdown + "".join(tables(config["nav"], files)) if page.file.src_uri == INDEX else markdown
