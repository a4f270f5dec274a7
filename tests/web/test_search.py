"""Searching the images of an index over HTTP: the results are those of Python and of the shell, and nothing else of the
machine is told."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
from conftest import images
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient
from test_api import near, png
from typer.testing import CliRunner

import twelve
from twelve import cli
from twelve.errors import ConfigError, DataError, InputError, RegionError, TwelveError
from twelve.outputs.parts.warned import Warned
from twelve.predictor import Predictor
from twelve.predictor.measured import digest_of
from twelve.predictor.open_index import OpenIndex
from twelve.predictor.warnings import UNKNOWN_WORDS
from twelve.regions.extraction.extract import extract
from twelve.web import server, thumbnails
from twelve.web.app import create_app
from twelve.web.fields import MAX_PLACES
from twelve.web.limits import Limits

TEXT = "the red ball"


@contextmanager
def serving(predictor: Predictor, index: Path | None, limits: Limits | None = None, **options: Any) -> Iterator[Any]:
    app = create_app(predictor, limits, hosts=(), no_token="token" not in options, index=index, **options)
    try:
        yield TestClient(app)
    finally:
        app.state.service.close()


@pytest.fixture
def library(searcher: Predictor, tmp_path: Path) -> Path:
    """The index of six images of its own, in another folder than theirs."""
    place, index = images(tmp_path / "library"), tmp_path / "kept" / "index"
    index.parent.mkdir()
    searcher.search(place, TEXT, index=index)
    return index


def search(client: TestClient, text: str = TEXT, **fields: Any) -> dict[str, Any]:
    reply = client.post("/api/v1/search", json={"text": text, **fields})
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


# --- the same results -----------------------------------------------------------------------------------------
@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """Six images, of which three are in a subfolder and have the names of the others, and a hidden one."""
    place = images(tmp_path / "nested")
    (place / "2026" / "may").mkdir(parents=True)
    for number in (1, 2, 3):
        (place / f"sample-{number + 3}.png").rename(place / "2026" / "may" / f"sample-{number}.png")
    images(place / ".hidden", 1)
    return place


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"shortlist": 3}, {"contrast_weight": 0.0}, {"shortlist": 2, "contrast_weight": 0.5, "task": "flickr30k"}],
    ids=str,
)
def test_python_the_shell_and_http_find_the_same(
    options: dict[str, Any], deep: bool, searcher: Predictor, searching_model: Path, searched: Path, nested: Path
) -> None:
    searched = nested / "index" if deep else searched
    python = searcher.search(searched.parent, TEXT, index=searched, **options)
    with serving(searcher, searched) as client:
        told = search(client, top=4, **options)
    given = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    words = ["match", str(searching_model), TEXT, "--images", str(searched.parent), "--index", str(searched)]
    shell = json.loads(CliRunner().invoke(cli.app, [*words, "--json", "--top", "4", *given]).stdout)
    ranked = python.to_dict(4)["captions"][0]["images"]
    assert shell["captions"][0]["images"] == ranked and len(ranked) == min(4, options.get("shortlist", 6))
    below = [{**each, "image": os.path.relpath(each["image"], searched.parent)} for each in ranked]
    assert near(told["images"], below) and len({each["image"] for each in told["images"]}) == len(ranked)
    assert (told["task"], told["calibrated"]) == (python.task, python.calibrated) == (shell["task"], False)
    assert told["ranked"] == len(python.images) and told["indexed"] == 6 and told["skipped"] == []
    assert told["text"] == TEXT and told["digest"] == digest_of(searching_model)


def test_regions_of_a_store_are_not_extracted_again(
    searcher: Predictor, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, store = tmp_path / "library", tmp_path / "store"
    wanted = searcher.search(place, TEXT, index=library).to_dict(6)["captions"][0]["images"]
    extract(place, store, searcher.extractor.config, network=searcher.extractor.network, progress=False)
    with serving(searcher, library, regions=store) as client:
        monkeypatch.setattr(type(searcher.extractor), "extract", lambda *_, **__: pytest.fail("was extracted"))
        found = search(client, top=6)["images"]
    assert near(found, [{**each, "image": Path(each["image"]).name} for each in wanted])
    with pytest.raises(RegionError, match="no regions in this folder"):
        create_app(searcher, index=library, regions=tmp_path / "kept")


def test_images_of_one_file_name_do_not_share_the_regions_of_a_store(
    searcher: Predictor, nested: Path, tmp_path: Path
) -> None:
    wanted = searcher.search(nested, TEXT, index=nested / "index").to_dict(6)["captions"][0]["images"]
    extract(nested, tmp_path / "store", searcher.extractor.config, network=searcher.extractor.network, progress=False)
    python = searcher.search(nested, TEXT, index=tmp_path / "another", regions=tmp_path / "store")
    assert near(python.to_dict(6)["captions"][0]["images"], wanted)
    with serving(searcher, nested / "index", regions=tmp_path / "store") as client:
        found = search(client, top=6)["images"]
    assert near(found, [{**each, "image": os.path.relpath(each["image"], nested)} for each in wanted])


ODD = Warned("unusual_image", "it is odd")


def test_warnings_are_of_the_text_and_of_the_images_that_are_shown_best_first(
    searcher: Predictor, searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twelve.predictor.warnings.of_regions", lambda processor, regions: (ODD,))
    with serving(searcher, searched) as client:
        told = search(client, "the red dinosaur", top=2)
    names = ", ".join(each["image"] for each in told["images"])
    assert told["warnings"] == [
        {"code": "unusual_image", "text": f"{names}: it is odd"},
        {"code": "unknown_words", "text": f"the red dinosaur: {UNKNOWN_WORDS}: dinosaur"},
    ]
    assert told["reliable"] is False


def test_python_the_shell_and_http_warn_of_the_same_images(
    searcher: Predictor, searching_model: Path, searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = searcher.search(searched.parent, TEXT, index=searched).ranked_images()
    best = searcher.scene(first[0]).regions.boxes
    monkeypatch.setattr(
        "twelve.predictor.warnings.of_regions",
        lambda processor, regions: () if np.array_equal(regions.boxes, best) else (ODD,),
    )
    python = searcher.search(searched.parent, TEXT, index=searched)
    words = ["match", str(searching_model), TEXT, "--images", str(searched.parent), "--index", str(searched), "--json"]
    for top in (1, 3):
        with serving(searcher, searched) as client:
            told = search(client, top=top)
        shell = json.loads(CliRunner().invoke(cli.app, [*words, "--top", str(top)]).stdout)
        names = ", ".join(each["image"] for each in told["images"][1:])
        assert told["warnings"] == ([{"code": "unusual_image", "text": f"{names}: it is odd"}] if names else [])
        assert told["reliable"] is python.to_dict(top)["reliable"] is shell["reliable"] is (top == 1)
        for tree in (python.to_dict(top), shell):
            texts = [each["text"].replace(f"{searched.parent}{os.sep}", "") for each in tree["warnings"]]
            assert texts == [each["text"] for each in told["warnings"]]


# --- what is told of the machine --------------------------------------------------------------------------------
def test_replies_have_no_path_of_the_machine(searcher: Predictor, library: Path, tmp_path: Path) -> None:
    (tmp_path / "library" / "sample-1.png").write_bytes(png(50))
    with serving(searcher, library) as client:
        (tmp_path / "library" / "sample-2.png").unlink()
        replies = [client.post("/api/v1/search", json={"text": TEXT, "top": 6}), client.get("/api/v1/model")]
        replies += [client.get("/api/v1/thumbnail", params={"image": "sample-2.png"})]
    told = replies[0].json()
    assert {each["image"] for each in told["images"]} == {f"sample-{number}.png" for number in range(3, 7)}
    assert told["skipped"] == ["sample-2.png"] and told["indexed"] == 5
    for reply in replies:
        for word in (str(tmp_path), "library", "kept", ".."):
            assert word not in reply.text


def test_names_are_paths_in_the_index_or_below_what_all_images_have_in_common(
    searcher: Predictor, tmp_path: Path
) -> None:
    one, other = images(tmp_path / "a" / "one", 2), images(tmp_path / "a" / "other", 2)
    files = ["one/sample-1.png", "one/sample-2.png", "other/sample-1.png", "other/sample-2.png"]
    for place, names in ((tmp_path, [f"a/{name}" for name in files]), (tmp_path / "a", files), (one, files)):
        searcher.search([one, other], TEXT, index=place / "index")
        assert sorted(OpenIndex(searcher, place / "index").names) == names


def test_a_thumbnail_is_small_and_has_nothing_but_pixels(searcher: Predictor, library: Path, tmp_path: Path) -> None:
    photograph = Image.effect_noise((1600, 900), 90).convert("RGB")
    exif = Image.Exif()
    exif[0x9286] = exif[0x010E] = "taken at home"
    exif[0x0112] = 6  # to be turned
    photograph.save(tmp_path / "library" / "large.jpg", exif=exif, comment="taken at home")
    photograph.save(tmp_path / "library" / "wide.jpg", comment="taken at home")
    Image.new("RGBA", (40, 30), (255, 0, 0, 0)).save(tmp_path / "library" / "small.png")
    searcher.search(tmp_path / "library", TEXT, index=library)
    sizes = {"large.jpg": (180, 320), "wide.jpg": (320, 180), "small.png": (40, 30)}
    with serving(searcher, library) as client:
        replies = {name: client.get("/api/v1/thumbnail", params={"image": name}) for name in sizes}
    for name, size in sizes.items():
        reply = replies[name]
        assert reply.status_code == 200 and reply.headers["content-type"] == "image/jpeg"
        shown = Image.open(io.BytesIO(reply.content))
        assert (shown.format, shown.size, dict(shown.getexif())) == ("JPEG", size, {}) and max(size) <= thumbnails.SIDE
        assert "comment" not in shown.info and b"at home" not in reply.content and len(reply.content) < 100_000
    assert Image.open(io.BytesIO(replies["small.png"].content)).getpixel((5, 5)) == (255, 255, 255)


def test_only_images_of_the_index_have_a_thumbnail(searcher: Predictor, library: Path, tmp_path: Path) -> None:
    secret = tmp_path / "library" / "secret.png"
    secret.write_bytes(png(60))
    names = [
        "secret.png",
        str(secret),
        f"file://{secret}",
        "../library/sample-1.png",
        "../kept/index",
        "./sample-1.png",
        "sample-1.png/",
        "sample-1.png\0",
        "SAMPLE-1.png",
        "/etc/passwd",
        "a" * 4096,
    ]
    with serving(searcher, library) as client:
        for name in names:
            reply = client.get("/api/v1/thumbnail", params={"image": name})
            assert (reply.status_code, reply.json()["code"]) == (404, "unknown_image"), name
            assert reply.json()["remedy"] == "use a name that POST /api/v1/search replied with"
        for name in ("", "a" * 4097):
            assert client.get("/api/v1/thumbnail", params={"image": name}).status_code == 422
        assert client.get("/api/v1/thumbnail").status_code == 422
        assert client.get("/api/v1/thumbnail", params={"image": "sample-1.png"}).status_code == 200
        (tmp_path / "library" / "sample-1.png").unlink()
        (tmp_path / "library" / "sample-1.png").symlink_to(secret)
        assert client.get("/api/v1/thumbnail", params={"image": "sample-1.png"}).status_code == 404


def test_images_that_change_are_not_found_and_the_index_is_never_written(
    searcher: Predictor, library: Path, tmp_path: Path
) -> None:
    place, before = tmp_path / "library", (library.read_bytes(), library.stat().st_mtime_ns, os.listdir(library.parent))
    (place / "sample-7.png").write_bytes(png(70))
    with serving(searcher, library) as client:
        assert len(search(client, top=9)["images"]) == 6
        (place / "sample-3.png").write_bytes(png(80))
        told = search(client, top=9)
        assert told["skipped"] == ["sample-3.png"] and told["ranked"] == len(told["images"]) == 5
        assert sum(each["share"] for each in told["images"]) == pytest.approx(1, abs=1e-4)
        (place / "sample-4.png").write_bytes(b"no image")
        entry = place / "sample-5.png", (place / "sample-5.png").stat()
        entry[0].write_bytes(b"x" * entry[1].st_size)  # damaged, of the same size and time
        os.utime(entry[0], ns=(entry[1].st_atime_ns, entry[1].st_mtime_ns))
        assert search(client)["skipped"] == [f"sample-{number}.png" for number in (3, 4, 5)]
        assert client.get("/api/v1/thumbnail", params={"image": "sample-5.png"}).status_code == 404
        shutil.rmtree(place)
        told = search(client)
        assert told["images"] == [] and told["ranked"] == 0 and len(told["skipped"]) == 6 and told["task"] == "coco"
    assert before == (library.read_bytes(), library.stat().st_mtime_ns, os.listdir(library.parent))


# --- requests ---------------------------------------------------------------------------------------------------
def test_without_an_index_it_says_how_to_have_one(app: FastAPI, searching_app: FastAPI) -> None:
    client = TestClient(app)
    for reply in (client.post("/api/v1/search", json={"text": TEXT}), client.get("/api/v1/thumbnail?image=a.png")):
        assert (reply.status_code, reply.json()["code"]) == (409, "no_index")
        assert "twelve serve MODEL --index FILE" in reply.json()["remedy"]
    assert client.get("/api/v1/model").json()["indexed"] is None
    assert TestClient(searching_app).get("/api/v1/model").json()["indexed"] == 6


@pytest.mark.parametrize(
    ("fields", "code", "problem"),
    [
        ({"text": ""}, "invalid_input", "text: "),
        ({"text": " "}, "invalid_input", "text contains only spaces"),
        ({"text": "???"}, "invalid_input", "no letter and no digit"),
        ({"text": "a" * 2001}, "invalid_input", "text: "),
        ({"top": 0}, "invalid_input", "top: expected at least 1, found 0"),
        ({"top": MAX_PLACES + 1}, "invalid_input", "top: expected at most 128, found 129"),
        ({"top": "3"}, "invalid_input", "top: "),
        ({"shortlist": 0}, "invalid_input", "shortlist: expected at least 1, found 0"),
        ({"shortlist": MAX_PLACES + 1}, "invalid_input", "shortlist: expected at most 128, found 129"),
        ({"contrast_weight": -1}, "invalid_input", "contrast_weight: expected at least 0, found -1"),
        ({"task": "vqa"}, "unknown_task", "no task 'vqa' for match"),
        ({"index": "/etc"}, "invalid_input", "index: "),
        ({"images": ["a.png"]}, "invalid_input", "images: "),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_is_refused_before_an_image_is_opened(
    fields: dict[str, Any], code: str, problem: str, searching_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenIndex, "scene", lambda *_: pytest.fail("was opened"))
    reply = TestClient(searching_app).post("/api/v1/search", json={"text": TEXT, **fields})
    assert reply.status_code == 422 and reply.json()["code"] == code
    assert problem in reply.json()["error"] and reply.json()["remedy"]


def test_the_token_the_metrics_and_the_id_of_a_request_are_those_of_all_endpoints(
    searcher: Predictor, searched: Path
) -> None:
    token = {"authorization": "Bearer a-secret-of-16-characters"}
    with serving(searcher, searched, token="a-secret-of-16-characters") as client:
        for reply in (client.post("/api/v1/search", json={"text": TEXT}), client.get("/api/v1/thumbnail?image=a.png")):
            assert (reply.status_code, reply.json()["code"]) == (401, "unauthorized")
        reply = client.post("/api/v1/search", json={"text": TEXT}, headers={**token, "x-request-id": "mine"})
        assert reply.status_code == 200 and reply.headers["x-request-id"] == "mine"
        reply = client.get("/api/v1/thumbnail?image=sample-1.png", headers=token)
        assert reply.status_code == 200 and reply.headers["cache-control"] == "no-store"
        counted = client.get("/metrics", headers=token).text
        for path in ("search", "thumbnail"):
            for status in (401, 200):
                assert f'twelve_requests_total{{endpoint="/api/v1/{path}",status="{status}"}} 1.0' in counted
        wrong = client.get("/api/v1/search", headers=token)
        assert wrong.status_code == 405 and """-d '{"text": "..."}'""" in wrong.json()["remedy"]


# --- one after the other ----------------------------------------------------------------------------------------
class Gate:
    """Images of an index that are opened one at a time, when a test lets them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free, self.opened = threading.Semaphore(0), list[str]()
        self.begun = threading.Event()
        real = OpenIndex.scene

        def scene(index: OpenIndex, name: str) -> Any:
            self.opened.append(name)
            self.begun.set()
            assert self.free.acquire(timeout=60)
            return real(index, name)

        monkeypatch.setattr(OpenIndex, "scene", scene)

    def let(self, count: int) -> None:
        for _ in range(count):
            self.free.release()


def test_searches_run_one_after_the_other_between_the_questions_of_others(
    searcher: Predictor, searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, found = Gate(monkeypatch), dict[int, dict[str, Any]]()
    with serving(searcher, searched) as client:
        ask = lambda number: found.update({number: search(client, shortlist=3)})  # noqa: E731
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        assert gate.begun.wait(60)
        while client.get("/health").json()["waiting"] < 2:
            time.sleep(0.01)
        stored = client.post("/api/v1/scenes", content=png(1), headers={"content-type": "image/png"}).json()["id"]
        asked = {"image": {"scene": stored}, "question": "what colour is it ?"}
        assert client.post("/api/v1/answer", json=asked).status_code == 200  # though a search goes on
        assert client.get("/api/v1/thumbnail?image=sample-1.png").status_code == 200
        assert len(gate.opened) == 1
        gate.let(6)
        for thread in threads:
            thread.join()
    assert gate.opened == gate.opened[:3] * 2 and len(set(gate.opened)) == 3  # of one search, then of the other
    assert found[0] == found[1]


def test_a_search_that_takes_too_long_is_given_up(
    searcher: Predictor, searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    with serving(searcher, searched, Limits(answer_seconds=0.5)) as client:
        reply = client.post("/api/v1/search", json={"text": TEXT})
        assert (reply.status_code, reply.json()["code"]) == (503, "too_slow")
        assert reply.json()["remedy"] == "send a shortlist of fewer images than 128"
        waiting = client.post("/api/v1/search", json={"text": TEXT})  # behind the first
        assert (waiting.status_code, waiting.json()["code"]) == (429, "busy")
        gate.let(99)
    assert len(gate.opened) <= 1  # the next image of the first, and those of the second, were not opened


def test_waiting_requests_are_limited(searcher: Predictor, searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    with serving(searcher, searched, Limits(max_waiting=1)) as client:
        thread = threading.Thread(target=search, args=(client,))
        thread.start()
        assert gate.begun.wait(60)
        for reply in (
            client.post("/api/v1/search", json={"text": TEXT}),
            client.get("/api/v1/thumbnail?image=sample-1.png"),
        ):
            assert (reply.status_code, reply.json()["code"]) == (429, "busy")
        gate.let(6)
        thread.join()
        assert client.get("/api/v1/thumbnail?image=sample-1.png").status_code == 200


# --- the start --------------------------------------------------------------------------------------------------
def missing(index: Path, searcher: Predictor) -> None:
    index.unlink()


def of_another_model(index: Path, searcher: Predictor) -> None:
    other = twelve.load(tiny_model.make(index.parent / "other", seed=1, contrast=16))
    index.unlink()
    other.search(index.parent.parent / "library", TEXT, index=index)
    shutil.rmtree(index.parent / "other")


def without_images(index: Path, searcher: Predictor) -> None:
    for image in (index.parent.parent / "library").iterdir():
        os.utime(image, ns=(1, 1))


def a_folder(index: Path, searcher: Predictor) -> None:
    index.unlink()
    index.mkdir()


REFUSED: dict[str, tuple[Callable[[Path, Predictor], None], str]] = {
    "missing": (missing, "expected the file of an index, found none -> make it: "),
    "of another model": (
        of_another_model,
        "expected vectors of this model, found 6 images of another -> compute them again: ",
    ),
    "all images changed": (without_images, "expected images as they were indexed, found none of 6 -> put them where "),
    "a folder": (a_folder, "expected the file of an index, found a folder -> make the file: "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_index_that_cannot_be_used_is_refused_at_the_start_with_the_command_that_makes_it(
    name: str,
    searcher: Predictor,
    searching_model: Path,
    library: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change, problem = REFUSED[name]
    change(library, searcher)
    monkeypatch.setattr(server, "_Server", lambda *_: pytest.fail("it serves"))
    monkeypatch.setattr(sys, "argv", ["twelve", "serve", str(searching_model), "--port", "0", "--index", str(library)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    said = capsys.readouterr().err.splitlines()[-1]
    assert left.value.code == 2 and said.startswith(f"twelve: {library}: {problem}")
    words = shlex.split(said[said.index("twelve match") :].replace("FOLDER", str(library.parent.parent / "library")))
    if name == "a folder":  # it is taken for that of the images
        words[words.index("--images") + 1] = str(library.parent.parent / "library")
    done = CliRunner().invoke(cli.app, words[1:])
    assert done.exit_code == 0, done.output
    with serving(searcher, Path(words[words.index("--index") + 1])) as client:
        assert len(search(client)["images"]) == 5


def test_what_the_model_or_the_options_lack_is_told_before_the_model_is_opened(
    searching_model: Path, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twelve.model.opening.open_network", lambda _: pytest.fail("was opened"))
    headless = tiny_model.make(tmp_path / "headless")
    unknown = tiny_model.make(tmp_path / "unknown", {"mine": ("alignment", "alignment")})
    other = tiny_model.make(tmp_path / "other", {"vqa": ("answer", "answer")}, contrast=16)
    wrong: list[tuple[Path, list[str], type[TwelveError], str]] = [
        (headless, ["--index", str(library)], ConfigError, "no contrast head -> add one"),
        (unknown, ["--index", str(library)], ConfigError, "no contrast head -> serve without --index; the head"),
        (other, ["--index", str(library)], InputError, "no task for match"),
        (searching_model, ["--index", str(tmp_path / "none")], DataError, "expected the file of an index, found none"),
        (searching_model, ["--regions", str(tmp_path)], ConfigError, "--regions requires --index"),
    ]
    for model, options, kind, problem in wrong:
        error = CliRunner().invoke(cli.app, ["serve", str(model), *options]).exception
        assert isinstance(error, kind) and problem in str(error)


def test_every_folder_that_is_served_is_named(searcher: Predictor, library: Path, tmp_path: Path) -> None:
    searcher.search(images(tmp_path / "other", 2), TEXT, index=library)
    told = server._to_search(OpenIndex(searcher, library))
    assert told == f"8 images to search, from 2 folders: {tmp_path / 'library'} (6), {tmp_path / 'other'} (2)"
    for number in range(10):
        searcher.search(images(tmp_path / "z" / str(number), 1), TEXT, index=library)
    told = server._to_search(OpenIndex(searcher, library))
    assert told.startswith("18 images to search, from 12 folders: ") and told.endswith(
        f"{tmp_path / 'z' / '7'} (1), and 2 more"
    )


def test_an_application_without_what_it_needs_is_refused(searcher: Predictor, library: Path, tmp_path: Path) -> None:
    headless = twelve.load(tiny_model.make(tmp_path / "headless"))
    with pytest.raises(ConfigError, match="no contrast head -> add one"):
        create_app(headless, index=library)
    library.write_bytes(library.read_bytes()[:-9])
    with pytest.raises(DataError, match="not an index of image vectors"):
        create_app(searcher, index=library)


def test_the_command_serves_an_index_and_counts_its_images(
    searching_model: Path, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "library" / "sample-1.png").unlink()
    found: list[dict[str, Any]] = []

    class Server:
        def __init__(self, config: Any, service: Any) -> None:
            self.app = config.app

        def run(self, sockets: Any) -> None:
            found.append(search(TestClient(self.app, base_url="http://localhost")))
            for each in sockets:
                each.close()

    monkeypatch.setattr(server, "_Server", Server)
    run = CliRunner().invoke(cli.app, ["serve", str(searching_model), "--port", "0", "--index", str(library)])
    assert run.exit_code == 0, run.output
    place = library.parent.parent / "library"
    counted = (
        f"{library}: 5 images to search, from 1 folder: {place} (5); left out, because they are gone or have changed"
    )
    assert f"{counted}: 1" in run.stderr.splitlines()
    weights = hashlib.sha256((searching_model / "model.safetensors").read_bytes()).hexdigest()
    assert found[0]["digest"] == weights and len(found[0]["images"]) == 5
