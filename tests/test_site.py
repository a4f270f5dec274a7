"""The documentation as a site: each page has one place, no link leads nowhere, nothing is fetched from elsewhere."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

import twelve

HOME = Path(__file__).parents[1]
DOCS = HOME / "docs"
MODULES = Path(twelve.__file__).parent
MADE = {"contributing.md", "changelog.md", "reference/cli/index.md"}
"""Pages made by docs/site/, from files at the top of the repository and from code."""
WRITTEN = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")


def places(tree: Any) -> Iterator[str]:
    """The pages in a navigation."""
    if isinstance(tree, str):
        yield tree
    else:
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from places(part)


def test_every_page_has_one_place_in_the_navigation() -> None:
    settings = yaml.safe_load((HOME / "mkdocs.yml").read_text(encoding="utf-8"))
    assert settings["strict"] is True
    assert Counter(places(settings["nav"])) == Counter([*WRITTEN, *MADE])


@dataclass
class Page(HTMLParser):
    """What a page of HTML holds."""

    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    inside: Counter[str] = field(default_factory=Counter)
    """Lists, tables and blocks of code of the text itself."""

    def __post_init__(self) -> None:
        super().__init__()
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.anchors |= {known[name] for name in ("id", "name") if name in known}
        if tag == "a" and "href" in known:
            self.links.append(known["href"])
        if "src" in known or (tag == "link" and known.get("rel") in ("stylesheet", "preconnect", "icon")):
            self.fetched.append(known.get("src") or known["href"])
        if tag == "article" or (self.depth and tag not in VOID):
            self.depth += 1
        if self.depth and tag in ("li", "table", "pre", "h2", "h3"):
            self.inside[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        if self.depth and tag not in VOID:
            self.depth -= 1

    @classmethod
    def of(cls, path: Path) -> Page:
        page = cls()
        page.feed(path.read_text(encoding="utf-8"))
        return page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed (pip install 'twelve[docs]')")
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    source = str(MODULES.parent)
    environment = {**os.environ, "PYTHONPATH": source, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=HOME, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {path.relative_to(site).as_posix(): Page.of(path) for path in sorted(site.rglob("*.html"))}


@pytest.mark.slow
def test_every_link_leads_somewhere(site: Path, pages: dict[str, Page]) -> None:
    lost = []
    for name, page in pages.items():
        if name == "404.html":
            continue  # its addresses are those of the host
        for link in [*page.links, *page.fetched]:
            path, _, anchor = unquote(link).partition("#")
            if re.match(r"https?:|mailto:|data:", link):
                continue
            target = (site / name).parent / path if path else site / name
            found = target.resolve()
            known = (
                pages.get(found.relative_to(site.resolve()).as_posix())
                if found.is_relative_to(site.resolve())
                else None
            )
            if not found.is_file() or (anchor and known is not None and anchor not in known.anchors):
                lost.append(f"{name}: {link}")
    assert not lost


@pytest.mark.slow
def test_nothing_is_fetched_from_another_host(pages: dict[str, Page]) -> None:
    assert len(pages) > len(WRITTEN)
    assert [(name, url) for name, page in pages.items() for url in page.fetched if "//" in url] == []


def shown_by_a_code_host(text: str) -> Counter[str]:
    """Lists, tables and blocks of code that CommonMark reads in a page."""
    from markdown_it import MarkdownIt

    kinds = {"list_item_open": "li", "table_open": "table", "fence": "pre", "code_block": "pre"}
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    headings = {"heading_open": {"h2": "h2", "h3": "h3"}}
    names = (kinds.get(token.type) or headings.get(token.type, {}).get(token.tag) for token in tokens)
    return Counter(filter(None, names))


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
def test_a_page_reads_as_on_a_code_host(name: str, pages: dict[str, Page]) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    if name.startswith("reference/"):
        pytest.skip("made from docstrings")
    assert pages[name.replace(".md", ".html")].inside == shown_by_a_code_host(text)


@pytest.mark.slow
def test_the_reference_has_every_public_name_and_every_command(site: Path, pages: dict[str, Page]) -> None:
    anchors = {anchor for name, page in pages.items() if name.startswith("reference/") for anchor in page.anchors}
    public = {f"twelve.{name}" for name in twelve.__all__ if name != "__version__"}
    for path in [HOME / "README.md", *DOCS.rglob("*.md")]:
        for block in re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.S):
            for module, names in re.findall(r"^ *from (twelve[\w.]*) import (.*)$", block, flags=re.M):
                public |= {f"{module}.{name.strip()}" for name in names.split(",")}
    assert len(public) > 40 and public <= anchors, public - anchors
    found = {path.stem: path.read_text(encoding="utf-8") for path in (site / "reference" / "cli").glob("*.html")}
    shown = (("train", "twelve train"), ("data", "twelve data fetch"), ("study", "twelve study joint-vs-single"))
    assert all(f">{name}<" in found[page] for page, name in shown)
    table = found["index"][found["index"].index("<article") : found["index"].index("</article>")]
    assert all(f'href="{page}.html"' in table for page in found.keys() - {"index"})
    assert "twelve-index" in found  # the page of the command does not replace the index
    contents = [f'<a href="#{title}" class="md-nav__link">' for title in ("usage", "example", "arguments", "options")]
    assert all(line in found["serve"] for line in contents)
    assert '<a href="../../http-api.html">HTTP API</a>' in found["serve"] and ">docs/" not in found["serve"]
    assert "--dry-run" in found["push"] and "--shortlist" in found["match"] and "--max-boxes" in found["regions"]


def test_examples_in_docstrings_give_what_they_say() -> None:
    tried = 0
    for path in sorted(MODULES.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            name = ".".join(path.relative_to(MODULES.parent).with_suffix("").parts)
            result = doctest.testmod(importlib.import_module(name))
            assert not result.failed, name
            tried += result.attempted
    assert tried >= 8


SEEN = (
    "index",
    "tutorial",
    "configuration",
    "architecture",
    "joint-vs-single",
    "reference/index",
    "reference/predictor",
    "reference/cli/index",
    "reference/cli/data",
)
"""Pages that are looked at in a browser, of each kind one."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no browser: chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        *((name, 390, "light") for name in SEEN),
        ("index", 1280, "light"),
        *((name, 1280, "dark") for name in ("architecture", "reference/predictor")),
    ],
)
def test_a_page_can_be_read_by_everybody(name: str, width: int, scheme: Any, address: str, browser: Any) -> None:
    from axe import findings

    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme, reduced_motion="reduce")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/{name}.html")
    if page.locator(".md-typeset table:not([class])").count():
        page.locator(".md-typeset__scrollwrap").first.wait_for()  # the theme wraps tables when the page is there
    try:
        assert findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
        assert [url for url in asked if not url.startswith((address, "data:"))] == []
    finally:
        page.close()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "shown"), [(390, "block"), (1280, "table-cell")])
def test_the_meaning_of_a_key_is_on_the_screen(width: int, shown: str, address: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.goto(f"{address}/configuration.html")
    page.locator(".md-typeset__scrollwrap").first.wait_for()
    table = page.locator(".md-typeset table:not([class])").filter(has_text="validation_images").first
    for cell in table.locator("td:last-child").all():
        box = cell.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width
        assert cell.evaluate("cell => getComputedStyle(cell).display") == shown
    if shown == "block":
        label = "cell => getComputedStyle(cell, '::before').content"
        assert table.locator("td:nth-child(3)").first.evaluate(label) == '"default: "'
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "shown"), [(390, "block"), (1280, "table-cell")])
def test_the_answers_of_studies_are_as_wide_as_the_screen(width: int, shown: str, address: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844})
    for name, text, columns in (
        (
            "joint-vs-single",
            "six synthetic tasks, all learning rates searched",
            ["learned by single-task models", "all tasks", "where the difference comes from"],
        ),
        ("study-record", "Does fine-tuning improve", ["question", "answer"]),
    ):
        page.goto(f"{address}/{name}.html")
        page.locator(".md-typeset__scrollwrap").first.wait_for()
        table = page.locator(".md-typeset table:not([class])").filter(has_text=text).first
        cells = table.locator("tbody tr").first.locator("td").all()
        assert {cell.evaluate("cell => getComputedStyle(cell).display") for cell in cells} == {shown}
        if shown == "block":
            label = "cell => getComputedStyle(cell, '::before').content"
            labels = [cell.evaluate(label).strip('"') for cell in cells[1:]]
            assert labels[: len(columns)] == [f"{column}: " for column in columns]
            assert all(cell.bounding_box()["width"] > 300 for cell in cells)
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deploy", "configuration"])
def test_an_option_in_a_table_is_on_one_line(name: str, address: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 844})
    page.goto(f"{address}/{name}.html")
    page.locator(".md-typeset__scrollwrap").first.wait_for()
    broken = page.evaluate("""() => [...document.querySelectorAll("td code")].flatMap((code) => {
      const words = document.createTreeWalker(code, NodeFilter.SHOW_TEXT), found = [];
      while (words.nextNode()) {
        for (const option of words.currentNode.data.matchAll(/(?<!\\S)-\\S+/g)) {
          const range = document.createRange();
          range.setStart(words.currentNode, option.index);
          range.setEnd(words.currentNode, option.index + option[0].length);
          if (new Set([...range.getClientRects()].map((box) => box.top)).size > 1) found.push(option[0]);
        }
      }
      return found;
    })""")
    page.close()
    assert broken == []


@pytest.mark.slow
def test_on_a_phone_a_table_that_scrolls_says_so_and_python_wraps(address: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{address}/results.html")
    page.locator(".md-typeset__scrollwrap").first.wait_for()
    wide = page.evaluate_handle(
        "[...document.querySelectorAll('.md-typeset__scrollwrap')].find(part => part.scrollWidth > part.clientWidth)"
    )
    assert "local" in wide.evaluate("part => getComputedStyle(part).backgroundAttachment"), "no shadow"
    hidden = "part => getComputedStyle(part.querySelector('table')).backgroundColor"
    assert wide.evaluate(hidden) == "rgba(0, 0, 0, 0)", "the table covers the shadow"
    page.goto(f"{address}/reference/predictor.html")
    blocks = page.locator(".language-python pre > code")
    widths = blocks.evaluate_all("all => all.map(code => code.scrollWidth - code.clientWidth)")
    assert len(widths) > 10 and max(widths) <= 0, "code scrolls sideways"
    page.close()


def test_the_search_leaves_out_lists_of_changes_and_ranks_guides_first(site: Path) -> None:
    entries = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    assert not [entry for entry in entries if entry["location"].startswith(("changelog", "renamed"))]
    assert {entry["boost"] for entry in entries if entry["location"].startswith("tutorial.html")} == {3}


@pytest.mark.slow
def test_the_search_finds_a_page_and_a_name(address: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 844})
    page.goto(f"{address}/index.html")
    for words, wanted in (("stop-and-go", "configuration.html"), ("ranked_captions", "reference/predictor.html")):
        page.locator("input.md-search__input").fill(words)
        page.locator("input.md-search__input").press("End")  # the theme waits for a key
        page.locator(f'.md-search-result__link[href*="{wanted}"]:visible').first.wait_for()
    page.close()


ANSWERS = {
    "retrieval": "search",
    "fine-tune": "tutorial",
    "own task": "add-a-task",
    "bf16": "predict",
    "region features": "regions",
    "resume": "configuration",
    "VQA score": "score",
    "batch size": "configuration",
    "learning rate": "configuration",
    "intervals": "study-scores",
    "GPU": "installation",
    "docker": "deploy",
    "deploy with docker": "deploy",
    "kubernetes": "kubernetes",
    "readiness probe": "kubernetes",
    "predict": "predict",
    "study": "studies",
    "write a study": "studies",
    "learning rate search": "studies-reference",
    "add a task": "add-a-task",
    "how to cite": "cite",
    "Predictor": "reference/predictor",
}
"""What people type -> the page that answers."""
AMONG_THREE = {
    "cite": "cite",
    "citation": "cite",
    "bibtex": "cite",
    "significance": "protocols",
    "p-value": "protocols",
    "confidence interval": "protocols",
    "confidence interval zebra": "study-scores",  # no page has all words
    "bootstrap": "study-scores",
    "gradient conflict": "configuration",
    "PCGrad": "configuration",
    "negative transfer": "relations",
    "zero-shot": "pretraining",
    "out of memory": "configuration",
    "seed": "configuration",
    "reproduce": "the-papers-numbers",
    "photographs": "photographs",
    "overnight": "photographs",
}
"""What researchers type -> the page that answers, which other pages may precede."""


@pytest.mark.slow
@pytest.mark.parametrize(("answers", "most"), [(ANSWERS, 1), (AMONG_THREE, 3)], ids=["first", "among three"])
def test_the_search_shows_first_the_page_that_answers(
    answers: dict[str, str], most: int, address: str, browser: Any
) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 844})
    page.goto(f"{address}/index.html")
    wrong = []
    for words, wanted in answers.items():
        page.locator("input.md-search__input").fill("zzz")  # finds nothing, so what is found later is of these words
        page.locator("input.md-search__input").press("End")
        page.locator(".md-search-result__item").first.wait_for(state="detached")
        page.locator("input.md-search__input").fill(words)
        page.locator("input.md-search__input").press("End")
        page.locator(".md-search-result__item .md-search-result__link").first.wait_for(state="attached")
        firsts = "items => items.map(item => item.querySelector('.md-search-result__link').href)"
        found = page.locator(".md-search-result__item").evaluate_all(firsts)[:most]
        names = [link.removeprefix(f"{address}/").partition("?")[0].partition("#")[0] for link in found]
        if f"{wanted}.html" not in names:
            wrong.append((words, names))
    page.close()
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_the_home_page_has_three_cards_and_the_version(width: int, address: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.goto(f"{address}/index.html")
    snippets = page.locator(".grid.cards > ul > li pre")
    assert [len(snippet.inner_text().split()) > 8 for snippet in snippets.all()] == [True] * 3
    lines = page.locator(".grid.cards pre > code > span")
    heights = [box["height"] for line in lines.all() if (box := line.bounding_box()) and line.inner_text().strip()]
    assert len(heights) > 15 and max(heights) < 1.5 * min(heights), "a line of a card wraps"
    assert not page.evaluate(
        "[...document.querySelectorAll('.grid.cards pre > code')].some(code => code.scrollWidth > code.clientWidth)"
    )
    if width > 1000:  # on a phone, it is the menu
        assert not page.locator(".md-sidebar--primary .md-nav--primary > .md-nav__list").is_visible()
    assert f"twelve {twelve.__version__}" in page.locator(".md-copyright").inner_text()
    page.close()


@pytest.mark.slow
def test_the_search_works_from_a_disk(site: Path, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 844})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "index.html").as_uri())
    page.locator("input.md-search__input").fill("stop-and-go")
    page.locator("input.md-search__input").press("End")
    page.locator('.md-search-result__link[href*="configuration.html"]:visible').first.wait_for()
    assert [url for url in asked if not url.startswith(("file:", "data:", "about:"))] == []
    page.close()
