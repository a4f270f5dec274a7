"""Recorded studies without one seed, one task or repeated training: numbers that ``twelve study show`` does not print.

They qualify a result (docs/joint-vs-single-studies.md, docs/real-photographs.md). The study's own bootstrap and t
intervals compare what is left.

    python benchmarks/left_out.py
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twelve.study.cells import gain_of, spread
from twelve.study.finding_types import Comparison
from twelve.study.findings import findings
from twelve.study.plan import FILE

RESULTS = Path(__file__).parent / "results"
PHOTOGRAPHS = "three-photograph-tasks"
WITHOUT = (
    ("four-tasks-pretrained", "seed", 4),
    ("six-tasks-joint-vs-single", "seed", 0),
    (PHOTOGRAPHS, "task", "snli_ve"),
)
"""Study, what kind of thing is left out, and which."""


def without(study: str, kind: str, what: int | str) -> Sequence[Comparison]:
    """The contrasts of a study over all tasks, without a seed or without a task."""
    with tempfile.TemporaryDirectory() as place:
        copy = shutil.copytree(RESULTS / f"study-{study}", Path(place) / "study")
        if kind == "seed":
            shutil.rmtree(copy / f"seed-{what}")
        else:
            record = json.loads((copy / FILE).read_text(encoding="utf-8"))
            for contrast in record["plan"]["contrasts"]:
                contrast["tasks"].remove(what)
            (copy / FILE).write_text(json.dumps(record), encoding="utf-8")
        return findings(copy).comparisons


def alone() -> str:
    """The normalised score of single-task SNLI-VE on photographs."""
    (row,) = (row for row in findings(RESULTS / f"study-{PHOTOGRAPHS}").rows if row.name == "snli_ve")
    score = row.scores["single-longer"].closed
    return f"{score.mean:.1f} [{score.low:.1f}, {score.high:.1f}]"


def processor_time() -> tuple[float, float]:
    """The joint models' processor time as a share of the single-task models', as recorded and without extensions that
    repeated the one before. Only whole runs were timed, so the second share assumes that all updates of a run take
    equally long."""
    joint = single = repeated = 0.0
    for file in sorted((RESULTS / f"study-{PHOTOGRAPHS}").glob("seed-*/results/*/*.json")):
        run = json.loads(file.read_text(encoding="utf-8"))
        if run["arm"] == "joint":
            joint += run["processor_seconds"] / 3  # each of its three tasks has the time of the whole run
        elif run["arm"] == "single-longer":
            single += run["processor_seconds"]
            repeated += run["processor_seconds"] * repeats(run) / run["iterations"]
    return joint / single, joint / (single - repeated)


def repeats(run: dict[str, Any]) -> int:
    """How many iterations of a run repeated its first extension: the same validation scores, in the same order."""
    if len(run["parts"]) < 3:
        return 0
    length, extension, _ = run["parts"]
    curve = run["recorded"]["curve"]
    first = [(at - length, score) for at, score in curve if length < at <= length + extension]
    second = [(at - length - extension, score) for at, score in curve if at > length + extension]
    return extension if first == second else 0


def main() -> None:
    for study, kind, what in WITHOUT:
        print(f"{study} without {kind} {what}")
        for each in without(study, kind, what):
            print(f"    {each.contrast.name}: {gain_of(each.every)}, t {spread(each.seeds)}")
    print(f"{PHOTOGRAPHS}, normalised score of single-task snli_ve: {alone()}")
    recorded, corrected = processor_time()
    print(f"{PHOTOGRAPHS}, processor time, joint as a share of single-task: {recorded:.0%}; ", end="")
    print(f"estimated without repeated extensions: {corrected:.0%}")


if __name__ == "__main__":
    main()
