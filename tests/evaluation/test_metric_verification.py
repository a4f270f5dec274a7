"""NLVR2's and SNLI-VE's metrics against the recorded programs (tests/goldens/metrics/{nlvr2,snli_ve})."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelve.errors import DataError
from twelve.metrics import classes, nlvr2
from twelve.metrics.entailment import CLASSES


@pytest.fixture(scope="module")
def folder(goldens: Path) -> Path:
    return goldens / "metrics" / "nlvr2"


@pytest.fixture(scope="module")
def rows(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "dev.json").read_text().splitlines()]


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, object]:
    return json.loads((folder / "expected.json").read_text())["expected"]


@pytest.mark.parametrize(("file", "key"), [("predictions", "metrics"), ("predictions_odd", "metrics_odd_predictions")])
def test_accuracy_and_consistency(
    folder: Path, rows: list[dict[str, str]], expected: dict[str, dict[str, float]], file: str, key: str
) -> None:
    """The odd file has an unknown word, which is wrong, and an unknown identifier, which is passed over."""
    labels = {row["identifier"]: row["label"] for row in rows}
    scores = nlvr2.evaluate(labels, nlvr2.read_predictions(folder / f"{file}.csv"))
    assert scores.accuracy == pytest.approx(expected[key]["accuracy"])
    assert scores.consistency == pytest.approx(expected[key]["consistency"])


def test_missing_predictions_are_an_error(folder: Path, rows: list[dict[str, str]]) -> None:
    labels = {row["identifier"]: row["label"] for row in rows}
    with pytest.raises(DataError, match="2 of 164 examples have no prediction"):
        nlvr2.evaluate(labels, nlvr2.read_predictions(folder / "predictions_missing.csv"))


def test_balanced_and_category_accuracy(folder: Path, rows: list[dict[str, str]], expected: dict[str, object]) -> None:
    labels = {row["identifier"]: row["label"] for row in rows}
    scores = nlvr2.evaluate(labels, nlvr2.read_predictions(folder / "predictions.csv"))
    balanced = [json.loads(line)["identifier"] for line in (folder / "balanced_dev.json").read_text().splitlines()]
    assert 100 * nlvr2.accuracy_among(scores, balanced) == pytest.approx(expected["balanced_accuracy_percent"])
    categories = nlvr2.read_categories(folder / "annotated_examples.txt")
    assert len(categories) == 26
    found = nlvr2.by_category({row["identifier"]: row["sentence"] for row in rows}, categories)
    printed = [
        f"{name}: {100 * nlvr2.accuracy_among(scores, those):.2f} (of {len(those)} examples)"
        for name, those in found.items()
    ]
    assert printed == expected["category_printed"][3:]


def test_prediction_file_errors_name_the_line(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("dev-1-0-0,True\ndev-1-0-1 False\n")
    with pytest.raises(DataError, match="line 2"):
        nlvr2.read_predictions(tmp_path / "p.csv")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans(), st.booleans()), min_size=1))
def test_consistency_never_exceeds_accuracy_of_its_best_sentence(examples: list[tuple[int, int, bool, bool]]) -> None:
    labels, predictions = {}, {}
    for pair, sentence, label, prediction in examples:
        labels[f"dev-1-{pair}-{sentence}"], predictions[f"dev-1-{pair}-{sentence}"] = str(label), str(prediction)
    scores = nlvr2.evaluate(labels, predictions)
    assert 0 <= scores.consistency <= 1
    assert (scores.consistency == 1) == (scores.accuracy == 1)
    if scores.accuracy == 0:
        assert scores.consistency == 0


@pytest.mark.parametrize("split", ["dev", "test"])
def test_entailment_accuracy(goldens: Path, split: str) -> None:
    folder = goldens / "metrics" / "snli_ve"
    labels = [json.loads(line)["gold_label"] for line in (folder / f"snli_ve_{split}.jsonl").read_text().splitlines()]
    lines = (folder / f"predictions_{split}.jsonl").read_text().splitlines()
    scores = classes.evaluate(labels, [json.loads(line)["prediction"] for line in lines], CLASSES)
    names = {"Entailed": "entailment", "Neutral": "neutral", "Contradict": "contradiction"}
    printed = [f"Overall accuracy = {100 * scores.accuracy:.2f}%"]
    printed += [f"{word} accuracy = {100 * scores.per_class[name]:.2f}%" for word, name in names.items()]
    assert printed == json.loads((folder / "expected.json").read_text())["expected"][split]["printed"]


def test_class_without_examples_has_no_accuracy() -> None:
    assert classes.evaluate(["neutral"], ["entailment"], CLASSES).per_class == {"neutral": 0.0}
