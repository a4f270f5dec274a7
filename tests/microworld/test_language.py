"""Words and the way back; what phrases mean in a scene laid out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from wordings import DATASETS

from twelve.microworld.language import LIVELY, PLAIN, Description, Wording, read
from twelve.microworld.meaning import at_side, extreme, fitting, nth, sample_slots, stand, the
from twelve.microworld.scene import Thing, WorldScene, sample_scene
from twelve.microworld.writers import refer

LEFT = Thing("ball", "red", "small", "plain", (5, 5, 25, 25))
RIGHT = Thing("ball", "blue", "small", "striped", (130, 5, 150, 25))
LOW = Thing("car", "red", "large", "plain", (60, 90, 100, 112))
SCENE = WorldScene("sand", (LEFT, RIGHT, LOW))


@pytest.mark.parametrize("style", [PLAIN, LIVELY])
def test_what_is_said_is_read(style: dict[str, str]) -> None:
    wording = Wording("{a_thing} {relation} {number2} {things2} {where}, {ordinal} on the {ground}!", None, style=style)
    slots = {
        "thing": Description("umbrella", "orange", "small", "dotted"),
        "relation": "left of",
        "number2": 2,
        "thing2": Description("furniture", size="large"),
        "side": "middle",
        "ordinal": 3,
        "ground": "stone",
    }
    text = wording.say(slots)
    assert text.startswith(f"a {style.get('small', 'small')} orange")
    assert wording.read(text.upper()) == slots
    assert wording.read(text + "!") is None


def test_articles_plurals_and_the_number_one() -> None:
    wording = Wording("{number} {things} and {a_thing2}", None)
    said = {"number": 1, "thing": Description("book"), "thing2": Description("kitchenware", "orange")}
    assert wording.say(said) == "one book and an orange piece of kitchenware"
    assert wording.say(said | {"number": 2}) == "two books and an orange piece of kitchenware"


def test_a_foreign_sentence_is_refused() -> None:
    with pytest.raises(ValueError, match="matches no wording"):
        read(refer.REFCOCO, "the man with the hat")


def test_meaning_of_phrases() -> None:
    ball, red = Description("ball"), Description(colour="red")
    assert fitting(SCENE, ball) == [LEFT, RIGHT]
    assert fitting(SCENE, red) == [LEFT, LOW]
    assert the(SCENE, ball) is None and the(SCENE, Description("ball", "red")) is LEFT
    assert stand(SCENE, fitting(SCENE, ball), "left of", Description("car")) == [LEFT]
    assert stand(SCENE, fitting(SCENE, ball), "left of", ball) == [LEFT]
    assert extreme(SCENE, [LEFT, RIGHT], "rightmost") == [RIGHT]
    assert extreme(SCENE, [LEFT, RIGHT], "highest") == []  # too close to tell
    assert nth(SCENE, list(SCENE.things), 2, "left") == [LOW] and nth(SCENE, [LEFT, RIGHT], 1, "right") == [RIGHT]
    assert at_side(SCENE, list(SCENE.things), "middle") == [LOW]


def test_no_wording_is_shared_and_a_fifth_is_kept_for_tests() -> None:
    texts = [wording.text for wordings in DATASETS.values() for wording in wordings]
    assert len({*texts}) == len(texts)
    for name, wordings in DATASETS.items():
        assert 0.12 <= np.mean([wording.only_test for wording in wordings]) <= 0.3, name


@pytest.mark.parametrize("name", DATASETS)
def test_every_wording_reads_what_it_says(name: str) -> None:
    rng = np.random.default_rng(5)
    for wording in DATASETS[name]:
        said = 0
        for _ in range(60):
            slots = sample_slots(rng, wording, sample_scene(rng), most=2, general=0.3)
            if slots is None:
                continue
            said += 1
            assert wording.read(wording.say(slots)) == slots
            if said == 5:
                break
        assert said, wording.text
