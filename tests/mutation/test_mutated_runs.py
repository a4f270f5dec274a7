"""What a run leaves behind, damaged: refused with a clear error that says what to do, or read as it is."""

from __future__ import annotations

import json
import math
from pathlib import Path

import fake_results
import harness
import pytest
from harness import LEAST, Reader

from twelve.data.prepare import ValidationImages
from twelve.errors import DataError
from twelve.evaluation import recorded
from twelve.evaluation.results import TaskResult, read_results
from twelve.report.reading import History, read_history
from twelve.run_folder import RunFolder
from twelve.types.predictions import RecordedPrediction

_NUMBERS = (
    "mean",
    "low",
    "high",
    "score",
    "seconds",
    "upper_bound",
    "parameters",
    "*_seconds",
    "accuracy*",
    "examples",
)
_NUMBERS += ("groups", "closed", "contrast_weight")


def test_damaged_predictions(tmp_path: Path) -> None:
    path = recorded.write(RunFolder(tmp_path).predictions, fake_results.predictions())

    def sane(found: dict[str, list[RecordedPrediction]]) -> None:
        for each in (each for those in found.values() for each in those):
            assert each.images is not None and math.isfinite(each.score) and math.isfinite(each.right)

    tolerated = {
        "*.target: null": "a test set has no target",
        "*.rank: null": "only captions have a rank",
        "*.rank: absent": "only captions have a rank",
        "*.rank: number": "only captions have a rank",
        "*.options: absent": "only some tasks have options",
        "*.alternatives[][]: *": "scores are numbers of any kind",
        "*.score: *": "scores are numbers of any kind",
        "*.right: *": "scores are numbers of any kind",
        "*.target*: *": "shares are numbers of any kind",
        "*: last one twice": "nothing counts what is listed",
        "*[]: number": "sides of boxes are numbers of any kind",
        "*[]: fraction": "sides of boxes are numbers of any kind",
    }
    tally = harness.torture(Reader("predictions", (path,), lambda: recorded.read(path), sane, tolerated))
    assert sum(tally.values()) >= LEAST and min(tally.values()) > 0


def test_damaged_results(tmp_path: Path) -> None:
    path = fake_results.write_evaluation(tmp_path / "evaluation.json")

    def sane(found: tuple[list[TaskResult], dict[str, object]]) -> None:
        for result in found[0]:
            assert all(type(value) in (int, float) and math.isfinite(value) for value in result.metrics.values())
            assert math.isfinite(result.score.mean)
            assert all(isinstance(baseline.beaten, bool) for baseline in result.baselines.values())

    numbers = ("number", "fraction", "as a float", "1e30", "30 digits")
    tolerated = {f"*.{name}: {what}": "any number will do" for what in numbers for name in _NUMBERS}
    tolerated |= {
        "*.metrics: unknown field": "any number may be measured",
        "*.metrics.*: absent": "any number may be measured",
        "*.baselines.majority: absent": "any baseline may be measured",
        "*.protocol.gallery: *": "there is a gallery or there is none",
        "*.upper_bound: null": "not everything has an upper bound",
        "*.seconds: absent": "older files do not say it",
        "*.upper_bound: absent": "not everything has an upper bound",
        "$.facts: unknown field": "facts are shown as they are",
        "$.facts.machine*": "facts are shown as they are",
        "$.tasks.?: absent": "any task may be measured",
        "*.protocol.*: NUL": "words are shown as they are",
        "*.title: NUL": "words are shown as they are",
        "*.metric: NUL": "words are shown as they are",
        "*.name: NUL": "words are shown as they are",
        "*.uncalibrated: NUL": "words are shown as they are",
        "*.calibration_error: number": "null in the sound file, and per cent",
        "*.calibration_error: fraction": "null in the sound file, and per cent",
        "*.drawn_from: number": "null in the sound file, and a number of answers",
        "*.shortlist: number": "null in the sound file, and a number of images",
        "*.examples: 300 digits": "any number will do",
        "*.groups: 300 digits": "any number will do",
        "*.boxes: absent": "as a protocol is by default",
        "*.ties: absent": "as a protocol is by default",
        "*.note: absent": "as a protocol is by default",
    }
    tally = harness.torture(Reader("evaluation", (path,), lambda: read_results(path), sane, tolerated))
    assert sum(tally.values()) >= LEAST and min(tally.values()) > 0


@pytest.mark.parametrize(
    ("place", "good", "bad"),
    [
        (("protocol", "galleries"), (1, 5), (0, -1, 2**31, 1.0, None)),
        (("protocol", "gallery"), (None, 1, 1000), (0, 10**30, 1.5)),
        (("protocol", "shortlist"), (None, 1, 100), (0, 10**30, 1.5)),
        (("calibration_error",), (None, 0, 2.5, 100), (-0.1, 100.1, 10**30)),
        (("baselines", "majority", "drawn_from"), (None, 1, 2), (0, 2**31, 2.0)),
    ],
)
def test_numbers_of_results_have_a_range(
    place: tuple[str, ...], good: tuple[object, ...], bad: tuple[object, ...], tmp_path: Path
) -> None:
    path = fake_results.write_evaluation(tmp_path / "evaluation.json")
    tree = json.loads(path.read_text())
    parent = tree["tasks"]["b"]
    for key in place[:-1]:
        parent = parent[key]
    for value in good:
        parent[place[-1]] = value
        path.write_text(json.dumps(tree))
        read_results(path)
    for value in bad:
        parent[place[-1]] = value
        path.write_text(json.dumps(tree))
        with pytest.raises(DataError, match=rf"evaluation.json \[b\]: .*{place[-1]}"):
            read_results(path)


def test_damaged_images_that_were_left_out(tmp_path: Path) -> None:
    path = tmp_path / "validation_images.json"
    ValidationImages(frozenset({"coco/1", "coco/2"}), frozenset({"coco/3", "vg/4"})).write(path)
    tally = harness.torture(Reader("validation_images", (path,), lambda: ValidationImages.read(path)))
    assert sum(tally.values()) >= LEAST and min(tally.values()) > 0


def test_damaged_log(tmp_path: Path) -> None:
    """A line that is damaged says nothing: a run that is killed leaves one, and its report is still wanted."""
    path = fake_results.write_history(tmp_path / "metrics.jsonl")

    def sane(found: History) -> None:
        numbers = [found.iterations, found.pairs, found.seconds]
        numbers += [value for those in (*found.losses.values(), *found.scores.values()) for _, value in those]
        assert all(type(value) in (int, float) and math.isfinite(value) for value in numbers)

    reader = Reader(
        "log", (path,), lambda: read_history(RunFolder(path.parent)), sane, {"*": "what cannot be read is passed over"}
    )
    tally = harness.torture(reader)
    assert sum(tally.values()) >= LEAST and tally["refused"] == 0
