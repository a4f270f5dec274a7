"""The files of a measured run, small."""

from __future__ import annotations

import json
from pathlib import Path

from twelve.evaluation.results import Baseline, TaskResult, write_results
from twelve.metrics.bootstrap import Interval
from twelve.types.measurement import Protocol
from twelve.types.predictions import RecordedPrediction as Kept


def predictions() -> list[Kept]:
    """One of every kind of output."""
    boxes = ((100.0, 60.0, 260.0, 220.0), (0.0, 0.0, 90.0, 90.0))
    image = ("coco/1",)
    return [
        Kept("a", "answer", "val", "1", "what", image, {"cup": 1.0}, "mug", 0.5, (("mug", 0.5), ("cup", 0.25)), 0.0),
        Kept("b", "alignment", "val", "2", "a cup", image, "coco/1", "coco/1", 3.5, (("coco/1", 3.5),), 1.0, rank=2),
        Kept("c", "region", "val", "3", "left", image, 0, 1, 0.5, ((1, 0.5), (0, 0.25)), 0.0, boxes),
        Kept("d", "region", "val", "4", "left", image, boxes[0], boxes[1], 0.5, ((boxes[1], 0.5),), 0.0),
        Kept("e", "pair", "dev", "5", "both", (*image, "coco/2"), True, False, 0.75, ((False, 0.75),), 0.0),
        Kept("f", "entailment", "dev", "6", "x", image, "neutral", "neutral", 0.5, (("neutral", 0.5),), 1.0),
        Kept("g", "options", "val", "7", "x", image, 1, 0, 0.5, ((0, 0.5),), 0.0, options=("one", "two")),
    ]


def write_evaluation(path: Path) -> Path:
    """An evaluation of two tasks."""
    score = Interval(51.5, 49.25, 53.75)
    facts = {"parameters": 1000, "training_seconds": 12.5, "evaluation_seconds": 2.5, "machine": {"cores": 2}}
    results = [
        TaskResult(
            task=task,
            title=task.upper(),
            protocol=Protocol(split="val", gallery=gallery, note="measured"),
            examples=12,
            groups=4,
            metric="accuracy",
            score=score,
            metrics={"accuracy": 51.5, "accuracy, other": 12.25},
            baselines={"majority": Baseline("majority", 12.5, Interval(39.5, 30.5, 48.5))},
            upper_bound=None if gallery else 98.5,
            seconds=12.5,
        )
        for task, gallery in (("a", None), ("b", 100))
    ]
    return write_results(path, results, facts)


def write_history(path: Path) -> Path:
    """A log of six steps."""
    lines: list[dict[str, object]] = []
    for at in range(1, 7):
        losses = {"a": 2.5 / at, "b": 1.25}
        lines.append({"kind": "step", "iteration": at, "losses": losses, "pairs": 8 * at, "seconds": 1.5 * at})
        lines.append({"kind": "validation", "iteration": at, "task": "a", "score": 0.5, "seconds": 1.5 * at})
        lines.append({"kind": "event", "iteration": at, "task": "b", "event": "stop" if at % 2 else "go"})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path
