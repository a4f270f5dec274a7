"""Temperatures: what was known beforehand is found, predictions stay, the error is what the definition says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from rich.console import Console

from twelve import config as configuration
from twelve.evaluation import calibration
from twelve.evaluation.calibration import calibrate, expected_calibration_error
from twelve.model.processor import TwelveProcessor
from twelve.outputs import get_output
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train
from twelve.types.examples import Example


def test_the_error_is_the_definitions() -> None:
    assert expected_calibration_error([1.0, 1.0, 0.0], [1.0, 1.0, 0.0]) == 0
    assert expected_calibration_error([0.9] * 10, [1.0] * 5 + [0.0] * 5) == pytest.approx(0.4)
    # Two bins: 0.25 too sure for half of them, 0.1 too unsure for the other half.
    assert expected_calibration_error([0.75] * 4 + [0.5] * 4, [0.5] * 4 + [0.6] * 4) == pytest.approx(0.175)


class Batch:
    """What calibration reads of a batch."""

    def __init__(self, examples: list[Example], targets: Any) -> None:
        self.examples, self.targets, self.regions, self.output = examples, targets, [], "head"

    def inputs(self, device: Any) -> dict[str, Any]:
        return {"rows": [int(example.id) for example in self.examples]}


class Collator:
    """Entailment batches without images."""

    output, output_key = get_output("entailment"), "head"

    class processor:
        vocabularies: dict[str, list[str]] = {}  # noqa: RUF012

    def __call__(self, examples: list[Example], rng: Any) -> Batch:
        return Batch(examples, self.output.targets(examples, [], []))


def model_of(logits: Any) -> Any:
    """A model that gives these logits (E, A)."""

    class Model:
        device = "cpu"

        def train(self, mode: bool) -> None:
            assert mode is False

        def __call__(self, rows: list[int], outputs: Any) -> Any:
            return type("Out", (), {"logits": {"head": torch.from_numpy(logits[rows])}})

    return Model()


def test_the_likely_score_is_that_of_most_right_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(get_output("entailment")), "can_be_absent", True)
    logits = np.random.default_rng(0).normal(0, 2, (400, 3))
    names = get_output("entailment").classes  # type: ignore[attr-defined]
    right = np.arange(400) % 4 > 0
    labels = (logits.argmax(1) + ~right) % 3
    examples = [Example(str(k), "x", ("a/1",), target=names[label]) for k, label in enumerate(labels)]
    found = calibrate(model_of(logits), {"t": Collator()}, {"t": examples})  # type: ignore[dict-item]
    shares = np.exp(logits / found.temperatures["t"])
    best = (shares / shares.sum(1, keepdims=True)).max(1)
    assert (best[right] >= found.likely["t"]).mean() == pytest.approx(0.95, abs=0.005)
    monkeypatch.setattr(calibration, "FEWEST_EXAMPLES", 20)
    few = calibrate(model_of(logits), {"t": Collator()}, {"t": examples[:20]})  # type: ignore[dict-item]
    assert few.temperatures and not few.likely  # 15 right ones say too little
    monkeypatch.undo()
    assert not calibrate(model_of(logits), {"t": Collator()}, {"t": examples}).likely  # type: ignore[dict-item]


def test_few_validation_examples_fit_no_temperature() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (50, 3))
    names = get_output("entailment").classes  # type: ignore[attr-defined]
    examples = [Example(str(k), "x", ("a/1",), target=names[k % 3]) for k in range(50)]
    assert calibrate(model_of(logits), {"t": Collator()}, {"t": examples}).temperatures  # type: ignore[dict-item]
    few = calibrate(model_of(logits), {"t": Collator()}, {"t": examples[:49]})  # type: ignore[dict-item]
    assert few == ({}, {})
    said = calibration.uncalibrated
    assert said("t", few.temperatures, 49) == "not calibrated: this needs 50 validation examples, the task has 49"
    assert said("t", {"t": 2.0}, 3) == "" and said("t", {}, None) == "not calibrated"


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_temperature_is_found_again(temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels drawn from the softmax of logits; the model gives the logits times a temperature."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (4000, 3))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    names = get_output("entailment").classes  # type: ignore[attr-defined]
    labels = [names[rng.choice(3, p=row)] for row in shares]
    examples = [Example(str(k), "x", ("a/1",), target=label) for k, label in enumerate(labels)]

    monkeypatch.setattr(calibration, "EXAMPLES", 4000)
    found = calibrate(model_of(logits * temperature), {"t": Collator()}, {"t": examples})  # type: ignore[arg-type, dict-item]
    assert found.temperatures["t"] == pytest.approx(temperature, rel=0.1)


def test_a_trained_model_is_calibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "FEWEST_EXAMPLES", 1)
    root = tiny.make(tmp_path / "root")
    tree = tiny.tree(root, tmp_path / "run")
    tree["training"] |= {"iterations": 30, "eval_every": 10, "save_every": 30}
    run = train(configuration.parse(tree), console=Console(quiet=True))
    temperatures = TwelveProcessor.from_pretrained(run / "model").temperatures
    assert set(temperatures) == set(tiny.TASKS) and all(0.05 <= value <= 20 for value in temperatures.values())
    results = {result.task: result for result in evaluate_run(run, baselines=False, console=Console(quiet=True))}
    for task in ("vqa", "refcoco", "nlvr2", "snli_ve"):
        assert 0 <= (results[task].calibration_error or 0) <= 100 and results[task].calibration_error is not None
    assert results["flickr30k"].calibration_error is None and not any(each.uncalibrated for each in results.values())
    config = run / "model" / "processor_config.json"
    plain = json.loads(config.read_text()) | {"temperatures": {}}
    config.write_text(json.dumps(plain))
    again = {result.task: result for result in evaluate_run(run, baselines=False, console=Console(quiet=True))}
    assert all(again[task].score.mean == results[task].score.mean for task in results)
    assert {task for task, result in again.items() if result.uncalibrated} == results.keys() - {"flickr30k"}
