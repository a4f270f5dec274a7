"""How much of a joint model's lead on a synthetic task comes from wordings that training does not contain.

A fifth of the microworld's wordings appear in test sets only (docs/microworld.md). Two of them can be told by how a
text opens: RefCOCO's "on the left the cup" and Visual7W's "which of the cups is red?". For each difference of recorded
studies, this prints the lead on all test examples, on those with another opening, and on those with this one: means
over the seeds with t intervals, in points of the official metric. The examples with another opening contain the other
wordings that only the test has, so a part of their lead may come from these.

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
"""Task -> openings of a wording that only test sets have."""
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
Split = tuple[float, float, float, float]
"""The lead on all examples, with another opening, with this one, and the share of the latter, per cent."""


def split(study: str, arm: str, minus: str, task: str) -> list[Split]:
    """The lead in each seed."""
    return [_of_seed(seed, arm, minus, task) for seed in sorted((RESULTS / f"study-{study}").glob("seed-*"))]


def _of_seed(seed: Path, arm: str, minus: str, task: str) -> Split:
    results = {path.parent.name: _read(path) for path in (seed / "results").glob(f"*/{task}.json")}
    kinds = next(result["kinds"] for result in results.values() if result.get("kinds"))  # those of all arms
    lead = 100 * (np.array(results[arm]["values"], float) - np.array(results[minus]["values"], float))
    own = np.isin(np.array(kinds["opening"], str), OPENINGS[task])
    return float(lead.mean()), float(lead[~own].mean()), float(lead[own].mean()), 100 * float(own.mean())


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _told(seeds: Sequence[float]) -> str:
    interval = t_interval(seeds)
    return f"{np.mean(seeds):+.1f}" if interval is None else gain_of(interval)


def main() -> None:
    for difference in DIFFERENCES:
        study, arm, minus, task = difference
        every, others, own, share = zip(*split(*difference), strict=True)
        print(f"{study}, {task}, {arm} minus {minus}, seeds: {len(every)}")
        print(f"  all {_told(every)}; other openings {_told(others)}; only in the test {_told(own)}", end="")
        print(f" ({np.mean(share):.0f}% of the examples)")


if __name__ == "__main__":
    main()
