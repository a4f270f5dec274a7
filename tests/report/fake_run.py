"""A run folder as training and evaluation leave it, written by hand: five tasks, every kind of output, no training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, ImageDraw

from twelve.evaluation import recorded
from twelve.run_folder import RunFolder
from twelve.types.predictions import RecordedPrediction

KINDS = {"vqa": "answer", "flickr30k": "alignment", "refcoco": "region", "nlvr2": "pair", "snli_ve": "entailment"}
SPLITS = {"vqa": "val", "flickr30k": "val", "refcoco": "val", "nlvr2": "dev", "snli_ve": "dev"}
NASTY = "<script>alert('x')</script> & \"quoted\" <img src=http://bad.example/x.png>"


def draw_image(path: Path, number: int, size: tuple[int, int] = (400, 300)) -> None:
    """A coloured thing on a coloured ground."""
    image = Image.new("RGB", size, ((37 * number) % 256, 120, (91 * number) % 256))
    ImageDraw.Draw(image).ellipse([100, 60, 260, 220], fill=((203 * number) % 256, 220, 60))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def images(root: Path, count: int = 12) -> None:
    for number in range(count):
        draw_image(root / "images" / "coco" / f"{number}.jpg", number)
        draw_image(root / "images" / "flickr30k" / f"{number}.jpg", number + 50, (300, 400))
        for side in (0, 1):
            draw_image(root / "images" / "nlvr2" / f"dev-{number}-0-img{side}.png", number + side)


def make_root(root: Path, *, with_images: bool = True) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    if with_images:
        images(root)
    return root


def interval(mean: float, width: float = 3.0) -> dict[str, float]:
    return {"mean": mean, "low": mean - width, "high": mean + width}


def task_result(task: str, score: float, baselines: dict[str, float], metric: str = "accuracy") -> dict[str, Any]:
    """A task of evaluation.json as ``asdict(TaskResult)`` writes it."""
    return {
        "task": task,
        "title": task.upper(),
        "protocol": {
            "split": SPLITS[task],
            "boxes": "detected",
            "ties": "first of equals",
            "gallery": 100 if KINDS[task] == "alignment" else None,
            "note": "measured carefully",
        },
        "examples": 1234,
        "groups": 321,
        "metric": metric,
        "score": interval(score),
        "metrics": {metric: score, f"{metric}, number": 12.5},
        "baselines": {
            name: {"name": name, "score": value, "advantage": interval(score - value)}
            for name, value in baselines.items()
        },
        "seconds": 12.5,
    }


def evaluation() -> dict[str, Any]:
    results = [
        task_result("vqa", 27.3, {"majority": 4.4, "bag of words": 27.4, "shuffled images": 17.5}),
        task_result("flickr30k", 13.6, {"chance": 1.3, "shuffled images": 1.1}, "R@1"),
        task_result("refcoco", 46.6, {"box prior": 36.7, "shuffled images": 27.2}),
        task_result("nlvr2", 50.1, {"majority": 55.3, "bag of words": 54.3, "shuffled images": 54.2}),
        task_result("snli_ve", 68.6, {"majority": 39.2, "bag of words": 61.3, "shuffled images": 63.8}),
    ]
    results[4] |= {"upper_bound": 81.3}
    results[0] |= details()
    results[4]["confusions"] = [
        {"wanted": wanted, "said": said, "examples": count, "of": 617}
        for wanted, said, count in (("entailment", "entailment", 500), ("entailment", "neutral", 117),
                                    ("neutral", "neutral", 600), ("neutral", "entailment", 17))
    ]  # fmt: skip
    facts = {
        "date": "2026-05-04",
        "iterations": 40,
        "parameters": 28_889_832,
        "training_seconds": 1841.4,
        "evaluation_seconds": 62.5,
        "machine": {"processor": "Test CPU", "cores": 2, "accelerator": None, "torch": "2.9"},
    }
    return {"facts": facts, "tasks": {result["task"]: result for result in results}}


def details() -> dict[str, Any]:
    """What an evaluation knows beyond the score: parts, calibration, confusions."""

    def part(kind: str, value: str, score: float, examples: int, baseline: float) -> dict[str, Any]:
        best = {"name": "bag of words", "score": baseline, "advantage": interval(score - baseline)}
        return {"kind": kind, "value": value, "examples": examples, "groups": 40, "score": interval(score)} | {
            "baseline": best
        }

    return {
        "calibration_error": 12.5,
        "calibration": [{"examples": 40, "score": 0.25, "right": 0.2}, {"examples": 60, "score": 0.85, "right": 0.6}],
        "confusions": [{"wanted": "cup", "said": NASTY, "examples": 7, "of": 20}],
        "parts": [
            part("answer_type", "number", 9.5, 120, 11.0),
            part("question_type", NASTY, 12.0, 80, 2.0),
            part("words", "4-6", 26.0, 600, 20.0),
        ],
    }


def history(iterations: int = 40) -> list[dict[str, Any]]:
    """A log in which the second task is stopped in iterations 20 to 30, the last one from 30 on."""
    lines: list[dict[str, Any]] = []
    for at in range(2, iterations + 1, 2):
        losses = {task: round(2.5 / (1 + at / (5 + place)), 5) for place, task in enumerate(KINDS)}
        lines.append(
            {"kind": "step", "iteration": at, "losses": losses, "lr": 1.0, "pairs": 72 * at, "seconds": at * 2.0}
        )
        if at % 10 == 0:
            for place, task in enumerate(KINDS):
                score = round(0.2 + 0.1 * place + at / 200, 5)
                lines.append({"kind": "validation", "iteration": at, "task": task, "score": score, "seconds": at * 2.0})
        for when, task, change in ((20, "flickr30k", "stop"), (30, "flickr30k", "go"), (30, "snli_ve", "stop")):
            if at == when:
                lines.append({"kind": "event", "iteration": at, "task": task, "event": change, "best": 0.5})
    return lines


def predictions(text: str = "what is on the table ?") -> list[RecordedPrediction]:
    """Six examples a task, every other one right."""
    found = []
    for number in range(6):
        right = float(number % 2 == 0)
        found += [_answer(number, right, text), _caption(number, right), _phrase(number, right)]
        statement, image = f"both show {number} things", f"nlvr2/dev-{number}-0-img"
        found.append(
            RecordedPrediction("nlvr2", "pair", "dev", f"dev-{number}-0-0", statement, (image + "0", image + "1"), True,
                     bool(right), 0.75, ((bool(right), 0.75), (not right, 0.25)), right)
        )  # fmt: skip
        classes = ("entailment", "neutral") if right else ("neutral", "entailment")
        ranked = ((classes[0], 0.5), (classes[1], 0.3), ("contradiction", 0.2))
        found.append(
            RecordedPrediction("snli_ve", "entailment", "dev", f"{number}#1", f"someone holds {number} cups",
                     (f"flickr30k/{number}",), "entailment", classes[0], 0.5, ranked, right)
        )  # fmt: skip
    return found


def _answer(number: int, right: float, text: str) -> RecordedPrediction:
    best = (("cup", 0.62), ("mug", 0.2), (NASTY, 0.1)) if right else (("mug", 0.4), ("cup", 0.3), ("hat", 0.1))
    target = {"cup": 1.0, "mug": 0.3}
    return RecordedPrediction(
        "vqa", "answer", "val", f"{number}000", f"{number} {text}", (f"coco/{number}",), target, best[0][0], best[0][1],
        best, target[best[0][0]],
    )  # fmt: skip


def _caption(number: int, right: float) -> RecordedPrediction:
    order = [number, 7, 8, 9, 10] if right else [7, 8, 9, 10, 11]
    best = tuple((f"flickr30k/{image}", 3.0 - place) for place, image in enumerate(order))
    return RecordedPrediction(
        "flickr30k", "alignment", "val", f"{number}", f"a {number}-coloured thing", (f"flickr30k/{number}",),
        f"flickr30k/{number}", best[0][0], 3.0, best, right, rank=1 if right else 23,
    )  # fmt: skip


def _phrase(number: int, right: float) -> RecordedPrediction:
    boxes = ((100.0, 60.0, 260.0, 220.0), (0.0, 0.0, 90.0, 90.0), (270.0, 200.0, 300.0, 390.0))
    if number < 3:  # pointing at given candidates
        chosen = 0 if right else 1
        return RecordedPrediction(
            "refcoco", "region", "val", f"{number}", f"the round one, {number}", (f"flickr30k/{number}",), 0, chosen,
            0.8, ((chosen, 0.8), (2, 0.1)), right, boxes,
        )  # fmt: skip
    box = (110.0, 70.0, 260.0, 230.0) if right else boxes[1]
    return RecordedPrediction(
        "refcoco", "region", "val", f"{number}", f"the round one, {number}", (f"flickr30k/{number}",), boxes[0], box,
        0.8, ((box, 0.8),), right,
    )  # fmt: skip


def make(run: Path, root: Path, *, measured: bool = True, text: str = "what is on the table ?") -> Path:
    """Write the run folder; ``measured`` adds what evaluation writes."""
    run.mkdir(parents=True, exist_ok=True)
    tree = {
        "run": str(run),
        "data": str(root),
        "sources": {"refcoco": "flickr30k"},
        "tasks": {task: {"test_split": split} for task, split in SPLITS.items()},
        "training": {"iterations": 40},
    }
    (run / "config.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    sizes = {"images_before": 100, "images_after": 90, "examples_before": 2000, "examples_after": 1800}
    data = {
        "cleaned": {
            "mode": "test",
            "removed": {task: sizes for task in KINDS},
            "overlap": {task: {"flickr30k test": 7, "snli_ve test": 3, "vqa test": 0} for task in KINDS},
            "skipped": {"vqa test": "no such file"},
        },
        "tasks": {task: {"train": 1700, "validation": 100, "test_split": split} for task, split in SPLITS.items()},
        "coverage": {"vqa": "118 answers cover 80% of the training questions"},
        "vocabularies": {"answer": 118},
    }
    (run / "data.json").write_text(json.dumps(data))
    machine = {"processor": "Test CPU", "cores": 2, "accelerator": None, "torch": "2.9"}
    (run / "machine.json").write_text(json.dumps(machine))
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history()))
    if measured:
        (run / "evaluation.json").write_text(json.dumps(evaluation()))
        recorded.write(RunFolder(run).predictions, predictions(text))
    return run
