"""Batches that a processor makes of texts and scenes, what it decodes, and what a model says of other inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
import torch
from PIL import Image

import twelve
from twelve.errors import ConfigError, InputError, RegionError, TwelveError
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
from twelve.model.inputs import ModelInputs
from twelve.predictor import Predictor, Scene


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.make(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return twelve.load(folder)


@pytest.fixture(scope="module")
def model(folder: Path) -> twelve.Twelve:
    found: twelve.Twelve = twelve.Twelve.from_pretrained(folder)
    return found


@pytest.fixture(scope="module")
def processor(folder: Path) -> twelve.TwelveProcessor:
    return twelve.TwelveProcessor.from_pretrained(folder)


@pytest.fixture(scope="module")
def scenes(predictor: Predictor) -> list[Scene]:
    images: list[Image.Image] = [draw(sample_scene(np.random.default_rng(k)), seed=k) for k in range(2)]
    return [predictor.scene(image) for image in images]


def decoded(model: twelve.Twelve, processor: twelve.TwelveProcessor, inputs: ModelInputs) -> list[Any]:
    with torch.inference_mode():
        return [(found.value, found.confidence) for found in processor.decode(model(**inputs), inputs)]


def test_one_text_a_scene(model: twelve.Twelve, processor: twelve.TwelveProcessor, scenes: list[Scene]) -> None:
    inputs = processor(["what colour is it ?", "is it red ?"], scenes, task="vqa")
    longest = 1 + max(len(scene.regions.boxes) for scene in scenes)
    assert inputs["input_ids"].shape == (2, 7) and inputs["features"].shape[:2] == (2, longest)
    assert inputs["boxes"].shape == (2, longest, 5) and inputs["boxes"][:, 0].tolist() == [[0, 0, 1, 1, 1]] * 2
    assert inputs["task_rows"].tolist() == [0, 0] and inputs["outputs"] == ("answer",) and "pair_text" not in inputs
    wanted = [scene.answer(text) for scene, text in zip(scenes, ["what colour is it ?", "is it red ?"], strict=True)]
    found = decoded(model, processor, inputs)
    assert [value for value, _ in found] == [each.answer for each in wanted]
    assert [confidence for _, confidence in found] == pytest.approx([each.confidence for each in wanted], abs=1e-4)


def test_several_texts_a_scene_share_its_regions(
    model: twelve.Twelve, processor: twelve.TwelveProcessor, scenes: list[Scene]
) -> None:
    nested = processor([["is it red ?", "is it blue ?"], ["is it red ?"]], scenes, task="vqa")
    assert nested["features"].shape[0] == 2 and nested["input_ids"].shape[0] == 2
    assert nested["pair_text"].tolist() == [0, 1, 0] and nested["pair_image"].tolist() == [0, 0, 1]
    flat = processor(["is it red ?", "is it blue ?", "is it red ?"], [scenes[0], scenes[0], scenes[1]], task="vqa")
    assert [v for v, _ in decoded(model, processor, nested)] == [v for v, _ in decoded(model, processor, flat)]
    one = processor(["is it red ?", "is it blue ?"], scenes[0], output="answer")
    assert one["features"].shape[0] == 1 and len(decoded(model, processor, one)) == 2


def test_two_scenes_a_text(
    model: twelve.Twelve, processor: twelve.TwelveProcessor, scenes: list[Scene], predictor: Predictor
) -> None:
    left, right = scenes
    inputs = processor(["both red", "both blue"], [(left, right), (right, left)], task="nlvr2")
    assert inputs["pair_image"].tolist() == [0, 1, 1, 0] and inputs["pair_text"].tolist() == [0, 0, 1, 1]
    found = decoded(model, processor, inputs)
    assert [v for v, _ in found] == [
        predictor.verify(left, right, "both red").true,
        predictor.verify(right, left, "both blue").true,
    ]
    assert decoded(model, processor, processor("both red", (left, right), task="nlvr2"))[0][0] == found[0][0]


def test_boxes_are_found_and_chosen(
    model: twelve.Twelve, processor: twelve.TwelveProcessor, scenes: list[Scene]
) -> None:
    located = decoded(model, processor, processor("the ball", scenes[0].regions, task="refcoco"))
    assert located[0][0] == pytest.approx(scenes[0].locate("the ball").box)
    boxes = [[0, 0, 40, 40], [20, 20, 90, 90]]
    chosen = decoded(model, processor, processor(["red ?", "blue ?"], scenes, task="visual7w", boxes=boxes))
    assert [v for v, _ in chosen] == [
        scene.choose(text, boxes).index for scene, text in zip(scenes, ["red ?", "blue ?"], strict=True)
    ]
    own = scenes[0].regions.boxes[1:3].tolist()  # of regions that have no image
    assert decoded(model, processor, processor("red ?", scenes[0].regions, task="visual7w", boxes=own))[0][0] in (0, 1)


def test_inputs_move_to_a_device(processor: twelve.TwelveProcessor, scenes: list[Scene]) -> None:
    moved = processor("is it red ?", scenes[0], task="vqa").to("meta")
    assert moved["features"].device.type == "meta" and moved["outputs"] == ("answer",) and moved.batch.task == "vqa"


def regions(boxes: Any, features: Any = None, **changes: Any) -> twelve.Regions:
    array = np.asarray(boxes, np.float32)
    given = np.zeros((len(array), 192), np.float16) if features is None else features
    return twelve.Regions(
        **{"image_id": "mine", "width": 100, "height": 80, "boxes": array, "features": given} | changes
    )


@pytest.mark.parametrize(
    ("texts", "given", "options", "message"),
    [
        ("x", regions([[1, 2, 3, 4]]), {}, "expected a task or an output, found neither -> pass task="),
        ("x", regions([[1, 2, 3, 4]]), {"task": "vqaa"}, "no task 'vqaa' .did you mean \"vqa\""),
        ("x", regions([[1, 2, 3, 4]]), {"output": "anser"}, "no output 'anser' .did you mean \"answer\""),
        (
            "x",
            regions([[1, 2, 3, 4]]),
            {"task": "vqa", "output": "pair"},
            "task 'vqa' has output 'answer', found 'pair'",
        ),
        (["x"], [regions([[1, 2, 3, 4]])] * 2, {"task": "vqa"}, "as many texts as scenes, found 1 and 2"),
        ([], [], {"task": "vqa"}, "found 0 and 0"),
        ([3], [regions([[1, 2, 3, 4]])], {"task": "vqa"}, r"texts\[0\]: expected a string, found .*3"),
        ("x", "boat.jpg", {"task": "vqa"}, "expected scenes or regions, found .*boat.jpg.*-> make them: model.scene"),
        ("x", ["boat.jpg"], {"task": "vqa"}, r"scenes\[0\]: expected a scene or regions, found .*boat.jpg"),
        ("x", regions([[1, 2, 3, 4]]), {"task": "nlvr2"}, "expected two scenes per text, found a single one"),
        (["x"], [(regions([[1, 2, 3, 4]]),)], {"task": "nlvr2"}, "expected two scenes per text"),
        ("x", regions([[0.1, 0.2, 0.5, 0.9]]), {"task": "vqa"}, r"boxes in pixels .*100 x 80.*found shares"),
        ("x", regions([[0, 0, 50, 120]]), {"task": "vqa"}, "inside the image of 100 x 80 pixels, found .* to 120"),
        ("x", regions([[50, 0, 20, 20]]), {"task": "vqa"}, "expected x2 >= x1 .*found box 0 .50, 0, 20, 20"),
        ("x", regions([[0, 0, 9, 9, 1]]), {"task": "vqa"}, r"boxes of shape \(R, 4\), found \(1, 5\)"),
        ("x", regions([[0, 0, np.nan, 9]]), {"task": "vqa"}, "expected boxes inside"),
        ("x", regions([[0, 0, 9, 9]], np.zeros((2, 192))), {"task": "vqa"}, r"\(1, F\), one row .*found \(2, 192\)"),
        ("x", twelve.Regions("mine", 100, 80, np.ones((1, 4), np.float32)), {"task": "vqa"}, "found boxes alone"),
        (
            "x",
            regions([[0, 0, 9, 9]]),
            {"task": "visual7w", "boxes": [1, 2, 3]},
            r"boxes\[0\]: expected shape \(C, 4\)",
        ),
    ],
)
def test_what_does_not_fit_is_told(
    processor: twelve.TwelveProcessor, texts: Any, given: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TwelveError, match=message):
        processor(texts, given, **options)


BOXES: list[tuple[Any, str]] = [
    ([], r"boxes\[0\]: expected shape \(C, 4\), found \(0,\)"),
    ("abc", r"boxes\[0\]: expected numbers of shape \(C, 4\), found str 'abc'"),
    ([[1, 2, 3, 4], [1, 2]], r"boxes\[0\]: expected numbers of shape \(C, 4\), found list"),
    ([["a"] * 4], r"boxes\[0\]: expected numbers of shape \(C, 4\), found list"),
    ({}, r"boxes\[0\]: expected numbers of shape \(C, 4\), found dict"),
    ([[[1, 2, 3, 4], [1, 2]]], r"boxes\[0\]: expected numbers of shape \(C, 4\), found list"),
    ([[0, 0, 9, 9], [0, 0, np.nan, 9]], r"boxes\[0\]\[1\]: expected finite numbers, found list \[0.0, 0.0, nan, 9.0\]"),
    ([[0, 0, np.inf, 9]], r"boxes\[0\]\[0\]: expected finite numbers"),
    (np.zeros((0, 4)), r"boxes\[0\]: expected shape \(C, 4\), found \(0, 4\)"),
]


@pytest.mark.parametrize(("boxes", "message"), BOXES)
def test_candidates_that_are_no_boxes(processor: twelve.TwelveProcessor, boxes: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"{message}.* -> give x1"):
        processor("x", regions([[0, 0, 9, 9]]), task="visual7w", boxes=boxes)


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        (
            None,
            {"task": "vqa"},
            "expected a string or a list of strings, found NoneType None -> give one text per scene",
        ),
        (5, {"task": "nlvr2"}, "expected a string or a list of strings, found int 5"),
        (iter("x"), {"task": "vqa"}, "expected a string or a list of strings, found str_"),
        ([[]], {"task": "vqa"}, r"texts\[0\]: expected at least one text, found none -> give one text per scene"),
        ("x", {"task": []}, r"expected the name of a task, found list \[\] -> pass task= a name, such as '"),
        ("x", {"output": 5}, "expected the name of an output, found int 5 -> pass output= a name, such as '"),
    ],
)
def test_texts_and_names_of_other_types(
    processor: twelve.TwelveProcessor, texts: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        processor(texts, [regions([[0, 0, 9, 9]])], **options)


def test_decoding_wants_what_belongs_together(processor: twelve.TwelveProcessor, scenes: list[Scene]) -> None:
    inputs = processor("is it red ?", scenes[0], task="vqa")
    with pytest.raises(InputError, match=r"expected what processor\(texts, scenes\) returned, found"):
        processor.decode(torch.zeros(1, 6), dict(inputs))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected logits of 'answer', found none"):
        processor.decode(None, inputs)  # type: ignore[arg-type]
    assert processor.decode(torch.zeros(1, 6), inputs)[0].confidence == 0.5


def test_the_kind_of_an_unknown_tasks_output_is_that_of_the_model(
    processor: twelve.TwelveProcessor, scenes: list[Scene]
) -> None:
    own = twelve.TwelveProcessor(processor.tokenizer, task_outputs={"mine": "verdict"}, max_text={"mine": 9})
    with pytest.raises(ConfigError, match="does not know the kind of output 'verdict'"):
        own("x", scenes[0], task="mine")
    own.use_heads({"verdict": {"kind": "entailment", "size": 3}})
    assert own("x", scenes[0])["outputs"] == ("verdict",)


def test_a_model_names_inputs_of_another_form(
    model: twelve.Twelve, processor: twelve.TwelveProcessor, scenes: list[Scene]
) -> None:
    good = dict(processor("is it red ?", scenes[0], task="vqa"))
    for changes, message in (
        (
            {"boxes": 100 * good["boxes"][..., :4]},
            r"of shape \(1, \d+, 5\).*found \(1, \d+, 4\); four numbers .* pixels",
        ),
        ({"boxes": 100 * good["boxes"]}, "as shares of the image's width, height and area, found 100"),
        (
            {"features": good["features"][:, 1:], "boxes": good["boxes"][:, 1:]},
            "expected region 0 of image 0 to be the",
        ),
        ({"features": good["features"][..., :9]}, r"features of shape \(I, R, 192\), found"),
        ({"region_mask": torch.ones(1, 2).bool()}, r"region_mask of shape"),
    ):
        with pytest.raises(RegionError, match=message):
            model(**good | changes)
    for changes, message in (
        ({"input_ids": good["input_ids"].float()}, "input_ids of shape .T, L., integers"),
        ({"input_ids": good["input_ids"] + 1000}, "word pieces below 28 .vocab_size., found 1"),
        ({"text_mask": torch.ones(1, 2).bool()}, "text_mask of shape"),
    ):
        with pytest.raises(ConfigError, match=message):
            model(**good | changes)
