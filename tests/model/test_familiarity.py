"""What training images have in common: made from most of them, with limits that the others decide; kept in a file."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
from numpy.typing import NDArray

from twelve.errors import CheckpointError
from twelve.model.familiarity import LEAST, Familiarity, familiarity_of, sound
from twelve.model.processor import TwelveProcessor
from twelve.model.processor_file import CONFIG_FILE

SIZE = 24


def images(count: int, seed: int, directions: int = 6) -> list[NDArray[np.floating[Any]]]:
    """Regions of images that differ along a few directions, and by a little noise."""
    rng = np.random.default_rng(seed)
    axes = np.random.default_rng(0).normal(size=(directions, SIZE))
    return [
        (1 + rng.normal(size=(5, directions)) @ axes + 0.1 * rng.normal(size=(5, SIZE))).astype(np.float32)
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def familiar() -> Familiarity:
    own = images(4 * LEAST, 1)
    found = familiarity_of([str(number) for number in range(len(own))], lambda image: own[int(image)])
    assert found is not None
    return found


def test_images_of_the_same_kind_are_known_and_others_are_not(familiar: Familiarity) -> None:
    assert sum(not familiar.knows(one) for one in images(500, 2)) <= 10
    rng = np.random.default_rng(3)
    assert not any(familiar.knows(rng.normal(size=(5, SIZE)).astype(np.float32)) for _ in range(100))  # elsewhere
    assert not any(familiar.knows(one + 40 * familiar.axes[0]) for one in images(100, 4))  # too far along a direction
    same = images(1, 5)[0]
    assert familiar.knows(same) and not familiar.knows(same[:, :-1]) and not familiar.knows(same * np.nan)


def test_a_small_kind_of_training_images_is_known_too() -> None:
    """As after fine-tuning on images of one's own together with the tasks of the base model."""
    many, shift = images(2 * LEAST, 1), 40 * np.ones(SIZE, np.float32)
    few, new = ([one + shift for one in images(count, seed)] for count, seed in ((4, 2), (20, 3)))
    own = {f"base/{number}": one for number, one in enumerate(many)} | {f"mine/{n}": one for n, one in enumerate(few)}
    alike = familiarity_of(list(own), own.__getitem__)
    apart = familiarity_of(list(own), own.__getitem__, lambda image: image.partition("/")[0])
    assert alike is not None and apart is not None
    assert not any(alike.knows(one) for one in few) and all(apart.knows(one) for one in few)
    assert sum(not apart.knows(one) for one in many) <= 10
    assert sum(apart.knows(one) for one in new) > 10
    one_kind = familiarity_of(list(own), own.__getitem__, lambda image: "")
    assert one_kind is not None and one_kind.limits == alike.limits


def test_too_few_images_tell_nothing() -> None:
    own = images(LEAST - 1, 1)
    assert familiarity_of([str(n) for n in range(len(own))], lambda image: own[int(image)]) is None
    flat = np.ones((3, SIZE), np.float32)
    assert familiarity_of([str(n) for n in range(LEAST)], lambda _: flat) is None


def test_limits_are_widened_for_a_few_images_of_another_kind(familiar: Familiarity) -> None:
    shift = 40 * np.ones(SIZE, np.float32)
    few, alike, new = ([one + shift for one in images(count, seed)] for count, seed in ((20, 2), (100, 3), (1, 4)))
    assert not any(familiar.knows(one) for one in few)
    wider = familiar.widened([*few, np.zeros((0, SIZE), np.float32)])
    assert all(wider.knows(one) for one in (*few, *images(20, 5)))
    assert sum(wider.knows(one) for one in alike) >= 80
    assert not wider.knows(new[0] + 4 * shift)
    assert familiar.widened(images(5, 1)).limits == familiar.limits == familiar.widened([]).limits


def test_a_few_odd_images_do_not_widen_the_limits(familiar: Familiarity) -> None:
    odd = [one + 40 * np.ones(SIZE, np.float32) for one in images(3, 2)]
    usual = [one for one in images(40, 3) if familiar.knows(one)][:18]
    assert len(usual) == 18
    for few in (odd[:1], [*odd[:1], *usual[:4]], [*odd[:2], *usual]):  # one image tells no kind; 2 of 20
        assert familiar.widened(few).limits == familiar.limits
    wider = familiar.widened([*odd, *usual])  # 3 of 21
    assert all(wider.knows(one) for one in odd)


def test_it_is_saved_with_the_processor(familiar: Familiarity, tmp_path: Path) -> None:
    folder = tiny_model.make(tmp_path)
    processor = TwelveProcessor.from_pretrained(folder)
    assert processor.familiar is None and "familiar" not in (folder / CONFIG_FILE).read_text()
    processor.familiar = familiar
    processor.save_pretrained(folder)
    again = TwelveProcessor.from_pretrained(folder).familiar
    assert again is not None
    for one in images(20, 2):
        assert again.measures(one) == familiar.measures(one) and again.limits == familiar.limits


def test_damaged_statistics_are_refused(familiar: Familiarity, tmp_path: Path) -> None:
    tree = familiar.to_tree()
    assert sound(tree) and sound(None)
    folder = tiny_model.make(tmp_path)
    whole = json.loads((folder / CONFIG_FILE).read_text())
    for place, value in (
        (("mean",), []),
        (("mean",), tree["mean"][:-1]),
        (("mean", 0), "1"),
        (("mean", 0), 1e300),
        (("axes",), []),
        (("axes",), tree["axes"] * 100),
        (("axes", 1), tree["axes"][1][:-1]),
        (("axes", 0, 0), True),
        (("center",), tree["center"][:-1]),
        (("spread", 0), 0),
        (("limits",), [1.0]),
        (("limits", 0), None),
    ):
        damaged: Any = copy.deepcopy(tree)
        at = damaged
        for key in place[:-1]:
            at = at[key]
        at[place[-1]] = value
        (folder / CONFIG_FILE).write_text(json.dumps(whole | {"familiar": damaged}))
        with pytest.raises(CheckpointError, match="familiar must hold statistics"):
            TwelveProcessor.from_pretrained(folder)
    for other in ([], {}, tree | {"more": 1}, 3, "x"):
        assert not sound(other)
