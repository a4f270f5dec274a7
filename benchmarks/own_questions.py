"""The tutorial's recipe on other questions than the tutorial's, from 20 and from 60 training examples, at several
learning rates.

    twelve data make-microworld --out own --seed 7 --scale 0.25
    twelve regions extract --images own/images/vg --boxes detect --backbone microworld --out own/regions
    python benchmarks/own_questions.py --data own --out benchmarks/results/own-questions.json
    python benchmarks/own_questions.py --data own --positions --out benchmarks/results/own-questions-positions.json

So the base model has seen none of the images. After `twelve quickstart`, `--data quickstart/data` takes images most of
which it was trained on (with `--rates 1e-4 2.5e-5`: own-questions-known-images.json). Answers follow from the objects
that were drawn. No training image of a question is among its 100 test images. With ``--positions``, each image has a
question about two of its objects, of which it has one each ("is the ball above the book?"), and 120 examples are tried,
too.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from twelve import config as configuration
from twelve.microworld.relations import MARGIN
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train
from twelve.training.provenance import machine

RECIPE = "examples/tutorial/mine.yaml"
TEST = 100


def any_of(*names: str) -> Callable[[set[str]], str | None]:
    """The answer "yes" about images with one of these objects."""
    return lambda objects: "yes" if objects & set(names) else "no"


def toy(objects: set[str]) -> str | None:
    """The only toy; None for images with both."""
    found = sorted(objects & {"ball", "kite"})
    return None if len(found) == 2 else (found or ["nothing"])[0]


QUESTIONS = {
    "could I drink from something here?": any_of("cup", "bottle"),
    "is there something to drink from?": any_of("cup", "bottle"),
    "does anything here fly?": any_of("bird", "kite"),
    "could I sit down here?": any_of("chair"),
    "is there something to read?": any_of("book"),
    "what could a child play with?": toy,
}

POSITIONS = {"is the {} above the {}?": ("y", "h"), "is the {} to the left of the {}?": ("x", "w")}
"""Question -> the keys of an object's start and length, in pixels, along the axis that it is about."""
PER_EXAMPLE, LEAST = 5, 300
"""Iterations for each training example, and fewest."""


def asked(question: str, graph: Any, draw: random.Random) -> tuple[str, str] | None:
    """The text and the answer of a question about an image; None if there is no sure answer."""
    things = list(graph["objects"].values())
    names = [each["name"] for each in things]
    if question in QUESTIONS:
        target = QUESTIONS[question](set(names))
        return None if target is None else (question, target)
    once = [each for each in things if names.count(each["name"]) == 1]
    start, length = POSITIONS[question]
    for one, other in draw.sample([(one, other) for one in once for other in once], len(once) ** 2):
        lead = other[start] + other[length] / 2 - one[start] - one[length] / 2
        if abs(lead) > MARGIN:
            return question.format(one["name"], other["name"]), "yes" if lead > 0 else "no"
    return None


def examples(data: Path, question: str, count: int) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Training and test examples of a question, each answer equally often."""
    images = dict[str, Any]()
    for split in ("train", "val"):
        images |= json.loads((data / "gqa" / f"{split}_sceneGraphs.json").read_text(encoding="utf-8"))
    by_answer = defaultdict[str, list[dict[str, str]]](list)
    draw, training, test = random.Random(question), list[dict[str, str]](), list[dict[str, str]]()
    for image, graph in sorted(images.items()):
        if (found := asked(question, graph, draw)) is not None:
            text, target = found
            by_answer[target].append({"text": text, "image": f"{image}.jpg", "target": target})
    for each in by_answer.values():
        draw.shuffle(each)
        training += each[: round(count / len(by_answer))]
        test += each[-round(TEST / len(by_answer)) :]
    return training, test


def score(data: Path, question: str, count: int, rate: str, seed: int) -> float:
    """Accuracy (0..100) on the test examples after training on ``count`` examples."""
    with tempfile.TemporaryDirectory() as folder:
        changes = [f"run={folder}/run", f"data={data.resolve()}", f"seed={seed}", "tasks.mine.images=vg"]
        changes.append(f"training.iterations={max(LEAST, PER_EXAMPLE * count)}")
        for name, part in zip(("train", "test_split"), examples(data, question, count), strict=True):
            file = Path(folder) / f"{name}.jsonl"
            file.write_text("".join(json.dumps(each) + "\n" for each in part), encoding="utf-8")
            changes.append(f"tasks.mine.{name}={file}")
        quiet = Console(file=StringIO())
        run = train(configuration.load(RECIPE, [*changes, f"tasks.mine.learning_rate={rate}"]), console=quiet)
        (result,) = evaluate_run(run, baselines=False, console=quiet)
    return round(result.score.mean, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rates", nargs="+", default=["1e-4"], help="learning rates; the recipe's is 1e-4")
    parser.add_argument("--positions", action="store_true", help="ask about the positions of two objects")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    scores = dict[str, dict[str, dict[str, list[float]]]]()
    for rate in arguments.rates:
        for count in (20, 60, 120) if arguments.positions else (20, 60):
            found = scores.setdefault(rate, {}).setdefault(f"{count} examples", {})
            for question in POSITIONS if arguments.positions else QUESTIONS:
                found[question] = [
                    score(arguments.data, question, count, rate, seed) for seed in range(arguments.seeds)
                ]
                print(f"rate {rate}, {count} examples, {question}", *found[question], flush=True)
    if arguments.out:
        facts = {"recipe": RECIPE, "machine": machine(), "scores": scores}
        arguments.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
