"""What an answer depends on: its confidence without a region is that of an image in which the region was not found."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from twelve.errors import InputError
from twelve.predictor import Dependence, Predictor, Scene
from twelve.types.regions import select

QUESTION = "what colour is the ball ?"


@pytest.mark.parametrize("method", ["answer", "entails"])
def test_leaving_out_a_region_is_a_scene_without_it(model: Predictor, scene: Scene, method: str) -> None:
    found = scene.depends(QUESTION, method=method)
    whole = scene.ask(method, QUESTION)
    assert str(found.value) == (whole.answer if method == "answer" else whole.label)
    assert found.confidence == pytest.approx(whole.confidence, abs=1e-5)
    assert found.boxes == tuple(map(tuple, scene.regions.boxes.tolist()))
    assert found.confidence_without.shape == (len(found.boxes),)
    for row, confidence in enumerate(found.confidence_without):
        rest = np.delete(np.arange(len(found.boxes)), row)
        without = model.scene(select(scene.regions, rest)).ask(method, QUESTION)
        assert dict(without.alternatives)[found.value] == pytest.approx(confidence, abs=1e-5)
    assert (found.task, found.calibrated, found.image) == (whole.task, whole.calibrated, scene.image)


def test_regions_that_the_model_does_not_read_are_not_left_out(
    model: Predictor, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(scene.regions.boxes)
    assert count > 1
    monkeypatch.setattr(model.processor, "max_regions", count - 1)
    assert len(scene.depends(QUESTION).boxes) == count - 1


def test_more_variants_than_a_forward_pass_takes(
    model: Predictor, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = scene.depends(QUESTION)
    monkeypatch.setattr("twelve.predictor.forward.BATCH", 2)
    assert scene.depends(QUESTION).confidence_without == pytest.approx(at_once.confidence_without, abs=1e-5)


def test_the_finding_in_words(scene: Scene) -> None:
    found = replace(_dependence(0.97, [0.95, 0.12, 0.98]), image=Image.new("RGB", (40, 30)))
    assert found.most == 1 and str(found) == "Without box 2, “yellow” falls from 97% to 12%."
    assert found.falls == pytest.approx([0.02, 0.85, -0.01])
    assert found.draw().width == 640
    assert json.loads(json.dumps(found.to_dict()))["confidence_without"] == [0.95, 0.12, 0.98]
    assert str(replace(found, labels=("car", "boat", "ball"))).startswith("Without box 2 (boat), ")
    calm = _dependence(0.97, [0.93, 0.99])
    assert calm.most is None
    assert str(calm) == "“yellow” depends little on any single box: its confidence falls by at most 5 points."
    plain = replace(calm, image=Image.new("RGB", (640, 480))).draw()
    assert np.asarray(plain)[:480].max() == 0  # a fall that is not worth a mention is not highlighted either
    assert _dependence(0.9, []).most is None
    bare = replace(_dependence(0.9, []), image=Image.new("RGB", (640, 480))).draw()
    assert np.asarray(bare)[:480].max() == 0
    with pytest.raises(ValueError, match="no image"):
        calm.draw()


def test_regions_of_two_images(model: Predictor, scene: Scene, image: Image.Image) -> None:
    statement = "both show a ball"
    right = model.scene(image.crop((0, 0, 100, 90)))
    found = scene.depends(statement, method="verify", right=right)
    whole = model.verify(scene, right, statement)
    assert (found.value, found.task, found.calibrated) == (whole.true, whole.task, whole.calibrated)
    assert found.confidence == pytest.approx(whole.confidence, abs=1e-5)
    left_count, right_count = len(scene.regions.boxes), len(right.regions.boxes)
    assert found.sides == ("left",) * left_count + ("right",) * right_count and min(left_count, right_count) > 0
    assert found.boxes == (*map(tuple, scene.regions.boxes.tolist()), *map(tuple, right.regions.boxes.tolist()))
    for row, confidence in enumerate(found.confidence_without):
        pair = [scene, right]
        side = int(row >= left_count)
        kept = np.delete(np.arange(len(pair[side].regions.boxes)), row - side * left_count)
        pair[side] = model.scene(select(pair[side].regions, kept))
        without = model.verify(*pair, statement)
        same = without.confidence if without.true == whole.true else 1 - without.confidence
        assert confidence == pytest.approx(same, abs=1e-5)
    assert found.labels == (*(scene.labels or ()), *(right.labels or ()))
    assert found.draw().width > 2 * 640
    assert json.loads(found.to_json())["sides"] == list(found.sides)
    assert json.loads(found.to_json()) == found.to_dict()
    with pytest.raises(InputError, match=r"verify: expected two images, found one -> .*right=model.scene\(image\)"):
        scene.depends(statement, method="verify")
    with pytest.raises(InputError, match="answer: expected 1 image, found 2"):
        scene.depends(statement, right=right)


def test_the_finding_of_two_images_names_the_image() -> None:
    image, sides = Image.new("RGB", (640, 640)), ("left", "left", "right", "right")
    found = replace(_dependence(0.9, [0.9, 0.8, 0.9, 0.2]), value=True, sides=sides, image=image, right=image)
    assert str(found) == "Without box 2 of the right image, “true” falls from 90% to 20%."
    labelled = replace(found, labels=("car", "boat", "ball", "tree"))
    assert str(labelled).startswith("Without box 2 (tree) of the right image, ")
    drawn = np.asarray(found.draw()).astype(int)
    reds = drawn[:640, :, 0] * (drawn[:640, :, 2] < 200)  # without the white between the images
    assert 0 < reds[:, :640].max() < 30 < reds[:, 640:].max()  # the fall in the left image is a seventh
    with pytest.raises(ValueError, match="no image"):
        replace(found, right=None).draw()
    assert replace(found, right=None)._repr_png_() is None


def _dependence(confidence: float, without: list[float]) -> Dependence:
    boxes = tuple((float(k), 0.0, k + 9.0, 9.0) for k in range(len(without)))
    given = {"text": "?", "task": "vqa", "value": "yellow", "calibrated": True}
    return Dependence(**given, confidence=confidence, boxes=boxes, confidence_without=np.array(without))


def test_only_answers_and_classes(scene: Scene) -> None:
    with pytest.raises(InputError, match="found locate -> use answer, entails or verify"):
        scene.depends("the ball", method="locate")
