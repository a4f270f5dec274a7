"""The box priors know where boxes lie and nothing of the phrase."""

from __future__ import annotations

import numpy as np

from twelve.evaluation.box_prior import confident_and_large, trained_box_prior
from twelve.types.examples import Box, Example
from twelve.types.regions import Regions


def image(boxes: list[Box]) -> Regions:
    return Regions("a/1", 100, 100, np.array(boxes, dtype=np.float32), scores=np.full(len(boxes), 0.5, np.float32))


def drawn(rng: np.random.Generator) -> list[Box]:
    corners = rng.uniform(0, 70, (6, 2))
    sides = rng.uniform(10, 30, (6, 2))
    return [tuple(row) for row in np.concatenate([corners, corners + sides], axis=1).tolist()]


def test_trained_prior_finds_where_wanted_boxes_lie() -> None:
    rng = np.random.default_rng(0)
    images = {f"a/{k}": image(drawn(rng)) for k in range(120)}
    lowest = {key: int(np.argmax(seen.boxes[:, 3])) for key, seen in images.items()}
    detected = [Example(key, "", (key,), tuple(seen.boxes[lowest[key]].tolist())) for key, seen in images.items()]
    given = [
        Example(key, "", (key,), lowest[key], candidates=tuple(map(tuple, seen.boxes.tolist())))
        for key, seen in images.items()
    ]
    for examples in (detected, given):
        found = trained_box_prior(examples[:90], examples[90:], images.__getitem__)
        hits = [prediction.value == example.target for prediction, example in zip(found, examples[90:], strict=True)]
        assert np.mean(hits) > 0.7
        untrained = confident_and_large(examples[90:], images.__getitem__)
        assert [p.value for p in found] != [p.value for p in untrained]


def test_largest_and_most_confident() -> None:
    seen = Regions(
        "a/1",
        100,
        100,
        np.array([[0, 0, 50, 50], [0, 0, 40, 40], [0, 0, 10, 10]], dtype=np.float32),
        scores=np.array([0.1, 0.5, 0.9], np.float32),
    )
    assert confident_and_large([Example("1", "", ("a/1",))], lambda _: seen)[0].value == (0, 0, 40, 40)
    candidates = ((0.0, 0.0, 9.0, 9.0), (0.0, 0.0, 30.0, 30.0))
    assert confident_and_large([Example("1", "", ("a/1",), 0, candidates=candidates)], lambda _: seen)[0].value == 1
