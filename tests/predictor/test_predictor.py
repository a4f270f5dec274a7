"""Asking a trained model: one and many, whatever the image comes as, and what is said when it cannot be done."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
import torch
from PIL import Image

import twelve
from twelve.data.batch import Collator
from twelve.errors import ConfigError, InputError, RegionError
from twelve.evaluation.predict import predict
from twelve.outputs import get_output
from twelve.predictor import Predictor, Scene
from twelve.regions.store.arrow_format import schema
from twelve.regions.store.in_memory import MemoryStore
from twelve.regions.store.region_store import RegionStore
from twelve.regions.store.resumable_writer import PartWriter
from twelve.types.examples import Example
from twelve.types.regions import Regions


def test_it_knows_what_it_can_be_asked(model: Predictor) -> None:
    assert model.methods == {
        "answer": ["vqa"],
        "match": ["coco"],
        "locate": ["refcoco"],
        "choose": ["visual7w"],
        "guess": ["guesswhat"],
        "verify": ["nlvr2"],
        "entails": ["snli_ve"],
    }


def test_an_answer(scene: Scene) -> None:
    found = scene.answer("what colour is the ball ?")
    assert found.answer == found.alternatives[0][0] in tiny_model.ANSWERS and found.task == "vqa"
    assert found.confidence == found.alternatives[0][1] and 0 <= found.confidence <= 1
    assert str(found).startswith(f"{found.answer} (")
    tree = json.loads(found.to_json())
    assert tree["answer"] == found.answer and "image" not in tree and "attention" not in tree
    alternatives = ("red", 0.97421345710754), ("blue", 1.2345678e-9)
    exact = replace(found, confidence=0.97421345710754, alternatives=alternatives)
    tree = json.loads(exact.to_json())
    assert tree["confidence"] == 0.974213 and tree["alternatives"] == [
        {"answer": "red", "confidence": 0.974213},
        {"answer": "blue", "confidence": 1.23457e-9},
    ]
    assert exact.confidence == 0.97421345710754  # only JSON is rounded


def test_regions_have_the_detectors_labels() -> None:
    examples = Path(__file__).parents[2] / "examples"
    found = twelve.load(examples / "quickstart-model").scene(examples / "scene.jpg")
    assert found.labels is not None and len(found.labels) == len(found.regions.boxes) and "boat" in found.labels
    found.regions = replace(found.regions, class_ids=None)
    assert found.labels is None


def test_many_at_a_time_are_one_after_the_other(model: Predictor, scene: Scene) -> None:
    questions = ["what colour is the ball ?", "is the ball red ?", "what colour is the ball ?"]
    together = scene.answer(questions)
    for question, found in zip(questions, together, strict=True):
        alone = scene.answer(question)
        assert found.answer == alone.answer and found.confidence == pytest.approx(alone.confidence, abs=1e-5)
    mixed = [
        model.question("entails", "the ball is red", [scene]),
        model.question("answer", questions[0], [scene]),
        model.question("locate", "the red ball", [scene]),
    ]
    assert [result.task for result in model.ask(mixed)] == ["snli_ve", "vqa", "refcoco"]
    assert model.ask(mixed)[1].confidence == pytest.approx(scene.answer(questions[0]).confidence, abs=1e-5)


def test_it_says_what_an_evaluation_predicts(
    model: Predictor, scene: Scene, image: Image.Image, tmp_path: Path
) -> None:
    """The same regions through the region store, the evaluation's collator and its predictions."""
    regions = model.extractor.extract(image, image_id="coco/1")
    assert regions.features is not None
    (tmp_path / "coco").mkdir()
    layout = schema(feature_size=regions.features.shape[1], scores=True, class_ids=True, metadata={"fingerprint": "x"})
    with PartWriter(tmp_path / "coco" / "one.arrow", layout) as writer:
        writer.write([regions])
        writer.finish({})
    for task, text, ours in (
        ("vqa", "what colour is the ball ?", scene.answer("what colour is the ball ?").confidence),
        ("snli_ve", "the ball is red", scene.entails("the ball is red").confidence),
        ("refcoco", "the ball", scene.locate("the ball").confidence),
    ):
        head, kind = tiny_model.TASKS[task]
        collator = Collator(task, get_output(kind), head, model.processor, RegionStore(tmp_path))
        found = predict(model.model, collator, [Example("1", text, ("coco/1",))], batch_size=4, label=task)
        assert found[0].confidence == pytest.approx(ours, abs=1e-5), task


def test_regions_in_memory_are_gathered_like_those_of_a_store(
    model: Predictor, image: Image.Image, tmp_path: Path
) -> None:
    several = [
        model.extractor.extract(image, image_id="coco/1"),
        model.extractor.extract(image.crop((0, 0, 100, 90)), image_id="coco/2"),
    ]
    assert several[0].features is not None
    (tmp_path / "coco").mkdir()
    layout = schema(
        feature_size=several[0].features.shape[1], scores=True, class_ids=True, metadata={"fingerprint": "x"}
    )
    with PartWriter(tmp_path / "coco" / "one.arrow", layout) as writer:
        writer.write(several)
        writer.finish({})
    ids = ["coco/2", "coco/1"]
    for most in (None, 2):
        theirs = RegionStore(tmp_path).gather(ids, most)
        ours = MemoryStore({regions.image_id: regions for regions in several}).gather(ids, most)
        assert torch.equal(ours.features, theirs.features) and torch.equal(ours.counts, theirs.counts)
        assert torch.equal(ours.boxes, theirs.boxes)


def test_a_place_and_its_absence(scene: Scene) -> None:
    found = scene.locate("the red ball")
    assert found.found and found.box is not None and found.box == found.alternatives[0][0]
    missing = scene.locate("the red ball", threshold=min(1.0, found.confidence + 0.001))
    assert not missing.found and missing.box is None and missing.confidence == found.confidence
    assert str(missing).startswith("not in the image") and missing.to_dict()["box"] is None
    assert scene.locate("the red ball", threshold=found.confidence).found


def test_given_boxes_are_chosen_from(scene: Scene) -> None:
    boxes = [[0, 0, 30, 30], [20, 20, 90, 80], [-5, 60, 200, 90]]
    chosen = scene.choose("what is red ?", boxes)
    assert chosen.task == "visual7w" and chosen.index is not None
    assert chosen.box == tuple(map(float, boxes[chosen.index]))
    assert sorted(index for index, _ in chosen.alternatives) == [0, 1, 2]
    guessed = scene.guess([("is it red ?", "yes"), ("is it a ball ?", "no")], np.array(boxes))
    assert guessed.task == "guesswhat" and guessed.text == "is it red ? yes\nis it a ball ? no"
    assert not scene.choose("what is red ?", boxes, threshold=1.0).found


def test_two_images_and_searching(model: Predictor, scene: Scene, image: Image.Image) -> None:
    other = model.scene(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), name="other")
    verified = model.verify(scene, other, "both show a ball")
    assert verified.true in (True, False) and 0.5 <= verified.confidence <= 1
    found = model.match([scene, other], ["a red ball", "a green ball", "a thing"])
    assert found.logits.shape == (3, 2) and found.images == ("image", "other")
    ranked = found.ranked_images(1)
    assert sum(share for _, share in ranked) == pytest.approx(1) and ranked[0][1] >= ranked[1][1]
    assert sum(share for _, share in found.ranked_captions(0)) == pytest.approx(1)
    assert len(json.loads(found.to_json())["captions"]) == 3


def test_searching_in_steps_finds_the_same(model: Predictor, image: Image.Image) -> None:
    scenes = [model.scene(image.rotate(9 * turn), name=str(turn)) for turn in range(20)]
    captions = ["a red ball", "a ball", "what colour is the big green thing ?"]
    steps, scored = model.matching(scenes, captions, pairs=32), []
    with pytest.raises(StopIteration) as end:
        while True:
            scored.append(next(steps))
            assert not torch.is_inference_mode_enabled()  # what is done meanwhile is nobody else's matter
    assert scored == [0, 0, 32, 16, 8, 4]  # two sets of texts; two tiles of images with both sets
    np.testing.assert_allclose(end.value.value.logits, model.match(scenes, captions).logits, atol=1e-5)


def test_an_image_comes_as_anything(model: Predictor, image: Image.Image, tmp_path: Path) -> None:
    given = image
    given.save(tmp_path / "x.png")
    stream = io.BytesIO()
    given.save(stream, "PNG")
    array = np.asarray(given)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    scores = {
        model.scene(one).answer("is it red ?").confidence
        for one in (given, tmp_path / "x.png", str(tmp_path / "x.png"), stream.getvalue(), array, tensor)
    }
    assert len(scores) == 1
    assert model.scene(tmp_path / "x.png").name == "x.png"


def test_results_say_whether_their_scores_are_calibrated(model: Predictor, scene: Scene, tmp_path: Path) -> None:
    assert scene.answer("is it red ?").calibrated and scene.answer("is it red ?").to_dict()["calibrated"] is True
    assert not scene.locate("the ball").calibrated and not model.match([scene], "a ball").calibrated
    other = twelve.load(tiny_model.make(tmp_path / "model", contrast=16))
    other.processor.temperatures["coco"] = 2.0
    assert other.match([scene], "a ball").calibrated
    weighted = other.match([scene], "a ball", contrast_weight=1.0)
    assert not weighted.calibrated and json.loads(weighted.to_json())["calibrated"] is False


def test_temperature_changes_scores_alone(model: Predictor, scene: Scene) -> None:
    cool = scene.answer("is it red ?")
    model.processor.temperatures["vqa"] = 20.0
    try:
        warm = scene.answer("is it red ?")
    finally:
        model.processor.temperatures["vqa"] = 2.0
    assert [answer for answer, _ in warm.alternatives] == [answer for answer, _ in cool.alternatives]
    assert abs(warm.confidence - 0.5) < abs(cool.confidence - 0.5)


def test_attention_between_words_and_regions(scene: Scene) -> None:
    found = scene.answer("is the ball red ?", explain=True)
    assert found.confidence == pytest.approx(scene.answer("is the ball red ?").confidence, abs=1e-5)
    attention = found.attention
    assert attention is not None and attention.connections == 2
    assert attention.words == ("[CLS]", "[TASK]", "is", "the", "ball", "red", "?", "[SEP]")
    words, regions = len(attention.words), len(attention.boxes)
    assert regions == 1 + len(scene.regions.boxes)
    for mean, shape in (
        (attention.words_to_regions(), (words, regions)),
        (attention.regions_to_words(), (regions, words)),
    ):
        assert mean.shape == shape and mean.sum(1) == pytest.approx(np.ones(shape[0]), abs=1e-4)
    assert attention.words_to_regions(1, 2) == pytest.approx(attention.maps["connection.1.text"][2])
    assert attention.strongest(1) == pytest.approx(np.max(attention.maps["connection.1.image"], axis=0))
    assert np.all(attention.strongest() >= attention.regions_to_words(0) - 1e-6)
    assert attention.draw("ball").width == 640  # small images are enlarged
    assert attention.draw().size[1] > scene.regions.height
    with pytest.raises(InputError, match="found 'dog'"):
        attention.draw("dog")
    for connection in (2, -1):
        with pytest.raises(ValueError, match=f"expected a connection below 2, found {connection}"):
            attention.words_to_regions(connection)
        with pytest.raises(ValueError, match=f"expected a connection below 2, found {connection}"):
            attention.strongest(connection)
    with pytest.raises(ValueError, match=r"expected a head below \d+, found 99"):
        attention.regions_to_words(0, head=99)
    json.dumps(attention.to_dict())


def test_results_draw_themselves(scene: Scene) -> None:
    boxes = [[0, 0, 30, 30], [20, 20, 90, 80]]
    for result in (
        scene.answer("is it red ?"),
        scene.locate("ball"),
        scene.choose("red ?", boxes),
        scene.entails("red"),
    ):
        drawn = result.draw()
        assert drawn.width == 640 and drawn.height > 512  # the image of 160 x 128, enlarged, with text below


def test_regions_alone_can_be_asked(model: Predictor, scene: Scene) -> None:
    blind = model.scene(scene.regions)
    assert blind.answer("is it red ?").confidence == pytest.approx(scene.answer("is it red ?").confidence, abs=1e-6)
    with pytest.raises(ValueError, match="no image to draw on"):
        blind.answer("is it red ?").draw()
    with pytest.raises(InputError, match="boxes require an image"):
        blind.choose("red ?", [[0, 0, 5, 5]])


def test_mistakes_are_named(model: Predictor, scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no words|is empty"):
        scene.answer("  ")
    with pytest.raises(InputError, match='did you mean "refcoco"'):
        scene.locate("x", task="refcocoo")
    with pytest.raises(InputError, match="found 2"):
        scene.locate("x", threshold=2)
    with pytest.raises(InputError, match=r"boxes of shape .*found \(1, 2\)"):
        scene.choose("x", [[1, 2]])
    with pytest.raises(InputError, match=r"^expected at least one box, found none -> give four numbers per box"):
        scene.choose("x", [])
    with pytest.raises(InputError, match=r"box 1 \(0, 0, 0, 0\) has no area -> give four numbers per box"):
        scene.choose("x", [(0, 0, 0, 0)])
    with pytest.raises(InputError, match=r"x\.jpg: no such image.*check its path"):
        model.scene(tmp_path / "x.jpg")
    with pytest.raises(InputError, match="a folder -> pass the path of one image file"):
        model.scene(tmp_path)
    with pytest.raises(
        InputError, match=r"^the data is not an image \(checked by content\) -> give a JPEG, PNG, .* or TIFF file"
    ):
        model.scene(b"no image")
    with pytest.raises(InputError, match=r"^int is not an image -> pass a path, .* or regions \(twelve.Regions\)$"):
        model.scene(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^https://example\.org/a\.jpg: URLs are not read -> download it"):
        model.scene("https://example.org/a.jpg")
    with pytest.raises(InputError, match=r"URLs are not read"):
        model.search("https://example.org/a", "a ball")
    with pytest.raises(InputError, match="nothing to match"):
        model.match([], ["x"])
    with pytest.raises(InputError, match=r"^expected boxes as numbers, found list \[\('a', 'b', 'c', 'd'\)\] -> "):
        scene.choose("x", [("a", "b", "c", "d")])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^expected a list of questions, found str 'is it red \?' -> "):
        model.ask("is it red ?")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^expected a list of questions, found int 3 in it -> "):
        model.ask([3])  # type: ignore[list-item]
    with pytest.raises(InputError, match=r"^expected scenes, found int 3 -> "):
        model.question("answer", "is it red ?", 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected boxes as numbers, found list"):
        model.scene(Image.new("RGB", (64, 64)), boxes=[["a", 0, 5, 5]])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a tensor that is not an array"):
        model.scene(torch.zeros(3, 8, 8, device="meta"))
    with pytest.raises(InputError, match="name too long"):
        model.scene("x" * 5000)
    with pytest.raises(ConfigError, match=r'cannot be used .* -> choose device="cpu"'):
        Predictor(model.model, model.processor, device="cuda:77")
    with pytest.raises(ConfigError, match=r"NUMBER\) \(did you mean \"cuda\"\?\) -> choose dev"):
        Predictor(model.model, model.processor, device="gpu")
    with pytest.raises(
        RegionError, match=r"^no\.pth: no such weight file -> pass the path of a file as weights=, or leave"
    ):
        twelve.load(model.model.config.name_or_path, weights="no.pth")
    assert "answer" in twelve.load(model.model.config.name_or_path, weights="package:none").methods  # not needed yet
    with pytest.raises(InputError, match=r"wholly outside its image of .* -> give four numbers per box"):
        scene.choose("x", [[5000, 5000, 6000, 6000]])
    assert isinstance(scene.regions, Regions)


@pytest.mark.parametrize("text", ["\ud800 what", b"what", None])
def test_what_is_no_text(model: Predictor, scene: Scene, text: Any) -> None:
    """An argument in another encoding than UTF-8 comes as half characters, which no tokenizer takes."""
    for ask in (lambda: scene.answer([text]), lambda: model.match(scene, [text])):
        with pytest.raises(InputError, match="expected a string"):
            ask()


def test_questions_that_lack_something(model: Predictor, scene: Scene) -> None:
    with pytest.raises(InputError, match="needs boxes"):
        model.question("choose", "x", [scene])
    with pytest.raises(InputError, match="expected an image, found none"):
        model.question("answer", "x", [])


def test_a_text_of_any_length_is_asked_and_drawn(scene: Scene) -> None:
    found = scene.answer("red ? " * 15_000)
    assert found.draw().height < 20 * scene.regions.height


def test_a_model_of_imported_regions_says_what_it_needs(folder: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    config = json.loads((copy / "processor_config.json").read_text())
    config["region_recipes"] = {}
    (copy / "processor_config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="does not record how its training regions"):
        twelve.load(copy).scene(Image.new("RGB", (64, 64)))
