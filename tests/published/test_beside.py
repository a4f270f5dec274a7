"""Only results of the same split, metric, protocol and data are beside a published number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from twelve.evaluation.published_scores import beside, in_words, lines
from twelve.evaluation.results import TaskResult
from twelve.metrics.bootstrap import Interval
from twelve.report.scores import task_score
from twelve.runs.results_table import protocol_line
from twelve.tasks.base import get
from twelve.types.measurement import Owner, Protocol


def result(task: str, split: str, examples: int, metric: str = "accuracy", **protocol: Any) -> TaskResult:
    score = Interval(50.0, 49.0, 51.0)
    asked = Protocol(split=split, **protocol)
    return TaskResult(task, get(task).title, asked, examples, examples, metric, score, {metric: 50.0}, {})


WHOLE = result("snli_ve", "test", 17_901)


def test_the_same_measurement_is_beside() -> None:
    found = beside(WHOLE, drawn=False)
    assert [(each.number.model, each.number.value, each.differs) for each in found] == [
        ("12-in-1, all, then fine-tuned", 76.95, ()),
        ("12-in-1, all tasks, clean", 76.78, ()),
    ]
    assert not found[0].number.recalled and found[1].number.recalled
    assert in_words(WHOLE, drawn=False) == (
        "can be compared with the published 76.95 of 12-in-1, all, then fine-tuned and the published 76.78 (recalled) "
        "of 12-in-1, all tasks, clean"
    )


@pytest.mark.parametrize(
    ("other", "drawn", "words"),
    [
        (WHOLE, True, "synthetic data"),
        (result("snli_ve", "dev", 17_858), False, 'split "dev" instead of "test"'),
        (replace(WHOLE, examples=900), False, "900 of 17,901 examples"),
        (replace(WHOLE, metric="R@1"), False, 'metric "R@1" instead of "accuracy"'),
        (result("refcoco", "test", 10_752, name="google"), False, 'protocol "google" instead of "original"'),
        (result("guesswhat", "test", 9, name="success"), False, 'protocol "success" instead of "all"'),
        (
            result("coco", "test", 500, "R@1 of 100", gallery=100, name="1k"),
            False,
            'metric "R@1 of 100" instead of "R@1"',
        ),
        (result("coco", "test", 5000, "R@1", gallery=1000, name="1k", shortlist=50), False, "shortlists of 50"),
        (
            result("flickr30k", "test", 500, "R@1 of 100", gallery=100, name="100 images"),
            False,
            'metric "R@1 of 100" instead of "R@1" and protocol "100 images" instead of "1k"',
        ),
        (result("vqa", "val", 214_354), False, 'split "val" instead of "test-dev"'),
        (result("refcocog", "test", 55, name="original"), False, "55 of 2,600 images"),
    ],
)
def test_what_differs_is_said(other: TaskResult, drawn: bool, words: str) -> None:
    said = in_words(other, drawn=drawn)
    assert (
        said is not None and said.startswith("cannot be compared with the published ") and said.endswith(f": {words}")
    )


@pytest.mark.parametrize("name", ["all", "1k"])
def test_one_gallery_of_two_names(name: str) -> None:
    """All images of this test split are its first 1,000."""
    assert not beside(result("flickr30k", "test", 5000, "R@1", gallery=1000, name=name), drawn=False)[0].differs
    assert beside(result("coco", "test", 25_010, "R@1", name="all"), drawn=False)[0].differs


def test_an_unknown_size_is_said() -> None:
    said = in_words(result("visual7w", "test", 57_265), drawn=False)
    assert said is not None and said.startswith("can be compared") and said.endswith("; size of the split unchecked")


def test_tasks_that_nobody_published() -> None:
    assert (
        beside(replace(WHOLE, task="mine"), drawn=False) == []
        and in_words(result("foil", "test", 9), drawn=False) is None
    )


def test_drawn_data_are_said_once() -> None:
    assert lines([WHOLE, WHOLE], drawn=True) == [
        "published numbers: not shown for synthetic data (twelve published lists them)"
    ]
    assert lines([WHOLE], drawn=False)[0].startswith(
        "SNLI-VE, accuracy: 50.00 can be compared with the published 76.95 of 12-in-1"
    )


def test_what_is_resampled_is_said_of_each_task() -> None:
    """Of NLVR2 it is sentences, of every other dataset images; a file of one's own may say it."""

    def said(task: str, owner: Owner = "dataset", groups: int = 40) -> str:
        found = replace(result("vqa", "test", 900), task=task, groups=groups)
        return dict(task_score(found, {}, owner=owner).protocol)["resampled by"]

    assert said("nlvr2") == "40 sentences, each with all its examples"
    assert said("vqa") == "40 images, each with all its examples" and said("vqa", groups=1).startswith("1 image, ")
    assert said("mine", "file") == (
        "40 clusters; examples of the same image (of two, the first), or with the same “group” in your file, stay "
        "together"
    )
    assert (
        said("theirs", "code")
        == "40 clusters; examples that your task puts into the same cluster (its “group”) stay together"
    )
    own = replace(result("vqa", "test", 900), task="mine", groups=20)
    assert "900 examples, resampled by 20 clusters" in protocol_line(own)
    assert "900 examples, resampled by 40 sentences" in protocol_line(replace(result("nlvr2", "test", 900), groups=40))


def test_the_report_has_it() -> None:
    rows = dict(task_score(WHOLE, {}).protocol)
    assert (
        rows["published"].startswith("this score can be compared")
        and "synthetic data" in dict(task_score(WHOLE, {}, drawn=True).protocol)["published"]
    )
