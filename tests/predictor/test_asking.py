"""Questions with options of their own, dialogues, searching, two images; and what is no question at all."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
from PIL import Image

import twelve
from twelve.errors import CheckpointError, InputError
from twelve.predictor import Predictor, Question, Scene

BOXES = [[0, 0, 30, 30], [20, 20, 90, 80], [5, 60, 100, 90]]

BICUBIC = Image.Resampling.BICUBIC


def test_a_dialogue_as_pairs_or_as_mappings(model: Predictor, scene: Scene) -> None:
    pairs = [("is it red ?", "Yes"), ("is it a ball ?", "no")]
    mappings = [{"question": question, "answer": answer} for question, answer in pairs]
    found = scene.guess(pairs, BOXES)
    assert found == scene.guess(iter(mappings), BOXES) and found.text == "is it red ? yes\nis it a ball ? no"
    asked = model.question("guess", pairs, scene, boxes=BOXES)
    assert asked.text == found.text
    assert asked.model_text == "start is it red ? answer yes stop start is it a ball ? answer no stop"
    assert found.index is not None and str(found).startswith(f"box {found.index + 1} of 3")


@pytest.mark.parametrize(
    "dialogue",
    [
        "is it red ? yes",
        None,
        5,
        [],
        {"question": "is it red ?", "answer": "yes"},
        [("is it red ?", "yes", "no")],
        [("is it red ?",)],
        ["ab"],
        [{"question": "is it red ?"}],
        [{"question": "is it red ?", "answer": "yes", "more": 1}],
        [("is it red ?", "maybe")],
        [("is it red ?", None)],
        [(" ", "yes")],
    ],
)
def test_what_is_no_dialogue(scene: Scene, dialogue: Any) -> None:
    with pytest.raises(InputError, match=r"turn|dialogue"):
        scene.guess(dialogue, BOXES)


def test_a_question_has_its_own_threshold(model: Predictor, scene: Scene) -> None:
    questions = [model.question("locate", "the ball", scene, threshold=threshold) for threshold in (None, 1.0, 0.0)]
    assert all(isinstance(question, Question) for question in questions)
    assert [result.found for result in model.ask(questions)] == [True, False, True]  # type: ignore[attr-defined]
    assert [result.found for result in model.ask(questions, threshold=1.0)] == [False, False, True]  # type: ignore[attr-defined]


def test_ranked_by_what_it_is_called(model: Predictor, scene: Scene, image: Image.Image) -> None:
    other = model.scene(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), name="other")
    found = model.match([scene, other], ["a red ball", "a thing"])
    assert found.ranked_images("a thing") == found.ranked_images(1) == found.ranked_images(np.int64(-1))  # type: ignore[arg-type]
    assert found.ranked_captions("other") == found.ranked_captions(other) == found.ranked_captions(1)
    for wrong in (2, -3, "a thin", None, True, 0.5):
        with pytest.raises(InputError, match="no such caption"):
            found.ranked_images(wrong)  # type: ignore[arg-type]
    for wrong in (2, "othe", model.scene(image)):
        with pytest.raises(InputError, match="no such image"):
            found.ranked_captions(wrong)  # type: ignore[arg-type]
    again = model.scene(image)
    twice = model.match([scene, again], ["a red ball", "a thing"])
    assert twice.ranked_captions(again) == twice.ranked_captions(1)
    with pytest.raises(InputError, match="2 images are named 'image'"):
        twice.ranked_captions("image")


def test_files_are_ranked_by_their_paths(model: Predictor, image: Image.Image, tmp_path: Path) -> None:
    """The names of two files in different folders say which is meant."""
    paths = [tmp_path / name for name in ("a/x.png", "b/x.png", "b/y.png")]
    for path, shown in zip(paths, (image, image.rotate(90), image.rotate(180)), strict=True):
        path.parent.mkdir(exist_ok=True)
        shown.save(path)
    found = model.match([paths[0], str(paths[1]), paths[2]], ["a red ball", "a thing"])
    assert found.images == (str(paths[0]), str(paths[1]), "y.png")
    for place, path in enumerate(paths):
        assert found.ranked_captions(path) == found.ranked_captions(str(path)) == found.ranked_captions(place)
    with pytest.raises(InputError, match="no such image"):
        found.ranked_captions(tmp_path / "c" / "y.png")
    searched = model.search(tmp_path, ["a red ball", "a thing"])
    assert searched.ranked_captions(paths[1]) == searched.ranked_captions(str(paths[1]))


def test_two_images_are_explained_and_drawn(model: Predictor, scene: Scene, image: Image.Image) -> None:
    other = model.scene(image.crop((0, 0, 100, 90)), name="other")
    found = model.verify(scene, other, "both show a ball", explain=True)
    assert found.confidence == pytest.approx(model.verify(scene, other, "both show a ball").confidence, abs=1e-5)
    assert len(found.attention.boxes) == 1 + len(scene.regions.boxes)
    with pytest.raises(InputError, match=r"^this result has no attention -> ask again with explain=True$"):
        scene.answer("is it red ?").attention.draw()
    assert repr(found.attention) == f"Attention(7 words, {1 + len(scene.regions.boxes)} regions, 2 connections)"
    drawn = np.asarray(found.draw())
    left, right = image.resize((640, 512), BICUBIC), image.crop((0, 0, 100, 90)).resize((640, 576), BICUBIC)
    assert drawn.shape[1] > 2 * 640
    assert np.array_equal(drawn[:512, :640], np.asarray(left))
    assert np.array_equal(drawn[:576, -640:], np.asarray(right))


@pytest.mark.parametrize(
    "ask",
    [
        lambda model, scene: scene.answer(None),
        lambda model, scene: scene.answer(5),
        lambda model, scene: scene.answer("a", task=5),
        lambda model, scene: scene.locate("a", threshold="a"),
        lambda model, scene: scene.locate("a", threshold=float("nan")),
        lambda model, scene: scene.locate("a", threshold=True),
        lambda model, scene: model.match([scene], None),
        lambda model, scene: model.match([scene], ["", "a ball"]),
        lambda model, scene: model.match([scene], "  "),
        lambda model, scene: model.ask(["what ?"]),
        lambda model, scene: model.ask(model.question("answer", "what ?", scene)),
        lambda model, scene: model.ask([model.question("locate", "a", scene)], threshold="a"),
        lambda model, scene: model.question("verify", "a", [scene]),
        lambda model, scene: model.question("answer", "a", [scene, scene]),
        lambda model, scene: model.question("answer", "a", ["x.jpg"]),
        lambda model, scene: model.question("match", "a", scene),
        lambda model, scene: model.question("sing", "a", scene),
        lambda model, scene: model.question("answer", "a", scene, boxes=BOXES),
        lambda model, scene: model.question("answer", "a", scene, threshold=0.5),
        lambda model, scene: model.scene(scene.regions, boxes=BOXES),
        lambda model, scene: scene.choose("a", [[float("nan"), 0, 5, 5]]),
        lambda model, scene: scene.choose("a", [[10**400, 0, 5, 5]]),
        lambda model, scene: twelve.load(None),
        lambda model, scene: twelve.load(""),
    ],
)
def test_what_cannot_be_asked_is_a_line(
    model: Predictor, scene: Scene, ask: Callable[[Predictor, Scene], object]
) -> None:
    with pytest.raises(InputError):
        ask(model, scene)


def test_mistakes_say_what_is_wrong(model: Predictor, scene: Scene) -> None:
    with pytest.raises(InputError, match="box 2 of 2 contains a number that is not finite"):
        scene.choose("a", [[0, 0, 5, 5], [float("nan"), 0, 5, 5]])
    with pytest.raises(InputError, match=r"box 2 \(5000, 5000, 6000, 6000\) is wholly outside"):
        scene.choose("a", [[0, 0, 5, 5], [5000, 5000, 6000, 6000]])
    with pytest.raises(InputError, match="no task for sing; it has: answer, match"):
        model.task_for("sing")
    with pytest.raises(InputError, match=r"expected a string, found int 3 -> pass a string$"):
        scene.answer(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^\[text 2 of 3\]: the question is empty -> write a question$"):
        scene.answer(["what is it?", "", "where?"])


@pytest.mark.parametrize("text", ["\ufeff", "\u200b\u200b", "[SEP]", "[PAD] [CLS]"])
def test_a_text_of_no_words_asks_nothing(model: Predictor, scene: Scene, text: str) -> None:
    with pytest.raises(InputError, match=r"no words|question is empty"):
        scene.answer(text)
    with pytest.raises(InputError, match=r"no words|question is empty"):
        scene.guess([(text, "yes")], BOXES)


@pytest.mark.parametrize(
    ("text", "mark"),
    [("\0", "U+0000"), ("what\0 colour ?", "U+0000"), ("\x1b[31mred ?", "U+001B"), ("a\x85b", "U+0085")],
)
def test_a_control_character_is_refused(model: Predictor, scene: Scene, text: str, mark: str) -> None:
    refused = rf"this text contains the control character {re.escape(mark)}: .* -> remove it"
    for ask in (
        lambda: scene.answer(text),
        lambda: scene.guess([("is it red ?", "yes"), (text, "yes")], BOXES),
        lambda: model.match([scene], ["a ball", text]),
    ):
        with pytest.raises(InputError, match=refused) as caught:
            ask()
        assert str(caught.value).isprintable()
    assert scene.answer("what\tcolour\r\nis it ?").answer == scene.answer("what colour is it ?").answer


@pytest.mark.parametrize("text", ["???", "... !", "()", "\N{INVERTED QUESTION MARK}", "-- \u200b?"])
def test_a_text_of_marks_alone_asks_nothing(model: Predictor, scene: Scene, text: str) -> None:
    for asked in (text, ["what is it ?", text]):
        with pytest.raises(InputError, match=r"no letter and no digit: .* -> write a question with words"):
            scene.answer(asked)
    with pytest.raises(InputError, match="no letter and no digit"):
        scene.guess([("is it red ?", "yes"), (text, "yes")], BOXES)
    with pytest.raises(InputError, match="no letter and no digit"):
        model.match([scene], ["a ball", text])
    for known in ("7", "a", "\N{SPEEDBOAT}"):
        assert scene.answer(known).answer


def test_a_mistyped_folder_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a look at the hub, which takes its time to be out of reach."""

    def hub(*_: object, **__: object) -> str:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("huggingface_hub.snapshot_download", hub)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()
    for name in (
        "runn",
        "owner/model",
        "quickstart/runn",
        "runs/first/model",
        "./runs",
        "../runs",
        str(tmp_path / "x"),
    ):
        with pytest.raises(CheckpointError, match="no such folder"):
            twelve.load(name)
    (tmp_path / "quickstart" / "run").mkdir()
    with pytest.raises(CheckpointError, match=r'no such folder \(did you mean "quickstart/run"\?\)'):
        twelve.load("quickstart/runn")
    with pytest.raises(CheckpointError, match="no model here"):
        twelve.load(tmp_path)


def test_what_is_on_the_hub_is_named_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, asked = tiny_model.make(tmp_path / "fetched"), list[str]()
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: asked.append(name) or str(folder))
    assert "answer" in twelve.load("hub:owner/model").methods and asked == ["owner/model"]


def test_a_hub_that_is_out_of_reach_fails_fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    started = time.monotonic()
    with pytest.raises(CheckpointError, match="owner/model: not a folder, and not available from the hub"):
        twelve.load("hub:owner/model")
    assert time.monotonic() - started < 5
    for name in ("hub:", "hub:owner/model"):
        with pytest.raises(CheckpointError, match="-> name a run's folder, a model's folder, or hub:owner/model for"):
            twelve.load(name)


def test_the_package_lists_its_public_names_alone() -> None:
    assert dir(twelve) == sorted(twelve.__all__) and os.path.isabs(twelve.__file__)


def test_a_box_mostly_outside_its_image_is_an_error(scene: Scene) -> None:
    """Such boxes are of another image, or of this one at another size. Annotations may overlap its border."""
    inside, turns = (5.0, 5.0, 40.0, 40.0), [("is it red?", "yes")]
    for box in ((150.0, 10.0, 400.0, 90.0), (-5.0, -5.0, 300.0, 300.0), (159.5, 0.0, 400.0, 100.0)):
        for asked in (lambda boxes: scene.choose("which one?", boxes), lambda boxes: scene.guess(turns, boxes)):
            with pytest.raises(InputError, match=r"box 2 .* lies mostly outside its image of 160x128 pixels"):
                asked([inside, box])
    with pytest.raises(InputError, match=r"box 1 .* is wholly outside"):
        scene.choose("which one?", [(500, 500, 600, 600)])
    assert len(scene.choose("which one?", [inside, (-10, -10, 60, 60), (100, 60, 170, 140)]).alternatives) == 3
