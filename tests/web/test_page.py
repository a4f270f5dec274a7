"""The page in a browser: it uploads, asks, shows the box, and a click on a word shows where it looks."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from serving import served
from test_api import png

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install 'twelve[dev]')")

pytestmark = pytest.mark.slow
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TABS = ("answer", "locate", "entails", "choose", "guess", "verify", "match")


@dataclass
class Visit:
    """A page, and what it did: addresses it asked for, what it complained of."""

    page: sync_api.Page
    address: str
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def address(model_folder: Path) -> Iterator[str]:
    with served(model_folder) as (_, found):
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(params=[1280, 390], ids=["desk", "phone"])
def visit(request: pytest.FixtureRequest, browser: sync_api.Browser, address: str) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": request.param, "height": 844})
    found = Visit(context.new_page(), address)
    found.page.on("request", lambda asked: found.asked.append(asked.url))
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.on("console", lambda said: said.type == "error" and found.complaints.append(said.text))
    found.page.goto(f"{address}/")
    found.page.get_by_role("tab").first.wait_for()
    yield found
    context.close()
    assert found.complaints == []
    # Nothing but this service is ever asked for anything.
    assert [url for url in found.asked if not url.startswith((f"{address}/", "blob:"))] == []


def upload(page: sync_api.Page, panel: str, seed: int = 1) -> None:
    file = {"name": "a.png", "mimeType": "image/png", "buffer": png(seed)}
    page.locator(f"#panel-{panel} input[type=file]").first.set_input_files([file])  # type: ignore[list-item]
    page.locator(f"#panel-{panel}").get_by_text(re.compile(r"\d+ regions")).first.wait_for()


def ask(page: sync_api.Page, panel: str, text: str) -> sync_api.Locator:
    page.locator(f"#panel-{panel} form input[type=text]").first.fill(text)
    page.locator(f"#panel-{panel} form button[type=submit]").click()
    headline = page.locator(f"#panel-{panel} .headline")
    headline.wait_for()
    return headline


def test_uploads_asks_and_shows_the_box(visit: Visit) -> None:
    page = visit.page
    upload(page, "answer")
    assert ask(page, "answer", "what colour is it ?").inner_text() in ("red", "green", "blue")
    assert page.locator("#panel-answer .ranking li").count() == 3
    page.get_by_role("tab", name="Point").click()
    assert "There it is" in ask(page, "locate", "the red one").inner_text()
    box = page.locator("#panel-locate .frame.best rect").bounding_box()
    stage = page.locator("#panel-locate .stage").bounding_box()
    assert box and stage and box["width"] > 5
    assert stage["x"] - 5 <= box["x"] and box["x"] + box["width"] <= stage["x"] + stage["width"] + 5
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]  # type: ignore[index]


def test_words_show_regions_and_regions_words(visit: Visit) -> None:
    page = visit.page
    upload(page, "answer")
    ask(page, "answer", "what colour is the thing ?")
    page.get_by_role("button", name="Show what it looked at").click()
    word = page.get_by_role("button", name="colour", exact=True)
    word.click()
    assert word.get_attribute("aria-pressed") == "true"
    heats = page.locator("#panel-answer .frame.region rect").evaluate_all("all => all.map(r => +r.style.fillOpacity)")
    assert heats and max(heats) > 0.5 and min(heats) < max(heats)
    assert "looks at region" in page.locator("#panel-answer .told").inner_text()
    region = page.locator("#panel-answer .frame.region").last
    region.focus()
    page.keyboard.press("Enter")
    assert "reads" in page.locator("#panel-answer .told").inner_text()
    assert page.locator("#panel-answer .frame.on").count() == 1
    page.get_by_role("button", name="Back to the answer").click()
    assert page.locator("#panel-answer .ranking").count() == 1


def test_chooses_among_boxes_that_were_drawn(visit: Visit) -> None:
    page = visit.page
    upload(page, "answer")
    page.get_by_role("tab", name="Choose").click()
    offered = page.locator("#panel-choose .candidates input").count()
    stage = page.locator("#panel-choose .overlay").bounding_box()
    assert stage
    page.mouse.move(stage["x"] + 20, stage["y"] + 20)
    page.mouse.down()
    page.mouse.move(stage["x"] + 120, stage["y"] + 100)
    page.mouse.up()
    assert page.locator("#panel-choose .candidates input").count() == offered + 1
    page.locator("#panel-choose .candidates input").first.uncheck()
    assert ask(page, "choose", "the big one").inner_text().startswith("Box ")
    assert page.locator("#panel-choose .frame.best").count() == 1
    assert page.locator("#panel-choose .ranking li").count() == min(8, offered)
    page.get_by_role("tab", name="Guess").click()
    assert ask(page, "guess", "is it red ?").inner_text().startswith("Box ")


def test_two_pictures_and_a_gallery(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("tab", name="Compare").click()
    for side in (0, 1):
        page.locator("#panel-verify .picture").nth(side).locator(".sample").nth(side).click()
        page.locator("#panel-verify .picture").nth(side).get_by_text("regions").wait_for()
    assert page.locator("#panel-verify form input").input_value().startswith("Both images contain")
    assert ask(page, "verify", "both are red").inner_text() in ("True", "False")
    page.get_by_role("tab", name="Search").click()
    page.get_by_role("button", name="Add all samples").click()
    page.get_by_text("6 pictures").wait_for()
    assert "The best of 6" in ask(page, "match", "a big thing").inner_text()
    shares = page.locator("#panel-match figcaption").all_inner_texts()
    assert [text.split(".")[0] for text in shares] == list("123456")


def test_by_keyboard_and_named_for_screen_readers(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("tab").first.focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert page.locator("[role=tab][aria-selected=true]").inner_text() == "Check"
    page.keyboard.press("Home")
    tab = page.locator("[role=tab][aria-selected=true]")
    assert tab.inner_text() == "Ask" and page.locator("[role=tab][tabindex='0']").count() == 1
    for method in TABS:
        page.locator(f"#tab-{method}").click()
        unnamed = (
            page.locator(f"#panel-{method}")
            .locator("input, select, button, img")
            .evaluate_all(
                """all => all.filter(e => e.checkVisibility() && !(e.labels?.length || e.ariaLabel || e.alt
                || e.textContent.trim() || e.querySelector("img[alt]"))).map(e => e.outerHTML)"""
            )
        )
        assert unnamed == []


def test_mistakes_are_said(visit: Visit) -> None:
    page = visit.page
    page.locator("#panel-answer form button[type=submit]").click()
    assert page.get_by_role("alert").first.inner_text() == "Choose a picture first."
    file = {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"}
    page.locator("#panel-answer input[type=file]").first.set_input_files([file])  # type: ignore[list-item]
    page.get_by_text("no kind of picture").wait_for()
    visit.complaints.clear()  # the browser reports the refused upload in its console


def test_a_forgotten_picture_is_sent_again(visit: Visit) -> None:
    page = visit.page
    upload(page, "answer")
    page.route("**/api/answer", _forget_once())
    assert ask(page, "answer", "what is it ?").inner_text()
    assert sum(url.endswith("/api/scenes") for url in visit.asked) == 2
    visit.complaints.clear()  # the browser reports the 404 in its console


def _forget_once() -> Callable[[sync_api.Route], None]:
    """Makes the first request be one about a picture that is not there."""
    first = True

    def handle(route: sync_api.Route) -> None:
        nonlocal first
        body = route.request.post_data_json
        if first:
            body = {**body, "picture": {"scene": "gone"}}
        first = False
        route.continue_(post_data=json.dumps(body))

    return handle
