"""The page of a service with an index: a caption in, thumbnails with their shares out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import axe
import pytest
from conftest import images
from serving import served
from test_page import Visit, ask, browser, sync_api, visit  # noqa: F401

from twelve.predictor import Predictor

pytestmark = pytest.mark.slow
_CODE = "import sys; from twelve.web.server import serve; serve(sys.argv[1], port=0, index=sys.argv[2])"
PANEL = "#panel-search"


@pytest.fixture(scope="module")
def index(searcher: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = images(tmp_path_factory.mktemp("page") / "images", 14)
    searcher.search(place, "the red ball", index=place / "index")
    return place / "index"


@pytest.fixture(scope="module")
def address(searching_model: Path, index: Path) -> Iterator[str]:
    with served(searching_model, _CODE, str(index)) as (_, found):
        yield found


def opened(visit: Visit) -> sync_api.Page:  # noqa: F811
    visit.page.get_by_role("tab", name="Search").click()
    return visit.page


def test_a_caption_finds_thumbnails_with_their_shares(visit: Visit, searcher: Predictor, index: Path) -> None:  # noqa: F811
    page = opened(visit)
    assert page.locator(f"{PANEL} .field small").first.inner_text() == "14 images in the index."
    assert page.locator("footer").inner_text().startswith("Images that you select stay in the memory")
    assert ask(page, "search", "the red ball").inner_text() == "Best of 14 images"
    page.locator(f"{PANEL} .gallery li:nth-child(12) img[src]").wait_for()
    shown = page.locator(f"{PANEL} .gallery .file-name").all_inner_texts()
    ranked = searcher.search(index.parent, "the red ball", index=index).ranked_images()
    assert shown == [Path(path).name for path, _ in ranked[:12]]
    captions = page.locator(f"{PANEL} .gallery figcaption").all_inner_texts()
    numbers = [caption.splitlines()[0].strip() for caption in captions]
    assert numbers[0] == f"1. {100 * ranked[0][1]:.0f}%" and len(numbers) == 12
    sizes = page.locator(f"{PANEL} .gallery img").evaluate_all("all => all.map(e => [e.naturalWidth, e.alt])")
    assert [size for size, _ in sizes] == [160] * 12 and sizes[1][1] == "Image 2"
    read = page.locator(f"{PANEL} .read")
    assert read.inner_text().startswith("Not calibrated: ")
    below = "read => Boolean(read.compareDocumentPosition(document.querySelector('#panel-search .gallery')) & 4)"
    assert read.evaluate(below)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]  # type: ignore[index]
    assert axe.findings(page) == []


def test_it_is_used_by_keyboard_alone(visit: Visit) -> None:  # noqa: F811
    page = visit.page
    page.get_by_role("tab").first.focus()
    page.keyboard.press("End")
    assert page.locator("[role=tab][aria-selected=true]").inner_text() == "Search"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "text"
    # The index may have nothing that a sample shows.
    assert page.evaluate("document.activeElement.value") == "" and page.locator(f"{PANEL} .headline").count() == 0
    page.keyboard.press("Enter")
    assert page.locator(f"{PANEL} [role=alert]").inner_text() == "Type a caption first."
    page.keyboard.type("a green thing")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Search"
    page.keyboard.press("Enter")
    page.locator(f"{PANEL} .headline").wait_for()
    assert page.locator(f"{PANEL} [role=alert]").inner_text() == ""
    assert page.locator(f"{PANEL} .gallery").get_attribute("aria-label") == "Images, best first"
    accent = page.locator("[role=tab][aria-selected=true]").evaluate("tab => getComputedStyle(tab).color")
    frame = page.locator(f"{PANEL} .gallery img").first.evaluate("image => getComputedStyle(image).outlineColor")
    assert frame == accent  # red would read as an error


def test_the_tabs_of_a_phone_are_two_rows_of_four(visit: Visit) -> None:  # noqa: F811
    tops = [each.bounding_box()["y"] for each in visit.page.get_by_role("tab").all()]  # type: ignore[index]
    assert len(tops) == 8 and len(set(tops[:4])) == len(set(tops[4:])) == 1
    assert (tops[4] > tops[0]) == visit.phone


def test_what_is_odd_or_gone_is_said(visit: Visit) -> None:  # noqa: F811
    page = opened(visit)
    names = [f"sample-{number}.png" for number in (3, 1)]

    task = page.locator(f"{PANEL} .advanced select")
    assert task.evaluate("e => e.labels[0].textContent") == "Rank as learned from"

    def replied(image: str, skipped: list[str]) -> None:
        """The next reply warns of an image."""
        told = {
            "text": "a ball",
            "task": "coco",
            "calibrated": False,
            "images": [{"image": name, "share": share} for name, share in zip(names, (0.52, 0.48), strict=True)],
            "ranked": 2,
            "indexed": 3000,
            "skipped": skipped,
            "digest": None,
            "reliable": False,
            "warnings": [{"code": "unusual_image", "text": f"{image}: the result may be meaningless"}],
        }
        page.unroute("**/api/v1/search")
        page.route("**/api/v1/search", lambda route: route.fulfill(json=told))

    replied(names[1], ["sample-2.png"])
    head = ask(page, "search", "a ball")
    assert head.inner_text() == "Best of 2 the closest of 3,000 images"
    assert page.locator(f"{PANEL} figcaption strong").all_inner_texts() == ["1.", "2."]  # no percentage is bold
    assert "doubtful" not in (head.get_attribute("class") or "")  # the best image is not the odd one
    assert page.locator(f"{PANEL} .tie").inner_text() == "Almost a tie with image 2."
    assert page.locator(f"{PANEL} .lost").last.inner_text() == (
        "1 of the closest images is gone, or changed after the index was made."
    )
    warned = page.locator(f"{PANEL} .warned")
    assert warned.all_inner_texts() == ["The result may be meaningless."]  # at its image, with its name as it is
    assert page.locator(f"{PANEL} li", has=page.locator(".warned")).locator(".file-name").inner_text() == names[1]
    assert page.locator(f"{PANEL} .warning:not(.note)").count() == 0
    assert page.locator(f"{PANEL} .by").inner_text().startswith("Task: ")
    replied(f"{names[0]}, {names[1]} and 4 more", [])
    ask(page, "search", "a ball")
    said = page.locator(f"{PANEL} .warning:not(.note)").inner_text()
    assert said.endswith("sample-3.png, sample-1.png and 4 more: the result may be meaningless.") and not warned.count()
    replied(names[0], [])
    assert "doubtful" in (ask(page, "search", "a ball").get_attribute("class") or "")
    page.route("**/api/v1/search", lambda route: route.fulfill(json=json.loads(_NOTHING)))
    assert ask(page, "search", "a ball").inner_text() == "No image found"


_NOTHING = """{"text": "a ball", "task": "coco", "calibrated": false, "images": [], "ranked": 0, "indexed": 2,
"skipped": ["a.png", "b.png"], "digest": null, "reliable": true,
"warnings": []}"""


def _fulfil(told: dict[str, object], route: sync_api.Route) -> None:
    route.fulfill(json=told)


def test_a_file_is_named_with_its_folders_only_if_another_has_its_name(visit: Visit) -> None:  # noqa: F811
    """The tooltip is the path."""
    page = opened(visit)
    told = json.loads(_NOTHING) | {"ranked": 2, "skipped": []}
    page.route("**/api/v1/thumbnail*", lambda route: route.fulfill(body=b"", status=404))
    for names, shown in (
        (["a/b/c/1.png", "2.png"], ["1.png", "2.png"]),
        (["a/1.png", "a/b/2.png", "a/b/1.png"], ["a/1.png", "2.png", "a/b/1.png"]),
    ):
        images = [{"image": name, "share": 1 / len(names)} for name in names]
        page.unroute("**/api/v1/search")
        fulfilled = told | {"images": images}
        page.route("**/api/v1/search", partial(_fulfil, fulfilled))
        ask(page, "search", "a ball")
        found = page.locator(f"{PANEL} .gallery .file-name")
        found.first.wait_for()
        page.wait_for_function("wanted => document.querySelector('.gallery .file-name').title === wanted", arg=names[0])
        assert found.all_inner_texts() == shown
        assert found.evaluate_all("all => all.map(e => e.title)") == names
    page.wait_for_timeout(100)
    visit.complaints.clear()  # of the missing thumbnails


def test_a_thumbnail_that_is_gone_is_said_in_its_place(visit: Visit) -> None:  # noqa: F811
    page = opened(visit)
    page.route("**/api/v1/thumbnail*", lambda route: route.fulfill(json={"error": "no"}, status=404))
    ask(page, "search", "the red ball")
    said = page.locator(f"{PANEL} .gallery .frame-of")
    said.nth(11).get_by_text("this image is gone, or has changed.").wait_for()  # loaded one after the other
    assert said.all_inner_texts() == ["this image is gone, or has changed."] * 12
    page.wait_for_timeout(100)  # for the last complaint
    visit.complaints.clear()  # a browser tells of every 404


def test_without_an_index_there_is_no_such_tab(model_folder: Path, browser: sync_api.Browser) -> None:  # noqa: F811
    with served(model_folder) as (_, found):
        page = browser.new_page()
        page.goto(f"{found}/#search")
        page.locator("#panel-answer .headline").wait_for()
        assert (
            page.get_by_role("tab", name="Match").count() == 1 and page.get_by_role("tab", name="Search").count() == 0
        )
        page.close()
