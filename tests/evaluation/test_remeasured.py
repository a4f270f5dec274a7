"""Intervals of a metric of one's own that is no mean over examples: computed again on resamples, or told why not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from rich.console import Console

from twelve import config as configuration
from twelve.evaluation.remeasured import OURS, Remeasured, is_mean
from twelve.evaluation.results import TaskResult, read_results
from twelve.metrics.bootstrap import interval
from twelve.outputs import get_output
from twelve.report.write import write_report
from twelve.runs.evaluate import evaluate_run
from twelve.runs.results_table import protocol_line
from twelve.runs.train import train
from twelve.tasks.base import get
from twelve.types.examples import Example
from twelve.types.measurement import Measurement
from twelve.types.predictions import Prediction

QUIET = Console(quiet=True)
COUNT = 120
EXAMPLES = [
    Example(
        str(row),
        "is it red" if row % 3 else "how many are there now",
        (f"coco/{row}",),
        target=str(row % 2),
        group=str(row % 40),
    )
    for row in range(COUNT)
]
GROUPS = [each.group for each in EXAMPLES]


def of(values: Sequence[Any]) -> list[Prediction]:
    return [Prediction(value, 0.5) for value in values]


def mean(predictions: Sequence[Prediction], examples: Sequence[Example]) -> Measurement:
    """Each prediction is its own mark."""
    marks = np.array([each.value for each in predictions])
    return Measurement("mark", {"mark": 100 * float(marks.mean())}, marks, [each.group for each in examples])


def f1(predictions: Sequence[Prediction], examples: Sequence[Example]) -> Measurement:
    said, wanted = (
        [str(each) == "1" for each in row] for row in ([p.value for p in predictions], [e.target for e in examples])
    )
    both = sum(one and other for one, other in zip(said, wanted, strict=True))
    right = np.array([one == other for one, other in zip(said, wanted, strict=True)], dtype=np.float64)
    return Measurement("F1", {"F1": 200 * both / (sum(said) + sum(wanted))}, right, [each.group for each in examples])


def test_a_mean_computed_again_has_the_interval_of_the_mean() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(COUNT), rng.random(COUNT) / 2
    found = Remeasured(mean, EXAMPLES, GROUPS, {OURS: [of(ours)], "guess": [of(theirs)]}, 300).intervals()
    assert not isinstance(found, str)
    score, lead = found[0], found[1]["guess"]
    for got, values, bounds in ((score, ours, (0.0, 1.0)), (lead, ours - theirs, (-1.0, 1.0))):
        wanted = interval(values, GROUPS, resamples=300, bounds=bounds)
        assert [got.mean, got.low, got.high] == pytest.approx([100 * x for x in (wanted.mean, wanted.low, wanted.high)])


def test_a_part_has_its_own_value_of_the_metric_and_its_best_baseline() -> None:
    said = ["1" if row % 2 or row % 5 == 0 else "0" for row in range(COUNT)]
    predictions = {OURS: [of(said)], "yes": [of(["1"] * COUNT)], "no": [of(["0"] * (COUNT - 1) + ["1"])]}
    found = {
        (each.kind, each.value): each
        for each in Remeasured(f1, EXAMPLES, GROUPS, predictions, 200).parts(get_output("answer"))
    }
    part = found["count", "how many"]
    rows = [row for row in range(COUNT) if row % 3 == 0]
    assert part.examples == len(rows)
    assert part.score.mean == f1(of([said[row] for row in rows]), [EXAMPLES[row] for row in rows]).headline
    assert part.score.low < part.score.mean < part.score.high
    assert part.baseline is not None and part.baseline.name == "yes" and part.baseline.beaten


def test_a_metric_that_fails_on_some_resamples_is_told() -> None:
    def only_whole(predictions: Sequence[Prediction], examples: Sequence[Example]) -> Measurement:
        if len({each.id for each in examples}) < len(examples):
            raise ValueError("an example twice")
        return f1(predictions, examples)

    remeasured = Remeasured(only_whole, EXAMPLES, GROUPS, {OURS: [of(["1"] * COUNT)]}, 200)
    assert remeasured.intervals() == "it cannot be computed on 200 of 200 resamples (ValueError: an example twice)"
    assert remeasured.parts(get_output("answer")) == ()


def test_rounding_makes_no_other_metric() -> None:
    right, groups = np.array([1.0, 0.0, 0.0]), ["a", "b", "c"]
    assert is_mean(Measurement("accuracy", {"accuracy": 33.33}, right, groups))
    assert not is_mean(Measurement("F1", {"F1": 40.0}, right, groups))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tiny.make(tmp_path_factory.mktemp("root"), train=8, val=12)
    tree = tiny.tree(root, tmp_path_factory.mktemp("runs") / "good")
    tree |= {"tasks": {task: tree["tasks"][task] for task in ("snli_ve", "vqa")}, "sources": {}}
    tree["training"] |= {"iterations": 2, "eval_every": 2}
    return train(configuration.parse(tree), console=QUIET)


def evaluated(run: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool = False) -> TaskResult:
    """The result of a task whose metric is the square of the share of correct examples."""
    task = type(get("snli_ve"))
    measure = task.measure_by

    def squared(self: Any, protocol: Any, examples: Sequence[Example], predictions: Any) -> Measurement:
        if fails and len({each.id for each in examples}) < len(examples):
            raise ValueError("an example twice")
        found = measure(self, protocol, examples, predictions)
        return Measurement("square", {"square": found.headline**2 / 100}, found.per_example, found.groups, found.rows)

    monkeypatch.setattr(task, "measure_by", squared)
    (result,) = (each for each in evaluate_run(run, console=QUIET) if each.task == "snli_ve")
    return result


def test_the_interval_is_that_of_the_metric_and_not_of_the_share_of_correct_examples(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = next(each for each in evaluate_run(run, console=QUIET) if each.task == "snli_ve").score
    result = evaluated(run, monkeypatch)
    assert 0 < plain.mean < 100 and result.score.mean == pytest.approx(plain.mean**2 / 100)
    assert result.score.low < result.score.mean < result.score.high
    assert result.no_interval == "" and "chance" not in result.baselines
    for each in result.baselines.values():
        assert each.advantage.mean == pytest.approx(result.score.mean - each.score)
        assert each.advantage.low <= each.advantage.mean <= each.advantage.high
    assert "has no interval" not in write_report(run).read_text()


def test_without_an_interval_the_results_and_the_report_say_why(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = evaluated(run, monkeypatch, fails=True)
    reason = f"square has no interval: {result.no_interval}."
    assert result.no_interval.endswith(" of 200 resamples (ValueError: an example twice)")
    assert result.interval_note == reason and reason in protocol_line(result)
    assert (result.score.low, result.score.high) == (0, 100)
    assert result.baselines and not any(each.beaten for each in result.baselines.values())
    assert read_results(run / "evaluation.json")[0][0].no_interval == result.no_interval
    page = write_report(run).read_text()
    weak = page.partition("Where it is weak")[2].partition("What next")[0]
    assert f"{result.title}: {reason}" in weak
