"""On which of the wordings that only test sets have a joint model scores higher than a single-task model.

The test sets of RefCOCO and of Visual7W have two such wordings each. How a text opens tells which one it has: "on the
left the cup" and "cup at the top on the left"; "which of the cups is red?" and "which is the cup that is left of a
book?". For each difference of recorded studies, this prints it on the test examples in wordings of the training set and
in each of the two: means over the seeds with t intervals, in points of the official metric.

    python benchmarks/unseen_wordings.py
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twelve.study.bootstrap import t_interval
from twelve.study.cells import gain_of

RESULTS = Path(__file__).parent / "results"
OPENINGS = {"refcoco": ("on the", "in the"), "visual7w": ("which of",)}
"""Task -> openings of one of its two wordings that only test sets have."""
DIFFERENCES = (
    ("six-tasks-joint-vs-single", "stop-and-go", "single-longer", "refcoco"),
    ("six-tasks-joint-vs-single", "stop-and-go", "single-longer", "visual7w"),
    ("six-tasks", "stop-and-go", "single-longer", "refcoco"),
    ("six-tasks", "stop-and-go", "single-longer", "visual7w"),
    ("four-tasks-joint-vs-single", "stop-and-go", "single-trunk", "refcoco"),
    ("four-tasks-ten-times", "stop-and-go", "single-longer", "refcoco"),
    ("four-tasks-groups", "answering+retrieval+pointing", "pointing", "refcoco"),
    ("four-tasks-groups", "retrieval+pointing+verification", "pointing", "refcoco"),
    ("four-tasks-groups", "all", "pointing", "refcoco"),
    ("four-tasks-one-rate-groups", "all", "pointing", "refcoco"),
    ("four-tasks-pretrained-groups", "all", "pointing", "refcoco"),
)
"""(study, arm, the arm that it is compared with, task)."""
Split = tuple[float, float, float]
"""The difference in wordings of the training set, and in the two others: that with one of the openings first."""


def split(study: str, arm: str, minus: str, task: str) -> list[Split]:
    """The difference in each seed."""
    return [_of_seed(seed, arm, minus, task) for seed in sorted((RESULTS / f"study-{study}").glob("seed-*"))]


def _of_seed(seed: Path, arm: str, minus: str, task: str) -> Split:
    results = {path.parent.name: _read(path) for path in (seed / "results").glob(f"*/{task}.json")}
    kinds = next(result["kinds"] for result in results.values() if result.get("kinds"))  # those of all arms
    lead = 100 * (np.array(results[arm]["values"], float) - np.array(results[minus]["values"], float))
    unseen = np.array(kinds["wording"], str) == "unseen"
    own = np.isin(np.array(kinds["opening"], str), OPENINGS[task])
    return float(lead[~unseen].mean()), float(lead[unseen & own].mean()), float(lead[unseen & ~own].mean())


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _told(seeds: Sequence[float]) -> str:
    interval = t_interval(seeds)
    return f"{np.mean(seeds):+.1f}" if interval is None else gain_of(interval)


def main() -> None:
    for difference in DIFFERENCES:
        study, arm, minus, task = difference
        seen, first, second = zip(*split(*difference), strict=True)
        print(f"{study}, {task}, {arm} minus {minus}, seeds: {len(seen)}")
        print(f"  seen {_told(seen)}; unseen, opening {' or '.join(OPENINGS[task])} {_told(first)}; the other", end=" ")
        print(_told(second))


if __name__ == "__main__":
    main()
