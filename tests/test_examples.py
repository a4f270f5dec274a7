"""The model in examples/ answers as the README says."""

from __future__ import annotations

from pathlib import Path

import pytest

import twelve
from twelve.evaluation.results import read_results
from twelve.predictor.scene import Scene

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def scene() -> Scene:
    return twelve.load(EXAMPLES / "quickstart-model").scene(EXAMPLES / "scene.jpg")


def test_its_answers_are_those_of_the_readme(scene: Scene) -> None:
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    for call, found in (
        ('scene.answer("what colour is the boat?")', scene.answer("what colour is the boat?")),
        ('scene.entails("there is a red boat")', scene.entails("there is a red boat")),
    ):
        said = readme.split(f"print({call})  # ")[1].split("...")[0]
        assert str(found).startswith(said)


def test_it_finds_what_a_phrase_refers_to(scene: Scene) -> None:
    x1, y1, x2, y2 = scene.locate("the big blue bottle").box
    assert (x1, y1) == pytest.approx((94, 0), abs=2) and (x2, y2) == pytest.approx((114, 49), abs=2)


def test_its_stored_evaluation_is_that_of_its_card() -> None:
    """The page of the service shows it."""
    folder = EXAMPLES / "quickstart-model"
    results, _ = read_results(folder / "evaluation.json")
    card = (folder / "README.md").read_text(encoding="utf-8")
    for result in results:
        score = result.score
        cells = f"{result.title}, {result.metric} | {result.protocol.split}, {result.examples:,} examples"
        assert f"| {cells} | {score.mean:.1f} [{score.low:.1f}, {score.high:.1f}] |" in card
    assert len(results) == 12
    assert "\n- calibrated confidence (vqa, " in card and "\n- Its confidence states how often such an answer " in card
