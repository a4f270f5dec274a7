"""`twelve score --minus`: the difference of two result files, with its paired interval."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TASKS, Case, write
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from twelve.cli import app
from twelve.errors import ConfigError, DataError
from twelve.score import TWO_TRAININGS, Differences, as_json, difference, difference_table, score, warnings
from twelve.tasks.base import get
from twelve.types.measurement import Scored

Build = Callable[[str], Case]
NO_MEANS = {"median rank", "mean rank", "image to text median rank", "image to text mean rank", "distribution"}
NO_MEANS |= {"mean recall of both directions", "consistency"}
"""Numbers of the recorded files that are no means over examples; NLVR2's consistency is one, over sentences."""


def foil(folder: Path, images: Sequence[int]) -> Path:
    """Truth with one caption, which is true, of each of these images in turn."""
    rows = [{"id": n, "image_id": image, "caption": "a dog", "foil": False} for n, image in enumerate(images)]
    return write(folder / "foilv1.0_test_2017.json", {"annotations": rows})


def judged(path: Path, right: Sequence[bool], order: Sequence[int] | None = None) -> Path:
    rows = [{"annotation": n, "foil": not right[n]} for n in (order or range(len(right)))]
    return write(path, rows)


def of(folder: Path, images: Sequence[int], first: Sequence[bool], second: Sequence[bool]) -> Differences:
    files = judged(folder / "a.json", first), judged(folder / "b.json", second)
    return difference("foil", foil(folder, images), *files)


@pytest.mark.parametrize("name", TASKS)
def test_every_mean_is_that_of_its_examples(case: Build, name: str) -> None:
    full = case(name)
    task = get(full.task)
    protocol = task.protocol_name(full.protocol, task.scoring_protocols)
    scored = task.score(full.truth, full.predictions, protocol)
    metrics = scored.measurement.metrics
    for metric, part in scored.means.items():
        assert 100 * part.values.mean() == pytest.approx(metrics[metric], abs=0.006 if name == "vqa" else 1e-9), metric
        assert len(part.ids) == len(part.groups) == len(part.values) == scored.counts[metric], metric
        assert len(set(part.ids)) == len(part.ids) or name == "snli_ve"  # whose official file repeats pairs
    assert metrics.keys() - scored.means.keys() <= NO_MEANS - ({"consistency"} if name == "nlvr2" else set())
    headline = scored.means[scored.measurement.primary]
    assert np.array_equal(headline.values, scored.measurement.per_example)
    assert list(headline.groups) == list(scored.measurement.groups)


@pytest.mark.parametrize("name", TASKS)
def test_equal_files_have_no_difference(case: Build, name: str) -> None:
    full = case(name)
    found = difference(full.task, full.truth, full.predictions, full.predictions, full.protocol)
    alone = score(full.task, full.truth, full.predictions, full.protocol)
    assert found.first == found.second == alone and found.primary == alone.primary
    assert found.numbers.keys() == alone.numbers.keys()
    for metric, number in found.numbers.items():
        assert number.first == number.second == alone.numbers[metric].value and number.value == 0
        assert number.interval is None or (number.interval.mean, number.interval.low, number.interval.high) == (0, 0, 0)
    assert "is +0.00, 95% interval [+0.00, +0.00]" in difference_table(found)
    assert any(line.startswith("warning: both files hold the same") for line in warnings(found))
    assert TWO_TRAININGS not in found.notes


def test_a_pair_by_hand(tmp_path: Path) -> None:
    """Of four images with one caption each, the files differ in one. A resample's difference is K / 4, with K binomial
    for 4 draws and 1/4: P(K <= 2) = 0.949 and P(K <= 3) = 0.996, so the 97.5 % quantile is 3/4."""
    found = of(tmp_path, [1, 2, 3, 4], [True, True, True, False], [False, True, True, False]).numbers["accuracy"]
    assert (found.first, found.second, found.value) == (75, 50, 25) and found.interval is not None
    assert (found.interval.mean, found.interval.low, found.interval.high) == (25, 0, 75)
    assert (found.examples, found.groups) == (4, 4)


def test_a_pair_of_images_by_hand(tmp_path: Path) -> None:
    """Two captions of the first image favour one file, one caption of the second image the other: a resample is both
    images (1/3), twice the first (1), or twice the second (-1), each of these in a quarter of all cases or more."""
    found = of(tmp_path, [1, 1, 2], [True, True, False], [False, False, True]).numbers["accuracy"]
    assert found.value == pytest.approx(100 / 3) and found.interval is not None
    assert (found.interval.low, found.interval.high) == (-100, 100) and found.groups == 2


@settings(max_examples=25, deadline=None)
@given(data=st.data(), count=st.integers(4, 60), shown=st.integers(2, 12))
def test_intervals_are_those_of_resampled_images(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, count: int, shown: int
) -> None:
    """The same resamples, example by example: one file's score minus the other's in each."""
    several = st.lists(st.booleans(), min_size=count, max_size=count)
    first, second = data.draw(several), data.draw(several)
    images = data.draw(st.lists(st.integers(1, shown), min_size=count, max_size=count))
    found = of(tmp_path_factory.mktemp("pair"), images, first, second).numbers["accuracy"]
    groups = sorted({f"coco/{image}" for image in images})
    draws = np.random.default_rng(0).multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=2000)
    times = draws[:, [groups.index(f"coco/{image}") for image in images]]  # of each example in each resample
    one, other = (np.array(each, dtype=float) * times for each in (first, second))
    means = (one.sum(1) - other.sum(1)) / times.sum(1)
    low, high = 100 * np.quantile(means, [0.025, 0.975])
    if high - low > 1e-6 and first != second:  # otherwise it is widened, or 0
        assert found.interval is not None
        assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=1e-6)
    assert found.value == pytest.approx(100 * (np.mean(first) - np.mean(second)))


def test_neither_the_order_of_files_nor_that_of_predictions_matters(case: Build, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    first, second = rng.random(40) < 0.7, rng.random(40) < 0.5
    truth = foil(tmp_path, [number // 3 for number in range(40)])
    files = judged(tmp_path / "a.json", list(first)), judged(tmp_path / "b.json", list(second))
    shuffled = judged(tmp_path / "c.json", list(second), rng.permutation(40).tolist())
    found, back = difference("foil", truth, *files), difference("foil", truth, *reversed(files))
    assert difference("foil", truth, files[0], shuffled).numbers == found.numbers
    one, other = found.numbers["accuracy"], back.numbers["accuracy"]
    assert one.interval and other.interval and (one.first, one.second) == (other.second, other.first)
    expected = (-other.value, -other.interval.high, -other.interval.low)
    assert (one.value, one.interval.low, one.interval.high) == pytest.approx(expected)
    full = case("visual7w")  # its examples have the order of the predictions
    rows = json.loads(full.predictions[0].read_text())
    wrong = [{**row, "candidates": [{"answer": 1}]} if n < 9 else row for n, row in enumerate(rows)]
    files = write(tmp_path / "wrong.json", wrong), write(tmp_path / "turned.json", wrong[::-1])
    straight, turned = (difference(full.task, full.truth, full.predictions, file) for file in files)
    assert straight.numbers == turned.numbers and straight.numbers["accuracy"].value > 0


def test_the_same_marks_by_other_answers_leave_the_difference_open(tmp_path: Path) -> None:
    """Two models that agree on ten images may differ on others, as after a baseline's advantage of 0."""
    truth, files = foil(tmp_path, range(10)), []
    for name in ("a", "b"):
        files.append(judged(tmp_path / f"{name}.json", [True] * 10))
    files[1].write_text(files[1].read_text() + "\n")
    found = difference("foil", truth, *files).numbers["accuracy"]
    assert found.value == 0 and found.interval and found.interval.high == -found.interval.low > 20


def test_other_questions_are_refused(case: Build, tmp_path: Path) -> None:
    full = case("visual7w")
    rows = json.loads(full.predictions[0].read_text())
    fewer = write(tmp_path / "fewer.json", rows[2:])
    for files in ((full.predictions[0], fewer), (fewer, full.predictions[0])):
        with pytest.raises(DataError, match=rf"\[{rows[0]['qa_id']}\]: .* found no prediction for 2 -> ") as caught:
            difference(full.task, full.truth, *files)
        assert caught.value.file == fewer and str(full.predictions[0]) in str(caught.value)


def test_other_headlines_are_refused(case: Build, tmp_path: Path) -> None:
    full = case("coco")
    lists = {str(1 + n): [1000 + 5 * n, *range(2000, 2010)] for n in range(40)}
    ranked = write(tmp_path / "ranked.json", {"image_to_text": lists})
    with pytest.raises(DataError, match=r"expected the headline number R@1.*found image to text R@1"):
        difference(full.task, full.truth, full.predictions, ranked, full.protocol)


def test_numbers_of_one_file_alone_are_named(case: Build) -> None:
    full = case("gqa")
    found = difference(full.task, full.truth, full.predictions, full.predictions[:1])
    assert "grounding" not in found.numbers
    assert "left out, because only one file has them: grounding" in found.notes
    assert found.numbers["validity"].interval is not None and found.numbers["distribution"].interval is None
    assert any(f"{full.predictions[0]}: grounding is left out" in line for line in difference_table(found).splitlines())


def test_a_task_without_values_of_examples_is_refused(case: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    full, task = case("vg_qa"), type(get("vg_qa"))
    original = task.score

    def bare(*given: Any) -> Scored:
        return replace(original(*given), means={})

    monkeypatch.setattr(task, "score", bare)
    assert score(full.task, full.truth, full.predictions).examples == 3
    with pytest.raises(ConfigError, match=r"has no values of single examples.* without --minus"):
        difference(full.task, full.truth, full.predictions, full.predictions)


def test_the_command_prints_both_and_json(case: Build, tmp_path: Path) -> None:
    full = case("vqa")
    rows = json.loads(full.predictions[0].read_text())
    other = write(tmp_path / "other.json", [{**row, "answer": "yes"} for row in rows])
    words = ["score", "vqa", "--truth", str(full.truth[0]), "--predictions", str(full.predictions[0]), "--minus"]
    done = CliRunner().invoke(app, [*words, str(other)])
    found = difference(full.task, full.truth, full.predictions, other)
    assert done.exit_code == 0 and done.stdout == difference_table(found) + "\n"
    number = found.numbers["accuracy"]
    begin = f"VQA v2, accuracy: 77.70% minus {number.second:.2f}% is {77.7 - number.second:+.2f}, 95% interval [+"
    assert done.stdout.startswith(begin) and f"second: {other}\n" in done.stdout
    assert "the same ones for both files\nprotocol official (the default): " in done.stdout
    assert "note: intervals of parts with fewer than 10 images are often too narrow" in done.stdout
    assert f"note: {TWO_TRAININGS}\n" in done.stdout and "other trainings" in TWO_TRAININGS
    printed: Any = json.loads(CliRunner().invoke(app, [*words, str(other), "--json"]).stdout)
    assert printed == json.loads(as_json(found)) and printed["second"]["predictions"] == [str(other)]
    assert printed["numbers"]["accuracy"]["interval"]["low"] > 0 and printed["few"] == ""
    logs = CliRunner().invoke(app, ["score", "vqa", "log.jsonl", "--from", "lmms-eval", "--minus", str(other)])
    assert isinstance(logs.exception, ConfigError) and "--predictions FILE --minus FILE" in str(logs.exception)


def shown(tmp_path: Path, images: int, questions: int = 3) -> tuple[Path, Path, Path]:
    """Truth of some captions of each image, and two files of predictions."""
    count = images * questions
    truth = foil(tmp_path, [number // questions for number in range(count)])
    first, second = ([number % every > 0 for number in range(count)] for every in (3, 4))
    return truth, judged(tmp_path / "a.json", first), judged(tmp_path / "b.json", second)


@pytest.mark.parametrize(
    ("images", "questions", "few", "pair_few"),
    [(3, 3, True, True), (9, 3, True, True), (10, 3, False, False), (3, 1, False, True), (10, 1, False, False)],
)
def test_few_images_are_warned_of(tmp_path: Path, images: int, questions: int, few: bool, pair_few: bool) -> None:
    """Not where Wilson's formula gives the interval: of one example an image, right or wrong, and no difference."""
    truth, first, second = shown(tmp_path, images, questions)
    words = ["score", "foil", "--truth", str(truth), "--predictions", str(first)]
    for more, expected in (([], few), (["--minus", str(second)], pair_few)):
        done = CliRunner().invoke(app, [*words, *more])
        told = f"warning: expected at least 10 images for an interval, found {images}: "
        assert done.exit_code == 0 and (told in done.stdout, told in done.stderr) == (expected, expected)
        printed = json.loads(CliRunner().invoke(app, [*words, *more, "--json"]).stdout)
        assert printed["few"].startswith(told.removeprefix("warning: ")) is expected is bool(printed["few"])
