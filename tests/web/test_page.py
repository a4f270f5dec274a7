"""The page in a browser: it uploads, asks, shows the box, and a click on a word shows what it attends to."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import axe
import pytest
from serving import served
from test_api import png

from twelve.outputs.parts.warned import Warned, reliable
from twelve.predictor.warnings import FEW_SHARED, FOREIGN, LEFT_OUT, NO_REGION, OTHER_SPELLING, UNKNOWN_WORDS

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (make installs it)")

pytestmark = pytest.mark.slow
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TABS = {
    "answer": "Answer",
    "locate": "Locate",
    "entails": "Check",
    "choose": "Choose",
    "guess": "Guess",
    "verify": "Verify",
    "match": "Match",
}


@dataclass
class Visit:
    """A page, and what it did: addresses it asked for, what it complained of."""

    page: sync_api.Page
    address: str
    phone: bool
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
    phone = request.param < 760
    size: sync_api.ViewportSize = {"width": request.param, "height": 844}
    context = browser.new_context(viewport=size, has_touch=phone, is_mobile=phone, reduced_motion="reduce")
    found = Visit(context.new_page(), address, phone)
    found.page.on("request", lambda asked: found.asked.append(asked.url))
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.on("console", lambda said: said.type == "error" and found.complaints.append(said.text))
    found.page.goto(f"{address}/")
    found.page.locator("#panel-answer .headline").wait_for()  # it opens with a question and its answer
    yield found
    context.close()
    assert found.complaints == []
    # Nothing but this service is ever asked for anything.
    assert [url for url in found.asked if not url.startswith((f"{address}/", "blob:"))] == []


def choose_file(page: sync_api.Page, panel: str, name: str, data: bytes) -> None:
    file = {"name": name, "mimeType": "image/png", "buffer": data}
    page.locator(f"#panel-{panel} input[type=file]").first.set_input_files([file])  # type: ignore[list-item]


def upload(page: sync_api.Page, panel: str, seed: int = 1) -> None:
    choose_file(page, panel, "a.png", png(seed))
    page.locator(f"#panel-{panel} img[alt='The image a.png']").wait_for()


def ask(page: sync_api.Page, panel: str, text: str) -> sync_api.Locator:
    """The headline of the reply, which can be seen."""
    line = page.locator(f"#panel-{panel} form input[type=text]").first
    page.evaluate("document.querySelectorAll('.headline').forEach(head => { head.dataset.earlier = true; })")
    line.fill(text)
    line.press("Enter")
    headline = f"#panel-{panel} .headline:not([data-earlier])"
    page.wait_for_function(
        """headline => { const head = document.querySelector(headline);
        if (!head) return false;
        const {left, top, bottom} = head.getBoundingClientRect();
        return bottom <= innerHeight && head.contains(document.elementFromPoint(left + 2, (top + bottom) / 2)); }""",
        arg=headline,
    )
    return page.locator(headline)


def test_the_api_is_linked_below_the_tabs(visit: Visit) -> None:
    """To the endpoint of the open tab; what is above is for visitors."""
    docs = urlopen(f"{visit.address}/docs").read().decode()
    table = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
    for method, name in TABS.items():
        visit.page.get_by_role("tab", name=name, exact=True).click()
        link = visit.page.get_by_role("link", name="The API")
        assert link.get_attribute("href") == f"docs#{method}" and "/api/" not in visit.page.inner_text("body")
        assert f'<section id="{method}">' in docs
        assert re.search(rf"^\| {name} \|.* `/api/v1/{method}` \|$", table, re.M)


def test_uploads_asks_and_shows_the_box(visit: Visit) -> None:
    page = visit.page
    upload(page, "answer")
    assert ask(page, "answer", "what colour is it ?").inner_text().split()[0] in ("red", "green", "blue")
    assert page.locator("#panel-answer .ranking li").count() == 3
    page.get_by_role("tab", name="Check").click()
    assert re.fullmatch(
        r"(Yes, it follows|The image does not tell|No, it contradicts) \d+% not calibrated",
        ask(page, "entails", "it is green").inner_text(),
    )
    page.get_by_role("tab", name="Locate").click()
    assert page.get_by_role("tab", name="Locate").get_attribute("title") == "Phrase to find in an image"
    found = ask(page, "locate", "the red one").inner_text()
    assert re.fullmatch(r"(Found|.* Closest): (box \d+|the whole image) <?\d+(\.\d)?% not calibrated", found)
    box = page.locator("#panel-locate .frame.best rect").bounding_box()
    stage = page.locator("#panel-locate .stage").bounding_box()
    assert box and stage and box["width"] > 5
    assert stage["x"] - 5 <= box["x"] and box["x"] + box["width"] <= stage["x"] + stage["width"] + 5
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]  # type: ignore[index]
    if visit.phone:  # the image stays in sight, and leaves room
        card = page.locator("#panel-locate .image").bounding_box()
        assert card and card["y"] >= 0 and card["height"] < 0.35 * 844 and card["y"] + card["height"] < 0.5 * 844


def test_texts_are_offered_about_objects_that_a_synthetic_image_has_once(visit: Visit) -> None:
    page = visit.page
    doubts: list[dict[str, str]] = []

    def named(route: sync_api.Route) -> None:
        reply = route.fetch()
        told = reply.json()
        told["boxes"], told["warnings"] = told["boxes"][:1] * 5, doubts
        route.fulfill(response=reply, json={**told, "labels": ["kite", "ball", "kite", "umbrella", "car"]})

    page.route("**/api/v1/scenes", named)
    upload(page, "answer")
    for tab, texts in (
        ("answer", ["What colour is the ball?", "What colour is the umbrella?"]),
        ("locate", ["the ball", "the umbrella"]),
        ("entails", ["There is a ball.", "There is an umbrella."]),
    ):
        page.locator(f"#tab-{tab}").click()
        offered = page.locator(f"#panel-{tab} .offers button")
        assert offered.all_inner_texts() == texts
        offered.last.click()
        line = page.locator(f"#panel-{tab} form input[type=text]").first
        assert line.input_value() == texts[-1] and line.evaluate("one => one === document.activeElement")
    assert axe.findings(page) == []
    ask(page, "entails", "it is green")
    assert page.locator("#panel-entails .offers").is_visible() != visit.phone  # there, the reply needs the room
    doubts.append({"code": "unusual_image", "text": "the image may be unlike the training images"})
    choose_file(page, "entails", "b.png", png(2))
    page.locator("#panel-entails img[alt='The image b.png']").wait_for()
    assert page.locator(".offers:not([hidden])").count() == 0  # names in it may be wrong


def test_boxes_and_their_rows_have_one_name(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("tab", name="Locate").click()
    ask(page, "locate", "the red one")
    rows = page.locator("#panel-locate .ranking .name")
    names = rows.all_inner_texts()
    assert names and all(re.fullmatch(r"[a-z]+ \(box \d+\)|the whole image", name) for name in names)
    numbers = {number for name in names for number in re.findall(r"\d+", name)}
    assert set(page.locator("#panel-locate .frame text").all_text_contents()) == numbers
    page.mouse.move(0, 0)
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")  # the mouse has left
    assert page.locator("#panel-locate .frame.pointed").count() == 0
    rows.last.focus()
    page.locator("#panel-locate .frame.pointed").first.wait_for(state="attached")
    assert page.locator("#panel-locate .frame.pointed").count() == 1
    page.locator("#panel-locate").get_by_text("Advanced", exact=True).click()
    page.locator("#panel-locate input[type=range]").fill("0.3")
    assert page.locator("#panel-locate output").inner_text() == "30%"
    upload(page, "locate")  # on an image of one's own, the detector's classes are guesses
    ask(page, "locate", "the red one")
    names = rows.all_inner_texts()
    assert names and all(re.fullmatch(r"box \d+|the whole image", name) for name in names)


@pytest.mark.parametrize(("others", "shown"), [((0.2, 0.004, 0.0004), 2), ((0.004, 0.003, 0.0004), 1)])
def test_boxes_of_less_than_one_per_cent_are_left_out(
    visit: Visit, others: tuple[float, float, float], shown: int
) -> None:
    def sure(route: sync_api.Route) -> None:
        reply = route.fetch()
        told = reply.json()
        paired = zip(told["alternatives"][:4], (0.9, *others), strict=True)
        best = [each | {"confidence": share} for each, share in paired]
        route.fulfill(response=reply, json={**told, "box": best[0]["box"], "confidence": 0.9, "alternatives": best})

    visit.page.route("**/api/v1/locate", sure)
    visit.page.locator("#tab-locate").click()
    panel = visit.page.locator("#panel-locate")
    panel.locator(".headline").wait_for()
    assert panel.locator(".ranking li").count() == panel.locator(".frame").count() == shown
    assert panel.locator(".result .none").all_inner_texts() == ["No other box has 1% or more."][: 2 - shown]

    def chosen(route: sync_api.Route) -> None:
        reply = route.fetch()
        told = reply.json()
        paired = zip(told["alternatives"][:4], (0.9, *others), strict=True)
        best = [each | {"confidence": share} for each, share in paired]
        route.fulfill(response=reply, json={**told, "index": best[0]["index"], "alternatives": best})

    visit.page.route("**/api/v1/choose", chosen)
    visit.page.locator("#tab-choose").click()
    panel = visit.page.locator("#panel-choose")
    panel.locator(".headline").wait_for()
    assert panel.locator(".ranking li").count() == shown
    assert panel.locator(".result .none").all_inner_texts() == ["No other box has 1% or more."][: 2 - shown]


def test_words_show_regions_and_regions_words(visit: Visit) -> None:
    page = visit.page
    upload(page, "answer")
    page.route("**/api/v1/answer", _one_word_attends)
    ask(page, "answer", "what colour is the thing ?")
    page.get_by_role("button", name="Show the attention").click()
    page.get_by_text("attention does not explain the answer").wait_for()
    # It opens with the word that one box attends to much more than the others do.
    assert page.locator("#panel-answer .word[aria-pressed=true]").all_inner_texts() == ["colour"]
    assert page.evaluate("document.activeElement.textContent") == "colour"
    assert page.locator("#panel-answer .told").inner_text().startswith("“colour”: most attended to by box 1 ")
    caution, words, told, tip = (
        page.locator(f"#panel-answer {one}").bounding_box() for one in (".caution", ".words", ".told", ".told + .tip")
    )
    assert caution and words and told and tip
    # What it is not stands before the words, what is found before how to read it.
    assert caution["y"] < words["y"] < told["y"] < tip["y"]
    assert told["y"] + told["height"] <= page.viewport_size["height"]  # type: ignore[index]
    heat = "all => all.map(frame => +frame.style.getPropertyValue('--heat'))"
    page.get_by_role("button", name="thing", exact=True).click()
    assert max(page.locator("#panel-answer .frame.region").evaluate_all(heat)) == 0  # a small share is not highlighted
    word = page.get_by_role("button", name="colour", exact=True)
    word.click()
    assert word.get_attribute("aria-pressed") == "true"
    heats = page.locator("#panel-answer .frame.region").evaluate_all(heat)
    assert sorted(heats)[-2:] == [0, 1]
    named = re.findall(r"box (\d+)", page.locator("#panel-answer .told").inner_text())
    shown = page.locator("#panel-answer .frame.region:not(.quiet) text").all_text_contents()
    assert named and set(named) == set(shown)
    region = page.locator("#panel-answer .frame.region").last
    region.focus()
    page.keyboard.press("Enter")
    assert "attends most to" in page.locator("#panel-answer .told").inner_text()
    assert page.locator("#panel-answer .frame.on").count() == 1
    page.get_by_role("button", name="Back to the answer").click()
    assert page.locator("#panel-answer .ranking").count() == 1
    assert page.evaluate("document.activeElement.className") == "plain why"


def _one_word_attends(route: sync_api.Route) -> None:
    """All boxes attend a little to all words; the first box attends to "colour" alone."""
    reply = route.fetch()
    told = reply.json()
    if attention := told["attention"]:
        for k, row in enumerate(attention["strongest"]):
            row[:] = [float(word == "colour") if k == 1 else 0.2 for word in attention["words"]]
    route.fulfill(response=reply, json=told)


def test_pieces_are_shown_as_words(visit: Visit) -> None:
    page = visit.page
    upload(page, "answer")
    page.route("**/api/v1/answer", _a_word_in_pieces)
    ask(page, "answer", "what colour is the thing ?")
    page.get_by_role("button", name="Show the attention").click()
    pressed = page.locator("#panel-answer .word[aria-pressed=true]")
    pressed.wait_for()
    assert "thingdog" in page.locator("#panel-answer .word").all_inner_texts()
    assert pressed.inner_text() == "thingdog"
    # The mean of both pieces.
    assert page.locator("#panel-answer .told").inner_text().startswith("“thingdog”: most attended to by box 1 ")
    assert "(60%)" in page.locator("#panel-answer .told").inner_text()


def _a_word_in_pieces(route: sync_api.Route) -> None:
    reply = route.fetch()
    told = reply.json()
    if attention := told["attention"]:
        place = attention["words"].index("thing")
        attention["words"].insert(place + 1, "##dog")
        for k, row in enumerate(attention["strongest"]):
            row[:] = [0.1] * len(attention["words"])
            row[place : place + 2] = [1.0, 0.2] if k == 1 else [0.1, 0.1]
    route.fulfill(response=reply, json=told)


def test_what_an_answer_depends_on_is_shown_first(visit: Visit) -> None:
    page = visit.page
    upload(page, "answer")
    page.route("**/api/v1/depends", _one_box_matters)
    ask(page, "answer", "what colour is it ?")
    told = page.locator("#panel-answer .depends .told")
    page.locator("#panel-answer .depends .tip").wait_for()
    assert told.inner_text() == "Without box 2, “red” falls from 97% to 12%."
    tip = page.locator("#panel-answer .depends .tip")
    assert "the thicker its frame" in tip.inner_text()
    heat = "all => all.map(frame => +frame.style.getPropertyValue('--heat'))"
    heats = page.locator("#panel-answer .frame.region").evaluate_all(heat)
    assert heats.count(0) == len(heats) - 1 and max(heats) == 1
    fills = "all => all.map(frame => getComputedStyle(frame).fill)"
    assert {*page.locator("#panel-answer .frame rect").evaluate_all(fills)} == {"none"}  # a box keeps its colours
    assert page.locator("#panel-answer .frame.region:not(.quiet) text").all_text_contents() == ["2"]
    page.get_by_role("button", name="Box 1", exact=True).focus()
    page.keyboard.press("Enter")
    assert told.inner_text() == "Without box 1, “red” stays at 97%."
    page.unroute("**/api/v1/depends")
    page.route("**/api/v1/depends", _no_box_matters)
    ask(page, "answer", "is it red ?")
    page.get_by_text(
        "The answer depends little on any single box: its confidence falls by at most 5 points."
    ).wait_for()
    assert "frame" not in tip.inner_text() and "Each box was left out in turn. The confidence" in tip.inner_text()
    assert max(page.locator("#panel-answer .frame.region").evaluate_all(heat)) == 0


def test_what_remains_without_the_only_box_is_not_said_to_come_from_others(visit: Visit) -> None:
    page = visit.page
    tip = page.locator("#panel-answer .depends .tip")
    sync_api.expect(tip).to_contain_text(
        "The confidence that remains comes from the other boxes, the whole image and the words."
    )

    def alone(route: sync_api.Route) -> None:
        told = route.fetch().json()
        first = {"boxes": told["boxes"][:1], "confidence_without": [0.1], "labels": told["labels"][:1]}
        route.fulfill(json=told | first)

    page.route("**/api/v1/depends", alone)
    ask(page, "answer", "what colour is it ?")
    sync_api.expect(tip).to_contain_text("The confidence that remains comes from the whole image and the words.")
    assert "other" not in tip.inner_text()


def test_the_image_does_not_cover_what_was_asked(visit: Visit) -> None:
    page = visit.page
    for height in (844, 667):
        page.set_viewport_size({"width": page.viewport_size["width"], "height": height})  # type: ignore[index]
        ask(page, "answer", "what colour is it ?")
        image = page.locator("#panel-answer .image").bounding_box()
        for part in ("label", "input[type=text]", "button[type=submit]"):
            box = page.locator(f"#panel-answer form {part}").first.bounding_box()
            assert image and box and (not visit.phone or box["y"] >= image["y"] + image["height"]), part
        page.locator("#panel-answer").get_by_role("button", name="Show the attention").click()
        page.locator("#panel-answer .word").first.wait_for()
        image = page.locator("#panel-answer .image").bounding_box()
        box = page.locator("#panel-answer form button[type=submit]").bounding_box()  # there is no room for the question
        assert image and box and (not visit.phone or box["y"] >= image["y"] + image["height"])


def _one_box_matters(route: sync_api.Route) -> None:
    told = route.fetch().json()
    without = [0.12 if k == 1 else 0.97 for k in range(len(told["boxes"]))]
    route.fulfill(json={**told, "value": "red", "confidence": 0.97, "confidence_without": without})


def _no_box_matters(route: sync_api.Route) -> None:
    told = route.fetch().json()
    route.fulfill(json={**told, "value": "red", "confidence": 0.97, "confidence_without": [0.94] * len(told["boxes"])})


def test_what_a_statement_about_two_images_depends_on_names_the_image(visit: Visit) -> None:
    page = visit.page
    page.route("**/api/v1/depends", _one_box_of_the_right_image_matters)
    page.get_by_role("tab", name="Verify").click()
    page.locator("#panel-verify .depends .tip").wait_for()
    told = page.locator("#panel-verify .depends .told")
    assert re.fullmatch(
        r"Without box 2 \([a-z]+\) of the right image, “true” falls from 97% to 12%\.", told.inner_text()
    )
    shown = [
        image.locator(".frame.region:not(.quiet) text").all_text_contents()
        for image in page.locator("#panel-verify .image").all()
    ]
    assert shown == [[], ["2"]]
    first = page.get_by_role("button", name=re.compile("^Box 1 .*, left image$"))
    first.focus()
    page.keyboard.press("Enter")
    assert re.fullmatch(r"Without box 1 \([a-z]+\) of the left image, “true” stays at 97%\.", told.inner_text())
    assert first.get_attribute("aria-pressed") == "true" and first.evaluate("e => e === document.activeElement")
    assert axe.findings(page) == []
    page.get_by_role("button", name="Show the attention").click()
    page.locator("#panel-verify .attention").wait_for()
    assert page.locator("#panel-verify .image").last.locator(".frame").count() == 0  # the attention is of the left one


def _one_box_of_the_right_image_matters(route: sync_api.Route) -> None:
    told = route.fetch().json()
    without = [0.97] * len(told["boxes"])
    without[told["sides"].index("right") + 1] = 0.12
    route.fulfill(json={**told, "value": "true", "confidence": 0.97, "confidence_without": without})


def test_what_an_answer_of_a_large_model_depends_on_is_measured_on_request(visit: Visit) -> None:
    page = visit.page
    page.route("**/api/v1/model", _large)
    page.reload()
    page.locator("#panel-answer .headline").wait_for()
    visit.asked.clear()
    ask(page, "answer", "what colour is it ?")
    assert not any(url.endswith("/api/v1/depends") for url in visit.asked)
    page.locator("#panel-answer").get_by_role("button", name="What the answer depends on").click()
    page.locator("#panel-answer .depends .tip").wait_for()


def _large(route: sync_api.Route) -> None:
    reply = route.fetch()
    route.fulfill(response=reply, json={**reply.json(), "parameters": 250_000_000})


def test_a_close_call_is_said(visit: Visit) -> None:
    page = visit.page
    upload(page, "answer")
    tie = page.locator("#panel-answer .tie")
    for second, shown in ((0.58, ["Almost a tie with “green”."]), (0.5, [])):
        page.route("**/api/v1/answer", _second_best(second))
        ask(page, "answer", "what colour is it ?")
        assert tie.all_inner_texts() == shown
        page.unroute("**/api/v1/answer")


def _second_best(confidence: float) -> Callable[[sync_api.Route], None]:
    def told(route: sync_api.Route) -> None:
        reply = route.fetch()
        alternatives = [{"answer": "red", "confidence": 0.6}, {"answer": "green", "confidence": confidence}]
        route.fulfill(response=reply, json={**reply.json(), "answer": "red", "alternatives": alternatives})

    return told


def test_a_box_has_one_number_and_percentages_are_explained(visit: Visit) -> None:
    page = visit.page

    def sure(route: sync_api.Route) -> None:
        told = (reply := route.fetch()).json()
        first, second = sorted(told["alternatives"], key=lambda each: each["index"])[:2]
        best = [first | {"confidence": 0.87}, second | {"confidence": 0.2}]
        shares = [{"index": 0, "share": 0.96}, {"index": 1, "share": 0.04}]
        sure = {"index": 0, "confidence": 0.87, "alternatives": best, "shares": shares}
        route.fulfill(response=reply, json=told | sure | {"calibrated": True, "reliable": True, "warnings": []})

    for method in ("choose", "guess"):
        page.route(f"**/api/v1/{method}", sure)
        page.locator(f"#tab-{method}").click()
        page.locator(f"#panel-{method} .headline").wait_for()
        said = page.locator(f"#panel-{method} .result").inner_text()
        assert re.findall(r"\d+%", said) == ["87%", "87%", "20%", "100%"]  # of the answer, of its row, of another
        read = "Each percentage estimates the probability that this box is correct; their sum may exceed 100%."
        assert page.locator(f"#panel-{method} .read").inner_text() == read


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
    assert re.match(
        r"Found: box \d+( \(yours\))? <?\d+(\.\d)?% not calibrated$",
        ask(page, "choose", "the big one").inner_text(),
    )
    assert page.locator("#panel-choose .frame.best").count() == 1
    assert page.locator("#panel-choose .ranking li").count() == min(8, offered)
    page.get_by_role("button", name="Remove box").click()
    assert page.locator("#panel-choose .candidates input").count() == offered
    assert page.locator("#panel-choose .headline").count() == 0  # it was about the box that is gone
    ask(page, "choose", "the big one")
    for box in page.locator("#panel-choose .candidates input:checked").all()[::-1]:
        box.uncheck()
    page.locator("#panel-choose form button[type=submit]").click()
    assert page.get_by_text("Tick at least one box.").is_visible()
    assert page.locator("#panel-choose .headline").count() == 0


def test_a_box_is_typed(visit: Visit) -> None:
    page = visit.page
    upload(page, "answer")
    page.get_by_role("tab", name="Choose").click()
    boxes = page.locator("#panel-choose .candidates input")
    offered = boxes.count()
    page.locator("#panel-choose").get_by_text("Add a box by its corners").click()
    corners = page.locator("#panel-choose .corners input")
    for numbers, wrong in (
        ((100, 10, 50, 600), "Right must be greater than left. Bottom must be at most 128"),
        ((9, 10, 50, 60), ""),
    ):
        for corner, number in zip(corners.all(), numbers, strict=True):
            corner.fill(str(number))
        corners.last.press("Enter")
        assert page.locator("#panel-choose details [role=alert]").inner_text().startswith(wrong)
        assert boxes.count() == offered + (not wrong)
    assert page.get_by_text(re.compile(r"Box \d+ \(yours\) added")).is_visible()
    assert page.locator("#panel-choose form > [role=alert]").inner_text() == ""  # nothing was asked


def test_guesses_from_a_dialogue(visit: Visit) -> None:
    page = visit.page
    upload(page, "answer")
    page.get_by_role("tab", name="Guess").click()
    questions = page.locator("#panel-guess .dialogue input")
    questions.first.fill("is it big ?")
    page.get_by_role("button", name="Add a question").click()
    page.get_by_role("button", name="Remove question 1").click()
    assert questions.count() == 1 and questions.first.input_value() == ""
    assert ask(page, "guess", "is it red ?").inner_text().startswith("Found: ")
    page.get_by_role("button", name="Show the attention").click()
    words = page.locator("#panel-guess .word")
    words.first.wait_for()
    assert [word for word in words.all_inner_texts() if "[" not in word] == ["is", "it", "red", "?", "yes"]


def test_two_images_and_a_gallery(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("tab", name="Verify").click()
    page.locator("#panel-verify .headline").wait_for()
    assert page.locator("#panel-verify form input").input_value().startswith("Both images contain")
    assert ask(page, "verify", "both are red").inner_text().split()[0] in ("True", "False")
    page.get_by_role("button", name="Show the attention").click()
    page.get_by_text("that of the left image").wait_for()
    page.get_by_role("tab", name="Match").click()
    page.locator("#panel-match .headline").wait_for()
    assert page.locator("#panel-match .status").inner_text() == "6 images"
    page.get_by_role("button", name="Add all samples").click()
    page.get_by_text("6 images; all samples have already been added").wait_for()
    choose_file(page, "match", "a.png", b"no image")
    page.get_by_text("unsupported image format").wait_for()
    visit.complaints.clear()  # the browser reports the refused upload in its console
    assert "Best of 6 images" in ask(page, "match", "a big thing").inner_text()
    best = page.locator("#panel-match .gallery li").first
    assert best.get_attribute("class") == "first" and best.locator("img").get_attribute("alt")
    assert page.get_by_text("Image 1 matches best.", exact=True).is_visible()
    assert page.locator("#panel-match .status").inner_text() == "6 images"
    weight = "all => all.map(each => getComputedStyle(each).fontWeight)"
    percentages = page.locator("#panel-match .headline small, #panel-match figcaption")
    assert {*percentages.evaluate_all(weight)} == {"400"}
    shares = page.locator("#panel-match figcaption").all_inner_texts()
    assert [text.split(".")[0] for text in shares] == list("123456")


def test_by_keyboard_and_named_for_screen_readers(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("tab").first.focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert page.locator("[role=tab][aria-selected=true]").inner_text() == "Check"
    assert page.get_by_role("tab").all_inner_texts() == list(TABS.values())
    page.keyboard.press("Home")
    tab = page.locator("[role=tab][aria-selected=true]")
    assert tab.inner_text() == "Answer" and page.locator("[role=tab][tabindex='0']").count() == 1
    for method, name in TABS.items():
        page.locator(f"#tab-{method}").click()
        assert page.locator(f"#panel-{method} form button[type=submit]").inner_text() == name
        unnamed = (
            page.locator(f"#panel-{method}")
            .locator("input, select, button, img")
            .evaluate_all(
                """all => all.filter(e => e.checkVisibility() && !(e.labels?.length || e.ariaLabel || e.alt
                || e.textContent.trim() || e.querySelector("img[alt]"))).map(e => e.outerHTML)"""
            )
        )
        assert unnamed == []
    page.locator("#tab-answer").click()
    if visit.phone:
        page.locator("#panel-answer").get_by_text("Another image").click()
    page.locator("#panel-answer .sample").last.press("Enter")
    page.wait_for_function(
        """() => document.querySelector("#panel-answer .stage img").alt ===
        document.querySelector("#panel-answer .sample:last-of-type img").alt"""
    )
    page.locator("#panel-answer .headline").wait_for()  # a sample is asked about at once
    assert page.evaluate("document.activeElement !== document.body")


def test_it_opens_with_an_image_a_question_and_its_answer(visit: Visit) -> None:
    page = visit.page
    about = page.locator("#about").inner_text()
    assert "trained on synthetic stand-ins for VQA v2 and" in about and "drawings, not photographs" in about
    for method in TABS:
        page.locator(f"#tab-{method}").click()
        page.locator(f"#panel-{method} .headline").wait_for()
        assert page.evaluate("scrollY") == 0 and primary(page) == [TABS[method]]
        assert page.locator(f"#panel-{method} .result .note").count() == 0  # it is about a drawn image
        assert axe.findings(page) == []
    page.locator("#tab-answer").click()
    line = page.locator("#panel-answer form input[type=text]")
    assert line.input_value().startswith("What colour is")
    headline = page.locator("#panel-answer .headline")
    headline.wait_for()
    box = headline.bounding_box()
    assert box and box["y"] + box["height"] < 844  # on the first screen
    page.locator("#panel-answer").get_by_text("Advanced", exact=True).click()
    assert page.get_by_label("Answer in the style of").first.is_visible()
    assert axe.findings(page) == []
    page.get_by_text("About this model").click()
    assert "SNLI-VE" in (known := page.locator("#known").inner_text())
    told = json.loads(urlopen(f"{visit.address}/api/v1/model").read())
    assert f"{told['parameters']:,} parameters, SHA-256 of the weights: {told['digest'][:12]}…" in known
    assert f"twelve {told['version']}" in known


@pytest.mark.parametrize(("seconds", "time"), [(900.0, "15 minutes"), (60.0, "60 seconds"), (0.5, "1 second")])
def test_one_sentence_says_how_long_images_are_kept(visit: Visit, seconds: float, time: str) -> None:
    page = visit.page

    def kept(route: sync_api.Route) -> None:
        told = (reply := route.fetch()).json()
        route.fulfill(response=reply, json={**told, "limits": {**told["limits"], "scene_seconds": seconds}})

    page.route("**/api/v1/model", kept)
    page.reload()
    page.locator("#panel-answer .headline").wait_for()
    page.get_by_text("About this model").click()
    said = page.locator("body").inner_text()
    assert said.count("memory") == 1 and "saved" not in said
    assert f"memory of this service for at most {time} after the last question about them; neither they" in said


def primary(page: sync_api.Page) -> list[str]:
    """The filled buttons that can be seen."""
    found: list[str] = page.locator("button, .file").evaluate_all(
        """all => all.filter(e => e.checkVisibility() && getComputedStyle(e).backgroundColor === "rgb(29, 79, 145)")
        .map(e => e.textContent)"""
    )
    return found


@pytest.mark.parametrize("same", [False, True])
def test_a_text_of_a_sample_does_not_stay_beside_an_image_of_the_users_own(visit: Visit, same: bool) -> None:
    page = visit.page
    if same:  # then it suits any image
        page.route("**/api/v1/model", _alike)
        page.reload()
        page.locator("#panel-answer .headline").wait_for()
    fields = {panel: page.locator(f"#panel-{panel} form input[type=text]").first for panel in TABS}
    suggested = {panel: field.input_value() for panel, field in fields.items()}
    assert all(suggested[panel] for panel in ("answer", "locate", "entails", "choose"))
    upload(page, "answer")
    stays = suggested["answer"] if same else ""
    assert fields["answer"].input_value() == stays
    assert [fields[panel].input_value() for panel in ("locate", "entails", "choose")] == [""] * 3
    assert page.locator("#panel-answer .headline").count() == 0  # nothing is asked for the user
    fields["answer"].fill("what is it ?")
    choose_file(page, "answer", "b.png", png(2))
    page.locator("#panel-answer img[alt='The image b.png']").wait_for()
    assert fields["answer"].input_value() == "what is it ?"  # which the user typed
    fields["answer"].fill(stays)
    page.locator("#panel-answer summary", has_text="Another image").click() if visit.phone else None
    page.locator("#panel-answer .sample").first.click()
    page.locator("#panel-answer .headline").wait_for()
    assert fields["answer"].input_value() == suggested["answer"]
    page.get_by_role("tab", name="Verify").click()
    page.locator("#panel-verify .headline").wait_for()
    assert fields["verify"].input_value()
    upload(page, "verify")
    assert fields["verify"].input_value() == ""


USUAL = ["is the <b>lid</b> loose ?", "is it empty ?"]


def _trained(texts: list[str]) -> Callable[[sync_api.Route], None]:
    """A model without samples, whose tasks are the user's own and were trained on these texts."""

    def told(route: sync_api.Route) -> None:
        reply = route.fetch()
        model = reply.json() | {"samples": []}
        for method, tasks in model["methods"].items():
            for task in tasks:
                task |= {"own": True, "texts": texts if method != "locate" else []}
        route.fulfill(response=reply, json=model)

    return told


@pytest.mark.parametrize("texts", [USUAL, USUAL[:1]], ids=["several", "one"])
def test_texts_of_the_training_data_are_suggested(visit: Visit, texts: list[str]) -> None:
    """They are texts of a user, never markup. What the examples of others ask, this model may not know."""
    page = visit.page
    page.route("**/api/v1/model", _trained(texts))
    page.reload()
    page.get_by_role("tab").first.wait_for()
    for panel in ("answer", "entails", "choose", "verify", "match"):
        page.locator(f"#tab-{panel}").click()
        line = page.locator(f"#panel-{panel} form input[type=text]").first
        assert line.get_attribute("placeholder") == f"such as: {texts[0]}", panel
        assert page.locator(f"#panel-{panel} .usual button").all_inner_texts() == texts, panel
    page.locator("#tab-locate").click()
    assert page.locator("#panel-locate form input").first.get_attribute("placeholder") == "as in the training data"
    assert page.locator("#panel-locate .usual, #panel-guess .usual").count() == 0
    page.locator("#tab-answer").click()
    assert axe.findings(page) == []
    upload(page, "answer")
    line = page.locator("#panel-answer form input[type=text]").first
    assert line.input_value() == (texts[0] if len(texts) == 1 else "")
    assert page.locator("#panel-answer .headline").count() == 0  # nothing is asked for the user
    page.locator("#panel-answer .usual button").last.click()
    assert line.input_value() == texts[-1] and line.evaluate("line => line === document.activeElement")
    upload(page, "answer", 2)
    assert line.input_value() == texts[-1]  # selected as if it had been typed
    assert page.locator("#panel-answer .usual b").count() == 0


def test_the_image_leaves_room_for_reading(visit: Visit) -> None:
    page = visit.page
    if not visit.phone:
        return
    for width, height in ((390, 667), (320, 568)):
        page.set_viewport_size({"width": width, "height": height})
        page.locator("#panel-answer .result").evaluate("result => result.scrollIntoView({block: 'start'})")
        image, stage = page.locator("#panel-answer .image").bounding_box(), page.locator("#panel-answer .stage")
        drawn = stage.bounding_box()
        assert image and drawn and image["y"] == 0 and image["height"] <= 0.25 * height
        assert drawn["height"] >= 0.19 * height and drawn["width"] > drawn["height"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_text_that_the_user_typed_stays_and_none_is_asked_for_by_its_name(visit: Visit) -> None:
    page = visit.page
    fields = {panel: page.locator(f"#panel-{panel} form input[type=text]").first for panel in TABS}
    fields["answer"].fill(typed := fields["answer"].input_value())  # as the sample's
    upload(page, "answer")
    assert fields["answer"].input_value() == typed
    fields["answer"].fill("")
    for panel, name in (("answer", "question"), ("locate", "phrase"), ("entails", "statement"), ("choose", "question")):
        page.locator(f"#tab-{panel}").click()
        page.locator(f"#panel-{panel} form button[type=submit]").click()
        assert page.locator(f"#panel-{panel} form > [role=alert]").inner_text() == f"Type a {name} first."


def _alike(route: sync_api.Route) -> None:
    """Every sample has the same question, as those of a task of one's own may."""
    reply = route.fetch()
    told = reply.json()
    for sample in told["samples"]:
        sample["texts"]["answer"] = "is it red ?"
    route.fulfill(response=reply, json=told)


def test_a_question_of_the_user_comes_before_the_demonstration(visit: Visit) -> None:
    page = visit.page
    held: list[sync_api.Route] = []
    page.route("**/api/v1/entails", lambda route: held.append(route) if not held else route.continue_())
    with page.expect_request("**/api/v1/entails"):
        page.locator("#tab-entails").click()
    mine = ask(page, "entails", "it is green").inner_text()
    with page.expect_response("**/api/v1/entails"):
        held[0].continue_()
    page.wait_for_timeout(100)
    assert page.locator("#panel-entails .headline").inner_text() == mine
    assert page.locator("#panel-entails form input").input_value() == "it is green"


def test_without_samples_the_first_button_opens_an_image(visit: Visit) -> None:
    page = visit.page
    page.route("**/api/v1/model", _without_samples)
    page.reload()
    page.get_by_role("tab").first.wait_for()
    # Nothing is dropped with a finger.
    hint = page.locator("#panel-answer .hint")
    assert hint.is_visible() != visit.phone and hint.inner_text() == "or drop one here"
    assert not page.locator("#panel-answer .stage").is_visible()  # no empty area
    assert primary(page) == ["Select an image"] and not page.get_by_text("Another image").first.is_visible()
    page.locator("#panel-answer form button[type=submit]").click()
    assert page.get_by_role("alert").first.inner_text() == "Select an image first."
    page.locator("#tab-verify").click()
    assert primary(page) == ["Select an image"]
    page.locator("#tab-match").click()
    assert primary(page) == ["Add images"]
    assert page.get_by_text("or drop some here").is_visible() != visit.phone
    assert axe.findings(page) == []
    page.locator("#tab-answer").click()
    upload(page, "answer")
    assert hint.is_visible() != visit.phone  # another image can be dropped
    assert primary(page) == ["Answer"] and page.locator("#panel-answer .headline").count() == 0


def _without_samples(route: sync_api.Route) -> None:
    reply = route.fetch()
    route.fulfill(response=reply, json={**reply.json(), "samples": []})


def test_mistakes_are_said(visit: Visit) -> None:
    page = visit.page
    upload(page, "answer")
    ask(page, "answer", "what is it ?")
    assert page.locator("#panel-answer .result").evaluate("one => getComputedStyle(one).filter") == "none"
    choose_file(page, "answer", "b.txt", b"no image")
    page.get_by_text(re.compile("b.txt: unsupported image format .* The previous image remains")).wait_for()
    assert page.locator("#panel-answer .stage img").is_visible()
    assert page.locator("#panel-answer .headline").is_visible()
    grey = "one => [getComputedStyle(one).filter, getComputedStyle(one).color]"
    result, status = page.locator("#panel-answer .result"), page.locator("#panel-answer .hint, #panel-answer .tip").last
    assert result.evaluate(grey) == ["grayscale(1)", status.evaluate("one => getComputedStyle(one).color")]
    assert page.locator("#panel-answer .headline").evaluate(grey)[1] == result.evaluate(grey)[1]
    assert axe.findings(page) == []
    assert page.locator("#panel-answer .file").is_visible()  # on a phone too, to choose another
    line = page.locator("#panel-answer form input[type=text]")
    line.fill("")
    line.press("Enter")
    page.get_by_text("Type a question first.").wait_for()
    assert page.locator("#panel-answer .headline").count() == 0  # it was the reply to another question
    line.fill("what is it ?")
    page.route("**/api/v1/answer", lambda route: route.abort())
    page.locator("#panel-answer form button[type=submit]").click()
    page.get_by_text("The service does not respond – is it still running?", exact=True).wait_for()
    assert "boxes" in page.locator("#panel-answer .status").inner_text()
    visit.complaints.clear()  # the browser reports both in its console


def test_a_single_box_is_not_called_boxes(visit: Visit) -> None:
    def one(route: sync_api.Route) -> None:
        scene = (reply := route.fetch()).json()
        route.fulfill(response=reply, json=scene | {"boxes": scene["boxes"][:1], "labels": scene["labels"][:1]})

    page, status = visit.page, visit.page.locator("#panel-answer .status")
    upload(page, "answer")
    page.wait_for_function("/, \\d+ boxes$/.test(document.querySelector('#panel-answer .status').textContent)")
    page.route("**/api/v1/scenes", one)
    upload(page, "answer", seed=2)
    sync_api.expect(status).to_have_text(re.compile(r" pixels, 1 box$"))


def test_a_damaged_image_is_told_without_curl(visit: Visit) -> None:
    page = visit.page
    choose_file(page, "answer", "half.png", png(1)[:200])
    status = page.locator("#panel-answer .status.wrong")
    status.wait_for()
    said = "half.png: the image is damaged or incomplete – send a complete JPEG, PNG, WebP, GIF or BMP file."
    assert status.inner_text().startswith(said) and "curl" not in status.inner_text()
    upload(page, "answer")  # of this image, nothing is asked unless the user does
    for method in ("answer", "verify", "match"):  # the error does not stay when another tab is opened
        page.locator(f"#tab-{method}").click()
        if method != "answer":
            page.locator(f"#panel-{method} .headline").wait_for()
        choose_file(page, method, "half.png", png(1)[:200])
        page.locator(f"#panel-{method} .status.wrong").first.wait_for()
        page.locator("#tab-guess").click()
        assert page.locator("#panel-guess .status").inner_text().endswith("boxes")
        page.locator(f"#tab-{method}").click()
        status = page.locator(f"#panel-{method} .status").first
        assert "wrong" not in str(status.get_attribute("class")) and "half" not in status.inner_text(), method
    visit.complaints.clear()  # the browser reports the refused uploads in its console


def test_warnings_stand_beside_the_answer(visit: Visit) -> None:
    page = visit.page
    upload(page, "answer")
    ask(page, "answer", "zebras graze yonder ?")
    note = page.locator("#panel-answer .result .note")
    assert "synthetic images only" in note.inner_text()
    assert note.evaluate("each => getComputedStyle(each, '::before').content") == "none"  # no mark of a warning
    warning = page.locator("#panel-answer .result .warning:not(.note)")
    assert re.search(
        "The training texts hardly contain these words, so the result may be meaningless: zebras, graze, yonder",
        warning.inner_text(),
    )
    page.get_by_role("button", name="Show the attention").click()
    page.locator("#panel-answer .word").first.wait_for()
    assert warning.is_visible()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]  # type: ignore[index]
    ask(page, "answer", "what colour is it ?")
    page.locator("#panel-answer .ranking").wait_for()
    assert warning.count() == 0


def test_a_left_out_task_and_confidence_that_is_not_calibrated_are_said(visit: Visit) -> None:
    page = visit.page
    uncalibrated = page.locator("#panel-answer .uncalibrated")
    assert uncalibrated.count() == 0  # VQA's confidence is calibrated
    assert "calibrated" not in page.locator("#panel-answer .headline").inner_text()
    page.route("**/api/v1/answer", _left_out)
    ask(page, "answer", "what colour is it ?")
    warning = page.locator("#panel-answer .result .warning:not(.note)")
    assert warning.inner_text() == "VQA v2: this task was not part of the last training."
    assert uncalibrated.count() == 0
    page.locator("#panel-answer").get_by_text("Advanced", exact=True).click()
    page.get_by_label("Answer in the style of").first.select_option("gqa")
    ask(page, "answer", "what colour is it ?")
    told = "Not calibrated: compare these percentages with each other, do not read them as probabilities."
    assert uncalibrated.inner_text() == told
    assert re.search(r" \d+% not calibrated$", page.locator("#panel-answer .headline").inner_text())
    falls = page.locator("#panel-answer .depends .told")
    falls.wait_for()
    assert falls.evaluate("told => getComputedStyle(told).fontWeight") == "400"
    for method in TABS.keys() - {"answer"}:
        page.locator(f"#tab-{method}").click()
        assert page.locator(f"#panel-{method} .uncalibrated").inner_text() == told
        assert page.locator(f"#panel-{method} .headline").inner_text().endswith(" not calibrated")
    assert axe.findings(page) == []


@pytest.mark.parametrize(
    "warning",
    [
        FOREIGN,
        NO_REGION,
        Warned("unknown_words", f"{UNKNOWN_WORDS}: zebra"),
        Warned("left_out_task", f"vqa: {LEFT_OUT}"),
        Warned("doubtful_task", "vqa: on its 16 test examples, this task scored 50.0"),
        Warned("unusual_text", f"vqa: {FEW_SHARED}"),
    ],
)
def test_a_meaningless_answer_begins_with_the_warning_and_claims_no_score(visit: Visit, warning: Warned) -> None:
    page, warned = visit.page, [warning]

    def measured(route: sync_api.Route) -> None:
        told = (reply := route.fetch()).json()
        told["methods"]["answer"][0]["test_score"] = "75.2% on 2,040 test examples, better than every baseline"
        route.fulfill(response=reply, json=told)

    def warns(route: sync_api.Route) -> None:
        told = (reply := route.fetch()).json()
        said = {"reliable": reliable(warned), "warnings": [each.to_dict() for each in warned]}
        route.fulfill(response=reply, json={**told, **said})

    page.route("**/api/v1/model", measured)
    page.route("**/api/v1/answer", warns)
    page.reload()
    result = page.locator("#panel-answer .result")
    result.locator(".headline").wait_for()
    shown, head = result.locator(".warning").bounding_box(), result.locator(".headline").bounding_box()
    assert shown and head and shown["y"] + shown["height"] <= head["y"]
    assert result.locator(".headline.doubtful").count() == 1 and "baseline" not in result.inner_text()
    assert result.locator(".read").inner_text() == "These percentages are not reliable here: see the warning above."
    result.locator(".depends .tip").wait_for()
    style = "(one, name) => getComputedStyle(one)[name]"
    head_colour = result.locator(".headline").evaluate(style, "color")
    assert head_colour in result.locator(".bar").first.evaluate(style, "backgroundImage")
    assert result.locator(".depends .told").evaluate(style, "fontWeight") == "400"
    assert axe.findings(page) == []
    warned[:] = [Warned("other_spelling", f"{OTHER_SPELLING}: color as colour")]  # the answer is as good as another
    ask(page, "answer", "what colour is it ?")
    assert head_colour not in result.locator(".bar").first.evaluate(style, "backgroundImage")
    assert result.locator(".headline.doubtful").count() == 0 and "baseline" in result.inner_text()


def test_an_unusual_image_is_told_when_it_is_uploaded(visit: Visit) -> None:
    """It is said once: the reply, which has the warning too, takes its place."""
    page = visit.page

    def warns(route: sync_api.Route) -> None:
        told = (reply := route.fetch()).json()
        route.fulfill(response=reply, json={**told, "warnings": [FOREIGN.to_dict()]})

    page.route("**/api/v1/scenes", warns)
    page.route("**/api/v1/answer", warns)
    upload(page, "answer")
    warning, said = page.locator("#panel-answer .warning"), f"{FOREIGN[0].upper()}{FOREIGN[1:]}."
    assert warning.all_inner_texts() == [said]
    page.locator("#tab-locate").click()
    assert page.locator("#panel-locate .warning").all_inner_texts() == [said]
    page.locator("#tab-answer").click()
    assert warning.all_inner_texts() == [said] and axe.findings(page) == []
    ask(page, "answer", "what is it ?")
    assert warning.all_inner_texts() == [said]
    page.locator("#tab-verify").click()
    page.locator("#panel-verify .headline").wait_for()
    upload(page, "verify")
    page.get_by_text(f"Left image: {FOREIGN}.").wait_for()


def test_tasks_of_the_users_own_name_the_page(visit: Visit) -> None:
    page = visit.page
    assert page.locator("h1").inner_text() == "twelve"

    def owned(route: sync_api.Route) -> None:
        told = (reply := route.fetch()).json()
        told["methods"]["answer"][0] |= {"own": True, "title": "mine"}
        told["methods"]["answer"][1] |= {"own": True, "title": "before", "left_out": True}
        route.fulfill(response=reply, json=told)

    page.route("**/api/v1/model", owned)
    page.reload()
    page.locator("#panel-answer .headline").wait_for()
    assert page.locator("#panel-answer .by").inner_text().startswith("Task: “mine” (change it under Advanced).")
    assert page.locator("h1").inner_text() == "“mine”"
    assert page.title() == "“mine”: questions about images"
    page.route("**/api/v1/answer", _left_out)
    ask(page, "answer", "what colour is it ?")
    warning = page.locator("#panel-answer .warning:not(.note)").first.inner_text()
    assert warning == "“mine”: this task was not part of the last training."


def _left_out(route: sync_api.Route) -> None:
    reply = route.fetch()
    warning = Warned("left_out_task", "vqa: this task was not part of the last training")
    route.fulfill(response=reply, json={**reply.json(), "reliable": False, "warnings": [warning.to_dict()]})


def test_the_task_that_answered_stands_beside_the_answer(visit: Visit) -> None:
    page = visit.page
    by = page.locator("#panel-answer .by")
    assert by.inner_text() == "Task: VQA v2 (change it under Advanced)."
    page.locator("#panel-answer summary", has_text="Advanced").click()
    page.locator("#panel-answer select").select_option("gqa")
    ask(page, "answer", "what colour is it ?")
    assert by.inner_text().startswith("Task: GQA (")
    page.get_by_role("tab", name="Check").click()
    ask(page, "entails", "it is green")
    assert page.locator("#panel-entails .by").count() == 0  # one task alone judges


def test_a_tab_says_before_one_asks_that_the_last_training_left_its_task_out(visit: Visit) -> None:
    page = visit.page

    def fewer(route: sync_api.Route) -> None:
        reply = route.fetch()
        told = reply.json()
        told["methods"]["answer"][1]["left_out"] = told["methods"]["entails"][0]["left_out"] = True
        route.fulfill(response=reply, json=told)

    page.route("**/api/v1/model", fewer)
    page.reload()
    lost = page.locator("#panel-answer .lost")
    page.locator("#panel-answer .headline").wait_for()
    assert lost.is_hidden()
    page.locator("#panel-answer summary", has_text="Advanced").click()
    page.locator("#panel-answer select").select_option("gqa")
    told = "GQA was not part of the last training and may have been forgotten: replies here may be wrong."
    assert lost.inner_text() == told
    page.locator("#panel-answer select").select_option("vqa")
    assert lost.is_hidden()
    assert page.get_by_role("tab", name="Answer").inner_text() == "Answer"  # VQA was trained
    trained = [name for name in TABS.values() if name != "Check"]
    assert page.locator("[role=tablist] > *").all_inner_texts() == [
        *trained,
        "Base-model tasks (may no longer work):",
        "Check",
    ]
    assert page.get_by_role("tab").all_inner_texts() == [*trained, "Check"]
    entails = page.get_by_role("tab", name="Check", exact=True)
    assert "Not part of the last training" in str(entails.get_attribute("title"))
    label, last = (page.locator(each).bounding_box() for each in (".earlier", "[role=tab]:has(+ .earlier)"))
    assert label and last and (label["y"] >= last["y"] + last["height"]) == visit.phone  # on a phone, on its own line
    following = page.locator(".earlier + [role=tab]").bounding_box()
    assert following and (following["y"] >= label["y"] + label["height"]) == visit.phone
    entails.click()
    assert axe.findings(page) == []
    assert page.locator("#panel-entails .lost").is_visible()
    ask(page, "entails", "it is green")
    assert page.locator("#panel-entails .by").inner_text() == "Task: SNLI-VE."
    page.get_by_role("tab", name="Locate").click()
    assert page.locator("#panel-locate .lost").count() == 0


def test_a_page_opens_with_a_task_of_the_last_training(visit: Visit) -> None:
    page = visit.page

    def one_trained(route: sync_api.Route) -> None:
        told = (reply := route.fetch()).json()
        for method, tasks in told["methods"].items():
            for task in tasks:
                task["left_out"] = method != "entails"
        route.fulfill(response=reply, json=told)

    page.route("**/api/v1/model", one_trained)
    page.goto(f"{visit.address}/?again")  # without the name of a tab
    page.locator("#panel-entails .headline").wait_for()
    others = [name for name in TABS.values() if name != "Check"]
    assert page.locator("[role=tablist] > *").all_inner_texts() == [
        "Check",
        "Base-model tasks (may no longer work):",
        *others,
    ]
    page.get_by_role("tab").first.press("ArrowRight")
    assert page.locator("[role=tab][aria-selected=true]").inner_text() == "Answer"
    assert tabs_move(page) == []


def test_no_tab_stands_alone_in_a_row(visit: Visit) -> None:
    rows = Counter(box["y"] for box in (tab.bounding_box() for tab in visit.page.get_by_role("tab").all()) if box)
    assert rows.total() >= 7 and min(rows.values()) > 1


def test_tabs_stay_where_they_are_when_another_one_is_selected(visit: Visit) -> None:
    assert tabs_move(visit.page) == []


def tabs_move(page: sync_api.Page) -> list[str]:
    """The tabs whose selection changes the height of the list, or where one of its tabs is."""

    def layout(tab: sync_api.Locator) -> list[object]:
        tab.click()
        return [page.locator("[role=tablist]").bounding_box(), *(one.bounding_box() for one in tabs)]

    first, *others = tabs = page.get_by_role("tab").all()
    expected = layout(first)
    return [tab.inner_text() for tab in others if layout(tab) != expected]


@pytest.mark.parametrize(
    "widths",
    [(390, 844, 390), (390, 1280), (600, 1024), (1280, 390, 1280)],
    ids=lambda widths: "-".join(map(str, widths)),
)
@pytest.mark.parametrize("panel", ["answer", "verify"])
def test_images_can_be_selected_at_every_width(visit: Visit, widths: tuple[int, ...], panel: str) -> None:
    page = visit.page
    page.set_viewport_size({"width": widths[0], "height": 844})
    page.reload()
    page.locator("#panel-answer .headline").wait_for()
    page.locator(f"#tab-{panel}").click()
    page.locator(f"#panel-{panel} .headline").wait_for()
    for width in widths[1:]:
        page.set_viewport_size({"width": width, "height": 390})
        sides = page.locator(f"#panel-{panel} .chooser").all()
        assert sides
        for side in sides:
            another = side.get_by_text("Another image")
            sync_api.expect(another).to_be_visible(visible=width <= 760)
            if width <= 760:
                sync_api.expect(side.locator(".file")).to_be_hidden()
                another.click()
            for choice in (side.locator(".file"), side.locator(".sample").first):
                sync_api.expect(choice).to_be_visible()


def test_a_field_that_one_scrolls_to_is_not_under_the_image(visit: Visit) -> None:
    page = visit.page
    page.set_viewport_size({"width": page.viewport_size["width"], "height": 500})  # type: ignore[index]
    for part in ("input[type=text]", "label"):
        seen = page.locator(f"#panel-answer form {part}").first
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        seen.evaluate("element => element.scrollIntoView({block: 'start'})")
        label = page.locator("#panel-answer form label").first.bounding_box()
        image = page.locator("#panel-answer .image").bounding_box()
        assert label and image and (not visit.phone or label["y"] >= image["y"] + image["height"])


def test_doubts_right_answers_and_small_shares(visit: Visit) -> None:
    """What the service knows of a task and of its samples stands beside the answer; little shares do not."""
    page = visit.page
    page.route("**/api/v1/model", _doubted)
    page.route("**/api/v1/answer", _nearly_sure)
    page.reload()
    panel = page.locator("#panel-answer")
    doubt = panel.locator(".result .warning:not(.note)")
    doubt.wait_for()
    assert doubt.inner_text() == "“VQA v2”: on its 16 test examples, this task scored 50.0."
    told, head = doubt.bounding_box(), panel.locator(".headline.doubtful").bounding_box()
    assert told and head and told["y"] + told["height"] <= head["y"]
    assert panel.locator(".correct").inner_text() == "correct answer: no"
    assert [name.split()[0] for name in panel.locator(".ranking li").all_inner_texts()] == ["yes", "no"]
    assert "trained on “VQA v2” and" in page.locator("#about").inner_text()
    assert axe.findings(page) == []
    ask(page, "answer", "what is it ?")  # another question: its right answer is unknown
    assert panel.locator(".correct").count() == 0 and doubt.count() == 1


def test_a_measured_score_stands_beside_the_task_that_answered(visit: Visit) -> None:
    page, said = visit.page, "75.2% on 2,040 test examples, better than every baseline"

    def measured(route: sync_api.Route) -> None:
        told = (reply := route.fetch()).json()
        told["methods"]["answer"][0]["test_score"] = told["methods"]["entails"][0]["test_score"] = said
        told["methods"]["entails"][0]["title"] = "GuessWhat?!"
        route.fulfill(response=reply, json=told)

    def plain(route: sync_api.Route) -> None:
        told = (reply := route.fetch()).json()
        route.fulfill(response=reply, json={**told, "reliable": True, "warnings": []})

    page.route("**/api/v1/model", measured)
    for method in ("answer", "entails"):
        page.route(f"**/api/v1/{method}", plain)
    page.reload()
    by = page.locator("#panel-answer .by")
    by.wait_for()
    means = "Each percentage estimates the probability that this answer is correct"
    assert page.locator("#panel-answer .read").inner_text().startswith(means)
    told = f"Test score: {said}."
    assert by.inner_text() == f"Task: VQA v2 (change it under Advanced). {told}"
    assert axe.findings(page) == []
    page.locator("#panel-answer summary", has_text="Advanced").click()
    page.locator("#panel-answer select").select_option("gqa")
    ask(page, "answer", "what colour is it ?")
    assert by.inner_text() == "Task: GQA (change it under Advanced)."  # nothing is stored of it
    page.get_by_role("tab", name="Check").click()
    page.locator("#panel-entails .by").wait_for()
    assert page.locator("#panel-entails .by").inner_text() == f"Task: GuessWhat?! {told}"


def _doubted(route: sync_api.Route) -> None:
    """The first task is a user's, and the first sample's correct answer is known."""
    reply = route.fetch()
    told = reply.json()
    told["methods"]["answer"][0] |= {"own": True, "synthetic": False}
    told["samples"][0]["correct"] = "no"
    route.fulfill(response=reply, json=told)


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        (True, r"trained on synthetic stand-ins for .* \(drawings, not photographs\) first, and then on “[^”]*”\."),
        (False, r"trained on “[^”]*” and synthetic stand-ins for .* \(drawings, not photographs\)\."),
    ],
)
def test_what_a_model_was_first_trained_on_is_said_of_a_fine_tuned_one(visit: Visit, left_out: bool, said: str) -> None:
    def fine_tuned(route: sync_api.Route) -> None:
        reply = route.fetch()
        told = {**reply.json(), "synthetic": False}
        for task in (task for tasks in told["methods"].values() for task in tasks):
            task["left_out"] = left_out
        told["methods"]["answer"][0] |= {"own": True, "synthetic": False, "left_out": False}
        route.fulfill(response=reply, json=told)

    visit.page.route("**/api/v1/model", fine_tuned)
    visit.page.reload()
    visit.page.locator("#panel-answer .headline").wait_for()
    assert re.search(said, visit.page.locator("#about").inner_text())


def _nearly_sure(route: sync_api.Route) -> None:
    reply = route.fetch()
    shares = (("yes", 0.85), ("no", 0.14), ("middle", 0.001), ("large", 0.001))
    best = [{"answer": answer, "confidence": share} for answer, share in shares]
    doubt = Warned("doubtful_task", "vqa: on its 16 test examples, this task scored 50.0")
    said = {"answer": "yes", "confidence": 0.85, "alternatives": best}
    route.fulfill(response=reply, json={**reply.json(), **said, "reliable": False, "warnings": [doubt.to_dict()]})


def test_warnings_of_a_search_name_images_by_their_place(visit: Visit) -> None:
    page = visit.page
    page.route("**/api/v1/match", _two_unlike)
    page.locator("#tab-match").click()
    page.locator("#panel-match .headline").wait_for()
    warnings = page.locator("#panel-match .result .warning").all_inner_texts()
    assert warnings == ["Images 1, 6 and 2 more: they are unlike.", "Image 2: no region."]


def _two_unlike(route: sync_api.Route) -> None:
    """Warnings about the best and the worst image, and about the second."""
    reply = route.fetch()
    told = reply.json()
    best, second, *_, worst = (ranked["index"] for ranked in told["captions"][0]["images"])
    unlike = Warned("unusual_image", f"{worst}, {best} and 2 more: they are unlike")
    warnings = [unlike.to_dict(), Warned("no_regions", f"{second}: no region").to_dict()]
    route.fulfill(response=reply, json={**told, "reliable": False, "warnings": warnings})


_TOKEN = "a-secret-of-16-letters"
_GUARDED = "import sys; from twelve.web.server import serve; serve(sys.argv[1], port=0, token=sys.argv[2])"


def test_a_token_is_asked_for_or_comes_with_the_link(model_folder: Path, browser: sync_api.Browser) -> None:
    with served(model_folder, _GUARDED, _TOKEN) as (_, address):
        context = browser.new_context()
        page, asked = context.new_page(), list[str]()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/")
        field = page.get_by_label("This service requires a token")
        field.fill("another-secret-of-16")
        field.press("Enter")
        page.get_by_text("The token is wrong.").wait_for()
        field.fill(f" {_TOKEN} ")
        field.press("Enter")
        page.get_by_role("tab").first.wait_for()
        assert field.count() == 0
        page.locator("#panel-answer .headline").wait_for()
        upload(page, "answer")
        assert ask(page, "answer", "what colour is it ?").inner_text().split()[0] in ("red", "green", "blue")
        page.reload()
        page.get_by_role("tab").first.wait_for()
        context.close()
        context = browser.new_context()
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/#token={_TOKEN}")
        page.get_by_role("tab").first.wait_for()
        assert _TOKEN not in page.url and not any(_TOKEN in url.split("#")[0] for url in asked)
        context.close()


def test_a_link_with_the_token_works_in_a_tab_that_has_the_page(model_folder: Path, browser: sync_api.Browser) -> None:
    with served(model_folder, _GUARDED, _TOKEN) as (_, address):
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{address}/")
        page.get_by_label("This service requires a token").wait_for()
        page.goto(f"{address}/#token=another-secret-of-16")
        page.get_by_text("The token is wrong.").wait_for()
        assert page.url == f"{address}/"
        page.goto(f"{address}/#token={_TOKEN}")
        page.locator("#panel-answer .headline").wait_for()
        page.locator("#tab-locate").click()
        tabs = page.get_by_role("tab").count()
        page.goto(f"{address}/#token={_TOKEN}")  # the tabs stay as they are
        page.wait_for_url(f"{address}/#locate")
        assert page.get_by_role("tab").count() == tabs
        context.close()


def test_a_link_with_a_wrong_token_does_not_replace_one_that_works(
    model_folder: Path, browser: sync_api.Browser
) -> None:
    new = "the-new-secret-of-24-chars"
    with served(model_folder, _GUARDED, f"{new} {_TOKEN}") as (_, address):
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{address}/#token={_TOKEN}")
        page.locator("#panel-answer .headline").wait_for()
        for brought, used in (("another-secret-of-16", _TOKEN), (new, new)):
            with page.expect_response("**/api/v1/model") as tried:
                page.goto(f"{address}/#token={brought}")
            assert tried.value.request.headers["authorization"] == f"Bearer {brought}"
            page.wait_for_url(f"{address}/#answer")
            page.wait_for_function("used => sessionStorage.getItem('token') === used", arg=used)
            page.locator("#panel-answer [aria-busy=true]").wait_for(state="detached")  # until then, Enter does nothing
            with page.expect_response("**/api/v1/answer") as sent:
                page.locator("#panel-answer form input[type=text]").press("Enter")
            assert sent.value.ok and sent.value.request.headers["authorization"] == f"Bearer {used}"
        page.goto("about:blank")
        page.goto(f"{address}/#token=another-secret-of-16")  # the tab still has the token
        page.locator("#panel-answer .headline").wait_for()
        context.close()


def _busy(times: int, after: int | None = 1) -> Callable[[sync_api.Route], None]:
    """Refuses the first requests as a service does that has too many."""
    left = times

    def handle(route: sync_api.Route) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            return route.continue_()
        told = {"code": "busy", "error": "too many requests are waiting", "remedy": "try again later", "fields": None}
        return route.fulfill(status=429, headers={} if after is None else {"Retry-After": str(after)}, json=told)

    return handle


_WAITS = "The service is busy; trying again in 1 s."


def test_a_busy_service_is_asked_again(visit: Visit) -> None:
    page = visit.page
    page.route("**/api/v1/answer", _busy(2))
    line = page.locator("#panel-answer form input[type=text]")
    line.fill("what is it ?")
    line.press("Enter")
    problem = page.locator("#panel-answer .problem")
    sync_api.expect(problem).to_have_text(_WAITS)
    sync_api.expect(problem).to_have_text("")
    page.locator("#panel-answer .headline").wait_for()
    for after, times in ((1, 3), (61, 1), (None, 1)):  # three tries in all, none after more than a minute
        page.unroute("**/api/v1/answer")
        page.route("**/api/v1/answer", _busy(3, after))
        before = sum(url.endswith("/api/v1/answer") for url in visit.asked)
        line.press("Enter")
        sync_api.expect(problem).to_have_text("too many requests are waiting – try again later.")
        assert sum(url.endswith("/api/v1/answer") for url in visit.asked) - before == times
    page.unroute("**/api/v1/answer")
    page.route("**/api/v1/scenes", _busy(2))  # two images are sent at once
    page.get_by_role("tab", name="Verify").click()
    page.locator("#panel-verify .status", has_text=_WAITS).first.wait_for()
    page.locator("#panel-verify .headline").wait_for()
    page.unroute("**/api/v1/scenes")
    page.route("**/api/v1/scenes", _busy(1))
    page.get_by_role("tab", name="Match").click()
    page.locator("#panel-match .status", has_text=_WAITS).wait_for()
    page.locator("#panel-match .headline").wait_for()
    page.route("**/api/v1/model", _busy(1))
    page.reload()
    page.get_by_text(_WAITS).wait_for()
    page.locator("#panel-match .headline").wait_for()
    visit.complaints.clear()  # the browser reports each 429 in its console


def test_requests_have_the_cookies_of_a_proxy_in_front(visit: Visit) -> None:
    page, cookies = visit.page, list[str | None]()
    page.context.add_cookies([{"name": "session", "value": "x", "url": visit.address}])

    def noted(route: sync_api.Route) -> None:
        cookies.append(route.request.all_headers().get("cookie"))
        route.continue_()

    page.route("**/api/v1/answer", noted)
    ask(page, "answer", "what is it ?")
    assert cookies == ["session=x"]


def test_a_forgotten_image_is_sent_again(visit: Visit) -> None:
    page = visit.page
    upload(page, "answer")
    page.route("**/api/v1/answer", _forget_once())
    assert ask(page, "answer", "what is it ?").inner_text()
    assert sum(url.endswith("/api/v1/scenes") for url in visit.asked) == 3  # the sample's, and the image's twice
    visit.complaints.clear()  # the browser reports the 404 in its console


def _forget_once() -> Callable[[sync_api.Route], None]:
    """Makes the first request be one about an image that is not there."""
    first = True

    def handle(route: sync_api.Route) -> None:
        nonlocal first
        body = route.request.post_data_json
        if first:
            body = {**body, "image": {"scene": "gone"}}
        first = False
        route.continue_(post_data=json.dumps(body))

    return handle
