"""How results, scenes and matches show themselves: in notebooks, drawn, and in words where percentages mislead."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from twelve.errors import InputError
from twelve.outputs import get_output
from twelve.outputs.answer import Answered
from twelve.outputs.parts.drawing import enlarged, framed
from twelve.outputs.parts.result import Context, Judged
from twelve.outputs.parts.warned import Warned
from twelve.outputs.region import Chosen, Located, shares_of
from twelve.predictor import Attention, Predictor, Scene
from twelve.types.predictions import Prediction
from twelve.types.regions import select

EVIL = '<script>alert("1")</script>'


class Parsed(HTMLParser):
    """The tags and texts of HTML; fails where a tag is left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.images: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs)["src"])
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_results_show_themselves_in_notebooks(model: Predictor, scene: Scene) -> None:
    boxes = [[0, 0, 30, 30], [20, 20, 90, 80]]
    for result in (
        scene.answer("is it red ?"),
        scene.locate("the ball"),
        scene.choose("red ?", boxes),
        scene.entails("red"),
        model.verify(scene, scene, "both red"),
    ):
        found = Parsed(result._repr_html_())
        assert len(found.images) == 1 and found.images[0].startswith("data:image/jpeg;base64,")
        assert found.texts[:2] == [result.text, result.line]
    blind = model.scene(scene.regions)
    found = Parsed(blind.answer("is it red ?")._repr_html_())
    assert not found.images and found.texts[0] == "is it red ?"
    assert not Parsed(blind._repr_html_()).images
    attention = scene.answer("is it red ?", explain=True).attention
    assert attention._repr_png_().startswith(b"\x89PNG") and len(Parsed(scene._repr_html_()).images) == 1


def test_html_is_escaped(model: Predictor, image: Image.Image) -> None:
    scene = model.scene(image, name=EVIL)
    answered = Answered(
        text=EVIL,
        task="vqa",
        confidence=0.5,
        answer=EVIL,
        alternatives=((EVIL, 0.5),),
        warnings=(Warned("unusual_image", EVIL),),
    )
    for shown in (scene._repr_html_(), answered._repr_html_(), model.match(scene, "a ball")._repr_html_()):
        assert "<script" not in shown and "script" not in Parsed(shown).tags
    assert EVIL in Parsed(answered._repr_html_()).texts


def test_small_images_are_enlarged_and_their_boxes_with_them() -> None:
    small = Image.new("RGB", (80, 40), "white")
    drawn = framed(small, [((10, 10, 30, 20), 1.0)])
    assert drawn.size == (640, 320)
    coloured = np.argwhere((np.asarray(drawn) != 255).any(-1))
    assert coloured.min(0) == pytest.approx([80, 80], abs=4) and coloured.max(0) == pytest.approx([160, 240], abs=4)
    large = Image.new("RGB", (900, 30))
    assert enlarged(large)[1] == 1.0 and enlarged(large)[0].size == large.size


def test_what_a_box_shows_keeps_its_colours(scene: Scene) -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8))
    boxes = ((0.0, 0.0, 640.0, 480.0), (100.0, 100.0, 300.0, 300.0), (400.0, 50.0, 600.0, 250.0))
    found = scene.depends("is it red ?")
    depends = dataclasses.replace(
        found, confidence=0.9, confidence_without=np.array([0.1, 0.5]), boxes=boxes[1:], labels=(), image=photo
    )
    towards = np.array([[[0.1], [0.9], [0.7]]], dtype=np.float32)
    maps = {"connection.0.text": towards.swapaxes(1, 2), "connection.0.image": towards}
    attention = Attention(("boat",), boxes, maps, photo)
    for drawn in (np.asarray(depends.draw()), np.asarray(attention.draw("boat"))):
        changed = (drawn[:480] != np.asarray(photo)).any(-1)
        for x1, y1, x2, y2 in (map(int, box) for box in boxes[1:]):
            assert changed[y1:y2, x1].all() and not changed[y1 + 8 : y2 - 8, x1 + 8 : x2 - 8].any()
            changed[y1 : y2 + 1, x1 : x2 + 1] = False
        assert not changed.any()


def test_a_single_region_is_not_called_regions(model: Predictor, scene: Scene) -> None:
    one = model.scene(select(scene.regions, slice(1)))
    assert repr(one).endswith(", 1 region)") and "pixels, 1 region<" in one._repr_html_()
    assert repr(scene).endswith(f", {len(scene.regions.boxes)} regions)")


def test_a_scene_draws_its_regions(model: Predictor, scene: Scene) -> None:
    assert scene.image is not None
    bare = np.asarray(enlarged(scene.image)[0])
    assert scene.draw().size == (640, 512) and (np.asarray(scene.draw()) != bare).any()
    with pytest.raises(ValueError, match="no image to draw on"):
        model.scene(scene.regions).draw()


def test_matches_draw_the_best_images(model: Predictor, scene: Scene, image: Image.Image) -> None:
    scenes = [scene, model.scene(image.rotate(180), name="b"), model.scene(scene.regions, name="blind")]
    found = model.match(scenes, ["a red ball", "a blue ball"])
    assert set(found.photographs) == {0, 1}
    one, both = found.draw("a red ball"), found.draw()
    assert one.width >= 640 and both.height == 2 * one.height
    assert len(Parsed(found._repr_html_()).images) == 1
    with pytest.raises(ValueError, match="expected top from 1 to 5, found 6"):
        found.draw(top=6)


def test_percentages_that_add_up_to_more_than_all_are_explained() -> None:
    def words(*shares: float) -> str:
        ranked = tuple(zip(("yes", "no", "2"), shares, strict=False))
        return Answered(text="x", task="vqa", confidence=shares[0], answer="yes", alternatives=ranked).words

    assert words(0.998, 0.1) == "yes (>99%); no 10% (the sum may exceed 100%)"
    assert words(0.9, 0.06) == "yes (90%); no 6%"
    assert words(0.6, 0.44) == "yes (60%); no 44% (the sum may exceed 100%)"
    assert words(0.6, 0.45) == "yes (60%); no 45% (the model is undecided; the sum may exceed 100%)"
    assert words(0.4, 0.35) == "yes (40%); no 35%"


def test_alternatives_of_less_than_1_percent_are_not_shown() -> None:
    def answered(*shares: float) -> Answered:
        ranked = tuple(zip(("yes", "no", "middle", "large"), shares, strict=False))
        return Answered(text="x", task="t", confidence=shares[0], calibrated=True, answer="yes", alternatives=ranked)

    found = answered(0.85, 0.14, 0.001, 0.001)
    assert str(found) == "yes (85%); no 14%" and [name for name, *_ in found.bars] == ["yes", "no"]
    assert len(found.to_dict()["alternatives"]) == 4  # JSON has all of them
    alone = answered(0.999, 0.002, 0.001, 0.001)
    assert str(alone) == "yes (>99%); no 0.2%" and [name for name, *_ in alone.bars] == ["yes", "no"]
    assert str(answered(0.9, 0.0096)) == "yes (90%); no 1%"
    judged = Judged(text="x", task="t", confidence=0.9, label="a", alternatives=(("a", 0.9), ("b", 0.1), ("c", 0.001)))
    assert judged.words == "a (90%); b 10%" and [name for name, *_ in judged.bars] == ["a", "b"]


def test_confidence_that_is_not_calibrated_is_said_to_be_so_wherever_it_is_shown(
    model: Predictor, scene: Scene
) -> None:
    """In Python, in notebooks and below drawings; the shell's lines have the same words."""
    boxes = [[0, 0, 30, 30], [20, 20, 90, 80]]
    results = [scene.locate("the ball"), scene.choose("red ?", boxes), model.verify(scene, scene, "both red")]
    for result in (scene.answer("is it red ?"), *results):
        first = dataclasses.replace(result, calibrated=False)
        then = dataclasses.replace(result, calibrated=True)
        assert str(first) == first.line == f"{first.words}; not calibrated" and str(then) == then.words
        assert Parsed(first._repr_html_()).texts[1] == first.line and Parsed(then._repr_html_()).texts[1] == then.words
    matched = model.match(scene, ["a red ball", "a blue ball"])
    plain = dataclasses.replace(matched, calibrated=False)
    sure = dataclasses.replace(matched, calibrated=True)
    assert all(line.endswith("%); not calibrated") for line in str(plain).splitlines())
    assert "calibrated" not in str(sure)
    drawn = plain.draw(), sure.draw()
    assert drawn[0].tobytes() != drawn[1].tobytes()  # the words are in the image


def _chosen(*shares: float) -> Chosen:
    ranked = tuple(enumerate(shares))
    boxes = tuple((float(k), 0.0, k + 5.0, 5.0) for k in range(len(shares)))
    context = Context({"text": "x", "task": "t", "confidence": shares[0]}, boxes)
    found = get_output("region").result(Prediction(0, shares[0], ranked), context)
    assert isinstance(found, Chosen)
    return found


def test_a_choice_has_shares_and_keeps_the_confidence() -> None:
    found = _chosen(0.003, 0.002)
    assert found.words == "box 1 of 2 (0.3%)"
    assert found.confidence == 0.003 and found.alternatives == ((0, 0.003), (1, 0.002))
    told = found.to_dict()
    assert told["shares"] == [{"index": k, "share": pytest.approx((0.6, 0.4)[k], abs=1e-3)} for k in (0, 1)]
    assert told["alternatives"] == [
        {"index": 0, "box": [0.0, 0.0, 5.0, 5.0], "confidence": 0.003},
        {"index": 1, "box": [1.0, 0.0, 6.0, 5.0], "confidence": 0.002},
    ]
    assert _chosen(0.3).words == "box 1 of 1 (30%)"


def test_a_chosen_box_has_one_number_wherever_it_is_shown() -> None:
    found = _chosen(0.87, 0.2, 0.001)
    assert found.shares[0][1] > 0.95
    assert found.words == "box 1 of 3 (87%)" and [said for *_, said in found.bars] == ["87%", "20%"]


def test_shares_are_the_softmax_of_the_logits() -> None:
    logits = np.array([3.0, 1.0, -2.0])
    shares = shares_of(list(enumerate(1 / (1 + np.exp(-logits)))))
    assert [share for _, share in shares] == pytest.approx(np.exp(logits) / np.exp(logits).sum())
    assert [share for _, share in shares_of([(0, 1.0), (1, 1.0), (2, 0.0)])] == pytest.approx([0.5, 0.5, 0.0])


@pytest.mark.parametrize(
    ("confidence", "words"),
    [(0.04, "(4%, a low confidence for this model: the image may not show it)"), (0.06, "(6%)")],
)
def test_a_box_below_the_calibrated_limit_is_called_unlikely(confidence: float, words: str) -> None:
    box = (1.0, 2.0, 3.0, 4.0)
    context = Context({"text": "x", "task": "t", "confidence": confidence}, likely=0.05)
    found = get_output("region").result(Prediction(box, confidence, ((box, confidence),)), context)
    assert isinstance(found, Located) and found.unlikely is (confidence < 0.05) and found.box == box
    assert found.words == f"box 1, 2 to 3, 4 {words}"


def test_a_model_says_unlikely_by_itself(model: Predictor, scene: Scene) -> None:
    confidence = scene.locate("the ball").confidence
    try:
        model.processor.likely = {"refcoco": confidence + 0.01}
        assert scene.locate("the ball").unlikely
        model.processor.likely = {"refcoco": confidence - 0.01}
        assert not scene.locate("the ball").unlikely
    finally:
        model.processor.likely = {}


def test_attention_is_drawn_of_a_whole_word_at_the_first_connection() -> None:
    left, right, small = (0.0, 0.0, 320.0, 640.0), (320.0, 0.0, 640.0, 640.0), (500.0, 500.0, 640.0, 640.0)
    first = np.full((2, 4, 6), 0.1, np.float32)  # heads, regions, words
    first[1, 2, 3:5] = 1.0, 0.8  # the right box attends to "dog" in one head: 90% of both pieces
    first[0, 3, 3] = 0.4  # the small one attends to it a little
    last = np.zeros((2, 4, 6), np.float32)
    last[:, 1] = 1.0
    to_boxes = np.full((2, 6, 4), 0.1, np.float32)
    to_boxes[:, :, 1] = 0.7  # every word attends to the left box, which is not shown
    maps = {"connection.0.text": to_boxes, "connection.0.image": first}
    maps |= {"connection.1.text": to_boxes, "connection.1.image": last}
    words, boxes = ("[CLS]", "[TASK]", "the", "do", "##g", "[SEP]"), ((0.0, 0.0, 640.0, 640.0), left, right, small)
    attention = Attention(words, boxes, maps, Image.new("RGB", (640, 640)))

    def reds(drawn: Image.Image) -> list[int]:
        """Of the frames of the left, the right and the small box."""
        pixels = np.asarray(drawn)
        return [int(pixels[y, x, 0]) for x, y in ((1, 320), (322, 320), (501, 570))]

    drawn = attention.draw("dog")
    assert reds(drawn) == pytest.approx([0, (0.35 + 0.65 * 0.8) * 214, 0], abs=2)  # from 50% up, a box is framed
    assert drawn.tobytes() == attention.draw("DOG").tobytes() == attention.draw(4).tobytes()
    assert drawn.tobytes() == attention.draw().tobytes()  # the word that one box attends to much more than the others
    assert reds(attention.draw("the")) == pytest.approx([0.35 * 214, 0, 0], abs=2)  # and the best one in any case
    assert reds(attention.draw("dog", connection=1))[0] > 100
    twice = dataclasses.replace(attention, boxes=(*boxes[:3], right))  # one box: the mean of both
    assert reds(twice.draw("dog"))[1] == pytest.approx((0.35 + 0.65 * 0.15) * 214, abs=2)
    for missing in ("do", 99):
        with pytest.raises(InputError, match=f"^expected one of the words the, dog, found {missing!r} -> pass one of "):
            attention.draw(missing)
    none = Attention(words, boxes[:1], {name: values[:, :1] for name, values in maps.items()}, attention.image)
    assert reds(none.draw("dog")) == [0, 0, 0] and none.draw().size == none.draw("the").size


def test_the_word_that_is_drawn_of_a_dialogue_was_typed() -> None:
    text = "[CLS] [TASK] start is it a stop sign ? answer n / a stop start is it red ? answer yes stop [SEP]"
    words = text.split()

    def strong(*places: int, text: str = text) -> str:
        """The word in the caption, where one box attends to these words much more than the other does."""
        said = text.split()
        values = np.full((1, 3, len(said)), 0.1, np.float32)
        for rank, place in enumerate(places):
            values[0, 1, place] = 0.9 - 0.1 * rank
        maps = {"connection.0.text": values.transpose(0, 2, 1), "connection.0.image": values}
        boxes = ((0.0, 0.0, 64.0, 64.0), (0.0, 0.0, 32.0, 64.0), (32.0, 0.0, 64.0, 64.0))
        attention = Attention(tuple(said), boxes, maps)
        return attention._distinct(attention._whole(), attention.strongest()[1:])[0]

    marks = [
        place for place, word in enumerate(words) if word in ("start", "answer", "stop") and words[place + 1] != "sign"
    ]
    assert len(marks) == 6
    for mark in marks:
        assert strong(mark, words.index("red")) == "red"
    assert strong(words.index("sign") - 1, words.index("red")) == "stop"  # that of a question
    assert strong(2, 5, text="[CLS] [TASK] start the bus here or will it stop [SEP]") == "start"  # no dialogue
