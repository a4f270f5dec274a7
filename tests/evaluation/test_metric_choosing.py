"""Choosing among given boxes: Visual7W's and GuessWhat?!'s official programs (tests/goldens/metrics)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from twelve.errors import DataError
from twelve.metrics import guesswhat, visual7w


@pytest.mark.parametrize("name", ["val", "test", "test_half"])
def test_visual7w_equals_the_toolkit(goldens: Path, name: str) -> None:
    folder = goldens / "metrics" / "visual7w"
    expected = json.loads((folder / "expected.json").read_text())["expected"][name]
    images = json.loads((folder / "dataset_v7w_pointing.json").read_text())["images"]
    answers = {
        str(qa["qa_id"]): qa["answer"]
        for image in images
        if image["split"] == expected["split"]
        for qa in image["qa_pairs"]
    }
    found = visual7w.evaluate(answers, visual7w.read_results(folder / expected["results_file"]))
    assert (sum(found.correct), len(found.correct)) == (expected["correct"], expected["total"])
    assert round(found.accuracy, 3) == expected["overall_accuracy_printed"]


def test_visual7w_compares_words_whatever_their_case() -> None:
    assert visual7w.evaluate({"1": "A Cup", "2": 7}, {"1": "a cup", "2": "7"}).accuracy == 1
    with pytest.raises(DataError, match=r"\[3\]: this prediction belongs to no question"):
        visual7w.evaluate({"1": 1}, {"3": 1})
    with pytest.raises(DataError, match="no question was answered"):
        visual7w.evaluate({"1": 1}, {})


def test_visual7w_results_without_a_candidate(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text('[{"qa_id": 1, "candidates": []}]')
    with pytest.raises(DataError, match=r"results\.json \[entry 1\]: expected a candidate with an answer"):
        visual7w.read_results(path)


def games(recorded: dict[str, Any]) -> list[guesswhat.Game]:
    return [
        guesswhat.Game(game["status"], str(game["object_id"]), str(game["selected_object_id"]))
        for game in recorded["games"]
    ]


@pytest.mark.parametrize("split", ["valid", "test"])
def test_guesswhat_equals_the_official_evaluator(goldens: Path, split: str) -> None:
    expected = json.loads((goldens / "metrics" / "guesswhat" / "expected.json").read_text())["expected"][split]
    for part, every in (("status_success", False), ("all_games", True)):
        golden = expected[part]
        found = guesswhat.evaluate(games(expected), every_status=every)
        assert len(found.correct) == golden["n_games"]
        assert found.error == pytest.approx(golden["error_one_batch"], abs=1e-6)
        batched = guesswhat.evaluate(games(expected), every_status=every, batch_size=16)
        assert batched.error == pytest.approx(
            golden["error_batches_of_16_as_the_official_evaluator_averages_them"], abs=1e-6
        )


def test_a_tie_selects_nothing(tmp_path: Path) -> None:
    """In whatever order the objects stand."""
    path = tmp_path / "results.json"
    path.write_text('{"1": {"7": 0.5, "8": 0.5}, "2": {"8": 0.5, "7": 0.5}, "3": {"7": 0.1, "8": 0.5}, "4": {"7": -9}}')
    assert guesswhat.read_results(path) == {"1": None, "2": None, "3": "8", "4": "7"}
    games = [guesswhat.Game("success", "7", chosen) for chosen in (None, "7")]
    assert guesswhat.evaluate(games).error == 0.5


@pytest.mark.parametrize("score", ["NaN", "Infinity", "-Infinity", "1e400", "true", "null", '"1"'])
def test_scores_are_finite_numbers(tmp_path: Path, score: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(f'{{"1": {{"7": {score}, "8": 0.5}}}}')
    with pytest.raises(
        DataError, match=r"results\.json \[game 1\]: expected a finite number as the score of object 7, found"
    ):
        guesswhat.read_results(path)


def test_guesswhat_needs_a_game_that_counts() -> None:
    game = guesswhat.Game("failure", "1", "1")
    assert guesswhat.evaluate([game], every_status=True).error == 0
    with pytest.raises(DataError, match="no game has status 'success'"):
        guesswhat.evaluate([game])
